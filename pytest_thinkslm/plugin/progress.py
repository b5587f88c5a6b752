"""Progress of generating: one line that is redrawn on a terminal, plain lines now and then anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from pytest_thinkslm.core.text import duration, safe_message
from pytest_thinkslm.generating.ahead import Progress
from pytest_thinkslm.plugin.compat_pytest import Terminal, verbosity

#: Seconds of waiting before anything is shown, and between two plain lines.
_FIRST, _NEXT = 2.0, 10.0

#: A plain line comes after this share of the time so far: a run of ten hours has some forty of them.
_SPARSER = 4


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the generation of a variant is, in plain values: of one process, or the sum of several.

    ``rate`` is in output tokens a second, ``left`` in seconds; both None where they are not known yet. The tokens are
    those of what is to be generated, as they are expected.
    """

    items: int
    journalled: int
    to_generate: int
    done: int
    rate: float | None = None
    left: float | None = None
    to_judge: int = 0
    judged: int = 0
    passed_over: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0

    @classmethod
    def of(cls, progress: Progress) -> Standing:
        """What the counters of one process say now."""
        return cls(
            items=progress.items,
            journalled=progress.journalled,
            to_generate=progress.to_generate,
            done=progress.finished + progress.failed,
            rate=progress.tokens_per_second(),
            left=progress.seconds_left(),
            to_judge=progress.to_judge,
            judged=progress.judged,
            passed_over=progress.passed_over,
            prompt_tokens=progress.load.prompt_tokens,
            new_tokens=progress.load.new_tokens,
        )

    @property
    def finished(self) -> bool:
        """True when nothing is being generated."""
        return self.done >= self.to_generate and self.judged >= self.to_judge


def add(standings: Iterable[Standing]) -> Standing:
    """Several processes as one: counts add up; pace is that of those still at work, the time left that of the last."""
    parts = list(standings)
    working = [part for part in parts if not part.finished]
    rates = [part.rate for part in working or parts if part.rate]
    waits = [part.left for part in working]
    return Standing(
        items=sum(part.items for part in parts),
        journalled=sum(part.journalled for part in parts),
        to_generate=sum(part.to_generate for part in parts),
        done=sum(part.done for part in parts),
        rate=sum(rates) if rates else None,
        left=None if None in waits else max((wait for wait in waits if wait is not None), default=None),
        to_judge=sum(part.to_judge for part in parts),
        judged=sum(part.judged for part in parts),
        passed_over=sum(part.passed_over for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        new_tokens=sum(part.new_tokens for part in parts),
    )


def describe(progress: Progress | Standing) -> str:
    """``34/64 outputs, 44 tokens/s, about 82 s left``."""
    standing = Standing.of(progress) if isinstance(progress, Progress) else progress
    if standing.to_judge and standing.done >= standing.to_generate:
        return f"judge {standing.judged}/{standing.to_judge} outputs"
    text = f"{standing.done}/{standing.to_generate} outputs"
    if standing.rate:
        text += f", {standing.rate:.0f} tokens/s"
    elif not standing.done:
        text += ", loading the model or on the first outputs"
    if standing.left is not None:
        text += f", about {duration(standing.left)} left"
    return f"{text}, judge {standing.judged}/{standing.to_judge}" if standing.to_judge else text


class ProgressLine:
    """Writes through pytest's terminal reporter, although pytest captures what is written during a test's set-up.

    Several threads may write where they hold ``lock``.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.lock = threading.RLock()
        self._config = config
        self._terminal = Terminal(config)
        self._began = time.monotonic()
        self._due = self._began + _FIRST
        self._drawn = False

    def say(self, text: str) -> None:
        """A line of its own, unless the run is quiet."""
        with self.lock:
            if verbosity(self._config) >= -1:
                self._write(f"thinkslm: {safe_message(text)}", redraw=False)
            self._due = time.monotonic() + _FIRST

    def show(self, progress: Progress | Standing) -> None:
        """Called while a test waits."""
        with self.lock:
            if verbosity(self._config) < 0 or time.monotonic() < self._due:
                return
            redraw = self._terminal.redraws
            now = time.monotonic()
            self._due = now + (0 if redraw else max(_NEXT, (now - self._began) / _SPARSER))
            self._write(f"thinkslm: {describe(progress)}", redraw=redraw)

    def settle(self) -> None:
        """The wait is over: take a redrawn line away."""
        if self._drawn:
            with self.lock, self._terminal.uncaptured():
                self._drawn = False
                self._terminal.redraw("")
                self._due = time.monotonic() + _FIRST

    def _write(self, text: str, *, redraw: bool) -> None:
        terminal = self._terminal
        if terminal.reporter is None:
            return
        with terminal.uncaptured():
            if not self._drawn:
                terminal.fresh_line()
            if redraw:
                terminal.redraw(text)
                self._drawn = True
            else:
                terminal.reporter.write_line(text)
            terminal.written()


def message(label: str, progress: Progress) -> dict[str, object]:
    """What a worker sends: plain values, and which variant they are about."""
    return {"variant": label, **asdict(Standing.of(progress))}


def read(received: Mapping[str, Any]) -> tuple[str, Standing]:
    """The other end of ``message``."""
    values = dict(received)
    return str(values.pop("variant")), Standing(**values)
