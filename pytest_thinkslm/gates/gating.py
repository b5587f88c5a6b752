"""From a run's item records to its gates: cells, the comparison with a baseline, and what it could not see.

Imports neither pytest nor an engine; the controller and ``thinkslm compare`` both call it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_thinkslm.core.identity import GroupKey, matching, short_names, task_labels
from pytest_thinkslm.gates.baselines import Group, RunFigures, counterpart
from pytest_thinkslm.gates.decisions import evaluate
from pytest_thinkslm.gates.outcomes import GatedGroup, GateResult, counted
from pytest_thinkslm.gates.sensitivity import sensitivity
from pytest_thinkslm.runs.results import cluster_note, counted_metrics, interval_of
from pytest_thinkslm.runs.types import FigureRow, GateJson, GateState
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, Margin
from pytest_thinkslm.statistics import PairedResult, compare_paired
from pytest_thinkslm.tasks.figures import ValueChange

#: Share of the smaller selection's items that both have to have, below which a margin gate is not decided.
LEAST_SHARED = 0.8

#: A task's own metrics that are shown beside the change of its accuracy.
_METRICS = ("mr_score", "mcc", "acc_step", "acc_reason", "pdr", "asp")


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell with its group; ``against`` is the baseline's group that it is compared with, None where there is none.

    ``unfit`` says why there is no comparison, where there is a baseline. ``metrics`` are the changes of the task's own
    metrics and break-downs by dotted name, paired on what both were asked without an error.
    """

    key: GroupKey
    cell: GatedGroup
    against: GroupKey | None = None
    unfit: str = ""
    metrics: Mapping[str, ValueChange] = field(default_factory=dict)


#: What a group is compared with: whose row it is, and its items.
Side = tuple[GroupKey, Group]


def measure(
    groups: Mapping[GroupKey, Group],
    rows: Mapping[GroupKey, FigureRow],
    baseline: RunFigures | None = None,
    mode: GateMode = "regression",
    sides: Mapping[GroupKey, Side | None] | None = None,
    *,
    metrics: bool = False,
) -> list[Measured]:
    """One cell a group, in the order of ``rows``.

    Args:
        groups: item scores of the run.
        rows: the figures of the same groups, as in results.json.
        baseline: what it is compared with.
        mode: of the gate that it is for, which says how errors count (``worst_case``).
        sides: what each group is compared with, where that is not all of its counterpart in the baseline; None where
            there is nothing. A group that is not in it is what others are compared with.
        metrics: whether the tasks' own metrics are compared, too.
    """
    names = labels(list(rows))
    if baseline is not None and sides is None:
        sides = counterparts(rows, baseline)
    before = {} if baseline is None else baseline.rows
    found = [_measure(key, names[key], groups.get(key, Group()), row, sides, before, mode) for key, row in rows.items()]
    return found if baseline is None or not metrics else [_with_metrics(entry, groups, baseline) for entry in found]


def style_pairs(keys: Iterable[GroupKey], styles: Sequence[str]) -> dict[GroupKey, GroupKey]:
    """For each group that of the same variant and test in its first style by ``styles``; none for that one itself."""
    found = list(keys)
    first: dict[GroupKey, GroupKey] = {}
    for key in sorted(found, key=lambda key: styles.index(key.style) if key.style in styles else len(styles)):
        first.setdefault(key._replace(style=""), key)
    return {key: other for key in found if (other := first[key._replace(style="")]) != key}


def counterparts(keys: Iterable[GroupKey], baseline: RunFigures) -> dict[GroupKey, Side | None]:
    """For each group the baseline's that it is compared with; None where there is none."""
    found = {key: match(key, baseline) for key in keys}
    return {key: None if other is None else (other, baseline.groups[other]) for key, other in found.items()}


def decide(
    specs: GateSpecs, measured: Sequence[Measured], *, complete: bool = True, advisory: bool = False
) -> tuple[GateResult, ...]:
    """Every gate on every cell; a gate without a comparison says why there is none."""
    cells = [replace(entry.cell, unfit=entry.unfit or entry.cell.unfit) for entry in measured]
    return evaluate(specs, cells, complete=complete, advisory=advisory)


def missing(keys: Collection[GroupKey], baseline: RunFigures) -> list[GroupKey]:
    """What a run has nothing of though its baseline has: as keys of the run's variants."""
    found = []
    for variant in dict.fromkeys(key.variant for key in keys):
        against = counterpart(variant, baseline.variants)
        for key in baseline.groups:
            if key.variant == against and matching(key, variant, dict.fromkeys(keys)) is None:
                found.append(GroupKey(*variant, key.task, key.test, key.style))
    return found


def missing_gates(margin: Margin, absent: Sequence[GroupKey], present: Sequence[GroupKey]) -> list[GateResult]:
    """A gate that is not evaluated for each absent group."""
    names = labels([*present, *absent])
    return [
        GateResult(
            f"gate::{names[key]}",
            margin.mode,
            names[key],
            None,
            f"{names[key]}: not evaluated, the baseline has {key.task} ({key.style}) and this run has nothing of it",
        )
        for key in absent
    ]


