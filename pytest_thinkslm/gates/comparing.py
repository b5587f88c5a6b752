"""Recorded runs held against each other, item by item: rows, gates and certificates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from pytest_thinkslm.core.identity import GroupKey, task_labels
from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.gates import gating, judges
from pytest_thinkslm.gates.baselines import (
    Group,
    RecordedRun,
    RunFigures,
    counterpart,
    data_differences,
    misfits,
    prompt_differences,
    refused,
    sampling_differences,
)
from pytest_thinkslm.gates.certificate import ONE_LOOK, Levels, undecided
from pytest_thinkslm.gates.certifying import (
    Certified,
    any_loss,
    as_json,
    certificates,
    gate_of,
    overall,
)
from pytest_thinkslm.gates.outcomes import ALLOW, GateResult, excuse
from pytest_thinkslm.runs.types import AnyLossJson, CertificateJson, SettingsJson
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, Margin
from pytest_thinkslm.settings.policies import Policy
from pytest_thinkslm.statistics import PairedResult, compare_paired, holm
from pytest_thinkslm.tasks.figures import ValueChange


@dataclass(frozen=True, slots=True)
class ComparedGroup:
    """One group of a run; ``label`` names its task, ``paired`` is None where ``unfit`` says why.

    ``shared`` counts the items that both were asked alike, errors among them. ``consistency``: by item, whether it is
    right in every form or in none, over the changed forms (``--stress``) that both were asked; None without any.
    """

    key: GroupKey
    label: str
    against: GroupKey | None
    paired: PairedResult[str] | None
    unfit: str = ""
    shared: int = 0
    p_corrected: float | None = None
    metrics: Mapping[str, ValueChange] = field(default_factory=dict)
    consistency: PairedResult[str] | None = None


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


def compare(
    first: RecordedRun,
    other: RecordedRun,
    margin: Margin | None = None,
    policy: Policy | None = None,
    *,
    allow_unevaluated: bool = False,
    levels: Levels = ONE_LOOK,
) -> Comparison:
    """Hold ``other`` against ``first``.

    Without a margin runs of other settings are compared all the same, which is then said; groups whose shared items
    were asked with other prompts never are.

    What one of the two has alone because the other's command left it out (``--task``, ``--style``) is not missing.
    Certificates are given at ``levels``.

    Raises:
        UsageError: with a margin or a policy, where the runs do not fit.
    """
    measured, other_prompts = [], []
    shared: dict[GroupKey, int] = {}
    mode: GateMode = "regression" if margin is None else margin.mode
    for entry in gating.measure(other.groups, other.rows, first, mode, metrics=True):
        found = prompt_misfits(first, other, entry)
        if found:
            other_prompts += found
            unfit = f"other {', '.join(found)}"
            entry = replace(entry, cell=replace(entry.cell, comparison=None), unfit=unfit, metrics={})
        elif entry.against is not None:
            there = first.groups[entry.against].scores
            shared[entry.key] = sum(item in there for item in other.groups[entry.key].scores)
        measured.append(entry)
    gates: tuple[GateResult, ...] = ()
    found_judges = (judges.judge_gate(run.results, f"judge of {run.name}") for run in (first, other))
    judged = [gate for gate in found_judges if gate is not None]
    noted = remarks(first, other)
    certified: list[Certified] = []
    if margin is None and policy is None:
        noted += [gate.sentence for gate in judged]
    else:
        styles = list(dict.fromkeys(key.style for key in other.groups))
        found = misfits(first, other.settings, other.templates(), styles, allow_unevaluated=allow_unevaluated)
        found += [*other_prompts, *_data_misfits(first, other)]
        if found:
            raise refused(f"compare {first.name} {other.name}", list(dict.fromkeys(found)))
        if margin is not None:
            gates = _gates(margin, measured, first, other)
        if policy is not None:
            certified = _certified(policy, measured, first, other, allow_unevaluated, levels)
            own = tuple(map(gate_of, certified))
            if other.selection == "partial":
                own = excuse((replace(gate, passed=None) for gate in own), "the run is not complete")
            gates += own
        if allow_unevaluated:
            gates = excuse(gates, f"{ALLOW} is given")
        gates += tuple(judged)
    rows = tuple(
        replace(row, consistency=_consistency(first.groups[row.against], other.groups[row.key]))
        if row.against is not None and row.paired is not None
        else row
        for row in _compared(measured, shared)
    )
    complete = other.selection != "partial"
    worst = overall(certified)
    return Comparison(
        other.name,
        complete,
        rows,
        gates,
        tuple(noted),
        None if worst is None or policy is None else as_json(worst, policy),
        [as_json(one, policy) for one in certified] if policy is not None else [],
        any_loss(other, first),
    )


def compare_styles(run: RecordedRun) -> list[Comparison]:
    """The styles of one run against its first, item by item: a comparison a style; none where it has one alone."""
    pairs = gating.style_pairs(run.rows, run.settings.get("styles", []))
    sides = {key: (other, run.groups[other]) for key, other in pairs.items()}
    measured = gating.measure(run.groups, {key: run.rows[key] for key in pairs}, run, sides=sides, metrics=True)
    shared = {entry.key: entry.cell.comparison.n for entry in measured if entry.cell.comparison}
    by_pair: dict[tuple[str, str], list[ComparedGroup]] = {}
    for row in _compared(measured, shared):
        by_pair.setdefault((row.key.style, pairs[row.key].style), []).append(row)
    return [
        Comparison(f"{style} (against {against})", run.selection != "partial", tuple(rows), (), ())
        for (style, against), rows in by_pair.items()
    ]


def _compared(measured: Sequence[gating.Measured], shared: Mapping[GroupKey, int]) -> tuple[ComparedGroup, ...]:
    """A row an entry, p-values corrected over all of them; ``shared`` counts the items that both sides have."""
    names = task_labels(entry.key for entry in measured)
    corrected = holm({entry.key: entry.cell.comparison.change.p for entry in measured if entry.cell.comparison})
    return tuple(
        ComparedGroup(
            entry.key,
            names[entry.key],
            entry.against,
            entry.cell.comparison,
            entry.unfit,
            shared.get(entry.key, 0),
            corrected.get(entry.key),
            entry.metrics,
        )
        for entry in measured
    )


def _consistency(before: Group, now: Group) -> PairedResult[str] | None:
    """Whether items stay right, or wrong, in every form that both runs were asked with the same words."""
    there: dict[str, list[float]] = {}
    here: dict[str, list[float]] = {}
    for item, forms in now.forms.items():
        theirs = before.forms.get(item, {})
        shared = [form for form, (prompt, _) in forms.items() if form in theirs and theirs[form][0] == prompt]
        if not shared or any(item in group.errors or item not in group.scores for group in (before, now)):
            continue
        for found, group in ((there, before), (here, now)):
            outcomes = {score == 1.0 for score in group.scores[item]}
            outcomes.update(right for form in shared for right in group.forms[item][form][1])
            found[item] = [float(len(outcomes) == 1)]
    return compare_paired(there, here, {**before.clusters, **now.clusters}) if here else None


def _certified(
    policy: Policy,
    measured: Sequence[gating.Measured],
    first: RecordedRun,
    other: RecordedRun,
    allow: bool,
    levels: Levels,
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
    variant = next(iter(other.variants or first.variants), ("", ""))
    if other.selection == "partial":
        return [Certified(variant, None, undecided(policy, "the run is not complete"))]
    found = certificates(
        policy,
        now,
        first,
        absent=absent,
        misjudged=misjudged,
        levels=lambda variant: levels,
        allow_unevaluated=allow,
    )
    return found or [Certified(variant, None, undecided(policy, "nothing could be compared"))]


def asked_for(settings: SettingsJson, key: GroupKey) -> bool:
    """Whether the command of a recorded run let a task and style in; under ``--where`` any may have no item."""
    if settings.get("where"):
        return False
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


def prompt_misfits(first: RunFigures, other: RunFigures, entry: gating.Measured) -> list[str]:
    """How many shared items of a group were asked with other prompts; empty where none was."""
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


def remarks(first: RecordedRun, other: RecordedRun) -> list[str]:
    """What a reader of two runs' comparison has to know: selections, and differences that do not forbid it."""
    selections = [(run.name, run.selection) for run in (first, other) if run.selection != "full"]
    if first.selection == other.selection:
        selections = [("both", kind) for _, kind in selections[:1]]
    found = [f"{name}: selection {kind}" for name, kind in selections]
    if other.selection == "adaptive":
        found.append(f"{other.name} ended when its own gate was decided: what is decided of it here errs more often")
    return [*found, *differences(first, other)]


def differences(first: RecordedRun, other: RecordedRun) -> list[str]:
    """Differences of two runs that do not forbid a comparison: sampling, chat templates, data."""
    found = list(sampling_differences(first.settings, other.settings))
    before, now = first.templates(), other.templates()
    for variant, template in now.items():
        match = counterpart(variant, first.variants)
        if match and template and before.get(match) and before[match] != template:
            found.append(f"chat template of {variant[0]} ({variant[1]}) is not that of {match[0]} ({match[1]})")
    return [*found, *_data_misfits(first, other)]
