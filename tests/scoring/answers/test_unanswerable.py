"""A final statement that the question cannot be answered, not a keyword."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.scoring.answers import unanswerable
from pytest_thinkslm.scoring.answers.unanswerable import says_unanswerable

SAID = [
    "It cannot be determined.",
    "There is not enough information to answer the question.",
    r"\boxed{\text{cannot be determined}}",
    r"We know the price alone, so $\boxed{\text{Not enough information}}$.",
    "The question cannot be answered as the price is missing.",
    "It is impossible to say how many apples he has.",
    "Insufficient information is given.",
    "The answer is unknown.",
    "Therefore, we cannot determine the total.\n\nAnswer: cannot be determined",
    "It's impossible to tell how many eggs there are. We only know that he has 5 boxes.",
    "We don't have enough information to solve this.",
    "We are unable to determine the number.",
    "The problem is unanswerable as stated.",
    "Unanswerable",
    "First, 5 + 5 = 10. So he has 10 boxes. But the answer cannot be determined from the given information.",
    r"\boxed{5} would be right for whole boxes, but the question cannot be answered as it stands.",
]
NOT_SAID = [
    "",
    "None of the eggs are left.",
    "He cannot carry more than 5 boxes.",
    "We don't know yet how many, it cannot be determined at first, so x = 5. The answer is 5",
    "The answer is 5.",
    r"It cannot be determined directly. \boxed{5}",
    "She cannot sell them all. #### 5",
    "He does not know the price. The total is 12.",
    "None",
    "If it cannot be determined, say so. The answer is 7.",
    "There is not enough milk, so he buys 5 more.",
    "The number cannot be found in the table. Therefore there are 6 of them.",
    "It cannot be determined. " + "He then walks home. " * 20,
]


@pytest.mark.parametrize("text", SAID)
def test_said(text: str) -> None:
    assert says_unanswerable(text)


@pytest.mark.parametrize("text", NOT_SAID)
def test_not_said(text: str) -> None:
    assert not says_unanswerable(text)


PIECES = st.sampled_from(
    ["cannot be ", "determined", ".", "\n", "5", "\\boxed{", "}", "so ", "\x00", "\ud800", "not enough ", "information"]
)


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    assert says_unanswerable(text) in (True, False)


@ends_a_hang
@pytest.mark.parametrize("piece", ["cannot be ", "{", "\\boxed{", "1", " ", "\n", ".", "not ", "\x00"], ids=repr)
def test_linear_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    assert calls(lambda: says_unanswerable(text)) <= CALLS_A_CHARACTER * len(text)


#: What statements are made of, and what almost makes one.
WORDS = (
    "we cannot can not can't Could couldn't is are isn't unable able to be determined answered found determine "
    "find out the answer impossible possible no way for us enough sufficient information info data details lack "
    "never without insufficient incomplete too little missing context facts given provided question problem has "
    "unanswerable unsolvable answerable solvable indeterminate solution number total remains unknown undetermined "
    "determinable . not"
).split()


@given(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
def test_every_statement_has_a_hint(text: str) -> None:
    if unanswerable._is_statement(text):
        assert unanswerable._may_state(text)
