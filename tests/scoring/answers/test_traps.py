"""Traps of reading answers, one test each, from an output to its verdict. docs/parsers.md lists them."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from pytest_thinkslm.core.records import Case, Output, Review
from pytest_thinkslm.scoring.answers.degenerate import FAILURES
from pytest_thinkslm.scoring.answers.equality import equal
from pytest_thinkslm.scoring.grading import Graded, grade
from pytest_thinkslm.tasks.gsm8k import case as gsm8k_case

CITIES = ("London", "Paris", "Rome", "Berlin")


def number(text: str, gold: str = "18", finish_reason: str = "stop") -> Graded:
    return grade(Case("gsm8k", 0, "number", "How many?", gold), Output(text, finish_reason=finish_reason))  # type: ignore[arg-type]


def choice(text: str, options: tuple[str, ...] = CITIES) -> object:
    return grade(Case("arc_easy", 0, "choice", "Which?", "A", options=options), Output(text)).answer.value


def sorting(text: str, gold: tuple[int, ...] = (1, 2, 3), given: tuple[int, ...] = (3, 1, 2)) -> Graded:
    return grade(Case("sort8_mixed", 0, "list", "Sort.", gold, given=given), Output(text))


def test_two_grammars() -> None:
    case = gsm8k_case("How much?", "It is 120 * 1000.\n#### 120,000", 0)
    for text in (r"\boxed{120,000}", "#### 120000", "The answer is 120 000."):
        assert grade(case, Output(text)).verdict.name == "correct", text


def test_last_number_wins() -> None:
    assert number("The total is $29.00.", "29").verdict.name == "correct"
    assert number("So it is 4 + 5 = 9, in about 2 hours.", "9").verdict.name == "correct"
    assert number("The answer is 18...").answer.value == "18"
    assert number("The answer is 18. And so on ...").answer.value == "18"
    assert number("The answer is 18. It took 2 steps.").answer.rule == "answer-is"
    assert not number("He has 18 of them.").answer.anchored


def test_first_match() -> None:
    assert number("#### 5\n\nThat was the example. Now ours: 9 + 9 = 18.\n#### 18").verdict.name == "correct"
    assert number("The answer is 5. No, the answer is 18.").verdict.name == "correct"


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        *(("-18", "-18"), ("\u221218", "-18"), ("18.50", "18.5"), ("3/4", "0.75"), (r"\frac{3}{4}", "0.75")),
        *(("18%", "18"), ("$18", "18"), ("18 apples", "18"), ("1 234", "1234"), ("1.2e3", "1200")),
        *(("2 1/2", "2.5"), (r"2\frac{1}{2}", "2.5"), ("twelve", "12"), ("1,234.5", "1234.5")),
    ],
)
def test_integers_only(text: str, gold: str) -> None:
    assert number(rf"\boxed{{{text}}}", gold).verdict.name == "correct"
    assert number(f"The answer is {text}.", gold).verdict.name == "correct"


def test_a_number_word_in_prose_is_no_answer() -> None:
    assert number("I like one of them.", "1").verdict.name == "unparsed"


def test_thousands_and_lists() -> None:
    assert number("1,200", "1200").verdict.name == "correct"
    assert sorting("[1,200]", (1, 200), (200, 1)).verdict.name == "correct"
    assert sorting("[1,200, 3,400]", (1_200, 3_400), (3_400, 1_200)).verdict.name == "correct"


def test_the_article_a() -> None:
    assert choice("The answer is a combination of all, so the best option is C.") == "C"
    assert choice("This is a hard one.") is None
    assert choice("The answer is E.") is None


@pytest.mark.parametrize(
    "text",
    [
        *("The answer is (2).", "Paris", "The answer is Paris.", "B. Paris", "B) because it is", "**B**", "`B`"),
        *("Option B", r"\boxed{B}", "Answer: b"),
    ],
)
def test_options_by_text_or_number(text: str) -> None:
    assert choice(text) == "B"


def test_a_or_b() -> None:
    for text in ("A or B", "The answer is A or B.", "Answer: London or Paris"):
        assert choice(text) is None


@pytest.mark.parametrize(
    ("start", "end"), [("<think>", "</think>"), ("<|thinking|>", "<|/thinking|>"), ("[THINK]", "[/THINK]")]
)
def test_unfinished_thought(start: str, end: str) -> None:
    for finish_reason in ("length", "stop"):
        graded = number(rf"{start} so \boxed{{18}}", finish_reason=finish_reason)
        assert graded.verdict.name == "truncated"
        assert graded.answer.value is None
    assert number(rf"{start} \boxed{{3}} {end} \boxed{{18}}").verdict.name == "correct"
    assert number(rf"{start} \boxed{{18}} {end} I do not know.").verdict.name == "unparsed"
    thought = Output(r"\boxed{18}", reasoning=r"\boxed{3}")
    assert grade(Case("gsm8k", 0, "number", "How many?", "18"), thought).verdict.name == "correct"


def test_truncation() -> None:
    for text in ("We have 9 + 9 = 18 and", "The answer is 18", "#### 18", "so 18"):
        assert number(text, finish_reason="length").verdict.name == "truncated", text
    assert number(r"\boxed{18}. Let me check", finish_reason="length").verdict.name == "correct"


def test_self_correction() -> None:
    assert number(r"so \boxed{4} ... wait, \boxed{18}").verdict.name == "correct"
    case = Case("math", 0, "expression", "Find.", "3")
    assert grade(case, Output(r"so $\boxed{4}$ ... wait, $\boxed{3}$")).verdict.name == "correct"


@pytest.mark.parametrize(
    ("one", "two"),
    [("11_2", "11"), ("1.333", r"\frac{4}{3}"), (r"(-\infty,3)", "x<3"), (r"10\%", "0.1")],
)
def test_math_verify_equalities_that_are_none(one: str, two: str) -> None:
    assert not equal(one, two).equal
    assert not equal(two, one).equal


def test_math_verify_time_and_signals() -> None:
    """A tower ends by its deadline, as a field of the verdict, off the main thread as on it."""
    found = []
    case = Case("math", 0, "expression", "Find.", "5")
    worker = threading.Thread(target=lambda: found.append(grade(case, Output(r"\boxed{9^{9^{9^9}}}"))))
    worker.start()
    worker.join(timeout=60)
    assert [one.verdict.name for one in found] == ["incorrect"]
    assert found[0].verdict.grading_timeout


def test_unclosed_box() -> None:
    assert number(r"The answer is \boxed{18", finish_reason="length").verdict.name == "truncated"
    for text in (r"\boxed{\text{18}}", r"\boxed 18", r"\fbox{18}", r"\boxed{\mathbf{18}}"):
        assert number(text).verdict.name == "correct", text


def test_sorting() -> None:
    restated = sorting("The list is [3, 1, 2].")
    assert (restated.verdict.name, restated.verdict.failure) == ("unparsed", "restated")
    assert sorting("[1, 2, 3] (first three items: 3, 1, 2)").verdict.name == "correct"
    permuted = sorting("[2, 1, 3]")
    assert (permuted.verdict.name, permuted.verdict.failure) == ("incorrect", "order")


def test_substring_verdicts() -> None:
    case = Case("mr_ben", 0, "review", "Is it?", Review("wrong", "2"), steps=("Step 1: a", "Step 2: b"))
    text = "Solution Correctness: {}\nFirst Error Step: 2\nError Reason: x"
    assert grade(case, Output(text.format("incorrect"))).verdict.name == "correct"
    assert grade(case, Output(text.format("correct"))).verdict.name == "incorrect"
    assert grade(case, Output(text.format("correct or incorrect"))).verdict.name == "unparsed"


def test_every_trap_of_the_page_names_tests_that_exist() -> None:
    root = Path(__file__).parents[3]
    table = (root / "docs" / "parsers.md").read_text(encoding="utf-8").partition("## Traps")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 27
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for file, function in named:
            assert f"def {function}(" in (root / file).read_text(encoding="utf-8"), (file, function)


def test_the_page_has_every_failure_class() -> None:
    page = (Path(__file__).parents[3] / "docs" / "parsers.md").read_text(encoding="utf-8")
    assert [name for name in FAILURES if f"`{name}`" not in page] == []
