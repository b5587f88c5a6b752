"""Outputs whose end repeats one block until they are cut: read so that it makes no difference where they are.

An output that runs in a loop ends wherever its limit falls, or where the engine stops it. Its answer is what the block
says at *every* place where it could have been cut; a block that says one thing after another has no answer. Linear in
the length of the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pytest_thinkslm.core.records import Answer, AnswerValue
from pytest_thinkslm.scoring.answers.region import Region

#: A loop fills at least so many characters at the end, with at least so many whole blocks.
_SHORTEST, _TIMES = 80, 4
#: Characters at the end that are looked at.
_WINDOW = 40_000
#: The end that is looked for further up, and how often: each place is a block's length to try.
_PROBE, _CANDIDATES = 24, 200
#: Places of a block at which it is read, and characters that all these readings may have.
_CUTS, _READ = 40, 100_000
#: Whole blocks in front of a cut: enough for readers that look at how often something is said.
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Loop:
    """The end of a text from ``start`` on repeats with this ``period``, in characters."""

    start: int
    period: int


def find_loop(text: str) -> Loop | None:
    """The loop that the text ends in; None where it ends in none. The longest end counts, then the shortest block."""
    text = text.rstrip("\ufffd")  # a character that the cut has split
    if len(text) < _SHORTEST:
        return None
    low = max(0, len(text) - _WINDOW)
    probe = text[-_PROBE:]
    found: list[Loop] = []
    at = len(text) - len(probe)
    for _ in range(_CANDIDATES):
        at = text.rfind(probe, low, at + len(probe) - 1)
        if at < 0:
            break
        period = len(text) - len(probe) - at
        if period * _TIMES > len(text) - low:
            break
        start = _start(text, low, period)
        if len(text) - start >= max(_SHORTEST, _TIMES * period):
            found.append(Loop(start, period))
    if not found:
        return None
    longest = len(text) - min(loop.start for loop in found)
    return next(loop for loop in found if 2 * (len(text) - loop.start) >= longest)


def read_loop(region: Region, loop: Loop, read: Callable[[Region], Answer]) -> Answer:
    """The answer that ``read`` finds wherever the loop is cut; rule ``several`` where it depends on the place."""
    answers = [read(replace(region, text=region.text[:end])) for end in _cuts(region.text, loop)]
    said = Counter(_plain(answer.value) for answer in answers if answer.value is not None)
    several = next((answer for answer in answers if answer.value is None and answer.rule == "several"), None)
    if len(said) > 1 or several is not None:
        values = ", ".join(sorted(map(str, said)))[:80]
        return several or Answer(None, "several", detail=f"in turn: {values}")
    if said.total() * 2 > len(answers):
        return next(answer for answer in answers if answer.value is not None)
    return next(answer for answer in answers if answer.value is None)


def _start(text: str, low: int, period: int) -> int:
    """Where the end that repeats with this period begins."""
    block, start = text[len(text) - period :], len(text) - period
    while start - period >= low and text[start - period : start] == block:
        start -= period
    while start > low and text[start - 1] == text[start - 1 + period]:
        start -= 1
    return start


_LINE_END = re.compile(r"\}|\n|[.!?](?=\s)")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")


def _cuts(text: str, loop: Loop) -> Sequence[int]:
    """Ends of texts that the loop could have been cut to, over one block: statements' ends first, then words'."""
    first = loop.start + _KEPT * loop.period
    last = first + loop.period
    most = max(4, min(_CUTS, _READ // last))
    places = {first, last}
    for ends in (_LINE_END, _WORD_END):
        found = [match.end() + 1 for match in ends.finditer(text, first, last) if match.end() < last]
        free = most - len(places)
        step = max(1, -(-len(found) // free)) if free > 0 else len(found) + 1
        places.update(found[::step])
    return sorted(places)


def _plain(value: AnswerValue | None) -> object:
    return "".join(value.split()) if isinstance(value, str) else value
