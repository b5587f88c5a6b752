"""Gates: decisions on a run, each in one sentence. Pure; percent and percentage points throughout.

`GateSpecs` says what is asked, a `GatedGroup` what was measured for one model, quant, task and style, and `evaluate`
decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from pytest_thinkslm.core.records import VerdictName
from pytest_thinkslm.runs.types import GateKind
from pytest_thinkslm.settings.gate_specs import (
    GateMode,
    GateSpecs,
    Margin,
    MaxRate,
    MinAccuracy,
    RateKind,
    parse_margin,
    parse_max_rate,
    parse_min_accuracy,
)
from pytest_thinkslm.statistics import (
    AccuracyInterval,
    PairedResult,
    assumed_discordance,
    holm,
    holm_levels,
    items_needed,
    items_to_pass,
    smallest_detectable_drop,
    wilson,
)

__all__ = [
    "ALPHA",
    "FieldValue",
    "GateMode",
    "GateResult",
    "GateSpecs",
    "GatedGroup",
    "Margin",
    "MaxRate",
    "MinAccuracy",
    "RateKind",
    "Sensitivity",
    "any_failed",
    "evaluate",
    "parse_margin",
    "parse_max_rate",
    "parse_min_accuracy",
    "sensitivity",
]

FieldValue = str | int | float | None

#: One-sided level of the regression and non-inferiority gates.
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class GatedGroup:
    """What was measured for one member of the family (task x style x variant).

    Attributes:
        label: its name in reports and gates, unique in a run: the task, with style and variant where there are several.
        task: task key.
        accuracy: per-item accuracy with its interval.
        verdicts: number of outcomes by verdict, repeats counted.
        comparison: against the baseline, keyed by item name; None where the baseline has none of it.
        note: shown at the end of the sentence of accuracy gates, e.g. the change of the task's own metric.
        void: why the accuracy does not count (too many errors), else empty.
    """

    label: str
    task: str
    accuracy: AccuracyInterval
    verdicts: Mapping[VerdictName, int] = field(default_factory=dict)
    comparison: PairedResult[str] | None = None
    note: str = ""
    void: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """Outcome of one gate: ``passed`` is None where it could not be evaluated.

    ``name`` is ``gate::<label>``, with the gate's kind appended where a label has several. ``fields`` are the numbers
    of the sentence by name (percent and points), for JSON and JUnit. An ``advisory`` gate never fails a run.
    """

    name: str
    kind: GateKind
    label: str
    passed: bool | None
    sentence: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How small a drop (points) a margin gate finds in 4 of 5 runs; None where it finds none, however large.

    ``resolved`` is whether a drop of the margin itself can be told from no drop (power 80%), and ``items_needed`` how
    many items that takes, None where the margin is 0 or no number is enough.
    """

    smallest_drop: float | None
    resolved: bool
    items_needed: int | None
    sentence: str


def evaluate(
    specs: GateSpecs, cells: Sequence[GatedGroup], *, complete: bool = True, advisory: bool = False
) -> tuple[GateResult, ...]:
    """Decide every gate on every cell that it concerns, cell by cell.

    Args:
        complete: whether the run has all its items; if not, every gate is "not evaluated".
        advisory: whether the margin gate's baseline is one that never fails a run.
    """
    margins = {result.label: result for result in _margin_gates(specs.margin, cells, advisory)} if specs.margin else {}
    results = []
    for cell in cells:
        own = [*([margins[cell.label]] if cell.label in margins else []), *_plain_gates(specs, cell)]
        if len(own) > 1:
            own = [replace(result, name=f"{result.name}::{result.kind}") for result in own]
        results += own
    if complete:
        return tuple(results)
    return tuple(
        replace(result, passed=None, sentence=f"{result.label}: not evaluated, the run is not complete", fields={})
        for result in results
    )


def any_failed(results: Sequence[GateResult]) -> bool:
    """Whether a gate fails the run."""
    return any(result.passed is False and not result.advisory for result in results)


