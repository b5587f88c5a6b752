"""Hostile outputs through reader and verdicts of every answer kind: no exception, linear time."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.core.records import UNANSWERABLE, Answer, Case, Output, Review
from pytest_thinkslm.scoring.grading import grade

KILO = 100_000

CODE = ("def f(x):", "    return x")
CASES = (
    Case("gsm8k", 0, "number", "How many?", "7"),
    Case("gsm_plus", 0, "number", "How many?", UNANSWERABLE, facets={"unanswerable_possible": "yes"}),
    Case("sort8_mixed", 0, "list", "Sort.", (1, 2, 3), given=(3, 1, 2)),
    Case("arc_easy", 0, "choice", "Which?", "B", options=("a cat", "the 2 dogs", "15 %", "none of these")),
    Case("math", 0, "expression", "Find.", r"\frac{1}{2}"),
    Case("mr_gsm", 0, "review", "Is it?", Review("wrong", "2"), steps=("Step 1: a", "Step 2: b")),
    Case("mr_ben", 0, "review", "Is it?", Review("wrong", CODE[1]), steps=CODE, facets={"subject": "coding"}),
)

PIECES = (
    *("7", "1,", "1, ", "1 ", "-", "9.", "1/", "1e9", "[", "[1", "[1, 2] ", "{", "}", "(", "((", ")", "\\", "$", "$$"),
    *("\\boxed{", "\\boxed{1}", "\\boxed{}", "\\frac{", "\\frac{1}{2} ", "\\text{", "####", "#### 7\n", "####\n"),
    *("the answer is ", "The answer is 7. ", "Answer: ", "answer", "A", "A. ", "A or ", "B\n", "(C) ", "not ", "so "),
    *("Final Judgement: ", "Final Judgement: wrong\n", "First Error Step: ", "solution is ", "wrong ", "correct or "),
    *("it cannot be determined. ", "cannot ", "not enough ", "<think>", "</think>", "<think></think>", "```", "`", "*"),
    *(" ", "\n", "\t", "\r\n", "\0", "\ud800", "\udfff", "\u202e", "\u200f", "\u2212", "\u00a0", "İ", "ſ", "٣", "²"),
    *("a cat ", "the ", "x = ", "=", "= 3 ", "| ", "- ", "1. ", "def f(x):\n", "Step 1: ", "one hundred and ", "of "),
    *("\U0001d7d9", "𝟙", "一", "e\u0301", "&", "<", "^{9", "9^", "_2", "\\\\", "\\left(", "\\pm ", "\\cup ", "a"),
)
TEXTS = {
    "megabytes of digits": "7" * 3_000_000,
    "open braces": "{" * KILO,
    "open boxes": "\\boxed{" * (KILO // 7),
    "nested boxes": "\\boxed{" * 5_000 + "7" + "}" * 5_000,
    "an almost closed bracket list": "[" + "1, " * (KILO // 3),
    "letters and blanks in turn": "a " * (KILO // 2) + "!",
    "nothing but minus signs and digits": "-1" * (KILO // 2),
    "a long word": "a" * KILO + " answer is",
    "anchors without an answer": "the answer is the answer is " * (KILO // 28),
    "a thought of many marks": "<think>" * 1_000 + "</think>" * 1_000 + "\\boxed{7}",
    "powers": "\\boxed{" + "9^{" * 3_000 + "9" + "}" * 3_000 + "}",
    "every code point below 3000": "".join(map(chr, range(3_000))) * 30,
}


def check(text: str, finish_reason: str = "stop") -> None:
    """Grade a text as an answer of every kind."""
    for case in CASES:
        graded = grade(case, Output(text, finish_reason=finish_reason))  # type: ignore[arg-type]
        assert isinstance(graded.answer, Answer)
        assert graded.verdict.name in ("correct", "incorrect", "unparsed", "truncated")
        reason = graded.verdict.reason
        assert reason.encode("utf-8").decode() == reason
        assert not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, reason))
        assert len(reason) < 1_000


@ends_a_hang
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_100_kb_of_one_piece(piece: str, finish_reason: str) -> None:
    text = (piece * KILO)[:KILO]
    assert calls(lambda: check(text, finish_reason)) <= CALLS_A_CHARACTER * len(CASES) * KILO


@ends_a_hang
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
@pytest.mark.parametrize("name", TEXTS)
def test_hostile_texts(name: str, finish_reason: str) -> None:
    text = TEXTS[name]
    assert calls(lambda: check(text, finish_reason)) <= CALLS_A_CHARACTER * len(CASES) * max(KILO, len(text))


@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join),
    st.sampled_from((1, 7, 2_000)),
    st.text(max_size=40) | st.sampled_from(PIECES),
    st.sampled_from(("stop", "length", "unknown")),
)
def test_mixtures_of_pieces(piece: str, times: int, end: str, finish_reason: str) -> None:
    check((piece * times)[:20_000] + end, finish_reason)


@given(st.text(st.characters(codec=None), max_size=400))
def test_any_text(text: str) -> None:
    check(text)
