"""What the page shows of comparisons: between variants, with a baseline, the paper and a judge; and gates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_thinkslm.core.text import preview
from pytest_thinkslm.reports import summary
from pytest_thinkslm.reports.cells import percent
from pytest_thinkslm.reports.page.charts import variant_labels
from pytest_thinkslm.reports.page.links import filter_link, item_link, item_sets
from pytest_thinkslm.runs.results import group_key

Results = Mapping[str, Any]
Row = Mapping[str, Any]
View = dict[str, Any]

#: Single links shown of a list of items; all of them are one click away in the browser of items.
LINKS_SHOWN = 12

#: Rows of disagreements between judge and parser; all of them are one click away, too.
DISAGREEMENTS_SHOWN = 200

#: Up to so many gates are all shown.
GATES_SHOWN = 20


def deltas(results: Results) -> list[View]:
    """One table a variant: its change against the first one."""
    labels = variant_labels(results)
    sets = item_sets(results)
    tables: dict[tuple[str, str], View] = {}
    for number, row in enumerate(results.get("deltas") or ()):
        key = (str(row["model"]), str(row["quant"]))
        against = (str(row["against"]["model"]), str(row["against"]["quant"]))
        table = tables.setdefault(
            key,
            {"title": f"{labels.get(key, key[1])} against {labels.get(against, against[1])}", "rows": []}
            | {"measured": _measured_changes(results, key)},
        )
        table["rows"].append(
            {
                "task": row["task"],
                "style": row["style"],
                "n": row["n"],
                "before": percent(row["accuracy_against"]),
                "now": percent(row["accuracy"]),
                "difference": _points(row["difference"]),
                "interval": _span(row.get("ci95")),
                "p": _p(row.get("p_corrected"), row.get("p")),
                "kept": percent(row.get("kept"), 0),
                "changes": [_change(row, sets, f"delta-{number}", change) for change in ("lost", "gained")],
                "rates": _rate_changes(row),
                "failures": _failure_changes(row),
                "note": row.get("note") or "",
            }
        )
    return list(tables.values())


def baseline(results: Results) -> View | None:
    """The gates that compare with a baseline, as a table; None without one."""
    sets = item_sets(results)
    offset = len(results.get("deltas") or ())
    compared = [gate for gate in results["gates"] if "task" in gate]
    rows = []
    for number, gate in enumerate(compared, start=offset):
        fields = gate["fields"]
        if fields.get("difference") is None:
            continue
        rows.append(
            {
                "label": gate["label"],
                "state": gate["state"],
                "n": fields.get("n", "–"),
                "before": _percentage(fields.get("baseline")),
                "now": _percentage(fields.get("candidate")),
                "difference": _points(fields["difference"] / 100),
                "interval": _span([fields["low"] / 100, fields["high"] / 100] if "low" in fields else None),
                "p": _p(fields.get("p_corrected"), fields.get("p")),
                "changes": [_change(gate, sets, f"gate-{number}", change) for change in ("lost", "gained")],
            }
        )
    if not rows:
        return None
    return {"name": (results.get("baseline") or {}).get("name", "the baseline"), "rows": rows}


def reference(results: Results) -> View | None:
    """Our figures beside the paper's; a note that all of them share stands once."""
    rows = results.get("reference") or ()
    if not rows:
        return None
    labels = variant_labels(results)
    notes = [str(row.get("note") or "").split("; ") for row in rows]
    shared = [note for note in notes[0] if note and all(note in own for own in notes)]
    return {
        "notes": shared,
        "rows": [
            {
                "variant": labels.get((row["model"], row["quant"]), row["quant"]),
                "task": row["task"],
                "style": row["style"],
                "paper": percent(row["paper"]),
                "accuracy": percent(row["accuracy"]),
                "n": row["n"],
                "difference": _points(row["difference"]),
                "interval": _span(row.get("ci95")),
                "note": "; ".join(note for note in own if note not in shared),
            }
            for row, own in zip(rows, notes, strict=True)
        ],
    }


def judge(results: Results) -> View | None:
    """The judge, its canaries and counts, and where it and the parser disagree; None without one."""
    block = results.get("judge")
    if not block:
        return None
    labels = variant_labels(results)
    counts = ("asked", "judged", "unjudged", "agree", "disagree")
    disagreements = block.get("disagreements") or ()
    return {
        "model": block["model"],
        "policy": block["policy"],
        "canaries": block.get("canaries"),
        "counts": [(name, block[name]) for name in counts if block.get(name) is not None],
        "total": len(disagreements),
        "disagreements": [
            {
                "name": " ".join(str(row[name]) for name in ("task", "style", "item")),
                "variant": labels.get((row["model"], row["quant"]), row["quant"]),
                "link": item_link(group_key(row), row["item"], row["repeat"]),
                "parser": f"{row['parser']['verdict']}: {preview(row['parser']['answer']) or 'nothing read'}",
                "rule": row["parser"]["rule"],
                "judge": f"{row['judge']['verdict']}: {preview(row['judge']['answer']) or 'nothing read'}",
                "reason": row["judge"]["reason"],
            }
            for row in disagreements[:DISAGREEMENTS_SHOWN]
        ],
    }


def gates(results: Results) -> View | None:
    """Gates as (state, sentence); where there are many, those that passed are folded away."""
    lines = summary.gate_lines(results)
    if not lines:
        return None
    if len(lines) <= GATES_SHOWN:
        return {"shown": lines, "folded": []}
    return {
        "shown": [line for line in lines if line[0] != "passed"],
        "folded": [sentence for state, sentence in lines if state == "passed"],
    }


def _measured_changes(results: Results, key: tuple[str, str]) -> list[str]:
    changes = results["measured"].get("deltas", {}).get("|".join(key), {})
    return [
        f"{name.replace('_', ' ')}: {_number(pair.get('before'))} → {_number(pair.get('now'))}"
        for name, pair in changes.items()
        if isinstance(pair, Mapping)
    ]


def _change(row: Row, sets: Mapping[str, View], name: str, change: str) -> View:
    """Lost or gained items: their number, the first of them, and the link to all."""
    items = row[change]
    return {
        "name": change,
        "count": len(items),
        "link": filter_link(set=f"{name}-{change}") if f"{name}-{change}" in sets else "",
        "first": [{"item": item, "link": item_link(group_key(row), item)} for item in items[:LINKS_SHOWN]],
        "more": max(0, len(items) - LINKS_SHOWN),
    }


def _rate_changes(row: Row) -> list[str]:
    return [
        f"{name} {percent(pair['before'])} → {percent(pair['now'])}"
        for name, pair in (row.get("rates") or {}).items()
        if pair["before"] != pair["now"]
    ]


def _failure_changes(row: Row) -> list[str]:
    changed = [(name, pair) for name, pair in (row.get("failures") or {}).items() if pair["before"] != pair["now"]]
    return [f"{name} {_number(pair['before'])} → {_number(pair['now'])}" for name, pair in changed]


def _points(difference: float | None) -> str:
    return "–" if difference is None else f"{100 * difference:+.1f}"


def _percentage(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}%"


def _span(interval: Sequence[float] | None) -> str:
    return "–" if not interval else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def _p(corrected: float | None, raw: float | None) -> str:
    value = raw if corrected is None else corrected
    return "–" if value is None else "< 0.0001" if value < 0.0001 else f"{value:.3g}"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
