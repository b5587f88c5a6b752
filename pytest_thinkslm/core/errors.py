"""Errors that a user meets: each says what was asked, what is wrong and what to do next."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Literal


class ThinkSLMError(Exception):
    """Base of all errors with a message for the user. Never shown with a traceback."""


class UsageError(ThinkSLMError):
    """The command line or an ini value asks for something that cannot be done (exit status 4)."""


class DataError(ThinkSLMError):
    """A data set is missing, damaged, of another task, or fails its content pin."""


class ModelError(ThinkSLMError):
    """A model cannot be found, fetched or loaded. ``reason`` is the message without what was asked."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class JournalError(ThinkSLMError):
    """The journal cannot be written: nothing more is asked for, what is finished is kept in memory."""


#: ``no-schema``: a server refused the request because it knows no structured output. ``not-asked``: the run had stopped
#: asking before its turn came.
EngineErrorKind = Literal["failed", "no-schema", "not-asked"]


class EngineError(ThinkSLMError):
    """The engine failed on a request; the item's verdict is ``error``."""

    def __init__(self, message: str, kind: EngineErrorKind = "failed") -> None:
        super().__init__(message)
        self.kind = kind


def where_raised(error: BaseException) -> str:
    """An exception of a user's code in a sentence: its type, what it says, and the file and line that raised it."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    return f"{said} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else said


def nearest(name: str, valid: Iterable[str], otherwise: str | None = None) -> str:
    """A sentence that offers the valid names nearest to ``name``; where none is near ``otherwise``, or all of them."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    if close:
        return did_you_mean(close)
    return f"valid: {', '.join(names)}" if otherwise is None else otherwise


def pages(*names: str) -> str:
    """Where a help text or a message sends its reader: the command that prints these pages of docs/ (they are shipped).

    Every mention of a page that a user sees is made here.
    """
    return f"thinkslm docs {' '.join(names)}"


def did_you_mean(names: Iterable[str]) -> str:
    """The question that offers these names."""
    return f"did you mean {' or '.join(map(repr, names))}?"
