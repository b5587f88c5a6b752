from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_runs import record

from pytest_thinkslm.core.item_record import ItemLine, group_key
from pytest_thinkslm.runs.breaks import breaks, broken, false_step, where_it_broke
from pytest_thinkslm.runs.equations import equations
from pytest_thinkslm.runs.equations import false_equation as first_false


def false_equation(text: str) -> str | None:
    found = first_false(text)
    return None if found is None else text[found.start : found.end]


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
        ("14 trays * 12 rolls/tray = 178 rolls", "14 trays * 12 rolls/tray = 178"),
        ("3 * $4 = $<<3*4=14>>14", "3*4=14"),
        ("so 35% of 240 is 94", "35% of 240 is 94"),
        ("half of 96 is 46", "half of 96 is 46"),
        ("255 divided by 3 is 75", "255 divided by 3 is 75"),
        (r"$\frac{9}{12} + \frac{10}{12} = \frac{17}{12}$", r"\frac{9}{12} + \frac{10}{12} = \frac{17}{12}"),
        (r"$\sqrt{36} = 8$", r"\sqrt{36} = 8"),
        (r"$2^7 = 14$", "2^7 = 14"),
        ("72 = 9 * 6", "72 = 9 * 6"),
        ("5 + 3 = 8 + 2 = 11", "8 + 2 = 11"),
        ("7 * 8 = 54? No, 7 * 8 = 56.", None),
        ("7 * 8 = 54. Hmm, that is 56", None),
        ("5 + 3 = 8 + 2 = 10", None),
        ("80 - 15% = 68", None),
        ("40 * 25 m = 1 km", None),
        ("0.375 * 100 = 37.5%", None),
        ("2 / 3 = 66.67%", None),
        (r"$a_1 = 14 \cdot 36$", None),
        (r"$x = 26 - 10$ and $y = 10$", None),
        ("32x - 4x^2 = 12x, 0 = 4x^2 - 20x", None),
        ("60 - 32 = 4 x x, so 28 = 4 x x", None),
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


@pytest.mark.parametrize(
    ("question", "text", "found"),
    [
        ("She bakes 14 trays of 95 rolls.", "14 trays of 59 rolls", "59"),
        ("The book has 1,152 pages.", "The book has 1,125 pages.", "1,125"),
        ("He has 11 wins and 6 draws.", "10 wins are 30 points, 6 draws 6", "10"),
        ("16 kWh an hour", "It takes 60 kWh an hour", "60"),
        ("1 egg in 9 is broken", "1 egg in 6 is broken", "6"),
        ("Evaluate $2^7 - 3^4$.", "$2^7 - 3^5 = 128 - 243$", "5"),
        ("Expand $(x+3)(x-5)$.", "$(x+4)(x-5) = x^2 - x - 20$", "4"),
        ("14 trays of 95 rolls", "95 rolls, 59 of them sold, on 14 trays", None),
        ("14 trays of 95 rolls", "14 * 5 = 70, and so on: 59 was never there = 59", "59"),
        ("14 trays of 95 rolls", "20 + 39 = 59, 59 rolls", None),
        ("25% of the 8 points", "8 * .25 = 2 points", None),
        ("It loses 15 litres a day", "In ten days it loses 150", None),
        (r"Simplify $\frac{3}{4} x^2 + 20$", r"$\frac{7}{8} x^2 - 2x - 15$", None),
        ("", "12 and 13", None),
    ],
)
def test_a_number_copied_wrong_is_found_and_no_other(question: str, text: str, found: str | None) -> None:
    step = false_step(text, question)
    assert (step and step.text) == found
    assert step is None or step.kind == "copied"


def test_the_first_of_both_is_the_false_step() -> None:
    question = "14 trays of 95 rolls"
    assert false_step("14 * 2 = 29, 59 rolls", question).text == "14 * 2 = 29"  # type: ignore[union-attr]
    assert false_step("59 rolls on 14, 14 * 2 = 29", question).text == "59"  # type: ignore[union-attr]


