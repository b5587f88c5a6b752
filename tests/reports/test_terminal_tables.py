"""Short tables of many variants."""

from __future__ import annotations

from typing import cast

import pytest

from pytest_thinkslm.reports.metric_table import metric_table
from pytest_thinkslm.reports.terminal_tables import overview_tables, passed_line, sentences_shown
from pytest_thinkslm.runs.types import GateJson, Results
from pytest_thinkslm.tasks.figures import ValueChange


def results_of(*models: str) -> Results:
    rates = {"unparsed_rate": 0.0, "truncated_rate": 0.0, "error_rate": 0.0}
    rows = [
        {
            "model": model,
            "quant": "none",
            "task": "gsm8k",
            "style": "cot",
            "n": 9,
            "accuracy": 1.0,
            "ci95": None,
            **rates,
        }
        for model in models
    ]
    return cast("Results", {"variants": [{"model": model, "quant": "none"} for model in models], "results": rows})


def test_models_of_one_name_and_two_owners_are_told_apart_in_the_overview() -> None:
    tables, _ = overview_tables(results_of("one/small", "two/small", "two/large"), 80)
    assert [row[0] for row in tables[0].rows] == ["one/small none", "two/small none", "large none"]
    tables, _ = overview_tables(results_of("one/small"), 80)
    assert [row[0] for row in tables[0].rows] == ["none"]


def test_break_downs_change_in_points_and_a_tasks_own_figures_as_they_are() -> None:
    change: ValueChange = {"before": 0.5, "now": 0.25, "difference": -0.25, "n": 8, "ci95": [-0.6, 0.125]}
    names = ("by_error_type.no unit", "by_subject.physics.acc_step", "script.pdr", "asp")
    table = metric_table([("mr_ben", "cot", dict.fromkeys(names, change))], "Changes")
    assert table is not None
    decimals = ["8", "0.500", "0.250", "-0.250", "-0.600 to +0.125"]
    assert [row[2:] for row in table.rows] == [
        ["error type no unit", "8", "50.0%", "25.0%", "-25.0", "-60.0 to +12.5"],
        ["subject physics.acc_step", *decimals],
        ["script pdr", *decimals],
        ["asp", *decimals],
    ]


def gates(*drops: float | None, state: str = "passed", kind: str = "regression") -> list[GateJson]:
    found = [{"state": state, "kind": kind, "fields": {"smallest_detectable_drop": drop}} for drop in drops]
    return cast("list[GateJson]", found)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (gates(7.66), ""),
        (gates(7.66, 8.91, 7.7), "drops of 7.7 to 8.9 points or more;"),
        (gates(7.66, 7.7), "drops of 7.7 points or more;"),
        (gates(7.66, None), "drops of 7.7 points or more, 1 of them none at all;"),
        (gates(None, None), "no drop at all;"),
        ([*gates(3.0), *gates(9.0, state="failed")], "drops of 3.0 points or more;"),
        (gates(7.66, 8.0, kind="noninferiority"), ""),
    ],
)
def test_a_line_says_what_the_gates_that_passed_can_see(given: list[GateJson], told: str) -> None:
    assert told in passed_line(given)
    assert bool(passed_line(given)) == bool(told)


def test_of_a_few_gates_those_that_did_not_pass_are_told_whole() -> None:
    few = [*gates(9.0, state="failed"), *gates(7.0, 8.0)]
    found = [("failed", "a: " + "why; " * 60), ("passed", "b: why"), ("passed", "c: why")]
    assert sentences_shown(few, found, every=False, certified=False) == (found[:1], 0)
    assert sentences_shown(few[:1], found[1:2], every=False, certified=False) == (found[1:2], 0)
    assert sentences_shown(few, found, every=True, certified=False) == (found, 0)
