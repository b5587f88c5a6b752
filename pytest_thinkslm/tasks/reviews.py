"""What the two tasks that review a given solution share."""

from __future__ import annotations

import ast
import contextlib
import re
from typing import Literal

#: What a label may say; "N/A" and an empty cell mean that there is nothing to say.
_JUDGEMENTS: dict[str, Literal["correct", "wrong"]] = {"correct": "correct", "wrong": "wrong", "incorrect": "wrong"}


def judgement(value: object) -> Literal["correct", "wrong"]:
    """The label of a solution, as a whole word (``"incorrect"`` contains ``"correct"``)."""
    word = str(value).strip().lower()
    if word not in _JUDGEMENTS:
        raise ValueError(f"the label {value!r} of the solution is none of: correct, wrong, incorrect")
    return _JUDGEMENTS[word]


def step_or_none(value: object) -> str | None:
    """A step number or line of code; None for null and "N/A". A number that went through a float column is whole."""
    text = "N/A" if value is None else str(value).strip()
    return None if text == "N/A" else re.sub(r"^(\d+)\.0$", r"\1", text)


def text_or_none(value: object) -> str | None:
    """A text, or None for null and "N/A"; a list of texts (or a printed one) is joined."""
    if value is None:
        return None
    text = " ".join(part.strip() for part in texts(value)).strip()
    return None if text == "N/A" else text


def texts(value: object) -> list[str]:
    """A list of texts that arrives as a list, as a printed list (a hub CSV), or as lines of one text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, SyntaxError):  # a text that happens to begin with a bracket stays one
            value = ast.literal_eval(value.strip())
    if isinstance(value, str):
        return value.split("\n")
    if isinstance(value, (list, tuple)):
        return [str(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} where a list of texts was expected")