@given(st.text(alphabet="0123456789+-*/^!()=., $x%\\{}_fracsqt\n", max_size=80), st.text(max_size=20))
def test_any_text_and_question_are_looked_at_without_an_error(text: str, question: str) -> None:
    for found in equations(text):
        assert 0 <= found.start < found.result < found.end <= len(text)
    step = false_step(text, question)
    assert step is None or text[step.start : step.end]


def test_the_time_is_linear_in_the_text() -> None:
    """Hostile texts end within the test's own limit: they would take hours otherwise."""
    for text in (
        "1+" * 20_000 + "=2",
        "(" * 20_000 + "1=1",
        "1=" * 20_000,
        "1 a " * 20_000 + "= 1",
        "9^" * 20_000 + "9=1",
    ):
        false_step(text, "1 2 3")


def line(output: str, item: int = 0, **fields: Any) -> ItemLine:
    more = {"gold": "42", "messages": [{"role": "user", "content": "6 times 7?"}], **fields}
    return cast("ItemLine", record(item, False, output=output, **more))


@pytest.mark.parametrize("digits", ["0." + "3" * 5_000, "1" * 5_000])
def test_a_number_that_a_loop_writes_is_read_without_an_error(digits: str) -> None:
    """Python converts no more than 4,300 digits to a number."""
    assert false_step(f"12 + 30 = 43, that is {digits}", "3 and 4") is not None
    assert false_step("6 apples", f"{digits} and 4") is None
    looping = line(f"6 * 7 = 42, that is {digits}", finish_reason="length", failure="repetition")
    assert where_it_broke(looping).name == "loop"
    assert where_it_broke(line(f"6 * 7 = 42 is {digits}", answer=digits)).name == "abandoned"


@pytest.mark.parametrize("answer", ["2^{2000}", "1" * 400])
def test_an_answer_beyond_the_range_of_floats_is_another_one(answer: str) -> None:
    assert where_it_broke(line(f"6 * 7 = 42, so {answer}", answer=answer)).name == "abandoned"


@pytest.mark.parametrize(
    ("output", "fields", "name"),
    [
        ("6 * 7 = 43", {}, "equation"),
        ("6 + 7 = 13", {}, "plan"),
        ("6 * 7 = 42. Or 43? It is 43.", {}, "abandoned"),
        ("I think of 42", {"answer": None}, "form"),
        ("6 * 7 = 42 apples", {"answer": "0.42"}, "form"),
        ("6 * 7 = 42, so \\boxed{42 \\text{ apples and 3 pears}}", {"answer": "3"}, "form"),
        ("8 * 7 = 56", {"messages": [{"role": "user", "content": "The 60 pupils, 7 each?"}]}, "plan"),
        ("50 pupils * 7 = 350", {"messages": [{"role": "user", "content": "The 60 pupils, 7 each?"}]}, "copied"),
        ("2 * 15 = 30 and 30 + 12 = 42 for 89", {"messages": [{"role": "user", "content": "98 + 15?"}]}, "abandoned"),
        ("6 * 7 = 43, that is", {"finish_reason": "length"}, "cut"),
        ("42 42 42 42", {"finish_reason": "length", "stopped": "loop"}, "loop"),
        ("6 * 7 = 43", {"messages": [{"role": "user", "content": "Is it 42?"}]}, "equation"),
    ],
)
def test_each_lost_item_has_one_class(output: str, fields: dict[str, Any], name: str) -> None:
    assert where_it_broke(line(output, **fields)).name == name


def test_the_first_wrong_output_of_each_item_counts() -> None:
    lines = [line("6 * 7 = 42"), line("6 * 7 = 43", repeat=2), line("no", item=1), line("6 * 7 = 44", item=2)]
    lines[0]["verdict"] = "correct"
    key = group_key(lines[0])
    found = broken(lines, {(key, "0000"), (key, "0001")})
    assert {item: broke.name for (_, item), broke in found.items()} == {"0000": "equation", "0001": "plan"}
    lost = {item: broke for (_, item), broke in found.items()}
    assert breaks(lost, [*lost.values(), lost["0001"]]) == {
        "lost": {"equation": 1, "plan": 1},
        "gained": {"equation": 1, "plan": 2},
        "steps": [{"item": "0000", "kind": "equation", "text": "6 * 7 = 43"}],
    }
