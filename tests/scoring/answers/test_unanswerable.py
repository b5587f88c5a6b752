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
    "The problem doesn't provide the price of a can.",
    "The price of a can isn’t mentioned.",
    "Since the number of days is not specified, there is no single answer.",
    "We need more information to answer this question.",
    "More information is needed.",
    "To find the total, we would need to know the price of each can.",
    "We don't know how old Mia will be in 10 years.",
    "We do not know what she pays for 12 cans. #### None",
    r"The question is missing the price. \boxed{\text{N/A}}",
    r"It is not stated how many there are. \boxed{\text{None}}",
    r"\boxed{\text{Not given}}",
    "Answer: N/A (the price is not given)",
    "She buys 3 cans.\n**Answer:** N/A",
    "The answer is ambiguous.",
    "First, 5 + 5 = 10. So he has 10 boxes. However, the number of eggs in a box is not given.",
    r"\boxed{5} would be right for whole boxes, but the question cannot be answered as it stands.",
]
NOT_SAID = [
    "",
    "Answer: ambiguous at first, but 3 cans make 6 dollars.",
    "None of the eggs are left.",
    "He cannot carry more than 5 boxes.",
    "We don't know yet how many, it cannot be determined at first, so x = 5. The answer is 5",
    "The answer is 5.",
    r"It cannot be determined directly. \boxed{5}",
    "She cannot sell them all. #### 5",
    "He does not know the price. The total is 12.",
    "None",
    r"\boxed{\text{None}}",
    "We don't know his age yet, so let x be his age. Then x + 3 = 8 and x = 5.",
    "The price is not given directly, but 10 / 2 = 5. The answer is 5.",
    r"We don't know the price, but we can find it: \boxed{5}",
    r"\boxed{8} It is not stated what they cost.",
    "The answer is 8. It is not stated what they cost.",
    "So she has 8 apples left. The problem does not mention their color.",
    "It does not specify the color, which does not matter. The total is 12 apples.",
    "Not all of the 5 are given away; 3 are left.",
    "He was not given 3 of the 5 boxes, so he has 2.",
    "We need to know the total first: 5 + 7 = 12. The answer is 12.",
    "The number is unknown, call it x: x + 3 = 8, x = 5",
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
