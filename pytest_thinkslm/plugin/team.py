"""The progress of all xdist workers in one line: what a worker sends, and what the controller makes of it.

Each worker has an execnet channel of its own to the controller, beside xdist's: it comes in ``workerinput`` and ends
with the worker, so that nothing is left behind.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest

from pytest_thinkslm.core.identity import Variant
from pytest_thinkslm.generating.ahead import Progress
from pytest_thinkslm.plugin.progress import ProgressLine, Standing, add, message, read

#: Seconds between two messages of a worker, and between two looks of the controller.
_SEND, _LOOK = 1.0, 0.5
#: Seconds that the announcement of a variant waits for workers that have not reached it.
_PATIENCE = 5.0


class WorkerProgress:
    """In a worker: sends its counters now and then. Has the methods of ``ProgressLine`` that the runner calls."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._label = ""
        self._progress: Progress | None = None
        self._due = 0.0
        #: Why the controller wants nothing more to be asked; empty while it does.
        self.stopped = ""
        channel.setcallback(self._told)

    def _told(self, why: str) -> None:
        self.stopped = why

    def announce(self, variant: Variant, progress: Progress) -> None:
        """What is about to be done; sent at once."""
        self._label, self._progress = variant.name, progress
        self._send()

    def show(self, progress: Progress) -> None:
        """Called while a test waits."""
        self.settle()

    def settle(self) -> None:
        """Called when an item's output is there."""
        if self._progress is not None and time.monotonic() >= self._due:
            self._send()

    def _send(self) -> None:
        assert self._progress is not None
        self._due = time.monotonic() + _SEND
        with contextlib.suppress(OSError):  # the controller has closed its end: nobody is interested any more
            self._channel.send(message(self._label, self._progress))


class TeamProgress:
    """On the controller, a plugin of its own: adds the workers up and writes one line for all of them.

    Args:
        line: where it is written.
        workers: how many of them there are.
        announce: takes a variant's name and the sum of all workers before it is generated.
    """

    def __init__(self, line: ProgressLine, workers: int, announce: Callable[[str, Standing], None]) -> None:
        self._line = line
        self._workers = workers
        self._announce = announce
        self._standings: dict[str, dict[int, Standing]] = {}
        self._current: dict[int, str] = {}
        self._first: dict[str, float] = {}
        self._announced: set[str] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._ticker: threading.Thread | None = None
        self._channels: list[Any] = []

    def channel(self, node: Any, slot: int) -> Any:
        """A new channel for the node that takes this slot."""
        channel = node.gateway.newchannel()
        channel.setcallback(lambda received: self.receive(slot, received))
        self._channels.append(channel)
        return channel

    def receive(self, slot: int, received: Mapping[str, Any]) -> None:
        """A worker's message; called in the thread that reads the worker's connection."""
        label, standing = read(received)
        with self._lock:
            self._standings.setdefault(label, {})[slot] = standing
            self._current[slot] = label
            self._first.setdefault(label, time.monotonic())
            if self._ticker is None and not self._end.is_set():
                self._ticker = threading.Thread(target=self._tick, name="thinkslm-progress", daemon=True)
                self._ticker.start()

    def tell(self, why: str) -> None:
        """Have the workers ask for nothing more."""
        for channel in self._channels:
            with contextlib.suppress(OSError):  # the worker has gone
                channel.send(why)

    def stop(self) -> None:
        """The run is over: say what has not been said, and be silent from now on."""
        self._end.set()
        if self._ticker is not None:
            self._ticker.join()
        self._say_what_is_due(at_once=True)
        self._line.settle()
        for channel in self._channels:
            channel.close()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, None, None]:
        """Nothing else writes while pytest does."""
        return (yield from self._alone())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, None, None]:
        """Nothing else writes while pytest does."""
        return (yield from self._alone())

    def _alone(self) -> Generator[None, None, None]:
        with self._line.lock:
            if self._first.keys() - self._announced:
                self._say_what_is_due()
            self._line.settle()
            return (yield)

    def _tick(self) -> None:
        while not self._end.wait(_LOOK):
            self._say_what_is_due()
            standing = self._sum()
            if not standing.finished and self._first.keys() <= self._announced:
                self._line.show(standing)

    def _say_what_is_due(self, *, at_once: bool = False) -> None:
        with self._line.lock:
            with self._lock:
                due = {
                    label: add(standings.values())
                    for label, standings in self._standings.items()
                    if label not in self._announced
                    and (
                        at_once or len(standings) >= self._workers or time.monotonic() - self._first[label] > _PATIENCE
                    )
                }
                self._announced |= due.keys()
            for label, standing in due.items():
                self._announce(label, standing)

    def _sum(self) -> Standing:
        """All workers on the variants that are being generated now."""
        with self._lock:
            labels = set(self._current.values())
            return add(standing for label in labels for standing in self._standings[label].values())
