"""What changed forms of items did (``--stress``), the same on a terminal, in Markdown and on the page. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_thinkslm.core.tables import Cell, Column, Table, figure_columns, percent, text_columns
from pytest_thinkslm.reports.delta_tables import change_cells, p_value
from pytest_thinkslm.reports.links import filter_link
from pytest_thinkslm.runs.types import Results, StressFigures, StressRow

TITLE = "Changed forms of items (--stress)"

LEGEND = (
    "before, changed: accuracy of the items as they are, and in their changed forms; p: of no form being different, "
    "after Holm's correction over all rows; consistent: right in every form or in none; same answer: in every form; "
    "flips: items right in one form and wrong in another"
)


def stress_table(results: Results) -> Table | None:
    """A row a transformation of each variant, task and style, and what there is to say below; None without any."""
    rows = results.get("stress")
    if not rows:
        return None
    variants = len({(row["model"], row["quant"]) for row in rows}) > 1
    styles = len({row["style"] for row in rows}) > 1
    columns = [
        *text_columns(*["model", "quant"] * variants, "task", *["style"] * styles, "transformation"),
        *figure_columns("items", "before", "changed"),
        Column("change", css="strong"),
        *figure_columns("95% CI", "p"),
        Column("consistent", narrow="consis-\ntent"),
        Column("same answer", narrow="same\nanswer"),
        Column("flips"),
    ]
    cells = []
    for row in rows:
        names = [
            *[Cell(row["model"]), Cell(row["quant"])] * variants,
            Cell(row.get("label") or row["task"]),
            *[Cell(row["style"])] * styles,
        ]
        for name, figures in row["transformations"].items():
            cells.append([*names, *_cells(row, name, figures)])
    notes = [note for row in rows for note in _notes(row, variants=variants, styles=styles)]
    return Table(columns, cells, TITLE, [*dict.fromkeys(notes), LEGEND])


def _cells(row: StressRow, name: str, one: StressFigures) -> list[Cell]:
    link = filter_link(
        **{key: row[key] for key in ("model", "quant", "task", "style")},
        role="stress",
        transformation=name,
    )
    known = one["items"] > 0
    before, now, change, interval = change_cells(
        one["before"] if known else None,
        one["accuracy"] if known else None,
        one["change"] if known else None,
        one["ci95"],
    )
    shown = known and one["p_corrected"] <= 0.05
    return [
        Cell(name, link=link),
        Cell(str(one["items"])),
        Cell(before),
        Cell(now),
        Cell(change, ("bad" if one["change"] < 0 else "good") if shown else ""),
        Cell(interval),
        Cell(p_value(one["p_corrected"]) if known else "–"),
        Cell(percent(one["consistency"])),
        Cell(percent(one["same_answer"])),
        Cell(str(one["flips"]) if known else "–"),
    ]


def _notes(row: StressRow, *, variants: bool, styles: bool) -> Iterator[str]:
    """Consistency over everything, position bias, variance components, and what is in none of the figures."""
    task = row.get("label") or row["task"]
    of = f", {row['model']} ({row['quant']})" if variants else ""
    name = f"{task} ({row['style']}){of}" if styles else f"{task}{of}"
    if row["consistency"] is not None and row["consistency_ci95"] is not None:
        low, high = row["consistency_ci95"]
        yield (
            f"{name}: {percent(row['consistency'])} of {row['items']} items are right in every form of all "
            f"transformations, or in none (95% interval {100 * low:.1f} to {100 * high:.1f})"
        )
    if bias := row.get("position_bias"):
        pairs = zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", bias["picked"], bias["expected"], strict=False)
        shares = ", ".join(f"{letter} {100 * picked:.0f} ({100 * gold:.0f})" for letter, picked, gold in pairs)
        p = p_value(bias["p"])
        yield (
            f"{name}: picks by position in percent, in brackets where the golds stand: {shares}; "
            f"no preference: p {p if p.startswith('<') else '= ' + p}"
        )
    if variance := row.get("variance"):
        parts = ", ".join(
            f"{one['source']} {percent(one['share'], 0)} ({100 * one['ci95'][0]:.0f} to {100 * one['ci95'][1]:.0f})"
            for one in variance
        )
        yield f"{task}{of}: of the variance of a score, each within the one before: {parts}"
    unchanged = {key: one["unchanged"] for key, one in row["transformations"].items() if one["unchanged"]}
    if unchanged:
        counts = ", ".join(f"{key} {count}" for key, count in unchanged.items())
        yield f"{name}: items left as they are, having nothing that could be changed without a doubt: {counts}"
    if row["errors"]:
        yield f"{name}: {row['errors']} outcomes of changed forms are errors, and in none of these figures"
