"""Where outputs broke, against 300 that were labelled by reading; docs/deltas.md has the figures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from recorded_runs import record

from pytest_thinkslm import Case
from pytest_thinkslm.core.item_record import ItemLine
from pytest_thinkslm.core.records import Output
from pytest_thinkslm.runs.breaks import CLASSES, Broke, where_it_broke
from pytest_thinkslm.scoring.grading import grade

ROOT = Path(__file__).parents[2]
LABELS = [json.loads(line) for line in (ROOT / "fixtures/labels/breaks.jsonl").read_text("utf-8").splitlines()]


def found(label: dict[str, Any]) -> Broke:
    case = Case("own", 0, label["kind"], label["question"], label["gold"])
    graded = grade(case, Output(label["output"], finish_reason=label["finish_reason"]))
    assert graded.verdict.name != "correct"
    fields = {name: label[name] for name in ("output", "gold", "finish_reason")}
    messages = [{"role": "user", "content": label["question"]}]
    more = {"answer": graded.answer.value, "failure": graded.verdict.failure, "messages": messages}
    return where_it_broke(cast("ItemLine", record(0, False, **fields, **more)))


@pytest.fixture(scope="module")
def read() -> list[tuple[dict[str, Any], Broke]]:
    return [(label, found(label)) for label in LABELS]


def test_the_labels_have_every_class() -> None:
    assert len(LABELS) == 300
    assert set(Counter(label["class"] for label in LABELS)) == set(CLASSES)


@pytest.mark.parametrize("half", ["a", "b"])
def test_the_classes_agree_in_at_least_nine_of_ten(read: list[tuple[dict[str, Any], Broke]], half: str) -> None:
    """Half ``b`` was not looked at when the rules were mended."""
    own = [(label, broke) for label, broke in read if label["half"] == half]
    agree = sum(label["class"] == broke.name for label, broke in own)
    assert agree >= 0.9 * len(own), [label["id"] for label, broke in own if label["class"] != broke.name]


def test_the_false_step_is_the_one_that_a_reader_marked(read: list[tuple[dict[str, Any], Broke]]) -> None:
    steps = [(label["at"], broke.step) for label, broke in read if label["at"] and label["class"] == broke.name]
    same = [step is not None and (step.text in at or at in step.text) for at, step in steps]
    assert sum(same) >= 0.95 * len(steps)


def test_the_page_of_deltas_has_these_figures(read: list[tuple[dict[str, Any], Broke]]) -> None:
    """One row a class: labelled, agreed."""
    text = (ROOT / "docs/deltas.md").read_text("utf-8")
    labelled = Counter(label["class"] for label, _ in read)
    agreed = Counter(label["class"] for label, broke in read if label["class"] == broke.name)
    for name in CLASSES:
        assert f"| `{name}` | {labelled[name]} | {agreed[name]} |" in text
