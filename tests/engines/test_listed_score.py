"""Two lists of likeliest tokens against the whole distributions: bounds, and what is exact."""

from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.engines.listed_score import compare, divergence
from pytest_thinkslm.engines.scoring import Listed

LOGITS = st.lists(st.floats(-8, 8), min_size=6, max_size=6)


def logs_of(logits: list[float]) -> dict[int, float]:
    total = log(sum(map(exp, logits)))
    return {token: logit - total for token, logit in enumerate(logits)}


def likeliest(logs: dict[int, float], count: int) -> dict[int, float]:
    return dict(sorted(logs.items(), key=lambda one: -one[1])[:count])


@given(LOGITS, LOGITS, st.integers(1, 6), st.integers(1, 6))
def test_no_more_than_the_divergence_of_the_whole(p: list[float], q: list[float], ours: int, theirs: int) -> None:
    before, now = logs_of(p), logs_of(q)
    kl = sum(exp(before[token]) * (before[token] - now[token]) for token in before)
    least, most = divergence(likeliest(before, ours), likeliest(now, theirs))
    assert 0 <= least <= kl + 1e-4
    assert least <= most


@given(LOGITS, LOGITS)
def test_whole_lists_give_the_divergence(p: list[float], q: list[float]) -> None:
    before, now = logs_of(p), logs_of(q)
    kl = sum(exp(before[token]) * (before[token] - now[token]) for token in before)
    assert divergence(before, now) == pytest.approx((kl, kl), abs=1e-4)


@given(LOGITS, st.integers(1, 5))
def test_the_bound_holds_where_nothing_outside_moved_further(logits: list[float], count: int) -> None:
    """The rest is rescaled alike: then its odds move as those of no token inside have to."""
    before = logs_of(logits)
    inside = likeliest(before, count)
    moved = {token: value - (2.0 if token in list(inside)[:1] else 0.0) for token, value in before.items()}
    now = logs_of([moved[token] for token in sorted(moved)])
    kl = sum(exp(before[token]) * (before[token] - now[token]) for token in before)
    _, most = divergence(inside, {token: now[token] for token in inside})
    assert kl <= most + 1e-4


def listed(tokens: list[int], *rows: dict[int, float]) -> Listed:
    ranked = [sorted(row.items(), key=lambda one: -one[1]) for row in rows]
    return Listed(
        tokens=tokens,
        kinds=["end" if token in (8, 9) else "other" for token in tokens],
        own=[row[token] for token, row in zip(tokens, rows, strict=True)],
        ranks=[sorted(row, key=row.__getitem__, reverse=True).index(token) + 1 for token, row in zip(tokens, rows)],  # noqa: B905
        ids=[[token for token, _ in row] for row in ranked],
        logs=[[value for _, value in row] for row in ranked],
        stops=frozenset({9}),
        closing=frozenset({8}),
    )


def test_ends_ranks_and_the_likeliest_token() -> None:
    before = listed([1, 8, 9], {1: log(0.9), 2: log(0.1)}, {8: log(0.6), 9: log(0.3), 1: log(0.1)}, {9: 0.0})
    now = listed([1, 8, 9], {1: log(0.4), 2: log(0.6)}, {8: log(0.2), 1: log(0.8)}, {9: log(0.5), 1: log(0.5)})
    first, closing, end = compare(before, now, "x 1")
    assert (first.agrees, first.rank, first.thought) == (False, 2, None)
    assert first.kl == first.kl_most == pytest.approx(0.9 * log(0.9 / 0.4) + 0.1 * log(0.1 / 0.6))
    assert closing.thought == pytest.approx((0.6, 0.2))
    assert closing.end_before == pytest.approx(0.3)
    assert closing.end_now == 0, "no list has it"
    assert (end.end_before, end.end_now) == pytest.approx((1, 0.5))
    assert (end.log_probability_before, end.log_probability) == pytest.approx((0, log(0.5)))


def test_other_tokens_are_an_error() -> None:
    with pytest.raises(EngineError, match="x 1: this model's tokenizer splits the text into other tokens"):
        compare(listed([1], {1: 0.0}), listed([2], {2: 0.0}), "x 1")
