"""Named sets of items that a link opens in the page's browser of items. Pure."""

from __future__ import annotations

from typing import NotRequired, TypedDict, cast

from pytest_thinkslm.core.item_record import GroupJson, group_key
from pytest_thinkslm.reports.page.charts import variant_labels
from pytest_thinkslm.runs.types import DeltaRow, GateJson, Results


class ItemSet(TypedDict):
    """``items``: names of items of the group; without one [model, quant, task, test, style, item, repeat] each."""

    title: str
    model: NotRequired[str]
    quant: NotRequired[str]
    task: NotRequired[str]
    test: NotRequired[str]
    style: NotRequired[str]
    items: list[str] | list[list[str | int]]


def item_sets(results: Results) -> dict[str, ItemSet]:
    """What each comparison lost and gained (``delta-0-lost``, ``gate-1-gained``), and ``disagreements`` of the judge.

    Comparisons are numbered: first the rows of ``deltas``, then the gates on a task; those of styles by themselves.
    """
    labels = variant_labels(results)
    sets: dict[str, ItemSet] = {}
    rows_and_gates: list[tuple[str, DeltaRow | GateJson]] = [("delta", row) for row in results.get("deltas") or ()]
    rows_and_gates += [("gate", gate) for gate in results["gates"] if "task" in gate]
    compared = [(number, kind, row) for number, (kind, row) in enumerate(rows_and_gates)]
    compared += [(number, "style", row) for number, row in enumerate(results.get("style_deltas") or ())]
    for number, kind, row in compared:
        for change, items in (("lost", row["lost"]), ("gained", row["gained"])):
            if items:
                key = group_key(cast("GroupJson", row))
                variant = labels.get((row["model"], row["quant"]), row["quant"])
                sets[f"{kind}-{number}-{change}"] = {
                    "title": f"{change}: {row['task']} ({row['style']}), {variant}",
                    "model": row["model"],
                    "quant": row["quant"],
                    "task": row["task"],
                    "test": key.test,
                    "style": row["style"],
                    "items": list(items),
                }
    if "judge" in results and (found := results["judge"].get("disagreements")):
        rows: list[list[str | int]] = [[*group_key(row), row["item"], row["repeat"]] for row in found]
        sets["disagreements"] = {"title": "judge and parser disagree", "items": rows}
    return sets
