"""Accuracy by the length of the thought (``--budget-curve``): budgets, and the figures at each of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_thinkslm.runs.results import interval_of
from pytest_thinkslm.runs.types import BudgetPoint

#: Budgets that are chosen where none are given: the longest thought, halved so many times less one.
BUDGETS = 6
#: What the forced answers of a run may take, as a share of the run's own output tokens.
SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item at a budget.

    Attributes:
        forced: its thought was closed there; else it had ended before, and the run's own outcome counts.
        cut: the forced answer did not end within its limit.
    """

    item: str
    cluster: str
    right: bool
    forced: bool = False
    cut: bool = False


def budgets_for(longest: int) -> tuple[int, ...]:
    """Six budgets in order, each half of the next, the last one so long that no thought is closed."""
    return tuple(sorted({max(1, -(-longest // 2**halved)) for halved in range(BUDGETS)})) if longest else ()


def answer_limit(run_tokens: int, forced: int, most: int) -> int:
    """New tokens that each forced answer may have, so that all of them take at most ``SHARE`` of the run's; 0: none.

    Args:
        most: what the task lets an answer have.
    """
    return min(most, int(SHARE * run_tokens) // forced) if forced else most


def point(budget: int, outcomes: Sequence[Outcome]) -> BudgetPoint:
    """The figures at one budget, over the items that have an outcome without an error."""
    scores = {one.item: [float(one.right)] for one in outcomes}
    interval = interval_of(scores, {one.item: one.cluster for one in outcomes if one.cluster})
    n = len(outcomes)
    return {
        "budget": budget,
        "n": n,
        "accuracy": None if interval.estimate is None else round(interval.estimate, 6),
        "ci95": [round(interval.low, 6), round(interval.high, 6)] if n else None,
        "forced": _share(one.forced for one in outcomes),
        "cut": _share(one.cut for one in outcomes),
    }


def _share(marks: Iterable[bool]) -> float:
    found = list(marks)
    return round(sum(found) / len(found), 6) if found else 0.0
