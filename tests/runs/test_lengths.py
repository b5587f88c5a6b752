from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from recorded_runs import record

from pytest_thinkslm.core.item_record import ItemLine
from pytest_thinkslm.runs.lengths import can_be_looked_for, length_change, lengths, value_position


def change(before: list[Mapping[str, Any]], now: list[Mapping[str, Any]], lost: list[str]) -> Any:
    sides = [lengths(cast("list[ItemLine]", side)) for side in (before, now)]
    (old,), (new,) = (list(side.values()) for side in sides)
    return length_change(old, new, lost)


@pytest.mark.parametrize(
    ("text", "gold", "place"),
    [
        ("it is 12.", "12", 6),
        ("it is 1,200 km", "1200", 6),
        ("it is $1,200.00", "1200", 7),
        ("112, 12.5, x12, 120, 12th", "12", None),
        ("5-12 = -7", "-7", 7),
        ("0.50", "0.5", 0),
        ("1,2,3", "3", 4),
        ("", "3", None),
    ],
)
def test_a_number_is_found_however_it_is_written(text: str, gold: str, place: int | None) -> None:
    assert value_position(text, gold) == place


@pytest.mark.parametrize(
    ("gold", "question", "can"),
    [
        ("12", "3 and 4 make?", True),
        ("12", "Of 12 apples, 0 were eaten.", False),
        ("B", "A) 1 B) 2", False),
        ([1, 2], "Sort.", False),
        (r"\frac{1}{2}", "Half of 1?", False),
        (None, "", False),
    ],
)
def test_only_numbers_that_the_question_does_not_have_are_looked_for(gold: Any, question: str, can: bool) -> None:
    assert can_be_looked_for(gold, question) is can


def test_a_row_of_lengths() -> None:
    """Twice the tokens; a third loops now; one of two lost items had the right value and left it."""
    fields: dict[str, Any] = {"gold": "42", "messages": [{"role": "user", "content": "6 times 7?"}]}
    before = [
        record(item, True, output_tokens=100, output="so 42, therefore 42", finish_reason="stop", **fields)
        for item in range(9)
    ]
    now = [
        record(
            item,
            item >= 2,
            quant="w8a8",
            output_tokens=200,
            output=("so 42? No: 43" if item == 0 else "hence it is 43" if item == 1 else "hence, it is 42"),
            finish_reason="length" if item >= 5 else "stop",
            failure="repetition" if item >= 6 else None,
            **fields,
        )
        for item in range(9)
    ]
    found = change(before, now, ["0000", "0001"])
    assert (found["n"], found["tokens"]) == (9, {"before": 100, "now": 200})
    assert (found["ratio"], found["ratio_ci95"], found["median_ratio"]) == (2, [2, 2], 2)
    assert found["loops"] == {"before": 0, "now": pytest.approx(3 / 9, abs=1e-6)}
    assert found["cut"] == {"before": 0, "now": pytest.approx(1 / 9, abs=1e-6)}
    assert found["tokens_per_solved"] == {"before": 100, "now": pytest.approx(1800 / 7, abs=1e-6)}
    reached = found["reached"]
    assert (reached["checked"], reached["both"], reached["lost"], reached["lost_had_it"]) == (9, 8, 2, 1)
    assert reached["position"]["before"] < reached["position"]["now"]
    assert reached["lost_had_it_ci95"][0] < 0.5 < reached["lost_had_it_ci95"][1]


def test_thoughts_have_a_change_of_their_own() -> None:
    """A thought that doubles while the answer halves: half of 100 tokens, then four fifths of 125."""
    before = [record(item, True, output_tokens=100, reasoning="t" * 40, output="a" * 40) for item in range(3)]
    now = [record(item, True, quant="q", output_tokens=125, reasoning="t" * 80, output="a" * 20) for item in range(3)]
    found = change(before, now, [])
    assert found["thought"]["tokens"] == {"before": 50, "now": 100}
    assert (found["ratio"], found["thought"]["ratio"], found["thought"]["median_ratio"]) == (1.25, 2, 2)
    assert "thought" not in change([record(1, True, output_tokens=9)], [record(1, True, output_tokens=9)], [])


def test_errors_and_outputs_without_a_count_are_left_out() -> None:
    before = [record(item, True, output_tokens=100) for item in range(3)]
    now = [
        record(0, True, quant="q", output_tokens=50),
        record(1, False, quant="q", verdict="error", output_tokens=None),
        record(2, False, quant="q", output_tokens=None),
    ]
    assert change(before, now, [])["n"] == 1
    assert change(before, now[1:], []) is None


def test_thoughts_and_repeats_count() -> None:
    fields: dict[str, Any] = {"gold": "42", "messages": [{"role": "user", "content": "6 times 7?"}]}
    before = [record(0, True, repeat=k, output_tokens=100 * k, output="42", **fields) for k in (1, 2)]
    now = [
        record(0, False, repeat=k, quant="q", output_tokens=100, output="43", reasoning="42 or 43", **fields)
        for k in (1, 2)
    ]
    found = change(before, now, ["0000"])
    assert (found["tokens"], found["reached"]["lost_had_it"]) == ({"before": 150, "now": 100}, 1)
    assert found["tokens_per_solved"] == {"before": 150, "now": None}
