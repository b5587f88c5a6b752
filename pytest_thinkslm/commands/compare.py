"""``thinkslm compare``: existing runs held against the first of them, item by item."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import GroupKey, task_labels
from pytest_thinkslm.core.tables import (
    Column,
    Table,
    Tone,
    markdown_line,
    markdown_table,
    print_line,
    print_table,
    stdout_console,
    text_columns,
)
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import (
    RecordedRun,
    counterpart,
    data_differences,
    load_run,
    misfits,
    prompt_differences,
    refused,
    sampling_differences,
)
from pytest_thinkslm.gates.decisions import GateResult, any_failed
from pytest_thinkslm.reports.delta_tables import change_cells, change_columns, p_value
from pytest_thinkslm.runs.types import GateJson
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, Margin, parse_margin
from pytest_thinkslm.statistics import PairedResult

FORMATS = ("rich", "markdown", "json")

HELP = "compare existing runs item by item"
DESCRIPTION = """\
Compare runs that have been made: each with the first one, on the items that both have.

A run is its report folder (or its results.json, with items.jsonl beside it). Runs are paired item by item, so
that far smaller changes show than by comparing two accuracies. Exit status: 0, or with --gate 1 when a gate fails
and 2 when a run is not complete; 4 when something cannot be compared."""

EXAMPLES = """\
examples:
  thinkslm compare reports/before reports/after
  thinkslm compare reports/none reports/gptq4 reports/w8a8 --format markdown > comment.md
  thinkslm compare baseline now --gate 2 --gate-mode noninferiority"""

_COLUMNS = (*text_columns("task", "style"), Column("variant", "left", wrap=True), *change_columns(kept=False))

_TONES: Mapping[str, Tone] = {"passed": "good", "failed": "bad"}


@dataclass(frozen=True, slots=True)
class ComparedGroup:
    """One group of a run; ``label`` names its task, ``paired`` is None where ``unfit`` says why."""

    key: GroupKey
    label: str
    against: GroupKey | None
    paired: PairedResult[str] | None
    unfit: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run held against the first. ``remarks`` are differences between the two that do not forbid it."""

    name: str
    complete: bool
    rows: tuple[ComparedGroup, ...]
    gates: tuple[GateResult, ...]
    remarks: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("baseline", metavar="RUN_A", help="the run that the others are held against")
    parser.add_argument("runs", metavar="RUN_B", nargs="+", help="one or more further runs")
    parser.add_argument("--format", choices=FORMATS, default="rich", help="how to print it (default: rich)")
    parser.add_argument("--gate", metavar="MARGIN", help="fail where a drop of more than MARGIN points is shown")
    parser.add_argument(
        "--gate-mode",
        choices=get_args(GateMode),
        help="regression (default): fail where a larger drop is shown; noninferiority: fail unless it is ruled out",
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    if arguments.gate is None and arguments.gate_mode:
        raise UsageError("--gate-mode is about --gate, which is not given: add --gate MARGIN (in points)")
    mode = cast("GateMode", arguments.gate_mode or "regression")
    margin = None if arguments.gate is None else parse_margin(arguments.gate, mode)
    first = load_run(Path(arguments.baseline), "compare")
    others = [load_run(Path(place), "compare") for place in arguments.runs]
    comparisons = [compare(first, other, margin) for other in others]
    write = {"rich": _rich, "markdown": _markdown, "json": _json}[arguments.format]
    sys.stdout.write(write(first, comparisons))
    if any(any_failed(comparison.gates) for comparison in comparisons):
        return 1
    return 2 if margin is not None and not all(comparison.complete for comparison in comparisons) else 0


def compare(first: RecordedRun, other: RecordedRun, margin: Margin | None = None) -> Comparison:
    """Hold ``other`` against ``first``.

    Without a margin runs of other settings are compared all the same, which is then said; groups whose shared items
    were asked with other prompts never are.

    Raises:
        UsageError: with a margin, where the runs do not fit.
    """
    measured, other_prompts = [], []
    for entry in gating.measure(other.groups, other.rows, first):
        found = _prompt_misfits(first, other, entry)
        if found:
            other_prompts += found
            entry = replace(entry, cell=replace(entry.cell, comparison=None), unfit=f"other {', '.join(found)}")
        measured.append(entry)
    gates: tuple[GateResult, ...] = ()
    if margin is not None:
        styles = list(dict.fromkeys(key.style for key in other.groups))
        found = misfits(first, other.settings, other.templates(), styles)
        found += [*other_prompts, *_data_misfits(first, other)]
        if found:
            raise refused(f"compare {first.name} {other.name}", list(dict.fromkeys(found)))
        gates = gating.decide(GateSpecs(margin=margin), measured, complete=other.selection != "partial")
    names = task_labels(entry.key for entry in measured)
    rows = tuple(
        ComparedGroup(entry.key, names[entry.key], entry.against, entry.cell.comparison, entry.unfit)
        for entry in measured
    )
    return Comparison(other.name, other.selection != "partial", rows, gates, tuple(_remarks(first, other)))


def _prompt_misfits(first: RecordedRun, other: RecordedRun, entry: gating.Measured) -> list[str]:
    if entry.against is None:
        return []
    label = f"{entry.key.task} ({entry.key.style})"
    return prompt_differences(label, first.groups[entry.against].prompts, other.groups[entry.key].prompts)


def _data_misfits(first: RecordedRun, other: RecordedRun) -> list[str]:
    before, found = first.rows, []
    for key, row in other.rows.items():
        against = gating.match(key, first)
        if against is not None and against in before and row.get("data"):
            found += data_differences(before[against], row["data"]["digest"], row["data"]["pin"])
    return found


def _remarks(first: RecordedRun, other: RecordedRun) -> list[str]:
    """What a reader of the table has to know."""
    remarks = [f"{run.name}: selection {run.selection}" for run in (first, other) if run.selection != "full"]
    remarks += sampling_differences(first.settings, other.settings)
    before, now = first.templates(), other.templates()
    for variant, template in now.items():
        match = counterpart(variant, first.variants)
        if match and template and before.get(match) and before[match] != template:
            remarks.append(f"chat template of {variant[0]} ({variant[1]}) is not that of {match[0]} ({match[1]})")
    return [*remarks, *_data_misfits(first, other)]


def _table(first: RecordedRun, comparison: Comparison) -> Table:
    title = f"{first.name} → {comparison.name}"
    return Table(_COLUMNS, [_cells(row) for row in comparison.rows], title, _footnotes(comparison))


def _cells(row: ComparedGroup) -> list[str]:
    names = [row.label, row.key.style, f"{row.key.model} ({row.key.quant})"]
    paired = row.paired
    if paired is None:
        return [*names, *("–" for _ in _COLUMNS[3:])]
    return [
        *names,
        str(paired.n),
        *change_cells(paired.baseline, paired.candidate, paired.difference, paired.interval),
        str(len(paired.lost)),
        str(len(paired.gained)),
        p_value(paired.change.p),
    ]


def _footnotes(comparison: Comparison) -> list[str]:
    notes = [f"{row.label} ({row.key.style}): not compared, {row.unfit}" for row in comparison.rows if row.unfit]
    tests = dict.fromkeys(row.paired.change.test for row in comparison.rows if row.paired)
    return [*comparison.remarks, *notes, *([f"p is of any change: {'; '.join(tests)}"] if tests else [])]


def _markdown(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    lines = []
    for comparison in comparisons:
        table = _table(first, comparison)
        lines += [f"### {markdown_line(table.title)}", ""]
        for gate in comparison.gates:
            lines.append(f"- **{gating.outcome(gate)}**: {markdown_line(gate.sentence)}")
        lines += [""] if comparison.gates else []
        lines += [*markdown_table(table), "", *(f"> {markdown_line(note)}  " for note in table.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rich(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    console = stdout_console(120)
    with console.capture() as capture:
        for comparison in comparisons:
            table = _table(first, comparison)
            print_table(console, replace(table, notes=()))
            for gate in comparison.gates:
                state = gating.outcome(gate)
                print_line(console, f"gate {state}: {gate.sentence}", _TONES.get(state, "warning"))
            for note in table.notes:
                print_line(console, note, "quiet")
    return capture.get()


def _json(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    value = {
        "baseline": first.name,
        "runs": [
            {
                "name": comparison.name,
                "complete": comparison.complete,
                "remarks": list(comparison.remarks),
                "rows": [_row_json(row) for row in comparison.rows],
                "gates": _gates_json(comparison),
            }
            for comparison in comparisons
        ],
    }
    return json.dumps(value, indent=2) + "\n"


def _gates_json(comparison: Comparison) -> list[GateJson]:
    keys = {label: key for key, label in gating.labels([row.key for row in comparison.rows]).items()}
    return [gating.as_json(gate, keys[gate.label]) for gate in comparison.gates]


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
        "lost": list(paired.lost),
        "gained": list(paired.gained),
        "p": paired.change.p,
        "test": paired.change.test,
        "only_baseline": len(paired.only_baseline),
        "only_candidate": len(paired.only_candidate),
    }
