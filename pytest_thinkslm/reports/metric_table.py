"""How the tasks' own metrics and break-downs changed between two runs or variants, as tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_thinkslm.core.tables import Column, Table, figure_columns, text_columns
from pytest_thinkslm.reports.delta_tables import change_cells
from pytest_thinkslm.runs.types import Results
from pytest_thinkslm.tasks.figures import ValueChange

NOTE = "each over what both sides were asked without an error; 95% intervals of single figures, paired, not corrected"

#: A row's task, its style, and the changes in it.
Row = tuple[str, str, Mapping[str, ValueChange]]


def metric_tables(results: Results) -> list[Table]:
    """Of a run: a table for each variant and style that is held against another, and one against the baseline."""
    found: dict[str, list[Row]] = {}
    for row in (*results.get("deltas", ()), *results.get("style_deltas", ())):
        against = row["against"]
        sides = f"{row['model']} ({row['quant']}) against {against['model']} ({against['quant']})"
        if against["model"] == row["model"]:
            sides = f"{row['model']}: {row['quant']} against {against['quant']}"
        if "against_style" in row:
            sides = f"{row['model']} ({row['quant']}): {row['style']} against {row['against_style']}"
        found.setdefault(sides, []).append((row.get("label") or row["task"], row["style"], row.get("metrics", {})))
    for gate in results["gates"]:
        if gate.get("metrics") and "baseline" in results:
            name = f"against {results['baseline']['name']}"
            found.setdefault(name, []).append((gate["label"], gate.get("style", ""), gate["metrics"]))
    tables = (metric_table(rows, f"Changes within tasks, {sides}") for sides, rows in found.items())
    return [table for table in tables if table is not None]


def metric_table(rows: Iterable[Row], title: str) -> Table | None:
    """One line a figure; None where there is none."""
    columns = [*text_columns("task", "style", "figure"), *figure_columns("n", "before", "now")]
    columns += [Column("change", css="strong"), *figure_columns("95% CI")]
    cells = [[task, style, *_figure(name, change)] for task, style, changes in rows for name, change in changes.items()]
    return Table(columns, cells, title, (NOTE,)) if cells else None


def _figure(name: str, change: ValueChange) -> list[str]:
    """Name and figures: accuracies by a facet in percent and points as everywhere, a task's own figures as they are."""
    group, _, rest = name.partition(".")
    label = f"{group.removeprefix('by_').replace('_', ' ') if group.startswith('by_') else group} {rest}".strip()
    before, now, difference, ends = change["before"], change["now"], change["difference"], change["ci95"]
    if group.startswith("by_") and "." not in rest:
        return [label, str(change["n"]), *change_cells(before, now, difference, ends)]
    interval = "–" if ends is None else f"{ends[0]:+.3f} to {ends[1]:+.3f}"
    return [label, str(change["n"]), f"{before:.3f}", f"{now:.3f}", f"{difference:+.3f}", interval]
