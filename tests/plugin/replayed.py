"""Helpers of the plugin's tests: recorded outputs and a run's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.tasks import registry

Line = dict[str, object]

#: Selects the four items of ``four_sorts``.
FOUR = ("--task=sort8_positive", "-k", "direct-0000 or direct-0001 or direct-0002 or direct-0003")


def sorting_case(task: str, index: int, data_seed: int = 0) -> Case:
    return load_cases(registry.get(task), [index], None, data_seed=data_seed).cases[index]


def sorted_answer(task: str, index: int) -> str:
    gold = sorting_case(task, index).gold
    assert isinstance(gold, tuple)
    return f"\\boxed{{{', '.join(map(str, gold))}}}"


def four_sorts() -> list[Line]:
    """sort8_positive 0 to 3: right, wrong, without an answer, cut."""
    return [
        {"task": "sort8_positive", "item": 0, "output": sorted_answer("sort8_positive", 0)},
        {"task": "sort8_positive", "item": "0001", "output": "\\boxed{1, 2, 3}"},
        {"task": "sort8_positive", "item": 2, "output": "I like turtles."},
        {"task": "sort8_positive", "item": 3, "output": "Let me think about", "finish_reason": "length"},
    ]


def items(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def results(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return value


def without_measured(folder: Path) -> dict[str, Any]:
    value = results(folder)
    del value["measured"]
    return value
