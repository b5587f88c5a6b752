"""Answer and gold -> verdict; text made safe for reports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.records import (
    UNANSWERABLE,
    Answer,
    AnswerKind,
    Case,
    FinishReason,
    Gold,
    Output,
    Review,
    Verdict,
)
from pytest_thinkslm.core.text import safe_line, safe_text
from pytest_thinkslm.scoring.answers.degenerate import FAILURES
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.scoring.verdicts import decide, judged_verdict


def judge(kind: AnswerKind, gold: Gold, text: str, finish: FinishReason = "stop", **fields: object) -> Verdict:
    case = Case("task", 0, kind, "", gold, **fields)  # type: ignore[arg-type]
    output = Output(text, finish_reason=finish)
    return decide(case, output, read_answer(case, output))


@pytest.mark.parametrize(
    ("gold", "text", "finish", "verdict", "failure"),
    [
        ("18", r"\boxed{18.0}", "stop", "correct", None),
        ("120,000", "#### 120000", "stop", "correct", None),
        ("18", "The answer is 12.", "stop", "incorrect", None),
        ("18", "", "stop", "unparsed", "empty"),
        ("18", "I do not like sums.", "stop", "unparsed", "no-final-answer"),
        ("18", "It is 18 or 19.", "stop", "unparsed", "several"),
        ("18", "so we get 18", "length", "truncated", "cut"),
        ("18", r"so \boxed{18", "length", "truncated", "cut"),
        ("18", "<think>18", "stop", "truncated", "unfinished-thought"),
        ("18", r"\boxed{18} and", "length", "correct", None),
        (UNANSWERABLE, "The answer is 5.", "stop", "incorrect", "answered-unanswerable"),
        (UNANSWERABLE, "The question cannot be answered.", "stop", "correct", None),
    ],
)
def test_numbers(gold: str, text: str, finish: FinishReason, verdict: str, failure: str | None) -> None:
    result = judge("number", gold, text, finish)
    assert (result.name, result.failure) == (verdict, failure)
    assert failure is None or failure in FAILURES


def test_an_answerable_question_called_unanswerable_is_incorrect() -> None:
    result = judge("number", "5", "The question cannot be answered.", facets={"unanswerable_possible": "yes"})
    assert (result.name, result.failure) == ("incorrect", "called-unanswerable")


def test_a_permutation_of_the_right_list_is_wrong() -> None:
    result = judge("list", (1, 2, 3), "[1, 3, 2]", given=(3, 1, 2))
    assert (result.name, result.failure) == ("incorrect", "order")
    assert judge("list", (1, 2, 3), "[3, 1, 2]", given=(3, 1, 2)).name == "unparsed"
    assert judge("list", (1, 2, 3), "[1, 2, 3]", given=(3, 1, 2)).name == "correct"


def test_choices_are_compared_by_letter() -> None:
    options = ("red", "green", "blue")
    assert judge("choice", "B", "Answer: B", options=options).name == "correct"
    assert judge("choice", "B", "Answer: C", options=options).name == "incorrect"


def test_expressions_are_compared_symbolically() -> None:
    assert judge("expression", r"\frac{1}{2}", r"\boxed{0.5}").name == "correct"
    assert judge("expression", r"\frac{1}{2}", r"\boxed{0.25}").name == "incorrect"


@pytest.mark.parametrize(
    ("gold", "text", "verdict", "failure"),
    [
        (Review("correct"), "Final Judgement: correct", "correct", None),
        (Review("correct"), "Final Judgement: wrong\nFirst Error Step: 1", "incorrect", "wrong-judgement"),
        (Review("wrong", "2"), "Final Judgement: wrong\nFirst Error Step: 2", "correct", None),
        (Review("wrong", "2"), "Final Judgement: wrong\nFirst Error Step: 1", "incorrect", "wrong-step"),
        (Review("wrong", "2"), "Final Judgement: incorrect\nFirst Error Step: 2", "correct", None),
    ],
)
def test_reviews(gold: Review, text: str, verdict: str, failure: str | None) -> None:
    steps = ("Step 1: 2 + 2 = 4", "Step 2: 4 + 4 = 9")
    case = Case("mr_gsm", 0, "review", "", gold, steps=steps)
    result = decide(case, Output(text), read_answer(case, Output(text)))
    assert (result.name, result.failure) == (verdict, failure)


def test_the_reason_is_one_safe_line() -> None:
    assert judge("number", "18", r"\boxed{12}").reason == "read 12 (rule boxed), gold 18"
    unread = judge("number", "18", "no\n  \x1b \ud800 \u202e idea").reason
    assert unread == r"no answer found; output ends 'no \\x1b \\ud800 \\u202e idea'"
    reason = judge("number", "18", "no\n\x1b[31m\ud800 idea").reason
    assert "\n" not in reason
    assert "\x1b" not in reason
    reason.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("clean\n\ttext é 中", "clean\n\ttext é 中"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("\ud800", "\\ud800"),
        ("\0", "\\x00"),
        ("\u202eabc", "\\u202eabc"),
        ("\uffff", "\\uffff"),
    ],
)
def test_safe_text(text: str, safe: str) -> None:
    assert safe_text(text) == safe


@given(st.text(st.characters()))
def test_safe_text_is_valid_xml_and_utf8(text: str) -> None:
    from xml.etree import ElementTree as ET

    safe = safe_text(text)
    safe.encode("utf-8")
    element = ET.Element("a")
    element.text = safe
    ET.fromstring(ET.tostring(element))
    assert len(safe_line(text)) <= 80
    assert "\n" not in safe_line(text)


QUESTION = "Tom has red pens and buys blue pens at the shop on the corner. Which of these is right?"
SOLUTION = ("Step 1: a pen costs as much as", "Step 2: two pencils do at the shop")
OF_EACH_KIND = {
    "number": Case("gsm8k", 0, "number", QUESTION, "7"),
    "list": Case("sort8_mixed", 0, "list", QUESTION, (1, 2, 3), given=(3, 1, 2)),
    "choice": Case("arc_easy", 0, "choice", QUESTION, "B", options=("clerk", "mall", "strip", "town")),
    "expression": Case("math", 0, "expression", QUESTION, r"\frac{1}{2}"),
    "review": Case("mr_gsm", 0, "review", QUESTION, Review("wrong", "2"), steps=SOLUTION),
}
LOOP = "We look at what is given once more, and then again.\n" * 8
PROGRAM = "```python\ndef solve(items):\n    return sorted(items)\n\nprint(solve(items))\n```"


@pytest.mark.parametrize("kind", OF_EACH_KIND)
@pytest.mark.parametrize(
    ("text", "finish", "verdict", "failure"),
    [
        ("", "stop", "unparsed", "empty"),
        (" ...\n", "stop", "unparsed", "empty"),
        (LOOP, "stop", "unparsed", "repetition"),
        (LOOP, "length", "truncated", "repetition"),
        (PROGRAM, "stop", "unparsed", "code"),
        (QUESTION, "stop", "unparsed", "restated"),
        (r"We come to \boxed{answer}.", "stop", "unparsed", "wrong-format"),
        ("I like pens, and so does Tom.", "stop", "unparsed", "no-final-answer"),
        ("I like pens, and so", "length", "truncated", "cut"),
        ("<think>I like pens", "length", "truncated", "unfinished-thought"),
    ],
)  # fmt: skip
def test_failure_classes_of_every_kind(kind: str, text: str, finish: FinishReason, verdict: str, failure: str) -> None:
    result = grade(OF_EACH_KIND[kind], Output(text, finish_reason=finish)).verdict
    assert (result.name, result.failure) == (verdict, failure)


@pytest.mark.parametrize(
    ("kind", "text", "failure"),
    [
        ("list", "The list is [3, 1, 2].", "restated"),
        ("choice", "A. clerk\nB. mall\nC. strip\nD. town", "restated"),
        ("list", "```python\nnumbers = [3, 1, 2]\nnumbers.sort()\nprint(numbers)\n```", "code"),
        ("choice", "Answer: X", "wrong-format"),
        ("choice", "A or B", "several"),
        ("number", "It is 7 or 8.", "several"),
        ("expression", r"The answer is either $\frac{1}{2}$ or $\frac{1}{3}$.", "several"),
        ("review", "The answer is 22.", "wrong-format"),
        ("review", "Step 1: a pen costs as much as\nStep 2: two pencils do at the shop", "restated"),
    ],
)
def test_failure_classes_of_one_kind(kind: str, text: str, failure: str) -> None:
    result = grade(OF_EACH_KIND[kind], Output(text)).verdict
    assert (result.name, result.failure) == ("unparsed", failure)


def test_a_wrong_answer_of_a_stopped_loop_is_a_repetition() -> None:
    case = Case("gsm8k", 0, "number", "", "18")
    answer = Answer("12", "boxed", anchored=True)
    assert decide(case, Output("a", stopped="loop"), answer).failure == "repetition"
    assert decide(case, Output("a"), answer).failure is None
    cut = Output("a", stopped="loop", finish_reason="length")
    assert decide(case, cut, Answer(None, "cut")).failure == "repetition"


def test_a_judge_overrules_the_name_and_keeps_what_the_parser_saw() -> None:
    parser = Verdict("incorrect", "read 1", "order", grading_timeout=True)
    assert judged_verdict(parser, "incorrect", "why") == Verdict(
        "incorrect", "judge: why (parser: incorrect, read 1)", "order", grading_timeout=True
    )
    assert judged_verdict(parser, "correct", "why").failure is None


def test_answers_of_another_kind_are_wrong_format() -> None:
    listed = Case("sort8_mixed", 0, "list", "", (1, 2), given=(2, 1))
    assert decide(listed, Output("x"), Answer("12", "boxed")).failure == "wrong-format"
    review = Case("mr_gsm", 0, "review", "", Review("correct"))
    assert decide(review, Output("x"), Answer("12", "boxed")).failure == "wrong-format"


def test_the_prompt_counts_as_restated_only_where_nothing_was_answered() -> None:
    prompt = "Tom has seven red pens and buys two blue pens at the shop on the corner"
    case = Case("gsm8k", 0, "number", prompt, "9")
    assert decide(case, Output(prompt), Answer(None, "none"), prompt_text=prompt).failure == "restated"
    assert decide(case, Output(prompt), Answer("7", "last-number"), prompt_text=prompt).failure is None


def test_every_shown_value_is_escaped() -> None:
    case = Case("t", 0, "choice", "", "B", options=("a", "b"))
    for value in ("\x1b[31m\n", ("\x1b[31m\n",), Review("\x1b[31m\n")):  # type: ignore[arg-type]
        reason = decide(case, Output("x"), Answer(value, "bare")).reason  # type: ignore[arg-type]
        assert reason.isprintable(), reason


def test_the_end_of_an_unanswered_output_is_shown() -> None:
    reason = judge("number", "18", "begin " + "and so on " * 20 + "end").reason
    assert "end" in reason
    assert "begin" not in reason


def test_two_numbers_that_cannot_be_read_are_not_equal() -> None:
    case = Case("gsm8k", 0, "number", "", "many")
    assert decide(case, Output("x"), Answer("few", "boxed")).name == "incorrect"


def test_no_step_is_asked_of_a_solution_that_is_right() -> None:
    case = Case("mr_gsm", 0, "review", "", Review("correct"))
    assert decide(case, Output("x"), Answer(Review("correct", "2"), "label")).name == "correct"
