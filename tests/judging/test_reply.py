"""What counts as a judge's reply."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.records import FinishReason, Output
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.judging.reply import SCHEMA, read_ruling

GOOD = '{"answer": "18", "reason": "Equal to the reference.", "verdict": "correct"}'


def read(text: str, candidate: str = "", finish: FinishReason = "stop") -> Ruling | str:
    return read_ruling(Output(text, finish_reason=finish), candidate)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"My ruling: {GOOD} That is all.",
        f"<think>Is it {{18}}? {{}}</think>{GOOD}",
        f"The set {{18, 19}} aside: {GOOD}",
        GOOD.replace("correct", " Correct "),
        GOOD.replace('"18"', "18"),
    ],
)
def test_one_object_is_a_ruling(text: str) -> None:
    assert read(text) == Ruling("judged", "correct", "18", "Equal to the reference.")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON object"),
        ("correct", "no JSON object"),
        ("The verdict is correct.", "no JSON object"),
        (f"{GOOD}\n{GOOD}", "2 JSON objects"),
        (f"{GOOD} or {GOOD.replace('correct', 'incorrect')}", "2 JSON objects"),
        (GOOD[:-1], "no JSON object"),
        ('{"verdict": "correct"}', "other keys"),
        (GOOD.replace("}", ', "confidence": 1}'), "other keys"),
        (GOOD.replace('"correct"', '"not correct"'), "none of correct"),
        (GOOD.replace('"correct"', '"correctly"'), "none of correct"),
        (GOOD.replace('"correct"', "true"), "none of correct"),
        (GOOD.replace('"correct"', '"correct or incorrect"'), "none of correct"),
        (GOOD.replace('"Equal to the reference."', '""'), "no text"),
        (GOOD.replace('"18"', '["18"]'), "no text"),
        (GOOD.replace('"verdict"', '"verdict": "incorrect", "verdict"'), "no JSON object"),
        (f"<think>I am not done {GOOD}", "cut"),
        (GOOD.replace("Equal to the reference.", "One short sentence of your own."), "repeats the request's example"),
        ("{" * 50_000, "no JSON object"),
        ('{"a":' * 50_000, "no JSON object"),
    ],
)
def test_anything_else_is_none(text: str, why: str) -> None:
    found = read(text)
    assert isinstance(found, str)
    assert why in found


def test_cannot_tell_is_a_ruling_without_a_verdict() -> None:
    assert read(GOOD.replace('"correct"', '"cannot-tell"')) == Ruling("judged", None, "18", "Equal to the reference.")


def test_incorrect_does_not_contain_correct() -> None:
    found = read(GOOD.replace('"correct"', '"incorrect"'))
    assert isinstance(found, Ruling)
    assert found.verdict == "incorrect"


def test_a_cut_reply_is_none() -> None:
    assert read(GOOD[:40], finish="length") == "the reply was cut by the token limit"
    assert isinstance(read(GOOD, finish="length"), Ruling)


@pytest.mark.parametrize("repeated", [GOOD, GOOD.replace(", ", ",\n   "), f"The candidate says {GOOD}"])
def test_the_candidates_own_object_does_not_count(repeated: str) -> None:
    found = read(repeated, f"My final answer: 71 {GOOD}")
    assert found == "the reply repeats a JSON object of the candidate's text"
    assert isinstance(read(GOOD.replace("Equal to", "It equals"), GOOD), Ruling)


@given(st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    assert isinstance(read(text, text), str | Ruling)


@given(
    st.fixed_dictionaries(
        {
            "answer": st.text(max_size=20),
            "reason": st.text(min_size=1, max_size=40).filter(str.strip),
            "verdict": st.sampled_from(["correct", "incorrect", "cannot-tell"]),
        }
    )
)
def test_whatever_fits_the_schema_is_read(value: dict[str, str]) -> None:
    jsonschema.validate(value, SCHEMA)
    found = read(json.dumps(value))
    assert isinstance(found, Ruling)
    assert found.verdict == (None if value["verdict"] == "cannot-tell" else value["verdict"])


def test_hostile_words_are_made_safe() -> None:
    value = {"answer": "\x1b[2J\ud800", "reason": "a\nb\x00", "verdict": "correct"}
    found = read(json.dumps(value))
    assert isinstance(found, Ruling)
    assert (found.answer, found.reason) == ("\\x1b[2J\\ud800", "a b\\x00")
