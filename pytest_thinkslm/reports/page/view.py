"""What the page's template shows, as plain values: tables, links, lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_thinkslm.core.identity import short_name
from pytest_thinkslm.reports import summary
from pytest_thinkslm.reports.cells import further_sampling, percent
from pytest_thinkslm.reports.page import comparisons
from pytest_thinkslm.reports.page.charts import charts, variant_labels
from pytest_thinkslm.reports.page.items import Index
from pytest_thinkslm.reports.page.links import filter_link

Results = Mapping[str, Any]
Row = Mapping[str, Any]
View = dict[str, Any]

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
        "deltas": comparisons.deltas(results),
        "baseline": comparisons.baseline(results),
        "reference": comparisons.reference(results),
        "judge": comparisons.judge(results),
        "gates": comparisons.gates(results),
        "environment": _environment(results),
    }


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
                "text": percent(row[f"{name}_rate"]),
                "some": bool(row[f"{name}_rate"]),
                "link": filter_link(**here, verdict=name),
            }
            for name in _RATES
        ],
        "thoughts": percent(row.get("unfinished_thought_rate")),
        "generated": texts[8],
        "tokens": texts[9],
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
    words = [f"temperature {settings['temperature']:g}"]
    if settings["temperature"]:
        words.append(f"top-p {settings['top_p']:g}")
    words += further_sampling(settings)
    if settings.get("sampling") == "model":
        words.append("as generation_config.json asks")
    for name in ("thinking", "system"):
        if settings.get(name):
            facts.append((name, str(settings[name])))
    sampling = ", ".join(words)
    facts.append(("sampling", sampling + (f", {settings['repeats']} repeats" if settings["repeats"] > 1 else "")))
    return [*facts, ("started", measured["started"]), ("took", f"{measured['seconds']:.0f} s")]


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
