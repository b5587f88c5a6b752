"""Accuracies corrected by people's labels: audit, label, and the run again with ``--labels``."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection
from pathlib import Path

import jsonschema
import pytest
from replayed import Line, results, sorted_answer

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.audit.audit_key import read_key
from pytest_thinkslm.runs import results as results_module

Replay = Callable[..., pytest.RunResult]
SCHEMA = json.loads(Path(results_module.__file__).with_name("results.schema.json").read_text())
TASKS = ("sort8_positive", "sort8_mixed")


def outputs(wrong: Collection[int], note: str = "") -> list[Line]:
    return [
        {"task": task, "item": i, "output": ("\\boxed{3, 1, 2}" if i in wrong else sorted_answer(task, i)) + note}
        for task in TASKS
        for i in range(100)
    ]


def label(sheet: Path, says: Callable[[str, int], str]) -> None:
    """Fill in a label file: what people say of a task's item."""
    items = {pick.id: pick.item.key for pick in read_key(sheet.with_suffix(".key.json")).sample.picks}
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            key = items[row["id"]]
            writer.writerow({**row, "label": says(key.task, int(key.item))})


def people(task: str, item: int) -> str:
    """Of sort8_mixed: a third of what the parser calls wrong (items below 30) is right."""
    return "correct" if item >= 30 or (task == "sort8_mixed" and item % 3 == 0) else "incorrect"


def test_accuracies_are_corrected_in_every_report(replay: Replay, pytester: pytest.Pytester) -> None:
    assert replay(outputs(range(30)), "--report-dir=base").ret == 0
    assert main(["audit", "base", "--out", "labels.csv"]) == 0  # all 200
    label(pytester.path / "labels.csv", people)
    done = replay(outputs(range(30)), "--labels=lab*.csv", "--baseline=base", "--certify=30")
    assert done.ret == 0
    report = pytester.path / "report"
    value = results(report)
    jsonschema.validate(value, SCHEMA)
    rows = {row["task"]: row for row in value["results"]}
    assert [rows[task]["accuracy"] for task in TASKS] == [0.7, 0.7], "the accuracy stays what was read"
    assert [rows[task]["corrected"]["accuracy"] for task in TASKS] == [0.7, 0.8]
    assert rows["sort8_mixed"]["corrected"]["read_incorrect"] == {
        "outputs": 30, "labelled": 30, "right": 10, "right_rate": pytest.approx(1 / 3, abs=1e-6)
    }  # fmt: skip
    assert value["labels"] == {
        "annotators": 1, "sampled_from": "base", "labelled": 200, "not_in_this_run": 0,
        "sample": read_key(pytester.path / "labels.key.json").digest,
    }  # fmt: skip
    assert value["settings"]["labels"] == ["labels.csv"]
    assert value["certificate"]["corrected"]["mean"] == 75
    assert value["certificate"]["corrected"]["drop"] is None, "the baseline has no labels"
    said = "corrected for the reader's errors: 80.0% (95% CI"
    for text in (done.stdout.str(), (report / "summary.md").read_text(), (report / "report.html").read_text()):
        assert said in text.replace("&#39;", "'")
        assert "mean accuracy 75.0%" in text
    assert main(["certify", "report", "base", "--margin", "30", "--format", "json"]) == 0
    again = replay(outputs(range(30)), "--labels=labels.csv", "--baseline=report", "--certify=30", "--report-dir=b")
    assert again.ret == 0
    assert results(pytester.path / "b")["certificate"]["corrected"]["drop"] == 0


def test_labels_of_part_of_the_outputs_are_weighted(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(outputs(range(30)), "--report-dir=base")
    assert main(["audit", "base", "--out", "labels.csv", "--n", "60"]) == 0
    label(pytester.path / "labels.csv", people)
    assert replay(outputs(range(30)), "--labels=labels.csv").ret == 0
    rows = {row["task"]: row["corrected"] for row in results(pytester.path / "report")["results"]}
    assert rows["sort8_positive"]["accuracy"] == 0.7
    low, high = rows["sort8_mixed"]["ci95"]
    assert low < 0.8 < high
    wrong = rows["sort8_mixed"]["read_incorrect"]
    assert rows["sort8_mixed"]["accuracy"] == pytest.approx(0.7 + 0.3 * wrong["right_rate"], abs=1e-6)
    assert 0 < wrong["labelled"] < 30


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (outputs(range(30), " "), "none of the 200 labelled outputs is in this run"),
        (outputs(range(30))[:150], "the sample was drawn from 100 outputs, and this run has 50"),
    ],
    ids=["other outputs", "fewer outputs"],
)
def test_labels_that_do_not_fit_fail_the_run(
    replay: Replay, pytester: pytest.Pytester, now: list[Line], said: str
) -> None:
    replay(outputs(range(30)), "--report-dir=base")
    main(["audit", "base", "--out", "labels.csv"])
    label(pytester.path / "labels.csv", lambda task, item: people(task, item) if task == "sort8_mixed" else "")
    if len(now) == 200:
        label(pytester.path / "labels.csv", people)
    result = replay(now, "--labels=labels.csv", "--recorded-only")
    assert result.ret == 1
    assert said in result.stdout.str()


def test_a_reading_without_labels_leaves_it_undefined(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(outputs(range(30)), "--report-dir=base")
    main(["audit", "base", "--out", "labels.csv"])
    label(pytester.path / "labels.csv", lambda task, item: "correct" if item >= 30 else "unclear")
    result = replay(outputs(range(30)), "--labels=labels.csv")
    assert result.ret == 1
    assert "of the 30 outputs that were read as incorrect none is labelled" in result.stdout.str()


@pytest.mark.parametrize("files", ["none.csv", "no*.csv", "base/items.jsonl", ","])
def test_bad_files_are_said_before_anything_is_run(replay: Replay, pytester: pytest.Pytester, files: str) -> None:
    replay(outputs([]), "--report-dir=base")
    result = replay(outputs([]), f"--labels={files}", "--report-dir=other")
    if files == ",":
        assert result.ret == 0
        return
    assert result.ret == 4
    assert "ERROR: thinkslm: --labels" in result.stderr.str()
    assert not (pytester.path / "other").exists()
