"""What the page shows of comparisons: between variants, with a baseline, the paper and a judge; and gates. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.core.tables import Cell, Column, Table, html_table, text_columns
from pytest_thinkslm.core.text import preview
from pytest_thinkslm.reports.budget_table import budget_table
from pytest_thinkslm.reports.certificate_table import certificate_table, certificates_of
from pytest_thinkslm.reports.delta_tables import break_tables, delta_tables, reference_tables, style_tables
from pytest_thinkslm.reports.gate_table import any_loss_lines, gate_sentences, gate_table
from pytest_thinkslm.reports.links import item_link
from pytest_thinkslm.reports.metric_table import metric_tables
from pytest_thinkslm.reports.page.charts import variant_labels
from pytest_thinkslm.reports.stress_table import stress_table
from pytest_thinkslm.reports.terminal_tables import change_overview
from pytest_thinkslm.runs.types import Disagreement, Results

#: Variables of the page's template.
View = Mapping[str, Any]

#: Rows of disagreements between judge and parser; all of them are one click away.
DISAGREEMENTS_SHOWN = 200


def deltas(results: Results) -> list[View]:
    """One table a variant: its change against its reference, and where lost and gained items broke."""
    broke = break_tables(results)
    return [
        {
            "title": table.title,
            "table": html_table(table),
            "measured": cost,
            "broke": html_table(broke[name]) if (name := f"{rows[0]['model']}|{rows[0]['quant']}") in broke else "",
        }
        for table, rows, cost in delta_tables(results)
    ]


def metrics(results: Results) -> list[View]:
    """Changes of the tasks' own metrics and break-downs, one table a comparison."""
    return [
        {"title": table.title, "table": html_table(table), "notes": table.notes} for table in metric_tables(results)
    ]


def changed(results: Results) -> str:
    """A row a variant on what changed against its reference; empty where nothing was compared."""
    table = change_overview(results)
    return "" if table is None else html_table(table)


def styles(results: Results) -> list[View]:
    """One table a variant and style: its change against the first style."""
    return [{"title": table.title, "table": html_table(table)} for table, _, _ in style_tables(results)]


def stress(results: Results) -> View | None:
    """What changed forms of items did; None where none was asked."""
    table = stress_table(results)
    return None if table is None else {"title": table.title, "table": html_table(table), "notes": table.notes}


def budgets(results: Results) -> View | None:
    """Accuracy by the length of the thought; None where it was not asked for."""
    table = budget_table(results)
    return None if table is None else {"title": table.title, "table": html_table(table), "notes": table.notes}


def reference(results: Results) -> View | None:
    """Our figures beside the paper's."""
    for table in reference_tables(results, apart=False):
        return {"notes": table.notes, "table": html_table(table)}
    return None


def judge(results: Results) -> View | None:
    """The judge, its canaries and counts, and where it and the parser disagree; None without one."""
    block = results.get("judge")
    if not block:
        return None
    counts = ("asked", "judged", "unjudged", "agree", "disagree")
    labels = variant_labels(results)
    found = block.get("disagreements") or []
    rows = [_disagreement_cells(row, labels) for row in found[:DISAGREEMENTS_SHOWN]]
    readings = [Column(name, "left", wrap=True) for name in ("parser", "judge", "the judge's reason")]
    return {
        "model": block["model"],
        "policy": block["policy"],
        "canaries": block.get("canaries"),
        "counts": [(name, block[name]) for name in counts if block.get(name) is not None],  # type: ignore[literal-required]
        "total": len(found),
        "shown": len(rows),
        "table": html_table(Table([*text_columns("item", "variant"), *readings], rows, "Disagreements")),
    }


def _disagreement_cells(row: Disagreement, labels: Mapping[tuple[str, str], str]) -> list[Cell]:
    parser, ruling = row["parser"], row["judge"]
    return [
        Cell(f"{row['task']} {row['style']} {row['item']}", link=item_link(group_key(row), row["item"], row["repeat"])),
        Cell(labels.get((row["model"], row["quant"]), row["quant"])),
        Cell(f"{parser['verdict']}: {preview(parser['answer']) or 'nothing read'}", small=parser["rule"]),
        Cell(f"{ruling['verdict']}: {preview(ruling['answer']) or 'nothing read'}"),
        Cell(ruling["reason"]),
    ]


def certificates(results: Results) -> list[View]:
    """Each certificate: its decision, its sentence, and its tasks beside their guards."""
    return [
        {
            "title": (table := certificate_table(certificate)).title,
            "sentence": certificate["sentence"],
            "table": html_table(table),
            "notes": table.notes,
        }
        for certificate in certificates_of(results)
    ]


def gates(results: Results) -> View | None:
    """Gates as a table and as (state, sentence); the sentences of those that passed are folded away."""
    found = gate_sentences(results["gates"])
    if not found:
        return None
    title = f"Gates, against the baseline {results['baseline']['name']}" if "baseline" in results else "Gates"
    shown: list[tuple[str, str]] = [line for line in found if line[0] != "passed"]
    return {
        "title": title,
        "table": html_table(gate_table(results["gates"], title, first=len(results.get("deltas") or ()))),
        "shown": [*shown, *(("any loss", line) for line in any_loss_lines(results))],
        "folded": [sentence for state, sentence in found if state == "passed"],
    }
