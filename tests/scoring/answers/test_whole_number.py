"""A box of a number is read whole or not at all."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.records import Output
from pytest_thinkslm.scoring.answers.numbers import canonical, read_number
from pytest_thinkslm.scoring.answers.region import final_region
from pytest_thinkslm.scoring.answers.units import is_lead, is_unit
from pytest_thinkslm.scoring.answers.whole_number import parse_number, worked_out


def boxed(content: str) -> str | None:
    value = read_number(final_region(Output(f"So it is \\boxed{{{content}}}."))).value
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (r"1.25\text{ million}", "1250000"),
        (r"1.25\text{M}", "1250000"),
        ("1_250_000", "1250000"),
        ("1'250'000", "1250000"),
        ("1.250.000", "1250000"),
        ("1.234,50", "1234.5"),
        (r"-\,5", "-5"),
        (r"\text{-}5", "-5"),
        (r"2 \tfrac{1}{2}", "2.5"),
        (r"2\,\frac{1}{2}", "2.5"),
        (r"2 + \frac{1}{2}", "2.5"),
        (r"\sqrt{25}", "5"),
        ("5^2", "25"),
        ("3!", "6"),
        (r"12^{\text{th}}", "12"),
        (r"7:00 \text{ PM}", "7"),
        (r"\text{Total: }1430", "1430"),
        (r"\pounds 1430", "1430"),
        (r"-5^\circ\text{C}", "-5"),
        (r"\frac{16}{3} \approx 5.33", "5.33"),
        ("5 = x", "5"),
        ("5 (five)", "5"),
        (r"5 \text{ m/s}^2", "5"),
        ("12万", "120000"),
        ("12个苹果", "12"),
        ("3 and a half hours", "3.5"),
        ("a thousand", "1000"),
        (r"\color{blue}{5}", "5"),
    ],
)
def test_boxes_that_are_one_number(content: str, value: str) -> None:
    assert boxed(content) == value


@pytest.mark.parametrize(
    "content",
    [
        r"\sqrt{5}",
        r"5\text{ or }6",
        r"5\text{ and }6",
        "5, 6",
        "5x",
        "f(5)",
        r"\log 5",
        r"\pm 5",
        "x > 5",
        r"x \neq 5",
        r"5\text{ or less}",
        r"\text{at least }5",
        r"\text{not }5",
        "5:30",
        r"5\text{ squared}",
        r"5\text{ h }30\text{ min}",
        r"\frac{1}{2}\text{ of }5",
        "5 minus something",
    ],
)
def test_boxes_that_are_none(content: str) -> None:
    assert boxed(content) is None


#: Text that changes a number's value, or offers another, before or behind it.
BEFORE = (
    "\\sqrt",
    "not ",
    "at least ",
    "less than ",
    "x > ",
    "\\pm ",
    "2 \\times ",
    "f",
    "6 - ",
    "6 or ",
    "half of ",
    "x",
)
AFTER = (
    "x",
    "^2",
    "!",
    " or 6",
    " and 6",
    ", 6",
    " squared",
    " million",
    "\\text{ thousand}",
    " + 6",
    " \\cdot 6",
    "/7",
)
AFTER += (
    "\\text{ or more}",
    " minus x",
    " times y",
    "\\pi",
    "^{2}",
    "n",
    " point 6",
    " < x",
    "\\text{, not }6",
    "k",
    "万",
)


BESIDE = [(text, "") for text in BEFORE] + [("", text) for text in AFTER]


@given(st.integers(13, 10**6), st.sampled_from(BESIDE))
def test_a_box_is_never_read_in_part(number: int, beside: tuple[str, str]) -> None:
    before, after = beside
    group = f"{{{number}}}" if before == "\\sqrt" else f"({number})" if before == "f" else str(number)
    assert boxed(f"{before}{group}{after}") != str(number)


@given(st.integers(1, 10**6), st.text(max_size=12), st.text(max_size=12))
def test_whatever_stands_beside_a_number_is_known_or_it_is_unread(number: int, before: str, after: str) -> None:
    value = parse_number(f"{before}{number}{after}")
    if value == number and (before.strip() or after.strip()):
        beside = re.sub(r"[\s$.,;:!*_`\"'{}()\[\]~\\%°]", " ", before), re.sub(r"[\\{}()\[\]*_`\"']", " ", after)
        assert not re.search(r"[+*/^<>]", before + after)
        assert not any(character.isnumeric() and character not in "0²³" for character in before + after)
        assert is_lead(beside[0]) or "=" in before
        assert is_unit(beside[1]) or "=" in after or not re.search(r"[^\W_]", beside[1])


UNITS = (
    "",
    " apples",
    r"\text{ cm}",
    r"\%",
    "%",
    r"\ \text{dollars}",
    " miles per hour",
    " kg",
    r"^\circ",
    " km/h",
    "元",
    " m^2",
)
LABELS = (
    "",
    "x = ",
    r"\text{Total: }",
    r"\text{The answer is } ",
    r"\approx ",
    "about ",
    "$",
    r"\$",
    r"\text{Cost} = ",
)
SPACING = ("", r"\,", r"\;", r"\ ", " ", r"\quad ", "~")
WRAPPED = ("{}", r"\text{{{}}}", r"\color{{red}}{{{}}}", r"\mathbf{{{}}}", r"\boxed{{{}}}")
SPELLED = ("{}", "{:,}", "{}.0", "{}.00")
STATEMENTS = (
    *(
        "So \\boxed{{{}}}.",
        "The answer is {}.",
        "#### {}",
        "**Answer:** {}",
        "答案是{}。",
        "La respuesta es {}.",
        "Ответ: {}",
    ),
    *("Die Antwort ist {}.", "La réponse est {}.", "정답: {}", "\\boxed{{9}} is wrong.\n\nThe answer is {}."),
)


@given(
    number=st.integers(-(10**7), 10**7),
    label=st.sampled_from(LABELS),
    unit=st.sampled_from(UNITS),
    spacing=st.sampled_from(SPACING),
    wrapped=st.sampled_from(WRAPPED),
    spelled=st.sampled_from(SPELLED),
)
def test_any_number_in_any_dress_comes_back(
    number: int, label: str, unit: str, spacing: str, wrapped: str, spelled: str
) -> None:
    content = f"{spacing}{label}{wrapped.format(spelled.format(number))}{unit}{spacing}"
    assert boxed(content) == str(number)
    assert boxed(content) != str(number + 1)


@given(
    st.integers(-(10**7), 10**7), st.sampled_from(STATEMENTS), st.sampled_from(("", " apples", " dollars", "%", " km"))
)
def test_any_number_in_any_statement_comes_back(number: int, statement: str, unit: str) -> None:
    assert read_number(final_region(Output(statement.format(f"{number}{unit}")))).value == str(number)


@pytest.mark.parametrize("content", ["5 {apples}", "5 {}", "{5} apples", "5 {apples}!"])
def test_a_unit_in_braces_is_a_unit(content: str) -> None:
    assert boxed(content) == "5"


@given(st.fractions(max_denominator=999))
def test_fractions_come_back_in_latex(number: Fraction) -> None:
    text = rf"\frac{{{number.numerator}}}{{{number.denominator}}}"
    assert parse_number(text) == number
    assert boxed(text) == canonical(number)


@given(st.integers(1, 30), st.integers(1, 30))
def test_computations_are_worked_out(one: int, two: int) -> None:
    assert worked_out(f"{one} + {two}") == one + two
    assert worked_out(f"{one}^2") == one**2
    assert parse_number(f"{one} + {two}") is None
