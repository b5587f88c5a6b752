"""``thinkslm compare``: existing runs held against the first of them, item by item."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast, get_args

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import GroupKey, task_labels
from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.core.tables import (
    Column,
    Table,
    Tone,
    markdown_line,
    markdown_table,
    percent,
    print_line,
    print_table,
    stdout_console,
    text_columns,
)
from pytest_thinkslm.gates import gating, judges
from pytest_thinkslm.gates.baselines import (
    RecordedRun,
    RunFigures,
    counterpart,
    data_differences,
    load_run,
    misfits,
    prompt_differences,
    refused,
    sampling_differences,
)
from pytest_thinkslm.gates.certifying import (
    Certified,
    any_loss,
    any_loss_sentence,
    as_json,
    certificates,
    gate_of,
    overall,
)
from pytest_thinkslm.gates.outcomes import ALLOW, GateResult, any_failed, excuse
from pytest_thinkslm.reports.certificate_table import certificate_table
from pytest_thinkslm.reports.delta_tables import change_cells, change_columns, p_value
from pytest_thinkslm.reports.gate_table import gate_sentences, gate_table
from pytest_thinkslm.runs.types import AnyLossJson, CertificateJson, GateJson, SettingsJson
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, Margin, parse_margin
from pytest_thinkslm.settings.policies import Policy, make_policy
from pytest_thinkslm.settings.values import resolve_path
from pytest_thinkslm.statistics import PairedResult, holm

FORMATS = ("rich", "markdown", "json")

HELP = "compare existing runs item by item"
DESCRIPTION = """\
Compare runs that have been made: each with the first one, on the items that both have.

A run is its report folder (or its results.json, with items.jsonl beside it). Runs are paired item by item, so
that far smaller changes show than by comparing two accuracies. Exit status: 0, or with --gate 1 when a gate fails
or could not be evaluated and 2 when a run is not complete; 4 when nothing could be compared, or runs do not fit."""

EXAMPLES = """\
examples:
  thinkslm compare reports/before reports/after
  thinkslm compare reports/none reports/gptq4 reports/w8a8 --format markdown > comment.md
  thinkslm compare baseline now --gate 2 --gate-mode noninferiority"""

_COLUMNS = (*text_columns("task", "style"), Column("variant", "left", wrap=True), *change_columns(kept=False))

_TONES: Mapping[str, Tone] = {"passed": "good", "failed": "bad"}


@dataclass(frozen=True, slots=True)
class ComparedGroup:
    """One group of a run; ``label`` names its task, ``paired`` is None where ``unfit`` says why.

    ``shared`` counts the items that both were asked alike, errors among them.
    """

    key: GroupKey
    label: str
    against: GroupKey | None
    paired: PairedResult[str] | None
    unfit: str = ""
    shared: int = 0
    p_corrected: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run held against the first. ``remarks`` are differences between the two that do not forbid it."""

    name: str
    complete: bool
    rows: tuple[ComparedGroup, ...]
    gates: tuple[GateResult, ...]
    remarks: tuple[str, ...]
    certificate: CertificateJson | None = None
    certificates: Sequence[CertificateJson] = ()
    any_loss: Sequence[AnyLossJson] = ()

    @property
    def rows_compared(self) -> bool:
        """Whether any row shares items that were asked alike, if only such as are errors."""
        return any(row.against is not None and row.shared for row in self.rows)


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
    add_certificate_arguments(parser)
    parser.add_argument(
        ALLOW,
        action="store_true",
        help="nothing or too little to compare, a task that is missing, or too many errors do not fail the comparison",
    )


def add_certificate_arguments(parser: argparse.ArgumentParser, name: str = "--certify") -> None:
    """Add what a certificate takes; its margin under this name."""
    parser.add_argument(
        name,
        dest="certify",
        metavar="MARGIN",
        help="one decision over all tasks: GO, NO-GO or INCONCLUSIVE; MARGIN is in points of the mean drop",
    )
    parser.add_argument("--policy", metavar="FILE", help="TOML file with margin, guards and tiers (docs/gates.md)")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    if arguments.gate is None and arguments.gate_mode:
        raise UsageError("--gate-mode is about --gate, which is not given: add --gate MARGIN (in points)")
    mode = cast("GateMode", arguments.gate_mode or "regression")
    margin = None if arguments.gate is None else parse_margin(arguments.gate, mode)
    policy = policy_of(arguments)
    first = load_run(Path(arguments.baseline), "compare")
    others = [load_run(Path(place), "compare") for place in arguments.runs]
    allow = bool(arguments.allow_unevaluated)
    comparisons = [compare(first, other, margin, policy, allow_unevaluated=allow) for other in others]
    return report(first, comparisons, arguments.format, decides=margin is not None or policy is not None, allow=allow)


