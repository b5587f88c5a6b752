"""Figures of a group in results.json: intervals by cluster, several runs side by side."""

from __future__ import annotations

import pytest
from recorded_runs import record

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.reports.summary import details, repeat_line
from pytest_thinkslm.runs.results import summarise
from pytest_thinkslm.statistics import accuracy_interval

KEY = GroupKey("m", "none", "sort8_positive", "test_sort8_positive", "direct")


def test_single_runs_of_independent_items_have_wilsons_interval_and_no_repeats() -> None:
    row = summarise(KEY, [record(item, item < 30) for item in range(40)], (), None)
    assert row["ci_method"] == "Wilson"
    assert row["n_effective"] == 40
    assert "repeats" not in row


def test_clusters_widen_the_interval_and_are_named() -> None:
    records = [record(item, item < 60, cluster=f"q{item // 8}") for item in range(80)]
    row = summarise(KEY, records, (), None)
    expected = accuracy_interval([1.0] * 60 + [0.0] * 20, [f"q{item // 8}" for item in range(80)])
    assert row["ci95"] == pytest.approx([expected.low, expected.high], abs=1e-6)
    assert row["ci_method"] == "Wilson on the effective n (10 clusters)"
    assert float(str(row["n_effective"])) < 20
    assert "interval: Wilson on the effective n (10 clusters)" in details({**row, "metrics": {}})


#: Three items, three runs: answers by run; the first is right where it is "1".
ANSWERS = {0: "111", 1: "122", 2: "x2x"}


def three_runs() -> list[dict[str, object]]:
    lines = []
    for item, answers in ANSWERS.items():
        for repeat, answer in enumerate(answers, 1):
            fields = {"answer": answer} if answer != "x" else {"answer": None, "verdict": "unparsed"}
            lines.append(record(item, answer == "1", repeat=repeat, **fields))  # type: ignore[arg-type]
    return lines


def test_repeats_side_by_side() -> None:
    row = summarise(KEY, three_runs(), (), None)
    assert (row["n"], row["items"], row["correct"]) == (9, 3, 4)
    assert row["repeats"] == {
        "runs": [pytest.approx(2 / 3, abs=1e-6), pytest.approx(1 / 3, abs=1e-6), pytest.approx(1 / 3, abs=1e-6)],
        "mean": pytest.approx(4 / 9, abs=1e-6),
        "deviation": pytest.approx(0.19245, abs=1e-5),
        "pooled": {"correct": 4, "n": 9, "accuracy": pytest.approx(4 / 9, abs=1e-6)},
        "pass_at": {"1": pytest.approx(4 / 9, abs=1e-6), "3": pytest.approx(2 / 3, abs=1e-6)},
        "majority_vote": {"correct": 1, "n": 3, "accuracy": pytest.approx(1 / 3, abs=1e-6)},
    }
    assert row["ci_method"] == "Wilson on the effective n (3 items)"
    assert repeat_line(row) == (
        "3 runs: mean 44.4%, deviation over runs 19.25 points; pooled 44.4% (4 of 9); pass@3 66.7%, majority vote 33.3%"
    )


def test_repeats_never_count_as_items() -> None:
    once = summarise(KEY, [record(item, item % 2 == 0) for item in range(50)], (), None)
    thrice = [record(item, item % 2 == 0, repeat=repeat) for item in range(50) for repeat in (1, 2, 3)]
    row = summarise(KEY, thrice, (), None)
    assert float(str(row["n_effective"])) == pytest.approx(float(str(once["n_effective"])), rel=0.03)


def test_accuracy_and_interval_are_of_the_same_items_where_repeats_are_unequal() -> None:
    # Ten items that are always wrong were asked five times, thirty right ones once.
    records = [record(item, False, repeat=repeat) for item in range(10) for repeat in range(1, 6)]
    row = summarise(KEY, [*records, *(record(item, True) for item in range(10, 40))], (), None)
    assert row["accuracy"] == 0.75
    assert row["ci95"] is not None
    assert row["ci95"][0] < 0.75 < row["ci95"][1]
    assert (row["correct"], row["n"]) == (30, 80)