def sensitivity(
    margin: Margin,
    n: int,
    *,
    family: int = 1,
    baseline: float = 1.0,
    discordance: float | None = None,
    design_effect: float = 1.0,
) -> Sensitivity:
    """What a margin gate can see with ``n`` items; before a run, or from its comparison.

    Args:
        family: gates that are corrected together (Holm's first, strictest level is used; none for non-inferiority).
        baseline: accuracy of the baseline, a fraction.
        discordance: share of items whose verdict changes; None assumes p (1 - p) of the baseline's p, and says so.
        design_effect: of the difference (`PairedResult.design_effect`).
    """
    changing = assumed_discordance(baseline) if discordance is None else discordance
    source = "assumed" if discordance is None else "observed"
    alpha = ALPHA if margin.mode == "noninferiority" else ALPHA / max(1, family)
    points = margin.points / 100
    smallest = smallest_detectable_drop(n, changing, margin=points, alpha=alpha, design_effect=design_effect)
    if margin.mode == "noninferiority":
        needed = items_to_pass(points, changing, alpha=alpha, design_effect=design_effect)
        purpose = f"showing that there is no drop of {margin.points:g} points where there is none"
    else:
        needed = items_needed(points, changing, alpha=alpha, design_effect=design_effect)
        purpose = f"telling a drop of {margin.points:g} points from none"
    resolved = needed is not None and needed <= n
    parts = []
    if margin.mode == "regression":
        found = "no drop at all" if smallest is None else f"only a drop of {100 * smallest:.1f} points or more"
        beyond = ", more than there is to lose" if smallest is not None and smallest > baseline else ""
        parts.append(f"with {_count(n, 'item')} {found} would be found in 4 of 5 runs{beyond}")
    if margin.points > 0 and not resolved:
        parts.append(f"{purpose} takes {needed or 'more than ten million'} items")
    detail = f" (one-sided level {alpha:.2g}, {100 * changing:.1f}% of the items changing their verdict, {source})"
    sentence = ", and ".join(parts) + detail if parts else ""
    return Sensitivity(None if smallest is None else 100 * smallest, resolved, needed, sentence)


def _margin_gates(margin: Margin, cells: Sequence[GatedGroup], advisory: bool) -> Iterator[GateResult]:
    compared = {
        cell.label: cell.comparison for cell in cells if cell.comparison and cell.comparison.n and not cell.void
    }
    corrected: Mapping[str, float] = {}
    levels: Mapping[str, float] = {}
    if margin.mode == "regression":
        raw = {label: comparison.worse(margin.points / 100).p for label, comparison in compared.items()}
        corrected, levels = holm(raw), holm_levels(raw, ALPHA)
    for cell in cells:
        comparison = compared.get(cell.label)
        if comparison is None:
            reason = cell.void or "the baseline shares no item with it"
            yield GateResult(
                f"gate::{cell.label}",
                margin.mode,
                cell.label,
                None,
                f"{cell.label}: not evaluated, {reason}",
                advisory=advisory,
            )
            continue
        level = levels.get(cell.label, ALPHA)
        decision = _regression if margin.mode == "regression" else _noninferiority
        passed, finding, fields = decision(margin, comparison, corrected.get(cell.label, 1.0), level, len(compared))
        sense = sensitivity(
            margin,
            comparison.n,
            family=len(compared),
            baseline=comparison.baseline,
            discordance=comparison.discordance,
            design_effect=comparison.design_effect,
        )
        change = comparison.change
        parts = [
            f"{cell.label}: {_paired_summary(comparison)}: {finding}",
            f"any change: {change.test}, {p_text(change.p)}",
            sense.sentence if passed is (margin.mode == "regression") and not sense.resolved else "",
            cell.note,
        ]
        yield GateResult(
            f"gate::{cell.label}",
            margin.mode,
            cell.label,
            passed,
            "; ".join(filter(None, parts)),
            {
                **_paired_fields(comparison),
                "margin": margin.points,
                **fields,
                "smallest_detectable_drop": sense.smallest_drop,
                "items_needed": sense.items_needed,
            },
            comparison.lost,
            comparison.gained,
            advisory,
        )


Decision = tuple[bool, str, dict[str, FieldValue]]


def _regression(margin: Margin, comparison: PairedResult[str], corrected: float, level: float, family: int) -> Decision:
    test = comparison.worse(margin.points / 100)
    failed = corrected <= ALPHA
    bound = 100 * comparison.table.drop_at_least(1 - level)
    drop = "drop" if margin.points == 0 else f"drop of more than {margin.points:g} points"
    correction = f", {p_text(corrected)} after Holm's correction over {family} gates" if family > 1 else ""
    finding = f"{'a' if failed else 'no'} {drop} is shown ({test.test}, {p_text(test.p)}{correction}"
    if failed:
        finding += f"; the drop is at least {bound:.1f} points at one-sided {100 * (1 - level):.3g}% confidence"
    fields: dict[str, FieldValue] = {"p": test.p, "p_corrected": corrected, "test": test.test, "family": family}
    return not failed, finding + ")", {**fields, "drop_at_least": bound, "bound_confidence": 100 * (1 - level)}


def _noninferiority(
    margin: Margin, comparison: PairedResult[str], corrected: float, level: float, family: int
) -> Decision:
    test = comparison.not_worse(margin.points / 100)
    passed = test.p <= level
    bound = 100 * comparison.table.drop_at_most(1 - level)
    finding = (
        f"a drop of {margin.points:g} points is {'ruled out' if passed else 'not ruled out'} "
        f"({test.test}, {p_text(test.p)}; the drop is at most {bound:.1f} points "
        f"at one-sided {100 * (1 - level):.3g}% confidence)"
    )
    fields: dict[str, FieldValue] = {"p": test.p, "test": test.test}
    return passed, finding, {**fields, "drop_at_most": bound, "bound_confidence": 100 * (1 - level)}