def labels(keys: Sequence[GroupKey]) -> dict[GroupKey, str]:
    """A name for each group: the task, with variant, test and style where the run has several.

    ``gsm8k``, ``gsm8k[cot]``, ``gsm8k[qwen2.5-7b+gptq4]``, ``gsm8k[qwen2.5-7b+gptq4-cot]``.
    """
    several_variants = len({key.variant for key in keys}) > 1
    several_styles = len({key.style for key in keys}) > 1
    models, tasks = short_names(key.model for key in keys), task_labels(keys)
    names = {}
    for key in keys:
        variant = f"{models[key.model]}+{key.quant}"
        test = [] if tasks[key] == key.task else [key.test]
        inside = "-".join([variant] * several_variants + test + [key.style] * several_styles)
        names[key] = f"{key.task}[{inside}]" if inside else key.task
    return names


def foresee(margin: Margin, wanted: Mapping[GroupKey, Collection[str]], baseline: RunFigures) -> list[str]:
    """Before anything is generated: what a margin gate will not see or not compare, in lines; none where all is well.

    Args:
        wanted: names of the items that the run asks, by group.
    """
    shared: dict[GroupKey, tuple[Group, list[str]]] = {}
    lines = []
    names = labels(list(wanted))
    for key, items in wanted.items():
        against = match(key, baseline)
        group = baseline.groups[against] if against else Group()
        both = [item for item in items if item in group.scores]
        if both:
            shared[key] = group, both
        else:
            lines.append(f"{names[key]}: the baseline has none of its items, so its gate cannot be evaluated")
        if both and (len(both) < len(items) or len(both) < len(group.scores)):
            lines.append(
                f"{names[key]}: compared on the {len(both)} items that are in both (the baseline has "
                f"{len(group.scores)}, this run {len(items)})"
            )
    for key, (group, both) in shared.items():
        interval = interval_of({item: group.scores[item] for item in both}, group.clusters)
        assert interval.estimate is not None
        sense = sensitivity(
            margin,
            len(both),
            family=len(shared),
            baseline=interval.estimate,
            design_effect=max(1.0, len(both) / interval.n_effective) if interval.n_effective else 1.0,
        )
        if not sense.resolved and sense.sentence:
            lines.append(f"{names[key]}: {sense.sentence}")
    return lines


def as_json(result: GateResult, key: GroupKey | None, metrics: Mapping[str, ValueChange] | None = None) -> GateJson:
    """A gate as it stands in results.json; one of accuracy with the changes of the task's own metrics."""
    value: GateJson = {
        "name": result.name,
        "kind": result.kind,
        "label": result.label,
        "state": outcome(result),
        "passed": result.passed,
        "sentence": result.sentence,
        "fields": dict(result.fields),
        "lost": list(result.lost),
        "gained": list(result.gained),
        "advisory": result.advisory,
        "fails": result.fails,
    }
    if metrics and result.kind in ("regression", "noninferiority"):
        value["metrics"] = dict(metrics)
    if key is not None:
        value["model"], value["quant"], value["task"], value["test"], value["style"] = key
    return value


def outcome(result: GateResult) -> GateState:
    """passed, failed or not evaluated; "advisory" where a gate that fails no run found something."""
    if result.passed is None:
        return "not evaluated"
    if result.passed:
        return "passed"
    return "advisory" if result.advisory else "failed"


def _measure(
    key: GroupKey,
    label: str,
    group: Group,
    row: FigureRow,
    sides: Mapping[GroupKey, Side | None] | None,
    before: Mapping[GroupKey, FigureRow],
    mode: GateMode,
) -> Measured:
    cell = GatedGroup(
        label, key.task, interval_of(group.scores, group.clusters), group.verdicts, void=str(row.get("void", ""))
    )
    if sides is None:
        return Measured(key, cell)
    if key not in sides:
        return Measured(key, replace(cell, reference=True))
    side = sides[key]
    if side is None:
        return Measured(key, cell, None, f"the baseline has no {key.task} ({key.style}) of {key.model} ({key.quant})")
    against, baseline = side
    if before[against].get("void"):
        return Measured(key, cell, against, f"the baseline's accuracy is void: {before[against]['void']}")
    comparison = compare_groups(baseline, group)
    if comparison.n == 0:
        return Measured(key, cell, against, "the baseline shares no item with it")
    cell = replace(cell, unfit=too_few_shared(baseline, group))
    errors = counted_errors(baseline, group, mode)
    if errors:
        cell = replace(cell, worst=worst_case(baseline, group, mode), errors=len(errors))
    notes = [
        cluster_note(comparison.n, comparison.clusters, comparison.effective_clusters),
        selection_note(comparison),
        disagreement_note(comparison),
        _repeats_note(baseline, group, comparison),
        _variant_note(key, against),
    ]
    return Measured(key, replace(cell, comparison=comparison, note="; ".join(filter(None, notes))), against)


