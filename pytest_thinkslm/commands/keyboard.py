"""Single keys from a terminal; lines where standard input is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pytest_thinkslm.core.errors import UsageError


class Keyboard(Protocol):
    """Where answers come from."""

    def forget(self) -> None:
        """Drop what was typed so far: before a question is on the screen nothing is an answer to it."""
        ...

    def key(self) -> str:
        """The next key, in lower case; empty at the end of the input."""
        ...

    def line(self) -> str:
        """A line of text, without its end; empty at the end of the input."""
        ...


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """The keyboard of this process; a terminal is given back as it was. Raises ``UsageError`` where there is none."""
    if sys.stdin is None:
        raise UsageError("label: there is no standard input to answer on; --web asks on a page")
    if not sys.stdin.isatty():
        yield _Lines()
        return
    try:
        import termios
        import tty
    except ImportError:  # not POSIX: a key and Enter
        yield _Lines()
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class _Lines:
    """The first letter of each line is the key."""

    def forget(self) -> None:
        pass

    def key(self) -> str:
        while line := sys.stdin.readline():
            if word := line.strip().lower():
                return word[0]
        return ""

    def line(self) -> str:
        return sys.stdin.readline().rstrip("\r\n")


class _Keys:
    """A terminal in cbreak mode: keys come one by one and are not shown, Ctrl-C still interrupts."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def forget(self) -> None:
        import termios

        termios.tcflush(self._descriptor, termios.TCIFLUSH)

    def key(self) -> str:
        import os

        data = os.read(self._descriptor, 32)
        if data in (b"", b"\x04"):
            return ""
        # An arrow key or a paste is several characters: not a letter, hence no answer.
        return data.decode("utf-8", "replace").lower() if len(data) == 1 else "?"

    def line(self) -> str:
        import termios

        cbreak = termios.tcgetattr(self._descriptor)
        shown = [*cbreak[:3], cbreak[3] | termios.ECHO | termios.ICANON, *cbreak[4:]]
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, shown)
        try:
            return sys.stdin.readline().rstrip("\r\n")
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, cbreak)
