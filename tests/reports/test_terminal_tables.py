"""Short tables of many variants."""

from __future__ import annotations

from typing import cast

from pytest_thinkslm.reports.terminal_tables import overview_tables
from pytest_thinkslm.runs.types import Results


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
