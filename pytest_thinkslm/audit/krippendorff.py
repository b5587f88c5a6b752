"""Agreement between annotators. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from math import fsum

from pytest_thinkslm.audit.figures import Figure

_UNPAIRED = "no output was labelled by two annotators"


def krippendorff_alpha(units: Sequence[Sequence[Hashable]], weights: Sequence[float] | None = None) -> Figure:
    """Krippendorff's alpha for nominal labels: 1 - observed / expected disagreement.

    Args:
        units: the labels of each unit, one an annotator who gave one; missing labels are left out. Units with fewer
            than two labels cannot be paired and do not count.
        weights: what part of the population each unit stands for; None for equal parts. They are scaled to a
            mean of 1 over the units that count, so that equal weights give the usual figure.

    A unit of m labels adds 1 / (m - 1) to the coincidence of each ordered pair of its labels, times its weight. (The
    packages for alpha know no weights of units, which a stratified sample needs.)

    Undefined without a unit of two labels, and where all paired labels are the same: nothing could have disagreed.

    Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, sec. C.
    """
    paired = [
        (Counter(labels), 1.0 if weights is None else weights[position])
        for position, labels in enumerate(units)
        if len(labels) > 1
    ]
    if not paired:
        return Figure(None, why=_UNPAIRED)
    scale = len(paired) / fsum(weight for _, weight in paired)
    totals: dict[Hashable, float] = defaultdict(float)
    agreeing = 0.0
    for labels, weight in paired:
        m = labels.total()
        for label, times in labels.items():
            totals[label] += scale * weight * times
            agreeing += scale * weight * times * (times - 1) / (m - 1)
    if len(totals) == 1:
        return Figure(None, why=f"all labels are {next(iter(totals))}, so nothing could have disagreed")
    n = fsum(totals.values())
    expected = (n**2 - fsum(total**2 for total in totals.values())) / (n - 1)
    return Figure(1 - (n - agreeing) / expected)


def percent_agreement(units: Sequence[Sequence[Hashable]], weights: Sequence[float] | None = None) -> Figure:
    """Share of the pairs of labels on one unit that are the same; arguments as of ``krippendorff_alpha``."""
    same = total = 0.0
    for position, labels in enumerate(units):
        weight = 1.0 if weights is None else weights[position]
        m = len(labels)
        total += weight * m * (m - 1)
        same += weight * sum(times * (times - 1) for times in Counter(labels).values())
    return Figure(same / total) if total else Figure(None, why=_UNPAIRED)
