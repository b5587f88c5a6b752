"""Short tables for many rows, so that a run stays readable at 80 columns of a terminal. Pure.

Break-downs as aligned columns, many variants in blocks of tasks, and gates without what summary.md has in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from pytest_thinkslm.core.identity import short_names
from pytest_thinkslm.core.tables import Cell, Column, Table, percent, text_columns
from pytest_thinkslm.reports.certificate_table import certificates_of
from pytest_thinkslm.reports.gate_table import ranked
from pytest_thinkslm.reports.summary import (
    by_variant,
    interval_text,
    overall,
    row_name,
    row_remarks,
    variant_rows,
)
from pytest_thinkslm.runs.types import DeltaRow, FigureRow, GateJson, Results

#: Variants of a run that get a table of their own each, if it has no more rows in all; of more each is one row.
VARIANTS_IN_FULL, ROWS_IN_FULL = 3, 24

#: Lines that the blocks of an overview take at most.
LINES_OF_OVERVIEW = 80

#: Rows of a break-down, of a certificate and of the gates that are shown without ``-v``.
ROWS_SHOWN = 8

_Rate = Literal["unparsed_rate", "truncated_rate", "error_rate"]
_RATES: tuple[_Rate, ...] = get_args(_Rate)

#: Gates of which those that did not pass are told whole, and failed ones of more gates.
FEW_GATES, SENTENCES = 3, 2
#: Characters of a sentence among many: with what stands before and behind it two lines.
_LONG = 128


def breakdown_table(rows: Sequence[FigureRow]) -> Table | None:
    """What a variant's figures consist of: accuracy by facet in percent, and the tasks' own metrics."""
    found = [
        [row_name(row), row["style"], name, *cells] for row in rows for name, cells in _parts(row.get("metrics", {}))
    ]
    styles = len({row["style"] for row in rows}) > 1
    columns = [
        Column("task", "left"),
        Column("style", "left", forms=("terminal",) if styles else ()),
        Column("of which", "left", wrap=True),
        Column("n"),
        Column("value"),
        Column("95% CI"),
    ]
    return Table(columns, found) if found else None


def detail_lines(rows: Sequence[FigureRow]) -> list[str]:
    """A line for each row that there is something to say about (``summary.row_remarks``)."""
    said = [(row, "; ".join(row_remarks(row))) for row in rows]
    return [f"{row_name(row)} ({row['style']}): {text}" for row, text in said if text]


def overview_tables(results: Results, width: int) -> tuple[list[Table], str]:
    """Many variants: a row each, their mean and the accuracy of each task, in blocks of columns that fit the width.

    Returns:
        The blocks, as many as ``LINES_OF_OVERVIEW`` has room for, and a line on the tasks left out (empty: none).
    """
    groups = variant_rows(results)
    models = short_names(model for model, _ in groups)
    names = {key: f"{models[key[0]]} {key[1]}" if len(models) > 1 else key[1] for key in groups}
    parts = list(dict.fromkeys((row_name(row), row["style"]) for row in results["results"]))
    styles = len({style for _, style in parts}) > 1
    accuracies = {
        (key, row_name(row), row["style"]): "void" if row.get("void") else percent(row["accuracy"])
        for key, rows in groups.items()
        for row in rows
    }
    means = {key: overall(rows) for key, rows in groups.items()}
    columns: list[tuple[Column, Mapping[tuple[str, str], str]]] = []
    for style in dict.fromkeys(style for _, style in parts):
        ours = {key: next((m for m in own if m.style == style), None) for key, own in means.items()}
        if any(ours.values()):
            suffix = f"\n{style}" if styles else ""
            columns.append(
                (Column(f"mean{suffix}"), {k: "–" if m is None else percent(m.accuracy) for k, m in ours.items()})
            )
            ends = {k: interval_text(None if m is None else m.ci95) for k, m in ours.items()}
            columns.append((Column(f"95% CI{suffix}"), ends))
    for name in _RATES:
        heading = name.removesuffix("_rate")
        columns.append((Column(heading), {key: percent(_rate(rows, name)) for key, rows in groups.items()}))
    for task, style in parts:
        heading = "\n".join([*task.split("_"), *([style] if styles else [])])
        columns.append((Column(heading), {key: accuracies.get((key, task, style), "–") for key in groups}))
    blocks = list(_blocks(columns, names, width))
    kept = blocks[: max(1, LINES_OF_OVERVIEW // (len(names) + 2))]
    more = sum(len(block.columns) - 1 for block in blocks[len(kept) :])
    return kept, f"... and {more} more tasks: summary.md and the page, or -v" if more else ""


def is_overview(results: Results) -> bool:
    """Whether a run has too many variants or rows for a table each."""
    variants, rows = len(by_variant(results["results"])), len(results["results"])
    return variants > VARIANTS_IN_FULL or (variants > 1 and rows > ROWS_IN_FULL)


def _rate(rows: Sequence[FigureRow], name: _Rate) -> float | None:
    """A rate over all outcomes of a variant."""
    known = [(row["n"], rate) for row in rows if (rate := row[name]) is not None]
    total = sum(n for n, _ in known)
    return sum(n * rate for n, rate in known) / total if total else None


def _blocks(
    columns: Sequence[tuple[Column, Mapping[tuple[str, str], str]]],
    names: Mapping[tuple[str, str], str],
    width: int,
) -> Iterator[Table]:
    left = max(map(len, names.values()), default=0)
    block: list[tuple[Column, Mapping[tuple[str, str], str]]] = []
    taken = left
    for column, texts in columns:
        wide = 1 + max(map(len, [*column.heading.split("\n"), *texts.values()]))
        if block and taken + wide > width:
            yield _block(block, names)
            block, taken = [], left
        block.append((column, texts))
        taken += wide
    if block:
        yield _block(block, names)


def _block(
    block: Sequence[tuple[Column, Mapping[tuple[str, str], str]]], names: Mapping[tuple[str, str], str]
) -> Table:
    rows = [[name, *(texts[key] for _, texts in block)] for key, name in names.items()]
    return Table([*text_columns("variant"), *(column for column, _ in block)], rows)


def change_overview(results: Results) -> Table | None:
    """A row a variant on what changed against its reference; None where nothing was compared."""
    groups: dict[tuple[str, str], list[DeltaRow]] = {}
    for row in results.get("deltas", ()):
        groups.setdefault((row["model"], row["quant"]), []).append(row)
    if not groups:
        return None
    names = short_names(name for row in results.get("deltas", ()) for name in (row["against"]["model"], row["model"]))
    decisions = {(one["model"], one["quant"]): one["decision"] for one in certificates_of(results)}
    rows: list[list[Cell | str]] = []
    for (model, quant), own in groups.items():
        known = [row for row in own if row["difference"] is not None]
        changes = [row["difference"] for row in known if row["difference"] is not None]
        worst = min(known, key=lambda row: row["difference"] or 0.0, default=None)
        drops = sum((row["difference"] or 0) < 0 and (row["p_corrected"] or 1) <= 0.05 for row in known)
        rows.append(
            [
                f"{names[model]} {quant}" if len(names) > 1 else quant,
                f"{100 * sum(changes) / len(changes):+.1f}" if changes else "–",
                "–"
                if worst is None
                else f"{100 * (worst['difference'] or 0):+.1f} {worst.get('label') or worst['task']}",
                str(sum(len(row["lost"]) for row in known)),
                str(sum(len(row["gained"]) for row in known)),
                Cell(str(drops), "bad" if drops else ""),
                decisions.get((model, quant), ""),
            ]
        )
    columns = [
        *text_columns("change, points"),
        Column("mean"),
        Column("largest drop", "left"),
        Column("lost"),
        Column("gained"),
        Column("drops with p <= 0.05", narrow="drops,\np <=\n0.05"),
        Column("certificate", "left", forms=("terminal", "markdown", "html") if decisions else ()),
    ]
    return Table(columns, rows, "What changed")


def gates_shown(gates: Sequence[GateJson], *, every: bool, certified: bool) -> tuple[list[GateJson], str]:
    """The gates that the terminal's table has, and a line on those that it leaves out (empty: none).

    Under a certificate what fails no run is left out, and of many gates those that passed.
    """
    order = ranked(gates)
    if every:
        return order, ""
    order = [gate for gate in order if gate.get("fails") or not (certified and gate["state"] == "advisory")]
    shown = order if len(order) <= ROWS_SHOWN else [gate for gate in order if gate["state"] != "passed"][:ROWS_SHOWN]
    shown = shown or order[:ROWS_SHOWN]
    counts: dict[str, int] = {}
    for gate in gates:
        counts[gate["state"]] = counts.get(gate["state"], 0) + 1
    shown = _labelled(shown, gates)
    if len(shown) == len(gates):
        return shown, ""
    total = ", ".join(f"{count} {state}" for state, count in counts.items())
    return shown, f"gates: {total}; {len(shown)} are shown, all and why: summary.md, gates.xml"


def _labelled(shown: Sequence[GateJson], gates: Sequence[GateJson]) -> list[GateJson]:
    """The gates with labels that leave out what is the same in all: the model, the style."""
    if len({gate["model"] for gate in gates if "model" in gate}) > 1:
        return list(shown)
    styles = len({gate["style"] for gate in gates if "style" in gate}) > 1
    found: list[GateJson] = []
    for gate in shown:
        name, bracket, _ = gate["label"].partition("[")
        if bracket and "quant" in gate:
            parts = [name, gate["quant"], *([gate["style"]] if styles and "style" in gate else [])]
            gate = {**gate, "label": ", ".join(parts)}
        found.append(gate)
    return found


def sentences_shown(
    gates: Sequence[GateJson], found: Sequence[tuple[str, str]], *, every: bool, certified: bool
) -> tuple[list[tuple[str, str]], int]:
    """The sentences that the terminal has, and how many of failed gates it leaves out; a single gate is told whole."""
    if certified and not every:
        found = [one for one in found if one[0] != "advisory"]
    if every or len(gates) == 1:
        return list(found), 0
    if len(gates) <= FEW_GATES:
        return [one for one in found if one[0] != "passed" or one[1].startswith("certificate")], 0
    failing = sum(bool(gate.get("fails")) for gate in gates)
    # Those that fail come first; the certificate among them is what the run was for.
    failed = sorted(found[:failing], key=lambda one: not one[1].startswith("certificate"))
    return [(state, _first_clauses(sentence)) for state, sentence in failed[:SENTENCES]], max(0, failing - SENTENCES)


def passed_line(gates: Sequence[GateJson]) -> str:
    """What the regression gates that passed can see, in place of their sentences; empty where there is none."""
    passed = [gate["fields"] for gate in gates if gate["state"] == "passed" and gate["kind"] == "regression"]
    drops = [drop for fields in passed if isinstance(drop := fields.get("smallest_detectable_drop"), float | int)]
    if len(gates) < 2 or not passed:
        return ""
    low, high = (f"{end:.1f}" for end in ((min(drops), max(drops)) if drops else (0.0, 0.0)))
    sizes = f"drops of {low if low == high else f'{low} to {high}'} points or more" if drops else "no drop at all"
    blind = f", {len(passed) - len(drops)} of them none at all" if drops and len(drops) < len(passed) else ""
    return f"gates passed: in 4 of 5 runs they would find {sizes}{blind}; why each passed: summary.md, or -v"


def _first_clauses(sentence: str) -> str:
    """The first clauses of what names every task: two lines of a terminal."""
    if len(sentence) <= _LONG:
        return sentence
    kept = sentence[:_LONG].rpartition("; ")[0] or sentence[:_LONG].rpartition(" ")[0]
    kept = re.sub(r"\s*\([^)]*$", "", kept)  # no half of what stands in parentheses
    return f"{kept}; ... (summary.md)"


def _parts(metrics: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each figure's name and cells: accuracies by the values of a facet in percent, a task's own figures as they are.

    A facet with one value breaks nothing down, and ``by_error`` are the failures.
    """
    for name, inner in metrics.items():
        if name == "by_error":
            continue
        if name.startswith("by_") and isinstance(inner, Mapping):
            facet = name.removeprefix("by_").replace("_", " ")
            shares = {f"{facet} {value}": part for value, part in inner.items() if _is_figure(part)}
            if len(shares) > 1:
                yield from ((label, _cells(part, share=True)) for label, part in shares.items())
            for value, part in inner.items():
                if not _is_figure(part):
                    yield from ((f"{facet} {value} {label}", _cells(own)) for label, own in _flat({"": part}))
        else:
            yield from ((label, _cells(own)) for label, own in _flat({name: inner}))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        label = f"{prefix} {name}".strip()
        if isinstance(inner, Mapping) and "value" not in inner:
            yield from _flat(inner, label)
        else:
            yield label, inner


def _is_figure(value: Any) -> bool:
    return not isinstance(value, Mapping) or "value" in value


def _cells(value: Any, *, share: bool = False) -> list[str]:
    """Number of items, value and interval."""
    count, ends = "–", None
    if isinstance(value, Mapping):
        count, ends, value = str(value.get("n", "–")), value.get("ci95"), value.get("value")
    if share:
        return [count, percent(value), interval_text(ends)]
    shown = "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    return [count, shown, "–" if not ends else f"{ends[0]:.3f} to {ends[1]:.3f}"]
