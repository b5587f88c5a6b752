"""The result of a sentence among other numbers, and headings, labels and steps that are no statements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.records import Answer, Output
from pytest_thinkslm.scoring.answers.number_grammar import find_numbers, plain
from pytest_thinkslm.scoring.answers.number_sentences import _sentences_from_the_end, result_in
from pytest_thinkslm.scoring.answers.number_statements import find_statements
from pytest_thinkslm.scoring.answers.numbers import read_number
from pytest_thinkslm.scoring.answers.region import final_region


def read(text: str, question: str = "") -> Answer:
    return read_number(final_region(Output(text)), question)


QUESTION = "Rosa runs 10 miles an hour for 3 hours, then 5 miles an hour for 4 hours. How far does she run in 7 hours?"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Rosa can run 50 miles in 7 hours.", "50"),
        ("In 7 hours, that is 3 + 4 of them, Rosa runs 50 miles.", "50"),
        ("She runs **30** miles in 3 hours and more later.", "30"),
        ("Since 30 is less than 50, she runs 50 miles in 7 hours.", "50"),
        ("First 30 miles, then 20 miles, so 50 miles.", "50"),
    ],
)
def test_what_was_worked_out_is_told_from_what_was_given(text: str, value: str) -> None:
    assert read(text, QUESTION).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 x 10 = 50\n\nRosa can run 50 miles in 7 hours.", "50"),
        ("Mia needs 36 more names to reach her goal of 100 names.", "36"),
        ("Olaf would need 132 spoons of flour to make 16 cakes.", "132"),
        ("Pia needs to babysit 5 times to get enough eggs for 15 cakes.", "5"),
        ("3 loaves cost $4 more than 2 rolls.", "4"),
        ("40 dwarves with steel picks can mine 43,200 pounds of ore.", "43200"),
        ("16 people think that horse #12 will win.", "16"),
        ("Ada finished in 6th place.", "6"),
        ("Lena must deliver 160 roses by 5 pm.", "160"),
        ("He uses twelve masks.", "12"),
        ("It takes 2 and a half hours.", "2.5"),
    ],
)
def test_circumstances_are_no_results(text: str, value: str) -> None:
    assert read(text).value == value


@pytest.mark.parametrize("text", ["It lies between 5 and 6.", "It could be 5 or 6.", "It is not 6."])
def test_no_choice_is_no_answer(text: str) -> None:
    assert read(text).value is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Solution:\n1. 3 + 4 = 7\n2. 7 x 2 = 14\n\nTherefore, she has 14 apples.", "14"),
        ("Answer:\n\nStep 1: 3 + 4 = 7\n\nStep 2: 7 x 2 = 14", "14"),
        ("Answer:\nFound = 5 + 10 = 15\nHidden = 36 - 27 = 9", "9"),
        ("Answer:\n\n40 dwarves can mine 43,200 pounds of ore in a month with 30 days.", "43200"),
        ("Answer: Clara will eat 7 dozen eggs in 4 weeks.", "7"),
        ("Answer: 5 apples (7 of 12 were eaten)", "5"),
        ("### Answer\n\n45", "45"),
        ("### Final Answer\n\n**Jana makes $18 every day at 2 markets.**", "18"),
        ("The answer (arabic numerals) is $5. \n\n5 packs cost $10 in total", "5"),
        ('{"steps": ["12", "7"], "final_answer": "5", "confidence": 0.95}', "5"),
        ("\\boxed{5}\n\nNote: if 8 had been eaten, the answer would be 4.", "5"),
        ("\\boxed{5} (some may say that the answer is 8)", "5"),
        ("\\boxed{5}\n\nOops. The answer is 6.", "6"),
        ("$\\boxed{1}$ and $\\boxed{2}$", None),
        ("So about a thousand people came.", "1000"),
    ],
)
def test_headings_labels_and_remarks(text: str, value: str | None) -> None:
    assert read(text).value == value


@given(st.integers(11, 10**5), st.integers(2, 10), st.sampled_from(("hours", "weeks", "boxes")))
def test_the_one_new_number_is_the_result(result: int, given_number: int, unit: str) -> None:
    question = f"She does some every day. How much in {given_number} {unit}?"
    for sentence in (
        f"She does {result} in {given_number} {unit}.",
        f"In {given_number} {unit} she does {result}.",
        f"For {given_number} {unit} the sum comes to {result} dollars, that is all of the {given_number}.",
    ):
        assert read(sentence, question).value == str(result)


def test_a_label_may_introduce_a_sentence_with_an_equation() -> None:
    text = "Answer: she has 5, so 5 * 2 = 10 eggs in all."
    (found,), _ = find_statements(text, plain(text), "")
    assert (found.value, found.equation, text[found.start : found.stop]) == (10, True, text[:-1])


def test_bold_is_looked_for_right_before_the_number() -> None:
    text, sentence = "**So** she has 20 hens, so 12 eggs.", "she has 20 hens, so 12 eggs."
    numbers = list(find_numbers(sentence, spelled=False))
    assert result_in(text, plain(text), text.index(sentence), sentence, numbers, "").value == 12


def test_sentences_come_with_their_places() -> None:
    text = "One is 4.\nTwo is 5. It is.\n\nThree is 6.\n"
    found = list(_sentences_from_the_end(text))
    assert [sentence for sentence, _ in found] == ["Three is 6.", "It is.", "Two is 5.", "One is 4."]
    assert all(text.startswith(sentence, place) for sentence, place in found)
