"""List answers and the classes of wrong ones."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.core.records import Answer, Output
from pytest_thinkslm.scoring.answers.lists import _candidates, classify_list, read_list
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
        ("The result is (\n  1, 2, 3\n)", (1, 2, 3)),
        ("sorted_list = (\n    1, 2, 3,\n)", (1, 2, 3)),
        ("sorted_list = (\n    1, 2, 3\n    )", (1, 2, 3)),
        ("(\n    1,\n    2,\n    3,\n)", (1, 2, 3)),
        ("- 1\n- 2\n- 3", (1, 2, 3)),
        ("1. 1\n2. 2\n3. 3", (1, 2, 3)),
        ("| 1 | -7 |\n| 2 | 2 |\n| 3 | 3 |", (-7, 2, 3)),
        ("[−3, 1, 2]", (-3, 1, 2)),
        ("[1, 2, 3] (the first three items: 3, 1, 2)", (1, 2, 3)),
        ("[1, 2, 3]\nIn descending order: [3, 2, 1, ...]", (1, 2, 3)),
        ("First [1, 3, 2], no: [1, 2, 3]", (1, 2, 3)),
        ("[1, 2, 3]\n\nThe given list was [3, 1, 2].", (1, 2, 3)),
        ("<think>[2, 1, 3]</think>[1, 2, 3]", (1, 2, 3)),
        ("(-33), (-5), 0", (-33, -5, 0)),
        (r"\boxed{- 33, - 5, 0}", (-33, -5, 0)),
        ("Sorted: - 33, - 5, 0", (-33, -5, 0)),
        ("- 33, - 5, 0", (-33, -5, 0)),
        ("Sorted:\n- 6\n- 15\n- 31", (6, 15, 31)),
        (r"$-7 \leq 2 \leq 3$", (-7, 2, 3)),
        ("-7 <= 2 <= 3", (-7, 2, 3)),
        (r"\boxed{1 \rightarrow 2 \rightarrow 3}", (1, 2, 3)),
        (r"$1 \to 2 \to 3$", (1, 2, 3)),
        ("1 ≤ 2 ≤ 3", (1, 2, 3)),
        ("1、2、3", (1, 2, 3)),
        (r"\boxed{\begin{array}{ccc} 1 & 2 & 3 \end{array}}", (1, 2, 3)),
        (r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}", (1, 2, 3, 4)),
        ("| 1 | -2 | 3 |\n|---|---|---|", (1, -2, 3)),
        ("1 | 2 | 3", (1, 2, 3)),
        (r"\boxed{1, 2, \text{ and } 3}", (1, 2, 3)),
        ("La lista ordenada es: 1, 2 y 3.", (1, 2, 3)),
        ("minus 7, negative 2, 3", (-7, -2, 3)),
        ("-7.0, 2.0, 3.0", (-7, 2, 3)),
        ("| Sorted | -7 | 2 | 3 |", (-7, 2, 3)),
        ("| -7 |\n| 2 |\n| 3 |", (-7, 2, 3)),
        ("1: -7\n2: 2\n3: 3", (-7, 2, 3)),
        ("+ -7\n+ 2\n+ 3", (-7, 2, 3)),
        ("-7, 2 & 3", (-7, 2, 3)),
        ("3 > 2 > -7", (3, 2, -7)),
        ("Sortiert: 1, 2 und 3.", (1, 2, 3)),
        ("(-7) | 2 | 3", (-7, 2, 3)),
        ("| (-7) | (-2) | 3 |", (-7, -2, 3)),
        ("2 | - 7 | 3", (2, -7, 3)),
        ("((-2), 0, (-1))", (-2, 0, -1)),
        (r"0 \leq - 1 \leq 1", (0, -1, 1)),
        (r"2 \longrightarrow - 7 \longrightarrow - 3", (2, -7, -3)),
        (r"\boxed{1, 3, 2}. Wait, 2 comes before 3: 1, 2, 3", (1, 2, 3)),
    ],
)
def test_forms_of_a_list(text: str, value: tuple[int, ...]) -> None:
    assert read(text).value == value


@pytest.mark.parametrize(
    "text", ["I take (\n3, 1, 2) first.", "Sorted (that is: 1, 2, 3 )", "Those (1, 2, 3  ) are three."]
)
def test_a_list_in_a_remark_is_no_answer(text: str) -> None:
    assert read(text).value is None


def test_what_stands_on_a_later_line_ends_a_list() -> None:
    for gap in ("\n", " " * 60 + "\nx", "\n\nnow"):
        assert [found.open for found in _candidates(f"1, 2, 3{gap}", f"1, 2, 3{gap}", thousands=False)] == [False]
    assert [found.open for found in _candidates("1, 2, 3 ,", "1, 2, 3 ,", thousands=False)] == [True]


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


SEPARATORS = (
    ", ",
    ",",
    "; ",
    " < ",
    " <= ",
    " ≤ ",
    " -> ",
    " → ",
    r" \leq ",
    r" \rightarrow ",
    "、",
    "，",
    " | ",
    ",\n",
)
SIGNS = ("-{}", "−{}", "(-{})", "- {}")
FRAMES = (
    "{}",
    "[{}]",
    r"\boxed{{{}}}",
    "Sorted: {}",
    "$ {} $",
    "**{}**",
    "The sorted list is\n{}",
    r"\( {} \)",
    "({})",
)


def test_a_number_boxed_after_the_list_is_an_answer_of_another_kind() -> None:
    assert read(r"Sorted: 1, 2, 3. Therefore, \boxed{3}").rule == "wrong-format"
    assert read(r"Sorted: 1, 2, 3. Therefore, \boxed{answer}").value == (1, 2, 3)
    assert read(r"\boxed{3}, no: 1, 2, 3").value == (1, 2, 3)


@given(
    st.lists(st.integers(-100, 100), min_size=3, max_size=16, unique=True),
    st.sampled_from(SEPARATORS),
    st.sampled_from(SIGNS),
    st.sampled_from(FRAMES),
    st.integers(0, 14),
)
def test_any_list_in_any_form_comes_back_whole_or_not_at_all(
    items: list[int], separator: str, sign: str, frame: str, swapped: int
) -> None:
    gold, items = sorted(items), sorted(items)
    assume(separator != " | " or frame in ("{}", "The sorted list is\n{}"))  # a row is a line
    assume(separator != ",\n" or sign != "- {}")  # at the start of a line it is a bullet
    place = min(swapped, len(items) - 2)
    for said in (items, [*items[:place], items[place + 1], items[place], *items[place + 2 :]]):
        words = [str(item) if item >= 0 else sign.format(-item) for item in said]
        answer = read(frame.format(separator.join(words)), given=tuple(gold[::-1]))
        # A sign apart at the start of a line is a bullet's, and a box of blanks no list.
        begins_line = said if separator.endswith("\n") else said[:1]
        bullet = sign == "- {}" and min(begins_line) < 0
        assert answer.value == tuple(said) or bullet, (frame.format(separator.join(words)), answer)
        assert answer.value is None or bullet or len(answer.value) == len(said)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["(7), x, 0, 9, 12", "3/4, 5, 6", "1, 2, 3, (4), 5", "[1, 2, three, 4]", "1.5, 2, 3"])
def test_a_list_is_read_whole_or_not_at_all(text: str) -> None:
    assert read(text).value in (None, (0, 9, 12))


@given(st.text("[]{}()0123456789,.- \n\\|→boxed", max_size=200), st.sampled_from(["stop", "length"]))
@settings(max_examples=300)
def test_no_text_raises(text: str, finish: str) -> None:
    read(text, finish=finish)


@ends_a_hang
@pytest.mark.parametrize(
    "fragment", ["[", "[1, ", "1, 2 ", "1\n", "(", "{", "\\boxed{", "1 ", "-", "9", "[1, 2] ", "1 → "]
)
def test_hostile_text_costs_linear_time(fragment: str) -> None:
    text = (fragment * 100_000)[:100_000]
    assert calls(lambda: read(text)) <= CALLS_A_CHARACTER * len(text)


def test_thousands_begin_at_one_thousand() -> None:
    assert read("[1,200, 3]", given=(1_000, 3)).value == (1_200, 3)
    assert read("[1,200, 3]", given=(-1_000, 3)).value == (1_200, 3)
    assert read("[1,200, 3]", given=(999, 3)).value == (1, 200, 3)
    assert read(r"\boxed{1,200}", given=(999, 3)).value == (1, 200)
    assert read(r"\boxed{1,200}", given=(1_000, 3)).value is None
