"""An engine whose further runs (``--noise-floor``) are of the same compression, calibrated with other texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines.base import Engine

#: What the engines spend together.
_SPENT = ("output_tokens", "generating_seconds", "gpu_seconds")


class Recalibrated:
    """Sends the requests of each further run to that run's own engine; all else goes to the first.

    An engine loads its model with its first request, and keeps it until all are closed.
    """

    def __init__(self, first: Engine, further: Mapping[int, Engine]) -> None:
        self._engines = {0: first, **further}

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests; returns their futures in the same order."""
        found: dict[int, Future[Output]] = {}
        for run, engine in self._engines.items():
            own = [place for place, request in enumerate(requests) if request.noise == run]
            if own:
                found |= zip(own, engine.submit([requests[place] for place in own]), strict=True)
        return [found[place] for place in range(len(requests))]

    def fingerprint(self) -> Fingerprint:
        """That of the first: the runs' numbers tell the others apart."""
        return self._engines[0].fingerprint()

    def measured(self) -> Mapping[str, object]:
        """The first one's facts, with what all of them spent."""
        each = [engine.measured() for engine in self._engines.values()]
        spent = {name: [one[name] for one in each if name in one] for name in _SPENT}
        return {**each[0], **{name: sum(values) for name, values in spent.items() if values}}  # type: ignore[arg-type]

    def close(self) -> None:
        """Close all."""
        for engine in self._engines.values():
            engine.close()