def policy_of(arguments: argparse.Namespace) -> Policy | None:
    """What is to be certified; None where nothing is. Raises ``UsageError``."""
    from pytest_thinkslm.tasks import registry

    if arguments.certify is None and arguments.policy is None:
        return None
    return make_policy(arguments.certify, resolve_path(arguments.policy, "policy"), tuple(registry.all_tasks()))


def report(first: RecordedRun, comparisons: Sequence[Comparison], how: str, *, decides: bool, allow: bool) -> int:
    """Print comparisons; the exit status. Raises ``UsageError`` where nothing could be compared.

    Args:
        decides: whether a gate or a certificate is asked for.
    """
    write = {"rich": _rich, "markdown": _markdown, "json": _json}[how]
    sys.stdout.write(write(first, comparisons))
    apart = [comparison.name for comparison in comparisons if not comparison.rows_compared]
    if apart and not allow:
        raise UsageError(
            f"compare: nothing could be compared with {first.name}: {', '.join(apart)} shares no item with it that was "
            f"asked alike; give runs of the same tasks and items, or {ALLOW}"
        )
    if any(any_failed(comparison.gates) for comparison in comparisons):
        return 1
    return 2 if decides and not all(comparison.complete for comparison in comparisons) else 0


def compare(
    first: RecordedRun,
    other: RecordedRun,
    margin: Margin | None = None,
    policy: Policy | None = None,
    *,
    allow_unevaluated: bool = False,
) -> Comparison:
    """Hold ``other`` against ``first``.

    Without a margin runs of other settings are compared all the same, which is then said; groups whose shared items
    were asked with other prompts never are.

    What one of the two has alone because the other's command left it out (``--task``, ``--style``) is not missing.

    Raises:
        UsageError: with a margin or a policy, where the runs do not fit.
    """
    measured, other_prompts = [], []
    shared: dict[GroupKey, int] = {}
    mode: GateMode = "regression" if margin is None else margin.mode
    for entry in gating.measure(other.groups, other.rows, first, mode):
        found = _prompt_misfits(first, other, entry)
        if found:
            other_prompts += found
            entry = replace(entry, cell=replace(entry.cell, comparison=None), unfit=f"other {', '.join(found)}")
        elif entry.against is not None:
            there = first.groups[entry.against].scores
            shared[entry.key] = sum(item in there for item in other.groups[entry.key].scores)
        measured.append(entry)
    gates: tuple[GateResult, ...] = ()
    found_judges = (judges.judge_gate(run.results, f"judge of {run.name}") for run in (first, other))
    judged = [gate for gate in found_judges if gate is not None]
    remarks = _remarks(first, other)
    certified: list[Certified] = []
    if margin is None and policy is None:
        remarks += [gate.sentence for gate in judged]
    else:
        styles = list(dict.fromkeys(key.style for key in other.groups))
        found = misfits(first, other.settings, other.templates(), styles, allow_unevaluated=allow_unevaluated)
        found += [*other_prompts, *_data_misfits(first, other)]
        if found:
            raise refused(f"compare {first.name} {other.name}", list(dict.fromkeys(found)))
        if margin is not None:
            gates = _gates(margin, measured, first, other)
        if policy is not None:
            certified = _certified(policy, measured, first, other, allow_unevaluated)
            gates += tuple(map(gate_of, certified))
        if allow_unevaluated:
            gates = excuse(gates, f"{ALLOW} is given")
        gates += tuple(judged)
    names = task_labels(entry.key for entry in measured)
    corrected = holm({entry.key: entry.cell.comparison.change.p for entry in measured if entry.cell.comparison})
    rows = tuple(
        ComparedGroup(
            entry.key,
            names[entry.key],
            entry.against,
            entry.cell.comparison,
            entry.unfit,
            shared.get(entry.key, 0),
            corrected.get(entry.key),
        )
        for entry in measured
    )
    complete = other.selection != "partial"
    worst = overall(certified)
    return Comparison(
        other.name,
        complete,
        rows,
        gates,
        tuple(remarks),
        None if worst is None or policy is None else as_json(worst, policy),
        [as_json(one, policy) for one in certified] if policy is not None else [],
        any_loss(other, first),
    )


def _certified(
    policy: Policy, measured: Sequence[gating.Measured], first: RecordedRun, other: RecordedRun, allow: bool
) -> list[Certified]:
    present = {entry.key for entry in measured}
    left_out = {entry.key for entry in measured if _left_out(entry, first)}
    misjudged = {group_key(row) for row in judges.misjudged(other.results)}
    theirs = {group_key(row) for row in judges.misjudged(first.results)}
    misjudged |= {entry.key for entry in measured if entry.against in theirs}
    now = RunFigures(
        {key: row for key, row in other.rows.items() if key not in left_out},
        {key: group for key, group in other.groups.items() if key not in left_out},
    )
    absent = [key for key in gating.missing(list(present), first) if asked_for(other.settings, key)]
    return certificates(policy, now, first, absent=absent, misjudged=misjudged, allow_unevaluated=allow)


