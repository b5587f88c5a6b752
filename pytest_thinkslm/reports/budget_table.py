"""Accuracy by the length of the thought (``--budget-curve``): on a terminal, in Markdown and on the page. Pure."""

from __future__ import annotations

from pytest_thinkslm.core.tables import Cell, Table, figure_columns, percent, text_columns
from pytest_thinkslm.runs.types import BudgetCurve, Results

TITLE = "Accuracy by the length of the thought (--budget-curve)"

LEGEND = (
    "budget: tokens at which thoughts are closed and the answer asked for; closed: share of items whose thought was, "
    "the others had ended before; cut: share whose answer did not end within its limit and so mostly counts as wrong"
)


def budget_table(results: Results) -> Table | None:
    """A row a budget of each variant, task and style, and what there is to say below; None without any."""
    curves = [curve for curve in results.get("budget_curves", ()) if curve["points"]]
    if not curves:
        return None
    variants = len({(curve["model"], curve["quant"]) for curve in curves}) > 1
    styles = len({curve["style"] for curve in curves}) > 1
    columns = [
        *text_columns(*["model", "quant"] * variants, "task", *["style"] * styles),
        *figure_columns("budget", "n", "accuracy", "95% CI", "closed", "cut"),
    ]
    cells = [
        [
            *[Cell(curve["model"]), Cell(curve["quant"])] * variants,
            Cell(curve["task"]),
            *[Cell(curve["style"])] * styles,
            Cell(f"{point['budget']:,}"),
            Cell(str(point["n"])),
            Cell(percent(point["accuracy"])),
            Cell(_interval(point["ci95"])),
            Cell(percent(point["forced"])),
            Cell(percent(point["cut"])),
        ]
        for curve in curves
        for point in curve["points"]
    ]
    return Table(columns, cells, TITLE, [*dict.fromkeys(filter(None, map(_cost, curves))), LEGEND])


def _interval(ends: list[float] | None) -> str:
    return "–" if ends is None else f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"


def _cost(curve: BudgetCurve) -> str:
    """What the curve took beside its run."""
    run, own = curve["tokens"]["run"], curve["tokens"]["curve"]
    if not run or own is None:
        return ""
    return (
        f"{curve['task']} ({curve['style']}) of {curve['model']} ({curve['quant']}): answers of at most "
        f"{curve['limit']:,} tokens, {own:,} in all beside the run's {run:,} ({1 + own / run:.2f} times)"
    )
