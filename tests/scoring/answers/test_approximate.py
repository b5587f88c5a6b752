from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.scoring.answers.approximate import surely_different, value_of
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
        ("5!", None),
        ("(1,2)", None),
        ("(1", None),
        ("1)", None),
        ("", None),
        ("2^{1000}", None),
        (r"\frac{1}{0}", None),
        (r"\sqrt{-4}", None),
        ("(" * 150, None),
    ],
)
def test_values(text: str, value: float | None) -> None:
    found = value_of(text)
    assert found is None if value is None else found == pytest.approx(value)


def test_values_apart_are_told_apart() -> None:
    assert surely_different(r"\frac{\sqrt{3}}{2}", "7")
    assert not surely_different(r"\frac{\sqrt{12}}{4}", r"\frac{\sqrt{3}}{2}")
    assert not surely_different("x", "7")
    assert not surely_different("7", "x")


@given(st.text(alphabet=r"0123456789.+-*/^(){}[]\fracsqrtpi cdotimes", max_size=40))
def test_any_text_has_a_finite_value_or_none(text: str) -> None:
    value = value_of(text)
    assert value is None or math.isfinite(value)


@given(st.integers(-999, 999), st.integers(1, 99))
def test_fractions_have_their_value(numerator: int, denominator: int) -> None:
    assert value_of(normalise(rf"\frac{{{numerator}}}{{{denominator}}}")) == pytest.approx(numerator / denominator)
