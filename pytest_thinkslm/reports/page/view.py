"""What the page's template shows, as plain values: tables, links, lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pytest_thinkslm.execution.selection import short_name
from pytest_thinkslm.reports import summary
from pytest_thinkslm.reports.page.charts import charts, variant_labels
from pytest_thinkslm.reports.page.items import Index, preview

Results = Mapping[str, Any]
Row = Mapping[str, Any]
View = dict[str, Any]

#: Single links shown of a list of items; all of them are one click away in the browser of items.
LINKS_SHOWN = 12

#: Rows of disagreements between judge and parser; all of them are one click away, too.
DISAGREEMENTS_SHOWN = 200

#: Up to so many gates are all shown.
GATES_SHOWN = 20

_RATES = ("unparsed", "truncated", "error")


def sections(results: Results, index: Index) -> View:
    """The template's variables. A section that the run has nothing for is empty."""
    labels = variant_labels(results)
    rows = summary.by_variant(results["results"])
    return {
        "title": _title(labels),
        "results": results,
        "counts": dict(index.verdicts),
        "items": sum(index.verdicts.values()),
        "lines": index.count,
        "facts": _facts(results),
        "overview": _overview(results),
        "notes": summary.notes(results["results"]),
        "variants": [_variant(results, key, rows[key]) for key in labels if key in rows],
        "charts": [
            # about the height of the drawn plot, so that the page does not jump when it is drawn
            {"name": chart.name, "title": chart.title, "note": chart.note, "height": chart.spec["height"] + 90}
            for chart in charts(results)
        ],
        "deltas": _deltas(results),
        "baseline": _baseline(results),
        "reference": _reference(results),
        "judge": _judge(results),
        "gates": _gates(results),
        "environment": _environment(results),
    }


def item_sets(results: Results) -> dict[str, View]:
    """Named sets of items that a link opens in the browser of items.

    What a comparison lost or gained is {"title", "model", "quant", "task", "style", "items": names}; where judge and
    parser disagree {"title", "items": [[model, quant, task, style, item, repeat], ...]}.
    """
    labels = variant_labels(results)
    sets: dict[str, View] = {}
    compared = [("delta", row) for row in results.get("deltas") or ()]
    compared += [("gate", gate) for gate in results["gates"] if "task" in gate]
    for number, (kind, row) in enumerate(compared):
        for change in ("lost", "gained"):
            if row[change]:
                variant = labels.get((row["model"], row["quant"]), row["quant"])
                sets[f"{kind}-{number}-{change}"] = {
                    "title": f"{change}: {row['task']} ({row['style']}), {variant}",
                    **{name: row[name] for name in ("model", "quant", "task", "style")},
                    "items": list(row[change]),
                }
    if found := (results.get("judge") or {}).get("disagreements"):
        names = ("model", "quant", "task", "style", "item", "repeat")
        sets["disagreements"] = {
            "title": "judge and parser disagree",
            "items": [[row[name] for name in names] for row in found],
        }
    return sets


def item_link(model: str, quant: str, task: str, style: str, item: str, repeat: int = 1) -> str:
    """The address of one item within the page: ``#item=model|quant|task|style|0017|1``."""
    return "#item=" + "|".join(quote(part, safe="/+.,:") for part in (model, quant, task, style, item, str(repeat)))


def filter_link(**filters: object) -> str:
    """The address of the browser of items with filters set."""
    return "#" + "&".join(f"{name}={quote(str(value), safe='/+.,:')}" for name, value in filters.items())


def _title(labels: Mapping[tuple[str, str], str]) -> str:
    models = list(dict.fromkeys(short_name(model) for model, _ in labels))
    quants = list(dict.fromkeys(quant for _, quant in labels))
    if len(models) == 1:
        return models[0] if quants == ["none"] else f"{models[0]}: {', '.join(quants)}"
    return ", ".join(labels.values()) if len(labels) <= 3 else f"{len(labels)} variants of {len(models)} models"


