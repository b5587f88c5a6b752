from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.runs.budgets import BUDGETS, SHARE, Outcome, answer_limit, budgets_for, point


@given(st.integers(1, 10**6))
def test_six_budgets_double_up_to_the_longest_thought(longest: int) -> None:
    budgets = budgets_for(longest)
    assert budgets[-1] == longest
    assert budgets[0] >= 1
    assert len(budgets) == BUDGETS or longest < 2 ** (BUDGETS - 1)
    assert all(less == -(-more // 2) or more - less <= more / 2 for less, more in itertools.pairwise(budgets))


def test_without_a_thought_there_is_no_budget() -> None:
    assert budgets_for(0) == ()


@given(st.integers(0, 10**7), st.integers(0, 10**4), st.integers(1, 4096))
def test_all_answers_together_take_at_most_their_share(run: int, forced: int, most: int) -> None:
    limit = answer_limit(run, forced, most)
    assert 0 <= limit <= most
    assert limit * forced <= SHARE * run


def test_a_point_counts_items_by_cluster() -> None:
    outcomes = [Outcome(f"{n:04d}", f"c{n // 2}", n % 3 == 0, forced=n < 6, cut=n == 0) for n in range(12)]
    found = point(64, outcomes)
    assert (found["budget"], found["n"], found["accuracy"]) == (64, 12, 0.333333)
    assert (found["forced"], found["cut"]) == (0.5, 0.083333)
    assert point(64, []) == {"budget": 64, "n": 0, "accuracy": None, "ci95": None, "forced": 0.0, "cut": 0.0}
