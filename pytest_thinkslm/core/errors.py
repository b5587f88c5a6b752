"""Errors that a user meets: each says what was asked, what is wrong and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ThinkSLMError(Exception):
    """Base of all errors with a message for the user. Never shown with a traceback."""


class UsageError(ThinkSLMError):
    """The command line or an ini value asks for something that cannot be done (exit status 4)."""


class DataError(ThinkSLMError):
    """A data set is missing, damaged, of another task, or fails its content pin."""


class ModelError(ThinkSLMError):
    """A model cannot be found, fetched or loaded."""


class EngineError(ThinkSLMError):
    """The engine failed on a request; the item's verdict is ``error``."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """A sentence that offers the valid names nearest to ``name``, or lists them all."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(match) for match in close)}?"
    return f"valid: {', '.join(names)}"
