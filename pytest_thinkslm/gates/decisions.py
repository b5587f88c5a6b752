"""Gates: decisions on a run, each in one sentence. Pure; percent and percentage points throughout.

`GateSpecs` says what is asked, a `GatedGroup` what was measured for one model, quant, task and style, and `evaluate`
decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from pytest_thinkslm.core.tables import figure
from pytest_thinkslm.gates.margin_gates import margin_gates
from pytest_thinkslm.gates.outcomes import FieldValue, GatedGroup, GateResult, excuse
from pytest_thinkslm.runs.types import GateKind
from pytest_thinkslm.settings.gate_specs import GateSpecs, MaxRate, MinAccuracy, RateKind
from pytest_thinkslm.statistics import wilson


def evaluate(
    specs: GateSpecs, cells: Sequence[GatedGroup], *, complete: bool = True, advisory: bool = False
) -> tuple[GateResult, ...]:
    """Decide every gate on every cell that it concerns, cell by cell.

    Args:
        complete: whether the run has all its items; if not, every gate is "not evaluated" and fails nothing:
            the exit status says that the run was cut.
        advisory: whether the margin gate's baseline is one that never fails a run.
    """
    gated = [cell for cell in cells if not cell.reference]
    margins = {result.label: result for result in margin_gates(specs.margin, gated, advisory)} if specs.margin else {}
    results = []
    for cell in cells:
        own = [*([margins[cell.label]] if cell.label in margins else []), *_plain_gates(specs, cell)]
        if len(own) > 1:
            own = [replace(result, name=f"{result.name}::{result.kind}") for result in own]
        results += own
    if complete:
        return tuple(results)
    undecided = (
        replace(result, passed=None, sentence=f"{result.label}: not evaluated, the run is not complete", fields={})
        for result in results
    )
    return excuse(undecided, "the run is not complete")


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
    estimate, decided = (_shown(100 * share, wanted.percent) for share in (accuracy.estimate, value))
    sentence = (
        f"{cell.label}: accuracy {estimate}% "
        f"(95% interval {100 * accuracy.low:.1f}% to {100 * accuracy.high:.1f}%, {accuracy.method}, n = {accuracy.n}): "
        f"the {what} of {decided}% is {'at least' if passed else 'below'} {wanted.percent:g}%"
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
    "inconsistent": "max-inconsistent",
}


def _max_rate_gate(allowed: MaxRate, cell: GatedGroup) -> GateResult:
    name, kind = f"gate::{cell.label}", _MAX_RATE[allowed.kind]
    if allowed.kind == "inconsistent":
        if cell.inconsistent is None:
            why = cell.no_forms or "no changed form of its items came without an error"
            return GateResult(
                name, kind, cell.label, None, f"{cell.label}: not evaluated, {why}", excused=cell.no_forms
            )
        count, n = cell.inconsistent
    else:
        n, count = sum(cell.verdicts.values()), cell.verdicts.get(allowed.kind, 0)
    if n == 0:
        return GateResult(name, kind, cell.label, None, f"{cell.label}: not evaluated, it has no items")
    low, high = wilson(count, n)
    passed = _rounded(100 * count / n) <= allowed.percent
    sentence = (
        f"{cell.label}: {_shown(100 * count / n, allowed.percent)}% {allowed.kind} ({count} of {n}, 95% interval "
        f"{100 * low:.1f}% to {100 * high:.1f}%), which is {'at most' if passed else 'more than'} {allowed.percent:g}%"
    )
    fields: dict[str, FieldValue] = {"rate": 100 * count / n, "count": count, "n": n, "at_most": allowed.percent}
    return GateResult(name, kind, cell.label, passed, sentence, fields)


def _shown(percent: float, bar: float) -> str:
    """A percentage that is not rounded over the bar that it is held against."""
    return figure(_rounded(percent), 1, 0, bar, 100)


def _rounded(percent: float) -> float:
    """Without the noise of binary fractions: 7 of 100 is 7%, not 7.000000000000001%."""
    return round(percent, 9)
