"""Generated questions have the gold that they say, and relations hold of every right answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import hypothesis
import pytest
from hypothesis import given

from pytest_thinkslm import strategies
from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.plugin.fixtures import Model
from pytest_thinkslm.scoring.grading import grade, verify
from pytest_thinkslm.strategies.families import doubled, problem


def right(case: Case) -> str:
    if case.kind == "choice":
        return f"Answer: {case.gold}"
    gold = ", ".join(map(str, case.gold)) if isinstance(case.gold, tuple) else str(case.gold)
    return f"\\boxed{{{gold}}}"


class Scripted:
    """In place of the fixture ``slm``: answers by a function, and counts the times that it is asked."""

    def __init__(self, answer: Any = right) -> None:
        self.answer = answer
        self.batches: list[int] = []

    def ask_cases(self, cases: Sequence[Case], **how: object) -> list[Output]:
        self.batches.append(len(cases))
        return [Output(self.answer(case)) for case in cases]


def model(answer: Any = right) -> Model:
    return cast("Model", Scripted(answer))


@given(strategies.lists() | strategies.choices() | strategies.word_problems())
def test_the_gold_is_read_back(case: Case) -> None:
    assert grade(case, Output(right(case))).verdict.name == "correct"


@given(strategies.word_problems())
def test_a_problem_has_its_numbers_and_a_positive_answer(case: Case) -> None:
    assert int(str(case.gold)) > 0
    assert "{" not in case.question
    assert len(re.findall(r"\d+", case.question)) >= 2
    twice = doubled(case)
    assert twice is not None
    assert int(str(twice.gold)) == 2 * int(str(case.gold))


@pytest.mark.parametrize(
    ("family", "values", "gold"),
    [
        ("sum", {"a": 3, "b": 4}, "7"), ("difference", {"a": 3, "b": 4}, "3"), ("product", {"a": 3, "b": 4}, "12"),
        ("quotient", {"a": 3, "b": 4}, "3"), ("prices", {"a": 2, "b": 3, "c": 4, "d": 5}, "23"),
        ("journey", {"a": 10, "b": 2, "c": 20, "d": 3}, "80"), ("ages", {"a": 7, "b": 3}, "14"),
        ("change", {"a": 2, "b": 5, "d": 4}, "4"), ("fence", {"a": 5, "b": 3}, "16"),
        ("wages", {"a": 10, "b": 2, "c": 3, "d": 8}, "52"),
    ],
)  # fmt: skip
def test_families_are_right(family: str, values: dict[str, int], gold: str) -> None:
    assert problem(family, ["Alice", "Peter"], values).gold == gold
    assert family in strategies.FAMILIES


def test_every_family_has_its_example_above() -> None:
    assert len(strategies.FAMILIES) == 10


@given(strategies.lists(min_size=3) | strategies.choices(min_options=3) | strategies.word_problems())
def test_relations_hold_of_right_answers(case: Case) -> None:
    found = strategies.relations(case)
    assert found
    before = grade(case, Output(right(case))).answer.value
    assert before is not None
    for relation in found:
        assert relation.expected(before) == grade(relation.case, Output(right(relation.case))).answer.value


def test_consistency_needs_no_gold() -> None:
    cases = [*strategies.draw(strategies.choices(3, 4), 40), *strategies.draw(strategies.lists(4, 6), 20)]
    solid = strategies.consistency(model(), cases)
    assert {says: share.held == share.n for says, share in solid.items()} == dict.fromkeys(solid, True)
    first = strategies.consistency(model(lambda case: "Answer: A" if case.options else "\\boxed{1, 2}"), cases)
    assert first["reordered options, same option"].held < 20
    silent = strategies.consistency(model(lambda case: "I like turtles."), cases)
    assert all(share.n == 0 and share.unanswered for share in silent.values())


def test_draws_repeat_and_differ() -> None:
    drawn = strategies.draw(strategies.lists(), 30, seed=4)
    assert len(drawn) == 30
    assert drawn == strategies.draw(strategies.lists(), 30, seed=4) != strategies.draw(strategies.lists(), 30, seed=5)


def test_check_names_the_smallest_that_fails() -> None:
    def three(case: Case) -> str:
        return right(case) if len(case.given) < 3 else "\\boxed{1, 2, 3, 4, 5}"

    slm = model(three)
    with pytest.raises(AssertionError, match=r"wrong, at most 5 may be; .*\[[0-2], [0-2], [0-2]\]"):
        strategies.check(slm, strategies.lists(max_size=8), examples=50, wrong=5)
    batches = cast("Scripted", slm).batches
    assert batches[0] == 50
    assert len(batches) < 20
    assert len(strategies.check(model(), strategies.lists(), examples=20)) == 20


def test_a_batched_test_asks_at_once() -> None:
    seen: list[Case] = []

    @strategies.batched
    @hypothesis.settings(max_examples=40, database=None, deadline=None)
    @given(case=strategies.word_problems())
    def solves(slm: Model, case: Case) -> None:
        verify(case, slm.ask_cases([case])[0])
        seen.append(case)

    slm = Scripted()
    solves(slm)
    assert len(seen) >= 20
    assert slm.batches[0] >= 20
    assert sum(slm.batches[1:]) <= 2

    @strategies.batched
    @hypothesis.settings(max_examples=40, database=None, deadline=None)
    @given(case=strategies.lists())
    def sorts(slm: Model, case: Case) -> None:
        verify(case, slm.ask_cases([case])[0])

    with pytest.raises(AssertionError):
        sorts(Scripted(lambda case: right(case) if len(case.given) < 4 else "no"))
