"""The loop guard: a greedy output that has fallen into an exact loop is stopped early. Pure, on token ids.

A greedy output whose last tokens repeat one block goes on repeating it: each further repetition is one more reason
for the next (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3). What it would still
say is known, so that the rest of its limit buys nothing. ``benchmarks/loop_guard.py`` counts how many outputs ever
left a loop that this rule names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Output
from pytest_thinkslm.scoring.answers.region import final_region

#: The tail that one block fills has at least so many tokens: rows of a table and lists of equal numbers are shorter.
TAIL = 192
#: A block shorter than this makes a tail of at least ``SHORT_TAIL`` tokens: badly damaged models leave loops of a few
#: tokens for other ones, and rules of dashes, long decimals and vectors of zeros are none.
SHORT, SHORT_TAIL = 16, 640
#: The block is there at least so many times.
REPEATS = 6
#: So many tokens at the end are looked at, so that blocks of up to ``WINDOW // REPEATS`` tokens are found.
WINDOW = 1536
#: An output is looked at whenever so many tokens have come, counted from its own first: where it is stopped depends on
#: its tokens alone, not on batches or on how an engine hands them over.
STRIDE = 32


#: What the guard does, for reports and fingerprints.
RULE = (
    f"a block of {SHORT} tokens or more over {TAIL} tokens, a shorter one over {SHORT_TAIL}, {REPEATS} times or more; "
    f"looked at every {STRIDE} tokens, outside thoughts"
)


def block_length(
    tokens: Sequence[int], *, tail: int = TAIL, short_tail: int = SHORT_TAIL, repeats: int = REPEATS
) -> int:
    """Tokens of the shortest block that fills the end of ``tokens`` ``repeats`` times or more; 0 where there is none.

    The repeated end, whose first block may be a part of one, has at least ``tail`` tokens, ``short_tail`` for a block
    of fewer than ``SHORT``. Only the last ``WINDOW`` tokens count, in linear time.
    """
    longest = WINDOW // repeats
    if len(tokens) < min(tail, short_tail) or tokens[-1] not in tokens[-1 - longest : -1]:
        return 0
    end = tokens[: -1 - WINDOW : -1]  # read backwards, so that every prefix of it is a tail of the output
    # The failure function of Knuth, Morris and Pratt: a prefix of n tokens repeats with the period n - border.
    borders = [0] * len(end)
    border = 0
    for at in range(1, len(end)):
        while border and end[at] != end[border]:
            border = borders[border - 1]
        if end[at] == end[border]:
            border += 1
        borders[at] = border
        length = at + 1
        period = length - border  # never falls as the prefix grows
        if period > longest:
            return 0
        if length >= (tail if period >= SHORT else short_tail) and period * repeats <= length:
            return period
    return 0


class LoopWatch:
    """The guard of one output, which asks at every ``STRIDE`` tokens whether they end in a loop.

    Inside a thought the guard is off: a thought that goes round may still end by itself. One that was found so is
    looked at again when it has grown by a quarter, since finding out takes its whole text.
    """

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = STRIDE

    def due(self, count: int) -> bool:
        """Whether an output of so many tokens is to be looked at."""
        return count >= self._next and count % STRIDE == 0

    def loops(self, end: Sequence[int], count: int, in_thought: Callable[[], bool]) -> bool:
        """Whether an output of ``count`` tokens, of which ``end`` are the last (``WINDOW`` of them are enough), loops.

        ``in_thought`` says whether it ends inside a thought; it is asked only where there is a loop.
        """
        self._next = count + STRIDE
        if not block_length(end):
            return False
        if in_thought():
            self._next = count + max(STRIDE, count // 4)
            return False
        return True

    def stop_at(self, tokens: Sequence[int], in_thought: Callable[[Sequence[int]], bool]) -> int | None:
        """How many of an unfinished output's tokens to keep where they have fallen into a loop; None: go on.

        To be called again as tokens come, with all of them; it does not matter how many come at once.
        """
        for count in range(-(-self._next // STRIDE) * STRIDE, len(tokens) + 1, STRIDE):
            end = tokens[max(0, count - WINDOW) : count]
            if self.due(count) and self.loops(end, count, lambda kept=tokens[:count]: in_thought(kept)):  # type: ignore[misc]
                return count
        return None


def inside_thought(text: str) -> bool:
    """Whether an output that goes on behind this text is still in its thought."""
    return final_region(Output(text, finish_reason="length")).unfinished


def switch(text: str) -> bool:
    """The value of ``--engine-args loop_guard=...``. Raises ``UsageError`` for anything but on and off."""
    try:
        return {"on": True, "true": True, "off": False, "false": False}[text.strip().lower()]
    except KeyError:
        raise UsageError(f"--engine-args loop_guard={text}: on or off is needed") from None