def compare_groups(baseline: Group, candidate: Group) -> PairedResult[str]:
    """The paired comparison of two groups, without items that are an error in either."""
    return compare_paired(baseline.comparable(), candidate.comparable(), {**baseline.clusters, **candidate.clusters})


def counted_errors(baseline: Group, candidate: Group, mode: GateMode) -> set[str]:
    """Items whose error counts against the candidate.

    Those that are an error in the candidate alone; for non-inferiority, where the absence of a drop is to be shown,
    also those that are an error in the baseline.
    """
    own = {item for item in candidate.errors if item in baseline.scores and item not in baseline.errors}
    return own if mode == "regression" else own | {item for item in baseline.errors if item in candidate.scores}


def worst_case(baseline: Group, candidate: Group, mode: GateMode) -> PairedResult[str]:
    """The paired comparison in which an error is wrong in the candidate, right in the baseline (`counted_errors`)."""
    scores = worst_scores(baseline, candidate, mode)
    return compare_paired(*scores, {**baseline.clusters, **candidate.clusters})


def worst_scores(
    baseline: Group, candidate: Group, mode: GateMode
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The scores of both sides in which an error is wrong in the candidate, right in the baseline."""
    before = baseline.comparable()
    if mode == "noninferiority":
        # In the order of the items, not of a set: every process gives the same.
        before |= {item: [1.0] * len(scores) for item, scores in baseline.scores.items() if item in baseline.errors}
    return before, candidate.scores


def too_few_shared(baseline: Group, candidate: Group) -> str:
    """Why two selections have too little in common for a decision; empty where they have enough."""
    smaller = min(len(baseline.scores), len(candidate.scores))
    shared = sum(item in baseline.scores for item in candidate.scores)
    if shared >= LEAST_SHARED * smaller:
        return ""
    return (
        f"only {shared} of {smaller} items of the smaller selection are in both (needed: {LEAST_SHARED:.0%}; the "
        f"baseline has {len(baseline.scores)}, this run {len(candidate.scores)})"
    )


def match(key: GroupKey, baseline: RunFigures) -> GroupKey | None:
    """The baseline's group that a group is compared with."""
    variant = counterpart(key.variant, baseline.variants)
    return None if variant is None else matching(key, variant, baseline.groups)


def selection_note(comparison: PairedResult[str], before_name: str = "the baseline", now_name: str = "this run") -> str:
    """How many items are in one of the two alone; empty where none is."""
    before, now = len(comparison.only_baseline), len(comparison.only_candidate)
    if before + now == 0:
        return ""
    return f"not compared: {before} items that only {before_name} has without an error, {now} that only {now_name} has"


def disagreement_note(comparison: PairedResult[str]) -> str:
    """Why the interval of a change and its test do not say the same; empty where they do."""
    low, high = comparison.interval
    without, p = low > 0 or high < 0, comparison.change.p
    if without is (p <= 1 - comparison.confidence):
        return ""
    changed = counted(len(comparison.lost) + len(comparison.gained), "item")
    return (
        f"the interval {'leaves out' if without else 'contains'} 0 and p is {p:.3g}: the interval is that of a score "
        f"test, an approximation, p is exact; {changed} changed"
    )


def _repeats_note(baseline: Group, candidate: Group, comparison: PairedResult[str]) -> str:
    before, now = (max(map(len, group.scores.values()), default=1) for group in (baseline, candidate))
    if before == now:
        return ""
    return f"compared on the first {comparison.repeats} of {max(before, now)} repeats, as many as both have"


def _variant_note(key: GroupKey, against: GroupKey) -> str:
    return "" if key.variant == against.variant else f"compared with {against.model} ({against.quant})"


def _with_metrics(entry: Measured, groups: Mapping[GroupKey, Group], baseline: RunFigures) -> Measured:
    own = counted_metrics(entry.key.task)
    if entry.against is None or entry.cell.comparison is None or own is None:
        return entry
    before, now = baseline.groups[entry.against].records, groups[entry.key].records
    changes = own.changes(before, now)
    note = "; ".join(filter(None, [entry.cell.note, *metric_notes(changes)]))
    return replace(entry, cell=replace(entry.cell, note=note), metrics=changes)


def metric_notes(changes: Mapping[str, ValueChange]) -> Iterable[str]:
    """The change of the task's own metrics, of the whole task or their mean over subjects."""
    for name in _METRICS:
        change = changes.get(f"macro.{name}") or changes.get(name)
        if change is not None:
            ends = change["ci95"]
            interval = "" if ends is None else f", 95% interval {ends[0]:+.3f} to {ends[1]:+.3f}"
            sides = f"{change['before']:.3f} before, {change['now']:.3f} now"
            yield f"{name} {sides} ({change['difference']:+.3f}{interval})"
