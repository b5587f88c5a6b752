"""Options found in a text: the search for plain texts finds what the pattern finds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.scoring.answers.choices import read_choice
from pytest_thinkslm.scoring.answers.optiontext import Options
from pytest_thinkslm.scoring.answers.region import Region

PIECES = (
    "a",
    "b",
    "cat",
    "cats",
    "A",
    "the ",
    "-",
    "/",
    ".",
    ",",
    "5",
    "50",
    "$",
    "(",
    ")",
    "'",
    "km",
    " ",
    " ",
    "\n",
    "_",
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


def by_pattern(options: tuple[str, ...]) -> Options:
    """The options, looked for with their pattern as in a text that is not plain."""
    found = Options(options)
    found.__dict__["_is_plain"] = False
    return found


@given(st.lists(TEXTS, min_size=1, max_size=4), TEXTS, st.data())
def test_plain_texts_are_found_as_the_pattern_finds_them(options: list[str], text: str, data: st.DataObject) -> None:
    named = tuple(options)
    text = " ".join([text, data.draw(st.sampled_from(named)), data.draw(TEXTS)])
    assert list(Options(named)._occurrences(text)) == list(by_pattern(named)._occurrences(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They went by hair style, that much is clear", {"B"}),
        ("It runs at 20km/h there", set()),
        ("It runs at 20 km / h there", {"C"}),
        ("HAIR and hair style", {"A", "B"}),
        ("chairs, hairy, 20 km/hour", set()),
    ],
)
def test_the_longest_text_counts_and_blanks_beside_marks_may_be_missing(text: str, expected: set[str]) -> None:
    options = ("hair", "hair style", "20 km/h")
    assert Options(options).mentioned(text) == by_pattern(options).mentioned(text) == expected


def test_no_pattern_is_compiled_for_plain_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(re, "compile", lambda *_: pytest.fail("a pattern an item costs more than all else"))
    assert read_choice(Region("This leaves hair style as the only one that fits."), ("hair", "hair style")).value == "B"


WORDS = st.text(st.characters(categories=("Ll",), max_codepoint=127), min_size=2, max_size=8)


@given(st.sampled_from(["a", "an", "the"]), WORDS.filter(lambda word: word not in ("a", "an", "the")), WORDS)
def test_only_a_leading_article_may_be_left_out(article: str, one: str, two: str) -> None:
    inside = Options((f"{one} {article} {two}", "zzzzzzzzz"))
    assert inside.text_at(f"{one} {article} {two}", 0) is not None
    assert inside.text_at(f"{one} {two}", 0) is None
    leading = Options((f"{article} {one} {two}", "zzzzzzzzz"))
    assert leading.text_at(f"{one} {two}", 0) is not None


@given(
    st.sampled_from(["I {} turtles.", "What {} I do for you today?", "How can I {} you today?", "We really {} it."]),
    st.sampled_from(["like", "can", "help", "drink", "run"]),
)
def test_a_verb_of_the_speaker_is_no_option(said: str, word: str) -> None:
    options = ("tears", "please", word, "thank")
    assert read_choice(Region(said.format(word)), options).value is None
    assert read_choice(Region(f"That would mean to {word}, as people do."), options).value == "C"
