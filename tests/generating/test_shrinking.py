"""The smallest failing input: found, within the budget, the same each time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.generating.shrinking import Shrunk, shrink
from pytest_thinkslm.tasks.sorting import generate
from pytest_thinkslm.tasks.stress.smaller import Reduced, smaller


def run(start: Reduced, failing: object, budget: int = 2000, batch: int = 32, seed: int = 0) -> Shrunk[Reduced]:
    asked: list[int] = []

    def fails(batch_of: Sequence[Reduced]) -> list[bool]:
        asked.append(len(batch_of))
        return [(case := one.case(seed)) is not None and bool(failing(case)) for one in batch_of]  # type: ignore[operator]

    found = shrink(start, lambda one: smaller(one, seed), fails, key=lambda one: one.key, budget=budget, batch=batch)
    assert sum(asked) == found.asked <= budget
    assert max(asked, default=0) <= batch
    return found


def case_of(found: Shrunk[Reduced]) -> Case:
    case = found.value.case(0)
    assert case is not None
    return case


@pytest.mark.parametrize("length", [8, 16, 32])
def test_a_list_becomes_two_small_numbers(length: int) -> None:
    found = run(Reduced(generate(length, "mixed", 0, 3)), lambda case: True)
    case = case_of(found)
    assert (case.given, case.gold) == ((1, 0), (0, 1))
    assert case.question.endswith("[1, 0]")
    assert found.complete


def test_what_makes_it_fail_stays() -> None:
    """Fails on lists of five and more with a number above 60: that is what is left."""
    found = run(Reduced(generate(16, "positive", 0, 1)), lambda case: len(case.given) >= 5 and max(case.given) > 60)
    case = case_of(found)
    assert len(case.given) == 5
    assert max(case.given) in range(61, 101)
    assert sum(number > 20 for number in case.given) == 1
    lengths = [len(step.given or step.item.given) for step in found.steps]
    assert lengths == sorted(lengths, reverse=True)


CHOICE = Case("arc_easy", 0, "choice", "Which is a metal?", "C", options=("wood", "wool", "iron", "glass"))


def test_options_are_left_out_and_the_gold_stays() -> None:
    found = run(Reduced(CHOICE), lambda case: "glass" in case.options)
    case = case_of(found)
    assert (case.options, case.gold) == (("iron", "glass"), "A")
    assert found.value.options == ["--keep=C,D"]


def test_transformations_are_taken_off() -> None:
    case = Case("gsm8k", 0, "number", "Maria has 12 red apples. Tom has 5 of them. How many are left?", "7")
    start = Reduced(case, forms=("names-1", "numbers-1", "layout-1", "distractor-1"))
    found = run(start, lambda case: "12" not in case.question or "5" not in case.question)
    assert found.value.forms == ("numbers-1",)


@given(st.integers(0, 60), st.integers(1, 40))
def test_the_budget_is_kept_and_the_result_repeats(budget: int, batch: int) -> None:
    start = Reduced(generate(8, "positive", 0, 0))
    found = run(start, lambda case: sum(case.given) > 40, budget, batch)
    assert found == run(start, lambda case: sum(case.given) > 40, budget, batch)
    assert sum(case_of(found).given) > 40
    assert not found.complete or budget > 0


def test_nothing_is_asked_twice() -> None:
    seen: list[object] = []

    def long(case: Case) -> bool:
        seen.append(case.given)
        return len(case.given) > 3

    run(Reduced(generate(8, "positive", 0, 0)), long)
    assert len(seen) == len(set(seen))
