"""The loop guard on token ids: what is a loop, where an output is ended, and that nothing but its tokens decides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.engines.loop_guard import (
    REPEATS,
    SHORT,
    SHORT_TAIL,
    STRIDE,
    TAIL,
    WINDOW,
    LoopWatch,
    block_length,
    inside_thought,
    switch,
)  # fmt: skip

COUNTING = list(range(5000))


def never(tokens: Sequence[int]) -> bool:
    return False


def run(end: Sequence[int], period: int) -> int:
    """Tokens at the end that repeat with this period."""
    same = period
    while same < len(end) and end[-1 - same] == end[-1 - same + period]:
        same += 1
    return min(same, len(end))


def naive(tokens: Sequence[int]) -> int:
    """The definition, read aloud: the shortest tail whose own period fills it often and long enough."""
    end, longest_before = tokens[-WINDOW:], 0
    for period in range(1, min(len(end), WINDOW // REPEATS) + 1):
        same = run(end, period)
        # Tails that a shorter block explains as well are that block's.
        needed = max(TAIL if period >= SHORT else SHORT_TAIL, REPEATS * period, longest_before + 1)
        if same >= needed:
            return period
        longest_before = max(longest_before, same)
    return 0


@pytest.mark.parametrize(
    ("tokens", "period"),
    [
        ([], 0),
        ([7] * (SHORT_TAIL - 1), 0),
        ([7] * SHORT_TAIL, 1),
        ([*COUNTING, *([1, 2] * (SHORT_TAIL // 2))], 2),
        ([*COUNTING, *([1, 2, 3] * 64)], 0),
        (COUNTING, 0),
        (list(range(SHORT)) * (TAIL // SHORT), SHORT),
        (list(range(SHORT - 1)) * (TAIL // SHORT + 9), 0),
        (list(range(60)) * (REPEATS - 1), 0),
        (list(range(60)) * REPEATS, 60),
        ([*(list(range(100)) * 9), 5], 0),
        (([1] * 40 + [2]) * 8, 41),
        (([1] * 40 + [2]) * 8 + [1] * 30, 41),
        (list(range(WINDOW // REPEATS)) * REPEATS, WINDOW // REPEATS),
        (list(range(WINDOW // REPEATS + 1)) * (REPEATS + 1), 0),
    ],
    ids=[
        *("nothing", "a token short", "one token", "two tokens", "a rule of dashes", "counting", "a block"),
        *("a short block", "too seldom", "often enough", "left", "a block that repeats inside", "cut inside it"),
        *("the longest block", "longer than that"),
    ],
)
def test_what_is_a_loop(tokens: list[int], period: int) -> None:
    assert block_length(tokens) == period == naive(tokens)


LOOPING = st.tuples(
    st.lists(st.integers(0, 3), max_size=300),
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 700),
    st.lists(st.integers(0, 3), max_size=3),
).map(lambda parts: (parts[0] + parts[1] * parts[2])[:3000] + parts[3])


@given(LOOPING)
def test_the_definition_holds(tokens: list[int]) -> None:
    assert block_length(tokens) == naive(tokens)


@given(LOOPING, st.lists(st.integers(1, 100), min_size=1, max_size=40))
def test_an_output_is_ended_at_the_same_token_however_its_tokens_come(tokens: list[int], steps: list[int]) -> None:
    whole = LoopWatch().stop_at(tokens, never)
    watch, ended, at, turn = LoopWatch(), None, 0, 0
    while at < len(tokens) and ended is None:
        at = min(len(tokens), at + steps[turn % len(steps)])
        turn += 1
        ended = watch.stop_at(tokens[:at], never)
    assert ended == whole
    if whole is not None:
        assert whole % STRIDE == 0
        assert naive(tokens[:whole])
        assert not any(naive(tokens[:count]) for count in range(STRIDE, whole, STRIDE))


@given(LOOPING)
def test_inside_a_thought_nothing_is_ended(tokens: list[int]) -> None:
    assert LoopWatch().stop_at(tokens, lambda kept: True) is None


def test_a_loop_after_the_thought_is_ended() -> None:
    tokens = [*([7] * 700), 99, *COUNTING[100:130], *(list(range(2000, 2020)) * 40)]
    ended = LoopWatch().stop_at(tokens, lambda kept: 99 not in kept)
    assert ended is not None
    assert 99 in tokens[:ended]
    assert ended - tokens.index(2000) <= TAIL + STRIDE + ended // 4


def test_a_looping_thought_is_not_read_again_and_again() -> None:
    asked: list[int] = []

    def thinks(kept: Sequence[int]) -> bool:
        asked.append(len(kept))
        return True

    LoopWatch().stop_at([7] * 16_384, thinks)
    assert len(asked) < 30


@pytest.mark.parametrize(
    ("text", "inside"), [("<think> hm", True), ("<think> hm </think> 4", False), ("4", False), ("", False)]
)
def test_what_is_inside_a_thought(text: str, inside: bool) -> None:
    assert inside_thought(text) is inside


def test_the_switch() -> None:
    assert [switch(text) for text in ("on", "off", "TRUE", "False")] == [True, False, True, False]
    with pytest.raises(UsageError, match="loop_guard=maybe: on or off"):
        switch("maybe")