def _plain_gates(specs: GateSpecs, cell: GatedGroup) -> Iterator[GateResult]:
    matching = [wanted for wanted in specs.min_accuracy if fnmatchcase(cell.task, wanted.task)]
    if matching:
        exact = [wanted for wanted in matching if wanted.task == cell.task]
        yield _min_accuracy_gate((exact or matching)[0], cell)
    for allowed in specs.max_rates:
        yield _max_rate_gate(allowed, cell)


def _min_accuracy_gate(wanted: MinAccuracy, cell: GatedGroup) -> GateResult:
    name, accuracy = f"gate::{cell.label}", cell.accuracy
    if accuracy.estimate is None or cell.void:
        reason = cell.void or "it has no items"
        return GateResult(name, "min-accuracy", cell.label, None, f"{cell.label}: not evaluated, {reason}")
    value = accuracy.low if wanted.lower else accuracy.estimate
    passed = _rounded(100 * value) >= wanted.percent
    what = "lower bound" if wanted.lower else "accuracy"
    sentence = (
        f"{cell.label}: accuracy {100 * accuracy.estimate:.1f}% "
        f"(95% interval {100 * accuracy.low:.1f}% to {100 * accuracy.high:.1f}%, {accuracy.method}, n = {accuracy.n}): "
        f"the {what} of {100 * value:.1f}% is {'at least' if passed else 'below'} {wanted.percent:g}%"
    )
    return GateResult(
        name,
        "min-accuracy",
        cell.label,
        passed,
        "; ".join(filter(None, [sentence, cell.note])),
        {
            "accuracy": 100 * accuracy.estimate,
            "low": 100 * accuracy.low,
            "high": 100 * accuracy.high,
            "n": accuracy.n,
            "at_least": wanted.percent,
            "on": what,
        },
    )


_MAX_RATE: Mapping[RateKind, GateKind] = {
    "unparsed": "max-unparsed",
    "truncated": "max-truncated",
    "error": "max-error",
}


def _max_rate_gate(allowed: MaxRate, cell: GatedGroup) -> GateResult:
    name, kind = f"gate::{cell.label}", _MAX_RATE[allowed.kind]
    n, count = sum(cell.verdicts.values()), cell.verdicts.get(allowed.kind, 0)
    if n == 0:
        return GateResult(name, kind, cell.label, None, f"{cell.label}: not evaluated, it has no items")
    low, high = wilson(count, n)
    passed = _rounded(100 * count / n) <= allowed.percent
    sentence = (
        f"{cell.label}: {100 * count / n:.1f}% {allowed.kind} ({count} of {n}, 95% interval {100 * low:.1f}% to "
        f"{100 * high:.1f}%), which is {'at most' if passed else 'more than'} {allowed.percent:g}%"
    )
    fields: dict[str, FieldValue] = {"rate": 100 * count / n, "count": count, "n": n, "at_most": allowed.percent}
    return GateResult(name, kind, cell.label, passed, sentence, fields)


def _paired_summary(comparison: PairedResult[str]) -> str:
    low, high = comparison.interval
    shared = "" if not (comparison.only_baseline or comparison.only_candidate) else "shared "
    return (
        f"accuracy {100 * comparison.baseline:.1f}% before, {100 * comparison.candidate:.1f}% now, "
        f"{100 * comparison.difference:+.1f} points ({100 * comparison.confidence:g}% interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}), {len(comparison.lost)} lost and {len(comparison.gained)} gained of "
        f"{_count(comparison.n, shared + 'item')}"
    )


def _paired_fields(comparison: PairedResult[str]) -> dict[str, FieldValue]:
    return {
        "baseline": 100 * comparison.baseline,
        "candidate": 100 * comparison.candidate,
        "difference": 100 * comparison.difference,
        "low": 100 * comparison.interval.low,
        "high": 100 * comparison.interval.high,
        "n": comparison.n,
        "clusters": comparison.clusters,
        "repeats": comparison.repeats,
        "lost": len(comparison.lost),
        "gained": len(comparison.gained),
        "discordance": 100 * comparison.discordance,
        "p_change": comparison.change.p,
        "change_test": comparison.change.test,
    }


def _rounded(percent: float) -> float:
    """Without the noise of binary fractions: 7 of 100 is 7%, not 7.000000000000001%."""
    return round(percent, 9)


def p_text(p: float) -> str:
    """A p-value in a sentence."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.3g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
