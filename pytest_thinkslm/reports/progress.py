"""Progress of generating: one line that is redrawn on a terminal, plain lines now and then anywhere else."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from pytest_thinkslm.execution.ahead import Progress

#: Seconds of waiting before anything is shown, and between two plain lines.
_FIRST, _NEXT = 2.0, 10.0


class ProgressLine:
    """Writes through pytest's terminal reporter, although pytest captures what is written during a test's set-up."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._due = time.monotonic() + _FIRST
        self._drawn = False

    def say(self, text: str) -> None:
        """A line of its own, unless the run is quiet."""
        if self._config.option.verbose >= -1:
            self._write(f"thinkslm: {text}", redraw=False)
        self._due = time.monotonic() + _FIRST

    def show(self, progress: Progress) -> None:
        """Called while a test waits."""
        reporter = self._reporter
        if reporter is None or self._config.option.verbose < 0 or time.monotonic() < self._due:
            return
        redraw = bool(getattr(reporter, "isatty", False)) and reporter.hasmarkup
        self._due = time.monotonic() + (0 if redraw else _NEXT)
        self._write(f"thinkslm: {describe(progress)}", redraw=redraw)

    def settle(self) -> None:
        """The wait is over: take a redrawn line away."""
        if self._drawn:
            self._drawn = False
            with self._uncaptured():
                writer = self._reporter._tw
                writer.write("\r" + " " * (writer.fullwidth - 1) + "\r")
            self._due = time.monotonic() + _FIRST

    @property
    def _reporter(self) -> Any:
        return self._config.pluginmanager.getplugin("terminalreporter")

    def _uncaptured(self) -> contextlib.AbstractContextManager[None]:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled()

    def _write(self, text: str, *, redraw: bool) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        with self._uncaptured():
            if not self._drawn:
                reporter.ensure_newline()
            if redraw:
                width = reporter._tw.fullwidth - 1
                reporter._tw.write("\r" + text[:width].ljust(width))
                self._drawn = True
            else:
                reporter.write_line(text)
            reporter.currentfspath = None
            reporter.flush()


def describe(progress: Progress) -> str:
    """``34/64 outputs, 44 tokens/s, about 82 s left``."""
    done = progress.finished + progress.failed
    text = f"{done}/{progress.to_generate} outputs"
    rate, left = progress.tokens_per_second(), progress.seconds_left()
    if rate:
        text += f", {rate:.0f} tokens/s"
    elif not done:
        text += ", loading the model or on the first outputs"
    return text if left is None else f"{text}, about {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``82 s``, ``7 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
