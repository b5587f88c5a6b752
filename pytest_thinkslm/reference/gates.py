"""Gates against the published table: unpaired, since only its figures are known. Percent and points in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.gates.outcomes import ALPHA, FieldValue, GatedGroup, GateResult, p_text
from pytest_thinkslm.reference.table import SPLIT_SIZES, paper_row
from pytest_thinkslm.settings.gate_specs import Margin
from pytest_thinkslm.statistics import UnpairedResult, compare_unpaired, holm, smallest_detectable_drop


def paper_gates(
    margin: Margin,
    cells: Mapping[GroupKey, GatedGroup],
    *,
    complete: bool = True,
    advisory: bool = True,
    alone: bool = True,
) -> tuple[GateResult, ...]:
    """A regression gate for each cell: fails where a drop of more than the margin below the paper's figure is shown.

    The paper's figure counts with the n of one split: its three pooled runs ask the same items. Holm's correction is
    over all cells that the paper has. ``alone``: the cells have no other gates, so names need no kind.
    """
    compared: dict[str, UnpairedResult] = {}
    published: dict[str, tuple[float, int]] = {}
    for key, cell in cells.items():
        figure = published_figure(key)
        if figure is None or cell.void or not complete:
            continue
        found = compare_unpaired(*figure, cell.accuracy, margin.points / 100)
        if found is not None:
            compared[cell.label], published[cell.label] = found, figure
    corrected = holm({label: found.worse.p for label, found in compared.items()})
    changes = holm({label: found.change.p for label, found in compared.items()})
    results = []
    for key, cell in cells.items():
        if cell.label in compared:
            own = compared[cell.label], published[cell.label]
            results.append(_gate(margin, cell, *own, corrected, changes, advisory))
        else:
            reason = "the run is not complete" if not complete else cell.void or missing(key)
            sentence = f"{cell.label}: not evaluated, {reason}"
            results.append(GateResult(f"gate::{cell.label}", "paper", cell.label, None, sentence, advisory=advisory))
    if alone:
        return tuple(results)
    return tuple(replace(result, name=f"{result.name}::paper") for result in results)


def published_figure(key: GroupKey) -> tuple[float, int] | None:
    """The paper's accuracy (a fraction) of a (model, quant, task, style) and the items it rests on."""
    row = paper_row(*key.variant)
    accuracy = None if row is None else row.accuracies.get((key.task, key.style))
    return None if accuracy is None else (accuracy, SPLIT_SIZES[key.task])


def missing(key: GroupKey) -> str:
    """Why the paper has no figure for a group."""
    if paper_row(*key.variant) is None:
        return f"the paper has no row for {key.model} ({key.quant})"
    return f"the paper has no figure for {key.task} ({key.style}) of {key.model} ({key.quant})"


def foresee_paper(margin: Margin, wanted: Mapping[GroupKey, int], labels: Mapping[GroupKey, str]) -> list[str]:
    """Before anything is generated: which cells the paper lacks, and how small a drop the others could show."""
    figures = {key: figure for key in wanted if (figure := published_figure(key))}
    lines = []
    for key, n in wanted.items():
        if key not in figures:
            lines.append(f"{labels[key]}: {missing(key)}, so it cannot be compared")
            continue
        accuracy, reference_n = figures[key]
        # The variance of an unpaired difference, p (1 - p) (1/n + 1/m), as the discordance of n pairs that has it.
        spread = accuracy * (1 - accuracy) * (1 + n / reference_n)
        alpha = ALPHA / len(figures)
        smallest = smallest_detectable_drop(n, spread, margin=margin.points / 100, alpha=alpha)
        if smallest is None or smallest > 2 * margin.points / 100:
            found = "no drop at all" if smallest is None else f"only a drop of {100 * smallest:.1f} points or more"
            lines.append(
                f"{labels[key]}: with {n} items against the paper's {reference_n} (unpaired) {found} would be found "
                f"in 4 of 5 runs (one-sided level {alpha:.2g})"
            )
    return lines


def _gate(
    margin: Margin,
    cell: GatedGroup,
    found: UnpairedResult,
    published: tuple[float, int],
    corrected: Mapping[str, float],
    changes: Mapping[str, float],
    advisory: bool,
) -> GateResult:
    p, estimate = corrected[cell.label], cell.accuracy.estimate or 0.0
    passed = p > ALPHA
    drop = "drop" if margin.points == 0 else f"drop of more than {margin.points:g} points"
    several = len(corrected) > 1
    correction = f", {p_text(p)} after Holm's correction over {len(corrected)} gates" if several else ""
    change = f", {p_text(changes[cell.label])} after Holm's correction" if several else ""
    sentence = (
        f"{cell.label}: accuracy {100 * published[0]:.1f}% in the paper ({published[1]} items), {100 * estimate:.1f}% "
        f"now ({cell.accuracy.n}), {100 * found.difference:+.1f} points (95% interval {100 * found.interval.low:+.1f} "
        f"to {100 * found.interval.high:+.1f}), items lost and gained unknown: {'no' if passed else 'a'} {drop} is "
        f"shown ({found.worse.test}, {p_text(found.worse.p)}{correction}); any change: {found.change.test}, "
        f"{p_text(found.change.p)}{change}; {'advisory: ' * advisory}the paper's prompts and sampling are not published"
    )
    fields: dict[str, FieldValue] = {
        "baseline": 100 * published[0],
        "candidate": 100 * estimate,
        "difference": 100 * found.difference,
        "low": 100 * found.interval.low,
        "high": 100 * found.interval.high,
        "n": cell.accuracy.n,
        "reference_n": published[1],
        "margin": margin.points,
        "p": found.worse.p,
        "p_corrected": p,
        "test": found.worse.test,
        "p_change": found.change.p,
        "p_change_corrected": changes[cell.label],
        "change_test": found.change.test,
    }
    return GateResult(f"gate::{cell.label}", "paper", cell.label, passed, sentence, fields, advisory=advisory)
