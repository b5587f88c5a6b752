"""The gates of a run as one table, the same on a terminal, in Markdown and on the page; sentences once, below. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from pytest_thinkslm.core.item_record import GroupJson
from pytest_thinkslm.core.tables import Cell, Column, Form, Table, Tone, figure_columns, percent, text_columns
from pytest_thinkslm.gates.certifying import any_loss_sentences
from pytest_thinkslm.reports.delta_tables import change_cells, item_cells, p_value
from pytest_thinkslm.runs.types import GateJson, GateState, Results

_RANKS: Sequence[GateState] = ("failed", "advisory", "not evaluated", "passed")
_TONES: Mapping[GateState, Tone] = {
    "passed": "good",
    "failed": "bad",
    "not evaluated": "warning",
    "advisory": "warning",
}

#: Where there is room for what a terminal's 80 columns have none for.
_FILES: tuple[Form, ...] = ("markdown", "html")
_ALL: tuple[Form, ...] = ("terminal", *_FILES)

#: What each kind of gate asks, as it is shown.
_KINDS = {
    "regression": "regression",
    "noninferiority": "non-inferiority",
    "paper": "the paper",
    "judge": "judge",
    "certificate": "certify",
}


def gate_table(gates: Sequence[GateJson], title: str = "Gates", *, first: int = 0) -> Table:
    """Each gate in a row, those that fail first.

    Args:
        first: number of the first comparison among those whose items the page links to.
    """
    numbers = {gate["name"]: number for number, gate in enumerate((g for g in gates if "task" in g), first)}
    rows = [_cells(gate, numbers.get(gate["name"])) for gate in ranked(gates)]
    compared = any("difference" in gate["fields"] for gate in gates)
    columns = [
        *text_columns("task", "gate"),
        *figure_columns("n"),
        Column("before", forms=_FILES),
        *figure_columns("now"),
        Column("change (95% interval)", narrow="change (95% CI)", css="strong", forms=_ALL if compared else _FILES),
        *(Column(name, css="links", forms=_FILES) for name in ("lost", "gained")),
        *(Column(name, forms=_FILES) for name in ("flips", "p")),
        Column("decision", "left"),
    ]
    return Table(columns, rows, title)


def gate_sentences(gates: Sequence[GateJson]) -> list[tuple[GateState, str]]:
    """Each gate's (state, sentence), those that fail first; one that fails without being evaluated says what helps."""
    hint = " (fails the run; --allow-unevaluated lets it pass)"
    return [
        (gate["state"], gate["sentence"] + (hint if gate["passed"] is None and gate.get("fails") else ""))
        for gate in ranked(gates)
    ]


def any_loss_lines(results: Results) -> list[str]:
    """The pooled test of any loss, in a sentence a variant."""
    return any_loss_sentences(results["baseline"].get("any_loss", []) if "baseline" in results else [])


def ranked(gates: Sequence[GateJson]) -> list[GateJson]:
    """The gates, those that fail first."""
    return sorted(gates, key=lambda gate: (not gate.get("fails"), _RANKS.index(gate["state"])))


def _cells(gate: GateJson, number: int | None) -> list[Cell]:
    fields = {name: value for name, value in gate["fields"].items() if isinstance(value, float | int)}
    before, now = (None if name not in fields else fields[name] / 100 for name in ("baseline", "candidate"))
    for name in ("accuracy", "rate"):
        now = fields[name] / 100 if name in fields else now
    difference = fields["difference"] / 100 if "difference" in fields else None
    ends = [fields["low"] / 100, fields["high"] / 100] if difference is not None and "low" in fields else None
    shown_before, shown_now, change, interval = change_cells(before, now, difference, ends)
    items = [Cell("–"), Cell("–")]
    if number is not None and difference is not None:
        items = item_cells(cast("GroupJson", gate), gate["lost"], gate["gained"], f"gate-{number}")
    return [
        Cell(gate["label"]),
        Cell(_asked(gate, fields)),
        Cell(f"{fields['n']:.0f}" if "n" in fields else "–"),
        Cell(shown_before),
        Cell(shown_now),
        Cell(change if ends is None else f"{change} ({interval})"),
        *items,
        Cell(percent(fields["flips"] / 100) if "flips" in fields else "–"),
        Cell(p_value(fields.get("p_corrected", fields.get("p")))),
        Cell(_decision(gate), _TONES[gate["state"]]),
    ]


def _asked(gate: GateJson, fields: Mapping[str, float]) -> str:
    if "margin" in fields:
        return f"{_KINDS.get(gate['kind'], gate['kind'])} {fields['margin']:g}"
    for name, words in (("at_least", "at least"), ("at_most", f"{gate['kind'].removeprefix('max-')} at most")):
        if name in fields:
            on = " (lower bound)" if gate["fields"].get("on") == "lower bound" else ""
            return f"{words} {fields[name]:g}%{on}"
    return _KINDS.get(gate["kind"], gate["kind"])


def _decision(gate: GateJson) -> str:
    if "decision" in gate["fields"]:
        return str(gate["fields"]["decision"])
    return "not evaluated: fails" if gate["passed"] is None and gate.get("fails") else gate["state"]
