"""Values of expressions: exact, bounded, and equal only where they are."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import ends_a_hang

from pytest_thinkslm.scoring.answers.arithmetic import NotUnderstood, integer_root, power
from pytest_thinkslm.scoring.answers.evaluate import is_costly, same_equation, same_value, value_of
from pytest_thinkslm.scoring.answers.latex import normalise


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3.5", -3.5),
        (r"\frac{3}{4}", 0.75),
        (r"-\frac{\sqrt{3}}{2}", -math.sqrt(3) / 2),
        (r"2\sqrt{5}", 2 * math.sqrt(5)),
        (r"\sqrt[3]{27}", 3),
        (r"3\pi", 3 * math.pi),
        (r"\frac{\pi}{6}", math.pi / 6),
        (r"2^{10}", 1024),
        (r"1+\sqrt{2}", 1 + math.sqrt(2)),
        (r"(2+3)(4)", 20),
        (r"2\cdot3\times4", 24),
        (r"6/4", 1.5),
        (r"\frac12", None),  # the tokens hold "12" together
        (r"3\frac{1}{2}", None),
        ("2 3", None),
        ("x+1", None),
        (r"\sin 3", None),
        ("5!", 120),
        (r"\binom{5}{2}", 10),
        (r"\log 100", None),
        ("(1,2)", None),
        ("(1", None),
        ("1)", None),
        ("", None),
        ("2^{1000}", 2**1000),
        (r"\frac{1}{0}", None),
        (r"\sqrt{-4}", None),
        ("(" * 150, None),
    ],
)
def test_values(text: str, value: float | None) -> None:
    found = value_of(text)
    assert found is None if value is None else found == pytest.approx(value)


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (r"\frac{\sqrt{3}}{2}", "7", "different"),
        (r"\frac{\sqrt{12}}{4}", r"\frac{\sqrt{3}}{2}", "equal"),
        (r"\frac{1}{2006!}", r"\frac{1}{2004!}", "different"),
        (r"\sqrt{2}+\frac{1}{2^{300}}", r"\sqrt{2}", "different"),
        (r"\sqrt{2}\cdot10^{80}+1", r"\sqrt{2}\cdot10^{80}", "different"),
        ("(x+1)(x-2)", "x^2-x-2", "equal"),
        ("x^{2006}+1", "x^{2006}", "different"),
        (r"\sin^2x+\cos^2x", "1", "equal"),
        ("6+9i", "9i+6", "equal"),
        ("6+9i", "6-9i", "different"),
        ("9^{9^{9^9}}", "5", "too-large"),
        (r"9^{9^9}", "3^{9^9}", "different"),
        ("999999999!", "5", "different"),
        (r"\sqrt{x^2}", "x", "different"),
        ("x<3", "3", None),
        ("even", "odd", None),
    ],
)
def test_same_value(one: str, two: str, said: str | None) -> None:
    assert same_value(one, two) == same_value(two, one) == said


def test_equations_that_are_multiples_of_one_another() -> None:
    assert same_equation(("y", "2x+3"), ("2x-y", "-3")) == "equal"
    assert same_equation(("x+y", "1"), ("x+y", "2")) is None
    assert same_equation(("1", "1"), ("2", "2")) is None


@ends_a_hang
@settings(deadline=None)
@given(
    st.text(alphabet=r"0123456789.+-*/^(){}[]!xyei\fracsqrtbinom ", max_size=40), st.sampled_from(["5", "x", r"\pi"])
)
def test_no_text_hangs_or_raises(text: str, other: str) -> None:
    assert same_value(text, other) in ("equal", "different", "too-large", None)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9))
def test_a_sum_is_equal_to_its_value_alone(one: int, two: int, three: int) -> None:
    total = one * three + two
    assert same_value(rf"({one})\cdot{three}+({two})", str(total)) == "equal"
    assert same_value(rf"({one})\cdot{three}+({two})", str(total + 1)) == "different"


@given(st.text(alphabet=r"0123456789.+-*/^(){}[]\fracsqrtpi cdotimes", max_size=40))
def test_any_text_has_a_finite_value_or_none(text: str) -> None:
    value = value_of(text)
    assert value is None or math.isfinite(value)


@given(st.integers(-999, 999), st.integers(1, 99))
def test_fractions_have_their_value(numerator: int, denominator: int) -> None:
    assert value_of(normalise(rf"\frac{{{numerator}}}{{{denominator}}}")) == pytest.approx(numerator / denominator)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\sqrt[3]{27}", "3"),
        (r"\sqrt[3]{1000}", "10"),
        (r"\sqrt{0}", "0"),
        (r"\sqrt[5]{0}", "0"),
        (r"\sin e", r"\sin(e)"),
    ],
)
def test_roots_and_bare_arguments(one: str, other: str) -> None:
    assert same_value(one, other) == "equal"
    assert same_value(one, f"{other}+1") == "different"


def test_roots_of_other_powers_stay_roots() -> None:
    assert [integer_root(number, 3) for number in (0, 1, 8, 9, 12, 26, 27)] == [0, 1, 2, None, None, None, 3]


@pytest.mark.parametrize(
    ("text", "costly"), [("()" * 300, False), ("(" * 300 + ")" * 300, True), ("(X" * 300, True), ("[{(1)}]", False)]
)
def test_many_brackets_within_each_other_are_costly(text: str, costly: bool) -> None:
    assert is_costly(text) is costly


def test_powers_of_complex_numbers_end_at_a_thousand() -> None:
    assert power(1j, Fraction(1000)) == pytest.approx(1)
    with pytest.raises(NotUnderstood):
        power(1j, Fraction(1001))