def _overview(results: Results) -> View | None:
    """Accuracies of several variants side by side, one line a task and style; None for a single variant."""
    labels = variant_labels(results)
    if len(labels) < 2:
        return None
    lines: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
    for row in results["results"]:
        lines.setdefault((row["task"], row["style"]), {})[row["model"], row["quant"]] = row
    return {
        "variants": list(labels.values()),
        "rows": [
            {
                "task": task,
                "style": style,
                "link": filter_link(task=task, style=style),
                "cells": [_row(found[variant], {}) if variant in found else None for variant in labels],
            }
            for (task, style), found in lines.items()
        ],
    }


def _variant(results: Results, key: tuple[str, str], rows: Sequence[Row]) -> View:
    model, quant = key
    own = results["measured"].get("variants", {}).get(f"{model}|{quant}", {})
    found: Row = next((v for v in results["variants"] if (v["model"], v["quant"]) == key), {})
    return {
        "name": f"{found.get('display', model)} ({quant})",
        "speed": summary.speed_line(own),
        "rows": [_row(row, summary.row_measured(own, row)) for row in rows],
        "thoughts": any("unfinished_thought_rate" in row for row in rows),
    }


def _row(row: Row, measured: Row) -> View:
    texts = summary.cells(row, measured)
    here = {name: row[name] for name in ("model", "quant", "task", "style")}
    return {
        "task": texts[0],
        "title": row["title"],
        "style": row["style"],
        "n": row["n"],
        "accuracy": texts[3],
        "bar": _bar(row["accuracy"], row["ci95"]),
        "interval": texts[4],
        "rates": [
            {
                "text": summary.percent(row[f"{name}_rate"]),
                "some": bool(row[f"{name}_rate"]),
                "link": filter_link(**here, verdict=name),
            }
            for name in _RATES
        ],
        "thoughts": summary.percent(row.get("unfinished_thought_rate")),
        "speed": texts[8],
        "seconds": texts[9],
        "details": summary.details(row),
        "link": filter_link(**here),
    }


def _bar(value: float | None, interval: Sequence[float] | None) -> View | None:
    """Positions in percent of the bar's width; None where there is nothing to draw."""
    if value is None or interval is None:
        return None
    return {"at": round(100 * value, 2), "from": round(100 * interval[0], 2), "to": round(100 * interval[1], 2)}


def _facts(results: Results) -> list[tuple[str, str]]:
    """The line under the title."""
    engines = ", ".join(dict.fromkeys(str(variant["engine"]) for variant in results["variants"]))
    settings, measured = results["settings"], results["measured"]
    facts = [("engine", engines), ("selection", results["selection"])]
    if settings.get("limit") is not None:
        facts.append(("limit", f"{settings['limit']} items a task"))
    facts.append(("styles", ", ".join(settings["styles"])))
    sampling = f"temperature {settings['temperature']:g}"
    facts.append(("sampling", sampling + (f", {settings['repeats']} repeats" if settings["repeats"] > 1 else "")))
    return [*facts, ("started", measured["started"]), ("took", f"{measured['seconds']:.0f} s")]


def _deltas(results: Results) -> list[View]:
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
                "before": summary.percent(row["accuracy_against"]),
                "now": summary.percent(row["accuracy"]),
                "difference": _points(row["difference"]),
                "interval": _span(row.get("ci95")),
                "p": _p(row.get("p_corrected"), row.get("p")),
                "kept": summary.percent(row.get("kept"), 0),
                "changes": [_change(row, sets, f"delta-{number}", change) for change in ("lost", "gained")],
                "rates": _rate_changes(row),
                "failures": _failure_changes(row),
                "note": row.get("note") or "",
            }
        )
    return list(tables.values())


