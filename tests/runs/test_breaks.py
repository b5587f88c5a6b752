from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_runs import record

from pytest_thinkslm.core.item_record import ItemLine, group_key
from pytest_thinkslm.runs.breaks import breaks, false_equation, where_it_broke


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So 12 + 30 = 42, and 42 * 2 = 85.", "42 * 2 = 85"),
        ("She has $5 + $3 = $9 left", "5 + $3 = $9"),
        ("3 × 4 = 13", "3 × 4 = 13"),
        (r"\[ 3 \times 4 = 13 \]", r"3 \times 4 = 13"),
        ("1,200 / 4 = 310", "1,200 / 4 = 310"),
        ("(5 + 3) * 2 = 15 apples", "(5 + 3) * 2 = 15"),
        ("1. 5 + 3 = 9", "5 + 3 = 9"),
        ("2.5 * 2 = 5.5", "2.5 * 2 = 5.5"),
        ("2 + 3 = 5, 4 + 4 = 9", "4 + 4 = 9"),
        ("8 - 10 = 2", "8 - 10 = 2"),
        ("12 + 30 = 42", None),
        ("10 / 3 = 3.33", None),
        ("10 / 3 = 3.34", None),
        ("10 / 3 = 3", None),
        ("2 / 3 = 0.67", None),
        ("1,200 * 2 = 2,400", None),
        ("half of 10 + 4 = 9", None),
        ("x + 3 = 7 + 1", None),
        ("2x + 3 = 7", None),
        ("2x + 3 + 1 = 7", None),
        ("x - 3 + 1 = 7", None),
        ("-3 + 1 = 7", "-3 + 1 = 7"),
        ("20% * 50 = 10", None),
        ("5 * 20 = 100%", None),
        ("3 + 4 = 7x", None),
        ("2 + 3 = five", None),
        ("4 + 4 = 2 * 4 = 8", None),
        ("3 * 1000000 = 3 million", None),
        ("5 + 3", None),
        ("n = 5", None),
        ("the sum (2 + 2 = 4) and 3 1/2 = 3.5", None),
        ("", None),
    ],
)
def test_the_first_false_equation_is_found_and_no_true_one(text: str, found: str | None) -> None:
    assert false_equation(text) == found


@given(st.integers(0, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(-3, 3))
def test_an_equation_is_false_where_its_sides_differ(a: int, sign: str, b: int, off: int) -> None:
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    assert (false_equation(f"Then {a} {sign} {b} = {value + off}. So it is.") is None) is (off == 0)


@given(st.text(alphabet="0123456789+-*/^()=., $x%\\\n", max_size=80))
def test_any_text_is_looked_at_without_an_error(text: str) -> None:
    found = false_equation(text)
    assert found is None or "=" in found


def line(output: str, item: int = 0, **fields: Any) -> ItemLine:
    more = {"gold": "42", "messages": [{"role": "user", "content": "6 times 7?"}], **fields}
    return cast("ItemLine", record(item, False, output=output, **more))


@pytest.mark.parametrize(
    ("output", "fields", "name"),
    [
        ("6 * 7 = 43", {}, "equation"),
        ("6 + 7 = 13", {}, "plan"),
        ("6 * 7 = 42. Or 43? It is 43.", {}, "abandoned"),
        ("I think of 42", {"answer": None}, "form"),
        ("6 * 7 = 43, that is", {"finish_reason": "length"}, "cut"),
        ("42 42 42 42", {"finish_reason": "length", "stopped": "loop"}, "loop"),
        ("6 * 7 = 43", {"messages": [{"role": "user", "content": "Is it 42?"}]}, "equation"),
    ],
)
def test_each_lost_item_has_one_class(output: str, fields: dict[str, Any], name: str) -> None:
    assert where_it_broke(line(output, **fields))[0] == name


def test_the_first_wrong_output_of_each_lost_item_counts() -> None:
    lines = [line("6 * 7 = 42"), line("6 * 7 = 43", repeat=2), line("no", item=1), line("6 * 7 = 44", item=2)]
    lines[0]["verdict"] = "correct"
    key = group_key(lines[0])
    assert breaks(lines, {key: frozenset({"0000", "0001"})}) == {
        key: {
            "classes": {"equation": 1, "plan": 1},
            "false_equations": [{"item": "0000", "equation": "6 * 7 = 43"}],
        }
    }