def asked_for(settings: SettingsJson, key: GroupKey) -> bool:
    """Whether the command of a recorded run let a task and style in."""
    tasks, styles = settings.get("tasks", []), settings.get("styles", [])
    return (not tasks or any(fnmatchcase(key.task, wanted) for wanted in tasks)) and (not styles or key.style in styles)


def _left_out(entry: gating.Measured, first: RecordedRun) -> bool:
    """Whether the first run has nothing of a group because its command left it out."""
    return entry.against is None and not asked_for(first.settings, entry.key)


def _gates(
    margin: Margin, measured: Sequence[gating.Measured], first: RecordedRun, other: RecordedRun
) -> tuple[GateResult, ...]:
    complete = other.selection != "partial"
    present = [entry.key for entry in measured]
    missing = [key for key in gating.missing(present, first) if asked_for(other.settings, key)]
    absent = gating.missing_gates(margin, missing, present)
    gates = gating.decide(GateSpecs(margin=margin), measured, complete=complete)
    left_out = {entry.cell.label for entry in measured if _left_out(entry, first)}
    gates = tuple(
        replace(gate, excused="left out by the command of the first run") if gate.label in left_out else gate
        for gate in gates
    )
    keys = {entry.cell.label: entry.key for entry in measured}
    before = {entry.cell.label: entry.against for entry in measured if entry.against is not None}
    gates = judges.without_misjudged(gates, keys, other.results)
    gates = judges.without_misjudged(gates, before, first.results)
    return (*gates, *(absent if complete else excuse(absent, "the run is not complete")))


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
        _flips(paired),
        p_value(row.p_corrected),
    ]


def _flips(paired: PairedResult[str]) -> str:
    low, high = paired.share_interval(len(paired.lost) + len(paired.gained))
    return f"{percent(paired.flips)} ({100 * low:.1f} to {100 * high:.1f})"


def _footnotes(comparison: Comparison) -> list[str]:
    notes = [f"{row.label} ({row.key.style}): not compared, {row.unfit}" for row in comparison.rows if row.unfit]
    for row in comparison.rows:
        if row.paired and (few := gating.cluster_note(row.paired.clusters, row.paired.effective_clusters)):
            notes.append(f"{row.label} ({row.key.style}): {few}")
    several = sum(row.paired is not None for row in comparison.rows)
    correction = f"; Holm's correction over {several} rows" if several > 1 else ""
    tests = dict.fromkeys(row.paired.change.test for row in comparison.rows if row.paired)
    pooled = map(any_loss_sentence, comparison.any_loss)
    return [
        *comparison.remarks,
        *notes,
        *pooled,
        *([f"p is of any change: {'; '.join(tests)}{correction}"] if tests else []),
    ]


def _markdown(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    lines = []
    for comparison in comparisons:
        table = _table(first, comparison)
        gates = _gates_json(comparison)
        shown = gate_table(gates, table.title) if gates else table
        lines += [f"### {markdown_line(table.title)}", "", *markdown_table(shown), ""]
        lines += [f"- **{state}**: {markdown_line(sentence)}" for state, sentence in gate_sentences(gates)]
        lines += [""] if gates else []
        for certificate in comparison.certificates:
            own = certificate_table(certificate)
            lines += [f"#### {markdown_line(own.title)}", "", *markdown_table(own), ""]
        lines += [*(f"> {markdown_line(note)}  " for note in table.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rich(first: RecordedRun, comparisons: Sequence[Comparison]) -> str:
    console = stdout_console(132)
    with console.capture() as capture:
        for comparison in comparisons:
            table = _table(first, comparison)
            gates = _gates_json(comparison)
            print_table(console, gate_table(gates, table.title) if gates else replace(table, notes=()))
            for state, sentence in gate_sentences(gates):
                print_line(console, f"gate {state}: {sentence}", _TONES.get(state, "warning"))
            for certificate in comparison.certificates:
                print_table(console, certificate_table(certificate))
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
                "any_loss": list(comparison.any_loss),
                **({"certificate": comparison.certificate} if comparison.certificate else {}),
                **({"certificates": list(comparison.certificates)} if len(comparison.certificates) > 1 else {}),
            }
            for comparison in comparisons
        ],
    }
    return json.dumps(value, indent=2) + "\n"


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
        "only_baseline": len(paired.only_baseline),
        "only_candidate": len(paired.only_candidate),
    }
