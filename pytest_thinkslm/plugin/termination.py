"""SIGTERM, as schedulers send it before they kill: the run ends as after Ctrl-C, with its report."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error arose while an interrupt was on its way up.

    A signal that comes in the moment in which a ``Condition`` takes its lock again (xdist waits for its workers in
    one) leaves as ``RuntimeError: release unlocked lock``, with the interrupt in its context.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


class Termination:
    """Takes SIGTERM where nobody else does, from now until ``restore``.

    ``signal`` is its name once it has come.
    """

    def __init__(self) -> None:
        self.signal = ""
        self._writing = False
        self._taken = False
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._come)
            self._taken = True

    def writing(self) -> None:
        """The report is being written: from here on the run ends by itself."""
        self._writing = True

    def restore(self) -> None:
        """Leave the signal as it was."""
        if self._taken:
            self._taken = False
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _come(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = bool(self.signal), "SIGTERM"
        if not (again or self._writing):
            raise KeyboardInterrupt("SIGTERM")
