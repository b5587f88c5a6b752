"""Patterns that are tried only where plain searches find a beginning: nothing that they match begins elsewhere."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.scoring.answers import anchors, number_statements, reviews
from pytest_thinkslm.scoring.answers.anchors import lower, matches

PIECES = (
    "step by-step_evaluation solution analysis final overall judgement judgment correctness first error incorrect "
    "wrong line reason answer ANS Ans. correct total value right number amount result İ ſ ſolution x : = | is * ( )"
).split()
TEXTS = st.lists(st.sampled_from([" ", "\n", "_", ": ", *PIECES]), max_size=20).map("".join)


@pytest.mark.parametrize(
    ("pattern", "begins", "in_lower_case"),
    [
        (reviews._LABEL, reviews._LABEL_BEGINS, False),
        (number_statements._ANSWER_WORD, number_statements._ANSWER_BEGINS, True),
        (anchors._ENGLISH, anchors._ENGLISH_MARKS, True),
    ],
)
def test_every_match_begins_with_one_of_the_words(
    pattern: re.Pattern[str], begins: tuple[str, ...], in_lower_case: bool
) -> None:
    @given(TEXTS | TEXTS.map(" ".join))
    def holds(text: str) -> None:
        searched = lower(text) if in_lower_case else text
        found = [match.span() for match in matches(pattern, searched, lower(text), begins)]
        assert found == [match.span() for match in pattern.finditer(searched)]

    holds()


@given(st.text() | TEXTS)
def test_lower_case_keeps_every_place(text: str) -> None:
    assert len(lower(text)) == len(text)
