"""Addresses within the page: one item, filters, and named sets of items. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.reports.page.charts import variant_labels
from pytest_thinkslm.runs.results import group_key

Results = Mapping[str, Any]


def item_sets(results: Results) -> dict[str, dict[str, Any]]:
    """Named sets of items that a link opens in the browser of items.

    What a comparison lost or gained is {"title", "model", "quant", "task", "test", "style", "items": names}; where
    judge and parser disagree {"title", "items": [[model, quant, task, test, style, item, repeat], ...]}.
    """
    labels = variant_labels(results)
    sets: dict[str, dict[str, Any]] = {}
    compared = [("delta", row) for row in results.get("deltas") or ()]
    compared += [("gate", gate) for gate in results["gates"] if "task" in gate]
    for number, (kind, row) in enumerate(compared):
        for change in ("lost", "gained"):
            if row[change]:
                variant = labels.get((row["model"], row["quant"]), row["quant"])
                sets[f"{kind}-{number}-{change}"] = {
                    "title": f"{change}: {row['task']} ({row['style']}), {variant}",
                    **group_key(row)._asdict(),
                    "items": list(row[change]),
                }
    if found := (results.get("judge") or {}).get("disagreements"):
        sets["disagreements"] = {
            "title": "judge and parser disagree",
            "items": [[*group_key(row), row["item"], row["repeat"]] for row in found],
        }
    return sets


def item_link(group: GroupKey, item: str, repeat: int = 1) -> str:
    """The address of one item within the page: ``#item=model|quant|task|style|0017|1``.

    A test that is not called after its task is named at the end: ``...|1|item|test_cities``.
    """
    named = () if group.test == f"test_{group.task}" else ("item", group.test)
    parts = (*group.variant, group.task, group.style, item, str(repeat), *named)
    return "#item=" + "|".join(quote(part, safe="/+.,:") for part in parts)


def filter_link(**filters: object) -> str:
    """The address of the browser of items with filters set."""
    return "#" + "&".join(f"{name}={quote(str(value), safe='/+.,:')}" for name, value in filters.items())
