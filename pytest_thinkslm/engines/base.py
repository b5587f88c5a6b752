"""The Engine protocol: what a backend has to provide, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Output, Request


class Engine(Protocol):
    """A backend that answers requests.

    Constructing an engine is cheap and loads nothing; the model is loaded by the first ``submit``, off
    the caller's thread. ``submit`` takes all requests at once and returns one future a request, in the
    same order, without waiting. A future ends in an ``Output``, in ``EngineError`` (that request
    failed), or cancelled. A request whose future was cancelled before it started is never generated.
    """

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests; returns their futures in the same order."""
        ...

    def fingerprint(self) -> Fingerprint:
        """What outputs depend on, without loading the model."""
        ...

    def measured(self) -> Mapping[str, object]:
        """Volatile facts for the report's ``measured`` section (device, dtype, peak memory, load seconds)."""
        ...

    def close(self) -> None:
        """Drop queued requests (their futures are cancelled), stop, and free the device."""
        ...
