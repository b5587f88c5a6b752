"""Comparisons of recorded runs as they are printed: on a terminal, in Markdown, as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_thinkslm.core.identity import short_names
from pytest_thinkslm.core.tables import (
    Column,
    Form,
    Table,
    Tone,
    fits,
    markdown_line,
    markdown_table,
    percent,
    print_line,
    print_table,
    stdout_console,
    text_columns,
)
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import (
    RecordedRun,
)
from pytest_thinkslm.gates.certifying import any_loss_sentences
from pytest_thinkslm.gates.comparing import ComparedGroup, Comparison
from pytest_thinkslm.reports.certificate_table import certificate_table
from pytest_thinkslm.reports.delta_tables import change_cells, change_columns, consistency_text, p_value
from pytest_thinkslm.reports.deltas import consistency_json
from pytest_thinkslm.reports.gate_table import gate_sentences, gate_table
from pytest_thinkslm.reports.metric_table import Row, metric_table
from pytest_thinkslm.runs.results import cluster_note
from pytest_thinkslm.runs.types import CertificateJson, GateJson
from pytest_thinkslm.statistics import PairedResult

_TONES: Mapping[str, Tone] = {"passed": "good", "failed": "bad"}


def _table(first: RecordedRun, comparison: Comparison) -> Table:
    title = f"{first.name} → {comparison.name}"
    # A terminal has no room for what is the same in every row, nor for the interval of the flips, nor, beside styles or
    # variants, for the flips, which are lost and gained ones together.
    everywhere: tuple[Form, ...] = ("terminal", "markdown", "html")
    keys = [row.key for row in comparison.rows]
    styles, variants = len({key.style for key in keys}) > 1, len({key.variant for key in keys}) > 1
    columns = [
        *text_columns("task"),
        Column("style", "left", forms=everywhere if styles else everywhere[1:]),
        Column("variant", "left", forms=everywhere[1:]),
        Column("variant", "left", wrap=True, forms=everywhere[:1] if variants else ()),
        *(
            part
            for column in change_columns(kept=False)
            for part in (
                [
                    replace(column, forms=everywhere[1:]),
                    replace(column, forms=() if styles or variants else everywhere[:1]),
                ]
                if column.heading == "flips"
                else [column]
            )
        ),
    ]
    models = short_names(key.model for key in keys)
    rows = [_cells(row, len(columns), models) for row in comparison.rows]
    return Table(columns, rows, title, _footnotes(comparison))


def _by_variant(first: RecordedRun, comparison: Comparison) -> list[Table]:
    """A table for each variant, which its title names."""
    groups: dict[tuple[str, str], list[ComparedGroup]] = {}
    for row in comparison.rows:
        groups.setdefault(row.key.variant, []).append(row)
    tables = []
    for (model, quant), own in groups.items():
        table = _table(first, replace(comparison, rows=tuple(own)))
        tables.append(replace(table, title=f"{table.title}: {model} ({quant})"))
    return tables


def _cells(row: ComparedGroup, count: int, models: Mapping[str, str]) -> list[str]:
    short = row.key.quant if len(models) == 1 else f"{models[row.key.model]} ({row.key.quant})"
    names = [row.label, row.key.style, f"{row.key.model} ({row.key.quant})", short]
    paired = row.paired
    if paired is None:
        return [*names, *("–" for _ in range(count - len(names)))]
    return [
        *names,
        str(paired.n),
        *change_cells(paired.baseline, paired.candidate, paired.difference, paired.interval),
        str(len(paired.lost)),
        str(len(paired.gained)),
        _flips(paired),
        percent(paired.flips),
        p_value(row.p_corrected),
    ]


def _flips(paired: PairedResult[str]) -> str:
    low, high = paired.share_interval(len(paired.lost) + len(paired.gained))
    return f"{percent(paired.flips)} ({100 * low:.1f} to {100 * high:.1f})"


def _footnotes(comparison: Comparison) -> list[str]:
    notes = [f"{row.label} ({row.key.style}): not compared, {row.unfit}" for row in comparison.rows if row.unfit]
    if not comparison.gates:  # whose sentences say it
        for row in comparison.rows:
            said = list(gating.metric_notes(row.metrics))
            said += [note] if row.paired and (note := gating.disagreement_note(row.paired)) else []
            notes += [f"{row.label} ({row.key.style}): {note}" for note in said]
    for row in comparison.rows:
        if row.paired and (few := cluster_note(row.paired.n, row.paired.clusters, row.paired.effective_clusters)):
            notes.append(f"{row.label} ({row.key.style}): {few}")
    notes += [
        f"{row.label} ({row.key.style}): {consistency_text(consistency_json(row.consistency))}"
        for row in comparison.rows
        if row.consistency is not None
    ]
    several = sum(row.paired is not None for row in comparison.rows)
    correction = f"; Holm's correction over {several} rows" if several > 1 else ""
    tests = dict.fromkeys(row.paired.change.test for row in comparison.rows if row.paired)
    return [
        *comparison.remarks,
        *notes,
        *any_loss_sentences(comparison.any_loss),
        *([f"p is of any change: {'; '.join(tests)}{correction}"] if tests else []),
    ]


def as_markdown(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    """Tables and sentences for a comment or a file."""
    lines = []
    for comparison in comparisons:
        table = _table(first, comparison)
        gates = _gates_json(comparison)
        shown = gate_table(gates, table.title) if gates else table
        lines += [f"### {markdown_line(table.title)}", "", *markdown_table(shown), ""]
        lines += [f"- **{state}**: {markdown_line(sentence)}" for state, sentence in gate_sentences(gates)]
        lines += [""] if gates else []
        for certificate in filter(_has_tasks, comparison.certificates):
            own = certificate_table(certificate)
            lines += [f"#### {markdown_line(own.title)}", "", *markdown_table(own), ""]
            lines += [f"> {markdown_line(note)}  " for note in own.notes]
        lines += [*(f"> {markdown_line(note)}  " for note in table.notes), ""]
        within = metric_table(_metrics(comparison), "Changes within tasks")
        if within is not None:
            lines += [f"#### {within.title}", "", *markdown_table(within), "", *(f"> {n}" for n in within.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def as_text(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    """The same for a terminal."""
    console = stdout_console(80)
    with console.capture() as capture:
        for comparison in comparisons:
            table = _table(first, comparison)
            gates = _gates_json(comparison)
            shown = [gate_table(gates, table.title)] if gates else [table]
            if not gates and not fits(console, table):
                shown = _by_variant(first, comparison)
            for one in shown:
                print_table(console, replace(one, notes=()), gap=1)
            for state, sentence in gate_sentences(gates):
                print_line(console, f"gate {state}: {sentence}", _TONES.get(state, "warning"))
            for certificate in filter(_has_tasks, comparison.certificates):
                print_table(console, certificate_table(certificate), gap=1)
            for note in table.notes:
                print_line(console, note, "quiet")
    return capture.get()


def as_json(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    """All figures; fractions, as in results.json, but the points of gates and certificates."""
    value = {
        "baseline": first.name,
        "runs": [
            {
                "name": comparison.name,
                "complete": comparison.complete,
                "remarks": list(comparison.remarks),
                "rows": [_row_json(row) for row in comparison.rows],
                "gates": _gates_json(comparison),
                "any_loss": list(comparison.any_loss),
                **({"certificate": comparison.certificate} if comparison.certificate else {}),
                **({"certificates": list(comparison.certificates)} if len(comparison.certificates) > 1 else {}),
            }
            for comparison in comparisons
        ],
    }
    return json.dumps(value, indent=2) + "\n"


def _has_tasks(certificate: CertificateJson) -> bool:
    """Whether there is more to show than its sentence."""
    return bool(certificate["guards"])


def _metrics(comparison: Comparison) -> Iterator[Row]:
    return ((row.label, row.key.style, row.metrics) for row in comparison.rows)


def _gates_json(comparison: Comparison) -> list[GateJson]:
    """The gates; those on a row that is here with its key."""
    keys = {label: key for key, label in gating.labels([row.key for row in comparison.rows]).items()}
    return [gating.as_json(gate, keys.get(gate.label)) for gate in comparison.gates]


def _row_json(row: ComparedGroup) -> dict[str, object]:
    """Accuracies and differences are fractions, as in results.json."""
    value: dict[str, object] = dict(row.key._asdict())
    if row.against is not None:
        value["against"] = {"model": row.against.model, "quant": row.against.quant}
    paired = row.paired
    if paired is None:
        return {**value, "not_compared": row.unfit}
    return {
        **value,
        "n": paired.n,
        "clusters": paired.clusters,
        "repeats": paired.repeats,
        "baseline": paired.baseline,
        "candidate": paired.candidate,
        "difference": paired.difference,
        "ci95": list(paired.interval),
        "flips": paired.flips,
        "flips_ci95": list(paired.share_interval(len(paired.lost) + len(paired.gained))),
        "lost_ci95": list(paired.share_interval(len(paired.lost))),
        "gained_ci95": list(paired.share_interval(len(paired.gained))),
        "lost": list(paired.lost),
        "gained": list(paired.gained),
        "p": paired.change.p,
        "p_corrected": row.p_corrected,
        "test": paired.change.test,
        **({"consistency": consistency_json(row.consistency)} if row.consistency is not None else {}),
        "only_baseline": len(paired.only_baseline),
        "only_candidate": len(paired.only_candidate),
        **({"metrics": dict(row.metrics)} if row.metrics else {}),
    }


#: How a comparison is printed, by name.
WRITERS = {"rich": as_text, "markdown": as_markdown, "json": as_json}
