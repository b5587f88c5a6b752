"""Gates against a baseline: regression and non-inferiority within a margin. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_thinkslm.core.tables import percent
from pytest_thinkslm.gates.outcomes import (
    ALPHA,
    FieldValue,
    GatedGroup,
    GateResult,
    Standing,
    confidence_text,
    counted,
    p_text,
)
from pytest_thinkslm.gates.sensitivity import sensitivity
from pytest_thinkslm.settings.gate_specs import Margin
from pytest_thinkslm.statistics import PairedResult, holm, holm_levels
from pytest_thinkslm.statistics.sequential import FUTILITY


def margin_gates(margin: Margin, cells: Sequence[GatedGroup], advisory: bool) -> Iterator[GateResult]:
    """A gate for each cell; one without a sound comparison is not evaluated.

    Errors count against the run: where a cell has ``worst``, that is what is tested. Where the run was looked at while
    it went on (``standing``), the level is that of the last look; a cell that was then not needed fails nothing.
    """
    compared = {
        cell.label: cell.comparison
        for cell in cells
        if cell.comparison and cell.comparison.n and not cell.void and not cell.unfit
    }
    tested = {cell.label: cell.worst or compared[cell.label] for cell in cells if cell.label in compared}
    changes = holm({label: comparison.change.p for label, comparison in compared.items()})
    corrected: Mapping[str, float] = {}
    levels: Mapping[str, float] = {}
    if margin.mode == "regression":
        raw = {label: comparison.worse(margin.points / 100).p for label, comparison in tested.items()}
        corrected, levels = holm(raw), holm_levels(raw, ALPHA)
    for cell in cells:
        standing = cell.standing
        if standing is not None and standing.decider:
            yield _not_needed(margin, cell, standing, advisory)
            continue
        comparison = compared.get(cell.label)
        if comparison is None:
            reason = cell.void or cell.unfit or "the baseline shares no item with it"
            yield GateResult(
                f"gate::{cell.label}",
                margin.mode,
                cell.label,
                None,
                f"{cell.label}: not evaluated, {reason}",
                advisory=advisory,
            )
            continue
        if standing is not None:
            passed, finding, fields = _sequential(margin, tested[cell.label], standing)
        elif margin.mode == "regression":
            level = levels[cell.label]
            passed, finding, fields = _regression(
                margin, tested[cell.label], corrected[cell.label], level, len(compared)
            )
        else:
            passed, finding, fields = _noninferiority(margin, tested[cell.label])
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
            f"any change: {change.test}, {p_text(change.p)}"
            + (f", {p_text(changes[cell.label])} after Holm's correction" if len(changes) > 1 else ""),
            f"{counted(cell.errors, 'error')} counted against this run" if cell.errors else "",
            sense.sentence
            if passed is (margin.mode == "regression") and not sense.resolved and standing is None
            else "",
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
                "p_change_corrected": changes[cell.label],
                "errors_counted": cell.errors,
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
        finding += f"; the drop is at least {bound:.1f} points at one-sided {confidence_text(level)} confidence"
    fields: dict[str, FieldValue] = {"p": test.p, "p_corrected": corrected, "test": test.test, "family": family}
    return not failed, finding + ")", {**fields, "drop_at_least": bound, "bound_confidence": 100 * (1 - level)}


def _noninferiority(margin: Margin, comparison: PairedResult[str]) -> Decision:
    test = comparison.not_worse(margin.points / 100)
    passed = test.p <= ALPHA
    bound = 100 * comparison.table.drop_at_most(1 - ALPHA)
    finding = (
        f"a drop of {margin.points:g} points is {'ruled out' if passed else 'not ruled out'} "
        f"({test.test}, {p_text(test.p)}; the drop is at most {bound:.1f} points "
        f"at one-sided {confidence_text(ALPHA)} confidence)"
    )
    fields: dict[str, FieldValue] = {"p": test.p, "test": test.test}
    return passed, finding, {**fields, "drop_at_most": bound, "bound_confidence": 100 * (1 - ALPHA)}


def _sequential(margin: Margin, comparison: PairedResult[str], standing: Standing) -> Decision:
    """What the last look at a gate says. Its bound holds at whichever look the run ended."""
    regression = margin.mode == "regression"
    test = (comparison.worse if regression else comparison.not_worse)(margin.points / 100)
    shown = test.p <= standing.level
    drop = "drop" if margin.points == 0 else f"drop of {'more than ' * regression}{margin.points:g} points"
    finding = (
        f"{'a' if shown or not regression else 'no'} {drop} is "
        f"{'shown' if regression else 'ruled out' if shown else 'not ruled out'} by look {standing.look} of "
        f"{standing.looks}, after {standing.items} of {standing.of} items ({test.test}, {p_text(test.p)}, to be at "
        f"most {standing.level:.2g} at this look"
    )
    fields: dict[str, FieldValue] = {
        "p": test.p,
        "test": test.test,
        "level": standing.level,
        "look": standing.look,
        "looks": standing.looks,
        "items": standing.items,
        "of": standing.of,
        "bound_confidence": 100 * (1 - standing.alpha),
    }
    if regression:
        bound = fields["drop_at_least"] = 100 * comparison.table.drop_at_least(1 - standing.level)
        side = "least"
    else:
        bound = fields["drop_at_most"] = 100 * comparison.table.drop_at_most(1 - standing.level)
        side = "most"
    if shown:
        confidence = confidence_text(standing.alpha)
        finding += f"; the drop is at {side} {bound:.1f} points at one-sided {confidence} over all looks"
    elif standing.items < standing.of:
        finding += f"; all {standing.of} items would show it with a chance below {100 * FUTILITY:g}%"
    return shown is not regression, finding + ")", fields


def _not_needed(margin: Margin, cell: GatedGroup, standing: Standing, advisory: bool) -> GateResult:
    """A gate that was open when another one decided the run."""
    return GateResult(
        f"gate::{cell.label}",
        margin.mode,
        cell.label,
        None,
        f"{cell.label}: not needed after {standing.items} of {standing.of} items, {standing.decider} decided the run",
        {"look": standing.look, "looks": standing.looks, "items": standing.items, "of": standing.of},
        advisory=advisory,
        excused="not needed: decided",
    )


def _paired_summary(comparison: PairedResult[str]) -> str:
    low, high = comparison.interval
    shared = "" if not (comparison.only_baseline or comparison.only_candidate) else "shared "
    return (
        f"accuracy {percent(comparison.baseline)} before, {percent(comparison.candidate)} now, "
        f"{100 * comparison.difference:+.1f} points ({100 * comparison.confidence:g}% interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}), {len(comparison.lost)} lost and {len(comparison.gained)} gained of "
        f"{counted(comparison.n, shared + 'item')}"
    )


def _paired_fields(comparison: PairedResult[str]) -> dict[str, FieldValue]:
    few, many = comparison.share_interval(len(comparison.lost) + len(comparison.gained))
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
        "flips": 100 * comparison.flips,
        "flips_low": 100 * few,
        "flips_high": 100 * many,
        "discordance": 100 * comparison.discordance,
        "p_change": comparison.change.p,
        "change_test": comparison.change.test,
    }
