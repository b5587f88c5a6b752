"""The Engine protocol: what a backend has to provide, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from pytest_thinkslm.records import Output, Request


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an engine's outputs depend on beside the request: the journal's folder name.

    ``facts`` is JSON-serialisable: model id, revision and file hashes, quantization config, dtype,
    template hash, engine and version. It is computed without importing torch or vllm, so that a full
    journal answers in seconds.
    """

    facts: Mapping[str, object]

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON of the facts."""
        text = json.dumps(self.facts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


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
