"""Looping outputs: the answer is the same wherever the loop is cut, and a block that says several things has none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_thinkslm.core.records import Answer, Case, Output
from pytest_thinkslm.scoring.answers.loops import find_loop
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.grading import grade

NUMBER = Case("gsm8k", 0, "number", "How many?", "4")
CHOICE = Case("arc_easy", 0, "choice", "Which?", "B", ("iron", "water", "salt", "air"))
LIST = Case("sort8_positive", 0, "list", "Sort.", (1, 2, 3), given=(3, 1, 2))
MATH = Case("math", 0, "expression", "What is it?", r"\frac{1}{2}")
CASES = (NUMBER, CHOICE, LIST, MATH)

ONE = r"The final answer is \boxed{4}. So the total is 4." + "\n"
TWO = r"The answer is \boxed{4}. No, wait. The answer is \boxed{5}. No, wait. " + "\n"
NONE = "Let me think about the trays and the rolls again.\n"


def cut(text: str) -> Output:
    return Output(text, finish_reason="length")


def read(text: str, case: Case = NUMBER) -> Answer:
    return read_answer(case, cut(text))


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("", None),
        ("no loop at all, " * 2, None),
        ("-" * 79, None),
        ("-" * 80, (0, 1)),
        ("Start. " + "ab cd ef gh " * 10, (6, 12)),
        ("Start. " + ("x" * 30 + " y ") * 12 + "x" * 12, (6, 33)),
        (("The quick brown fox jumps. " + "ha " * 30) * 6, (0, 117)),
        ("ab" * 500 + ".", None),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", None),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26", None),
    ],
    ids=[
        "empty",
        "twice",
        "short rule",
        "rule",
        "phrase",
        "block that repeats inside",
        "long end",
        "left",
        "table",
        "counting",
    ],
)
def test_finding_a_loop(text: str, loop: tuple[int, int] | None) -> None:
    found = find_loop(text)
    assert (None if found is None else (found.start, found.period)) == loop


@pytest.mark.parametrize("length", range(0, len(ONE) + 1, 3))
def test_one_answer_stays_wherever_it_is_cut(length: int) -> None:
    answer = read("Some words. " + ONE * 6 + ONE[:length])
    assert (answer.value, answer.anchored) == ("4", True)


@pytest.mark.parametrize("length", range(0, len(TWO) + 1, 3))
@pytest.mark.parametrize("times", [5, 9])
def test_several_answers_in_turn_are_none(length: int, times: int) -> None:
    answer = read("Some words. " + TWO * times + TWO[:length])
    assert (answer.value, answer.rule) == (None, "several")
    graded = grade(NUMBER, cut("Some words. " + TWO * times + TWO[:length]))
    assert (graded.verdict.name, graded.verdict.failure) == ("truncated", "repetition")


def test_letters_in_turn_are_several_too() -> None:
    block = "So the answer is\nAnswer: B\n\nLet me check that again.\nAnswer: C\n\nLet me check that again.\n"
    for length in range(0, len(block), 7):
        assert read(block * 6 + block[:length], CHOICE).rule == "several"


@pytest.mark.parametrize("length", range(0, len(NONE), 5))
def test_a_loop_without_an_answer_has_none(length: int) -> None:
    graded = grade(NUMBER, cut("There are 12 trays. " + NONE * 7 + NONE[:length]))
    assert (graded.answer.value, graded.verdict.name, graded.verdict.failure) == (None, "truncated", "repetition")


def test_an_answer_in_front_of_the_loop_is_read_as_ever() -> None:
    assert read(r"It is \boxed{4}." + "\n" + NONE * 8).value == read(r"It is \boxed{4}." + "\n" + NONE * 20).value


def test_an_output_that_ended_by_itself_is_read_whole() -> None:
    assert read_answer(NUMBER, Output(TWO * 6)).value == "5"


def test_what_the_guard_has_stopped_is_a_repetition() -> None:
    output = Output("abc", finish_reason="length", stopped="loop")
    assert grade(NUMBER, output).verdict.failure == "repetition"
    wrong = Output(r"The answer is \boxed{5}. " * 6, finish_reason="length", stopped="loop")
    assert (grade(NUMBER, wrong).verdict.name, grade(NUMBER, wrong).verdict.failure) == ("incorrect", "repetition")
    right = Output(r"The answer is \boxed{4}. " * 6, finish_reason="length", stopped="loop")
    assert (grade(NUMBER, right).verdict.name, grade(NUMBER, right).verdict.failure) == ("correct", None)


PIECES = st.sampled_from(
    [r"\boxed{4}", r"\boxed{5}", "Answer: B\n", "Answer: C\n", "The answer is 4. ", "so 4 + 5 = 9. ", "[1, 2, 3] ",
     r"\boxed{1, 2, 3} ", "\n", "word ", "and then ", r"$\frac{1}{2}$ ", "#### 7\n", "A or B ", "Step 3: "]
)  # fmt: skip


@given(
    st.lists(PIECES, max_size=5).map("".join),
    st.lists(PIECES, min_size=1, max_size=8).map("".join).filter(lambda block: len(block) >= 16),
    st.integers(6, 12),
    st.integers(6, 12),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(CASES),
)
@example("", TWO, 6, 6, 0.3, 0.8, NUMBER)
def test_the_verdict_is_the_same_wherever_the_loop_is_cut(
    prefix: str, block: str, once: int, again: int, here: float, there: float, case: Case
) -> None:
    first = cut(prefix + block * once + block[: int(here * len(block))])
    other = cut(prefix + block * again + block[: int(there * len(block))])
    assert grade(case, first).answer.value == grade(case, other).answer.value
    assert grade(case, first).verdict.name == grade(case, other).verdict.name


@given(st.text(max_size=400), st.text(min_size=1, max_size=40), st.integers(0, 60))
def test_any_text_is_read(prefix: str, block: str, times: int) -> None:
    for case in CASES:
        read(prefix + block * times, case)
