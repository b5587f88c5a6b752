"""Where the wrong outputs of lost and gained items broke, for the page's browser of items. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import ItemLine, group_key
from pytest_thinkslm.reports.deltas import flips
from pytest_thinkslm.runs.breaks import where_it_broke
from pytest_thinkslm.runs.types import Break, Results, StepKind


class StepMark(TypedDict):
    """A false step within a field of a line, in UTF-16 units, as scripts count."""

    kind: StepKind
    field: str
    start: int
    end: int


class BrokeMark(TypedDict):
    """The class of a wrong output, and its first false step."""

    name: Break
    step: StepMark | None


def looker(results: Results) -> tuple[dict[int, BrokeMark], Callable[[int, ItemLine], None]]:
    """What is filled, by line of items.jsonl, and the function that is shown every line."""
    wanted: set[tuple[GroupKey, str]] = flips([row for row in results.get("deltas") or () if "breaks" in row])
    found: dict[int, BrokeMark] = {}

    def look(number: int, line: ItemLine) -> None:
        if line["role"] == "item" and line["verdict"] != "correct" and (group_key(line), line["item"]) in wanted:
            found[number] = _mark(line)

    return found, look


def _mark(line: ItemLine) -> BrokeMark:
    broke = where_it_broke(line)
    if broke.step is None:
        return {"name": broke.name, "step": None}
    thought = line.get("reasoning") or ""
    within = broke.step.end <= len(thought)
    text, shift = (thought, 0) if within else (line.get("output") or "", len(thought) + 1)
    start, end = (_units(text[: place - shift]) for place in (broke.step.start, broke.step.end))
    field = "reasoning" if within else "output"
    return {"name": broke.name, "step": {"kind": broke.step.kind, "field": field, "start": start, "end": end}}


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