def _measured_changes(results: Results, key: tuple[str, str]) -> list[str]:
    changes = results["measured"].get("deltas", {}).get("|".join(key), {})
    return [
        f"{name.replace('_', ' ')}: {_number(pair.get('before'))} → {_number(pair.get('now'))}"
        for name, pair in changes.items()
        if isinstance(pair, Mapping)
    ]


def _baseline(results: Results) -> View | None:
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


def _change(row: Row, sets: Mapping[str, View], name: str, change: str) -> View:
    """Lost or gained items: their number, the first of them, and the link to all."""
    items = row[change]
    model, quant, task, style = (str(row[field]) for field in ("model", "quant", "task", "style"))
    return {
        "name": change,
        "count": len(items),
        "link": filter_link(set=f"{name}-{change}") if f"{name}-{change}" in sets else "",
        "first": [{"item": item, "link": item_link(model, quant, task, style, item)} for item in items[:LINKS_SHOWN]],
        "more": max(0, len(items) - LINKS_SHOWN),
    }


def _rate_changes(row: Row) -> list[str]:
    return [
        f"{name} {summary.percent(pair['before'])} → {summary.percent(pair['now'])}"
        for name, pair in (row.get("rates") or {}).items()
        if pair["before"] != pair["now"]
    ]


def _failure_changes(row: Row) -> list[str]:
    changed = [(name, pair) for name, pair in (row.get("failures") or {}).items() if pair["before"] != pair["now"]]
    return [f"{name} {_number(pair['before'])} → {_number(pair['now'])}" for name, pair in changed]


def _reference(results: Results) -> View | None:
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
                "paper": summary.percent(row["paper"]),
                "accuracy": summary.percent(row["accuracy"]),
                "n": row["n"],
                "difference": _points(row["difference"]),
                "interval": _span(row.get("ci95")),
                "note": "; ".join(note for note in own if note not in shared),
            }
            for row, own in zip(rows, notes, strict=True)
        ],
    }


def _gates(results: Results) -> View | None:
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


def _judge(results: Results) -> View | None:
    judge = results.get("judge")
    if not judge:
        return None
    labels = variant_labels(results)
    counts = ("asked", "judged", "unjudged", "agree", "disagree")
    disagreements = judge.get("disagreements") or ()
    return {
        "model": judge["model"],
        "policy": judge["policy"],
        "canaries": judge.get("canaries"),
        "counts": [(name, judge[name]) for name in counts if judge.get(name) is not None],
        "total": len(disagreements),
        "disagreements": [
            {
                "name": " ".join(str(row[name]) for name in ("task", "style", "item")),
                "variant": labels.get((row["model"], row["quant"]), row["quant"]),
                "link": item_link(row["model"], row["quant"], row["task"], row["style"], row["item"], row["repeat"]),
                "parser": f"{row['parser']['verdict']}: {preview(row['parser']['answer']) or 'nothing read'}",
                "rule": row["parser"]["rule"],
                "judge": f"{row['judge']['verdict']}: {preview(row['judge']['answer']) or 'nothing read'}",
                "reason": row["judge"]["reason"],
            }
            for row in disagreements[:DISAGREEMENTS_SHOWN]
        ],
    }


def _environment(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings, versions, hardware and variants, as lists of names and values."""
    variants: list[tuple[str, list[tuple[str, str]]]] = []
    for variant in results["variants"]:
        key = f"{variant['model']}|{variant['quant']}"
        measured = results["measured"].get("variants", {}).get(key, {})
        flat = {**variant, **{k: v for k, v in measured.items() if k != "tasks"}}
        variants.append((f"Variant {variant['display']} ({variant['quant']})", list(_flat(flat))))
    return [
        ("Settings", list(_flat(results["settings"]))),
        ("Versions", list(_flat(results["versions"]))),
        ("Hardware", list(_flat(results["hardware"]))),
        *variants,
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{prefix}{name}.")
        elif inner not in (None, "", [], {}):
            shown = ", ".join(map(str, inner)) if isinstance(inner, list) else str(inner)
            yield f"{prefix}{name}", shown


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
