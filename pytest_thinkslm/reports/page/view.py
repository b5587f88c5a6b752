"""What the page's template shows, as plain values: tables, links, lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_thinkslm.core.identity import short_name
from pytest_thinkslm.core.tables import Cell, Column, Table, html_table, text_columns
from pytest_thinkslm.reports import summary
from pytest_thinkslm.reports.links import filter_link
from pytest_thinkslm.reports.page import comparisons
from pytest_thinkslm.reports.page.charts import charts, variant_labels
from pytest_thinkslm.reports.page.comparisons import View
from pytest_thinkslm.reports.page.items import Index
from pytest_thinkslm.runs.types import FigureRow, Results


def sections(results: Results, index: Index, runs: Mapping[str, Results]) -> View:
    """The template's variables. A section that the run has nothing for is empty; ``runs``: of several, by name."""
    labels = variant_labels(results)
    return {
        "title": _title(labels) if not runs else ", ".join(runs) if len(runs) <= 3 else f"{len(runs)} runs",
        "results": results,
        "counts": dict(index.verdicts),
        "items": sum(index.verdicts.values()),
        "lines": index.count,
        "facts": [("runs", ", ".join(runs)), *_facts(results)] if runs else [*_facts(results), *_when(results)],
        "overview": _overview(results),
        "changed": comparisons.changed(results),
        "notes": summary.notes(results["results"]),
        "variants": _variants(results),
        "charts": [
            # about the height of the drawn plot, so that the page does not jump when it is drawn
            {"name": chart.name, "title": chart.title, "note": chart.note, "height": chart.spec["height"] + 90}
            for chart in charts(results)
        ],
        "stress": comparisons.stress(results),
        "budgets": comparisons.budgets(results),
        "deltas": comparisons.deltas(results),
        "styles": comparisons.styles(results),
        "metrics": comparisons.metrics(results),
        "reference": comparisons.reference(results),
        "judge": comparisons.judge(results),
        "gates": comparisons.gates(results),
        "certificates": comparisons.certificates(results),
        "environment": [(f"{name}: {title}", pairs) for name, run in runs.items() for title, pairs in _environment(run)]
        or _environment(results),
    }


def _title(labels: Mapping[tuple[str, str], str]) -> str:
    models = list(dict.fromkeys(short_name(model) for model, _ in labels))
    quants = list(dict.fromkeys(quant for _, quant in labels))
    if len(models) == 1:
        return models[0] if quants == ["none"] else f"{models[0]}: {', '.join(quants)}"
    return ", ".join(labels.values()) if len(labels) <= 3 else f"{len(labels)} variants of {len(models)} models"


def _overview(results: Results) -> str:
    """Accuracies of several variants side by side, one line a task and style; empty for a single variant."""
    labels = variant_labels(results)
    if len(labels) < 2:
        return ""
    found: dict[tuple[str, str], dict[tuple[str, str], FigureRow]] = {}
    for row in results["results"]:
        found.setdefault((row["task"], row["style"]), {})[row["model"], row["quant"]] = row
    columns = text_columns("accuracy, 95% CI", "style")
    for label in labels.values():
        columns += [Column(label), Column("", "left", css="bars")]
    rows = []
    for (task, style), own in found.items():
        cells = [Cell(task, link=filter_link(task=task, style=style)), Cell(style)]
        for variant in labels:
            known = own.get(variant)
            cells += [Cell("–"), Cell("")] if known is None else [summary.accuracy_cell(known), summary.bar_cell(known)]
        rows.append(cells)
    return html_table(Table(columns, rows, "Accuracy of all variants"))


def _variants(results: Results) -> list[View]:
    return [
        {
            "name": table.title,
            "table": html_table(table),
            "speed": speed,
            "details": [(f"{row['task']} ({row['style']})", found) for row in rows if (found := summary.details(row))],
        }
        for table, speed, rows in summary.variant_tables(results)
    ]


def _facts(results: Results) -> list[tuple[str, str]]:
    """The line under the title."""
    engines = ", ".join(dict.fromkeys(str(variant["engine"]) for variant in results["variants"]))
    settings = results["settings"]
    facts = [("engine", engines), ("selection", summary.selection_of(results))]
    if "adaptive" in results:
        facts.append(("adaptive", results["adaptive"]["sentence"]))
    facts.append(("styles", ", ".join(settings["styles"])))
    words = [f"temperature {settings['temperature']:g}"]
    if settings["temperature"]:
        words.append(f"top-p {settings['top_p']:g}")
    words += summary.further_sampling(settings)
    if settings.get("sampling") == "model":
        words.append("as generation_config.json asks")
    for name in ("thinking", "system"):
        if settings.get(name):
            facts.append((name, str(settings[name])))
    sampling = ", ".join(words)
    facts.append(("sampling", sampling + (f", {settings['repeats']} repeats" if settings["repeats"] > 1 else "")))
    return facts


def _when(results: Results) -> list[tuple[str, str]]:
    """When a run was made; several have no one time."""
    measured = results["measured"]
    return [("started", measured["started"]), ("took", f"{measured['seconds']:.0f} s")]


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
