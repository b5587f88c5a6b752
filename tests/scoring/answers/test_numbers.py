"""The number grammar and the rules that pick the answer."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.core.records import Answer, Output
from pytest_thinkslm.scoring.answers.numbers import canonical, find_numbers, parse_number, read_number
from pytest_thinkslm.scoring.answers.region import final_region


def read(text: str, finish: str = "stop") -> Answer:
    return read_number(final_region(Output(text, finish_reason=finish)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("120,000", "120000"),
        ("1 234", "1234"),
        ("1{,}234", "1234"),
        (r"1\,234", "1234"),
        ("-3.50", "-3.5"),
        ("−3", "-3"),
        ("1.2e3", "1200"),
        (r"1.2 \times 10^{3}", "1200"),
        ("3/4", "0.75"),
        (r"-\frac{1}{3}", "-1/3"),
        (r"\dfrac12", "0.5"),
        ("1 1/2", "1.5"),
        (r"1\frac{1}{2}", "1.5"),
        ("1½", "1.5"),
        ("50%", "50"),
        (r"50\%", "50"),
        ("$29.00.", "29"),
        (r"\$5", "5"),
        ("-$5", "-5"),
        ("18...", "18"),
        ("18 \\text{ dollars}", "18"),
        ("x = 5", "5"),
        ("twelve", "12"),
        ("forty-two", "42"),
        ("one hundred and five", "105"),
        ("1.2 million", "1200000"),
        ("1 dollar and 2 cents", "1.02"),
        ("5 cm^2", "5"),
    ],
)
def test_one_grammar_reads_every_spelling(text: str, value: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert canonical(number) == value


@pytest.mark.parametrize("text", ["", "...", "5 and 6", "4 + 4", "one of them", "7/0", "x^2", "e5", "9" * 5_000])
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5-3=2", ["5", "3", "2"]),
        ("pages 10–20", ["10", "20"]),
        ("x2 and A4", []),
        (r"2\times 3 = -6", ["2", "3", "-6"]),
        ("6 8 point bucks", ["6", "8"]),
        ("$2,000, or 3", ["2000", "3"]),
    ],
)
def test_numbers_in_prose(text: str, values: list[str]) -> None:
    assert [canonical(number.value) for number in find_numbers(text)] == values


@pytest.mark.parametrize(
    ("text", "value", "rule"),
    [
        pytest.param("The total is $29.00.", "29", "last-number", id="sentence punctuation"),
        pytest.param("So 3 * 3 = 9, in about 2 hours.", "9", "last-number", id="result before a later number"),
        pytest.param("It is 18...", "18", "last-number", id="ellipsis"),
        pytest.param("Example: #### 5\nMine: 3 + 4 = 7\n#### 7", "7", "hash", id="recited exemplar"),
        pytest.param(r"so \boxed{4} ... wait, \boxed{3}", "3", "boxed", id="self-correction"),
        pytest.param("#### 1\n\nThe answer is 10.", "10", "answer-is", id="last statement wins"),
        pytest.param("The answer is 44.\n\\boxed{answer}", "44", "answer-is", id="placeholder"),
        pytest.param(r"\boxed{6} Check: \boxed{answer.}", "6", "boxed", id="box, then placeholder"),
        pytest.param("The answer is 4.\n#### 4\n#### 22\n#### 31\n#### 31", "4", "hash", id="hashes ramble on"),
        pytest.param("#### Step 2: add 3\nThe sum is 8.", "8", "last-number", id="heading"),
        pytest.param("##### She paid $0.40 - $0.10 = $0.30", "0.3", "hash", id="equation after hashes"),
        pytest.param("#### 8 cents is 1 dollar and 2 cents.", "1.02", "hash", id="value in words"),
        pytest.param("The final answer is 4 + 4 = 8 gallons.", "8", "answer-is", id="equation after the anchor"),
        pytest.param("The answer is twelve.", "12", "answer-is", id="spelled out"),
        pytest.param("So there are 6 8 point bucks.\n\nIt's worth noting 0.67.", "6", "last-number", id="commentary"),
        pytest.param("The answer is not 5. It is 7.", "7", "last-number", id="denied"),
        pytest.param("**Answer**\n\n18", "18", "answer-is", id="heading and line"),
        pytest.param("<think>\\boxed{1}</think>2", "2", "bare", id="thought"),
        pytest.param("You could make 36 browns if you have 96 potatoes.", "36", "last-number", id="condition"),
    ],
)
def test_rules_in_order(text: str, value: str, rule: str) -> None:
    answer = read(text)
    assert (answer.value, answer.rule) == (value, rule)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "none"),
        ("I like one of them.", "none"),
        ("He has 2 pens. How many pens does he have if he buys 4 more?", "none"),
        ("The answer is 5 or 6.", "several"),
        ("It could be 14 or 16.", "several"),
        (r"\boxed{5} or \boxed{6}", "several"),
        ("#### 3\n#### 10\n#### 56\n#### 10", "several"),
        ("10 litres and 24 litres are given.\nThe answer is \\boxed{answer}.", "wrong-format"),
        ("<think>\\boxed{5}", "unfinished-thought"),
    ],
)
def test_no_answer(text: str, rule: str) -> None:
    assert read(text) == Answer(None, rule, detail=read(text).detail)


@pytest.mark.parametrize(
    "text",
    [
        "so we have 12 apples and 3",
        r"The answer is \boxed{4",
        "The answer is 22",
        "#### 12",
        "so the answer is 3 * 9 = 27. Next we",
        "12",
        "So 2 * 5 = 10.",
    ],
)
def test_truncation_never_takes_the_last_number_nor_one_that_touches_the_end(text: str) -> None:
    assert read(text, "length").value is None
    assert read(text, "length").rule == "cut"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\boxed{4}", "4"),
        ("So the answer is 100. But if we", "100"),
        ("The answer is 4.\n\n#### 4\n\nOscar has 2 left over after", "4"),
        ("The answer is 225.\n#### 22", "225"),
        ("Adding up.\n\nSo, Hannah will see 700 fireworks in total.", "700"),
    ],
)
def test_truncation_keeps_a_complete_anchored_answer(text: str, value: str) -> None:
    answer = read(text, "length")
    assert (answer.value, answer.anchored) == (value, True)


def test_the_last_number_is_not_anchored() -> None:
    assert not read("She has 5 apples now and goes home.").anchored
    assert read("#### 5").anchored


SPELLINGS = {
    "plain": lambda n: str(n),
    "commas": lambda n: f"{n:,}",
    "blanks": lambda n: f"{n:,}".replace(",", " "),
    "unicode minus": lambda n: str(n).replace("-", "−"),
    "currency": lambda n: f"${n:,}",
    "percent": lambda n: f"{n}%",
    "decimal": lambda n: f"{n}.00",
    "latex": lambda n: f"\\text{{{n}}}",
    "unit": lambda n: f"{n} apples",
    "bold": lambda n: f"**{n}**",
    "scientific": lambda n: f"{n}e0",
}


@given(st.integers(-(10**12), 10**12), st.sampled_from(sorted(SPELLINGS)))
def test_any_integer_in_any_spelling_comes_back(number: int, spelling: str) -> None:
    text = SPELLINGS[spelling](number)
    assert parse_number(text) == number
    assert read(f"The answer is {text}.").value == str(number)
    assert read(f"\\boxed{{{text}}}").value == str(number)


@given(st.fractions(max_denominator=10_000))
def test_canonical_strings_come_back(number: Fraction) -> None:
    assert parse_number(canonical(number)) == number


@given(st.text(st.characters(), max_size=400), st.sampled_from(["stop", "length"]))
@settings(max_examples=300)
def test_no_text_raises(text: str, finish: str) -> None:
    read(text, finish)
    parse_number(text)


FRAGMENTS = [
    "\\boxed{",
    "\\boxed 5 ",
    "{",
    "}",
    "1",
    "1,",
    "111,",
    "1 ",
    "1/",
    "\\frac{",
    "#### ",
    "answer is ",
    "\0",
    "\ud800",
]
FRAGMENTS += [
    "\u202e",
    "½",
    "=",
    "-",
    "the answer is 5. ",
    "one hundred ",
    "<think>",
    "</think>",
    "**",
    "\\text{",
    " ",
    "\n",
    "5 or ",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12), st.sampled_from(["stop", "length"]))
@settings(max_examples=300)
def test_no_mixture_of_marks_raises(fragments: list[str], finish: str) -> None:
    read("".join(fragments), finish)


@ends_a_hang
@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_hostile_text_costs_linear_time(fragment: str) -> None:
    text = (fragment * 100_000)[:100_000]
    for finish in ("stop", "length"):
        assert calls(lambda finish=finish: read(text, finish)) <= CALLS_A_CHARACTER * len(text)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "finish", "value", "rule"),
    [
        ("a total of twenty-seven", "stop", "27", "bare"),
        ("7?", "stop", None, "none"),
        ("7 (?)", "stop", "7", "last-number"),
        ("#### 5\n#### 6", "stop", "6", "hash"),
        ("#### 5\n#### 6\n#### 7", "stop", None, "several"),
        ("#### 5\n\n # \n#### 6\n#### 7", "stop", None, "several"),
        ("The answer is 5.\n#### 5\n#### 6", "stop", "5", "hash"),
        (r"\boxed{5} then \boxed{6", "length", None, "cut"),
        (r"\boxed{56} then \boxed{5", "length", "56", "boxed"),
        ("x\nSo, she has 7 apples in total.", "length", "7", "conclusion"),
        ("x\nSo, she has 7 apples in total", "length", None, "cut"),
        ("x\nSo, that is 7 = all.", "length", None, "cut"),
        ("x\nSo, she has 2 red and 7 green apples.", "length", None, "cut"),
    ],
)
def test_which_statement_is_the_answer(text: str, finish: str, value: str | None, rule: str) -> None:
    said = read(text, finish)
    assert (said.value, said.rule) == (value, rule)


def test_a_program_says_nothing_until_it_is_run() -> None:
    said = read("```python\nx = 3\nprint(x + 4)\n```")
    assert (said.value, said.rule, said.detail) == (None, "none", "code")
