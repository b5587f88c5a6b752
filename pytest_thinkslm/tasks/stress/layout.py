"""White space, line breaks and Markdown around the same words."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress.text import FIXED, is_plain, sentences


def _lines(text: str) -> str:
    return "\n".join(part.rstrip() for part in sentences(text))


def _wide(text: str) -> str:
    return "  ".join(part.rstrip() for part in sentences(text))


def _heading(text: str) -> str:
    return f"## Question\n\n{text}"


def _bold(text: str) -> str:
    *before, last = sentences(text)
    return "".join(before) + f"**{last.strip()}**"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def _framed(text: str) -> str:
    return f"\n\n  {text}  \n\n"


_ANYWHERE: tuple[Callable[[str], str], ...] = (_heading, _quoted, _framed)
_PLAIN: tuple[Callable[[str], str], ...] = (_lines, _wide, _bold)


def lay_out(case: Case, rng: random.Random) -> Case | None:
    """One of six layouts; a question with formulas or lines of its own is only framed, quoted or headed."""
    free = is_plain(case.question) and "\n" not in case.question and not re.search(r"[*_`#|]", case.question)
    forms = (*_ANYWHERE, *(_PLAIN if free else ()))
    if any("\n" in fixed[0] for fixed in FIXED.finditer(case.question)):
        forms = tuple(form for form in forms if form is not _quoted)  # its marks would stand within a formula
    able = [form for form in forms if form(case.question) != case.question]
    return replace(case, question=rng.choice(able)(case.question))


def words(text: str) -> list[str]:
    """The words of a text without its layout: the same before and after (but for a heading's)."""
    return re.sub(r"[*>#]", " ", text.replace("## Question\n", "")).split()
