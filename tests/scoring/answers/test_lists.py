"""List answers and the classes of wrong ones."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_thinkslm.core.records import Answer, Output
from pytest_thinkslm.scoring.answers.lists import classify_list, read_list
from pytest_thinkslm.scoring.answers.region import final_region

GIVEN = (3, 1, 2)


def read(text: str, given: tuple[int, ...] = GIVEN, finish: str = "stop") -> Answer:
    return read_list(final_region(Output(text, finish_reason=finish)), given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 2, 3]", (1, 2, 3)),
        (r"\boxed{[1, 2, 3]}", (1, 2, 3)),
        (r"\boxed{1, 2, 3}", (1, 2, 3)),
        (r"\boxed{\{1, 2, 3\}}", (1, 2, 3)),
        (r"\[ 1, 2, 3 \]", (1, 2, 3)),
        ("```python\n[1, 2, 3]\n```", (1, 2, 3)),
        ("Sorted: 1, 2, 3", (1, 2, 3)),
        ("The sorted list is 1, 2, and 3.", (1, 2, 3)),
        ("Answer: 1 2 3", (1, 2, 3)),
        ("1 → 2 → 3", (1, 2, 3)),
        ("1\n2\n3", (1, 2, 3)),
        ("- 1\n- 2\n- 3", (1, 2, 3)),
        ("1. 1\n2. 2\n3. 3", (1, 2, 3)),
        ("| 1 | -7 |\n| 2 | 2 |\n| 3 | 3 |", (-7, 2, 3)),
        ("[−3, 1, 2]", (-3, 1, 2)),
        ("[1, 2, 3] (the first three items: 3, 1, 2)", (1, 2, 3)),
        ("[1, 2, 3]\nIn descending order: [3, 2, 1, ...]", (1, 2, 3)),
        ("First [1, 3, 2], no: [1, 2, 3]", (1, 2, 3)),
        ("[1, 2, 3]\n\nThe given list was [3, 1, 2].", (1, 2, 3)),
        ("<think>[2, 1, 3]</think>[1, 2, 3]", (1, 2, 3)),
    ],
)
def test_forms_of_a_list(text: str, value: tuple[int, ...]) -> None:
    assert read(text).value == value


def test_the_prompts_own_list_is_no_answer_unless_it_is_sorted() -> None:
    assert read("The list is [3, 1, 2].") == Answer(None, "restated")
    assert read("[1, 2, 3]", given=(1, 2, 3)).value == (1, 2, 3)


def test_thousands_are_two_items_unless_the_prompt_writes_thousands() -> None:
    assert read("[1,200]").value == (1, 200)
    assert read("[1,200, 3,400]", given=(3_400, 1_200)).value == (1_200, 3_400)


@pytest.mark.parametrize("text", ["[1, 2, 3", r"\boxed{1, 2, 3", "1, 2, 3", "1\n2\n3", "numbers = [1, 2, 3]\nfor"])
def test_a_cut_list_is_no_answer(text: str) -> None:
    assert read(text, finish="length") == Answer(None, "cut", detail=read(text, finish="length").detail)


def test_a_closed_list_survives_the_cut() -> None:
    assert read("[1, 2, 3]\nAs you can", finish="length").value == (1, 2, 3)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ((1, 3, 2), "order"),
        ((1, 2), "dropped"),
        ((1, 2, 9), "invented"),
        ((1, 2, 3, 9), "invented"),
        ((1, 2, 2, 3), "wrong-length"),
        ((1, 9), "invented"),
        ((1, 1), "dropped"),
    ],
)
def test_classes_of_wrong_lists(answer: tuple[int, ...], failure: str) -> None:
    assert classify_list(answer, (1, 2, 3)) == failure


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=32, unique=True))
def test_any_list_comes_back(items: list[int]) -> None:
    items = sorted(items)
    assert read(str(items), given=()).value == tuple(items)
    assert read(f"Original: {items[::-1]}\nSorted: {items}", given=tuple(items[::-1])).value == tuple(items)


@given(st.text("[]{}()0123456789,.- \n\\|→boxed", max_size=200), st.sampled_from(["stop", "length"]))
@settings(max_examples=300)
def test_no_text_raises(text: str, finish: str) -> None:
    read(text, finish=finish)


@pytest.mark.parametrize(
    "fragment", ["[", "[1, ", "1, 2 ", "1\n", "(", "{", "\\boxed{", "1 ", "-", "9", "[1, 2] ", "1 → "]
)
def test_hostile_text_costs_linear_time(fragment: str) -> None:
    text = (fragment * 100_000)[:100_000]
    began = time.process_time()
    read(text)
    assert time.process_time() - began < 0.5
