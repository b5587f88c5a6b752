"""The loop guard: a greedy output that has fallen into an exact loop is stopped early. Pure, on token ids.

A greedy output whose last tokens repeat one block goes on repeating it: each further repetition is one more reason
for the next (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3). What it would still
say is known, so that the rest of its limit buys nothing. ``benchmarks/loop_guard.py`` counts how many outputs ever
left a loop that this rule names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: The tail that one block fills has at least so many tokens: rules of dashes, rows of a table and lists of equal
#: numbers are shorter.
TAIL = 192
#: The block is there at least so many times.
REPEATS = 6
#: So many tokens at the end are looked at, so that blocks of up to ``WINDOW // REPEATS`` tokens are found.
WINDOW = 1536
#: An output is looked at whenever so many tokens have come, counted from its own first: where it is stopped depends on
#: its tokens alone, not on batches or on how an engine hands them over.
STRIDE = 32


def block_length(tokens: Sequence[int], *, tail: int = TAIL, repeats: int = REPEATS, window: int = WINDOW) -> int:
    """Tokens of the shortest block that fills the end of ``tokens`` ``repeats`` times or more; 0 where there is none.

    The repeated end, whose first block may be a part of one, has at least ``tail`` tokens. Linear in ``window``.
    """
    if len(tokens) < tail or tokens[-1] not in tokens[-1 - window // repeats : -1]:
        return 0
    end = tokens[: -1 - window : -1]  # read backwards, so that every prefix of it is a tail of the output
    longest = window // repeats
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
        if length >= tail and period * repeats <= length:
            return period
    return 0


def stop_at(
    tokens: Sequence[int], seen: int = 0, *, in_thought: Callable[[Sequence[int]], bool] = lambda tokens: False
) -> int | None:
    """How many of ``tokens`` to keep where they have fallen into a loop; None: go on.

    Args:
        tokens: an output's token ids so far.
        seen: how many of them were looked at before.
        in_thought: whether an output of these tokens ends inside a thought, where the guard is off: a thought that
            goes round may still end by itself. Asked only where there is a loop.
    """
    for count in range((seen // STRIDE + 1) * STRIDE, len(tokens) + 1, STRIDE):
        if block_length(tokens[max(0, count - WINDOW) : count]) and not in_thought(tokens[:count]):
            return count
    return None
