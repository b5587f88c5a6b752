"""Paired ratios of positive amounts, such as the tokens of two outputs to one item."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, sqrt
from statistics import median

from pytest_thinkslm.statistics.clusters import ClusterSums, student_quantile
from pytest_thinkslm.statistics.intervals import Interval

#: Of fewer pairs the extremes enclose the median less often than 95 times in a hundred.
_FEWEST = 6


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """What became of amounts, now to before, with 95% intervals (None: too few pairs or clusters to have one)."""

    n: int
    before: float
    now: float
    ratio: float
    interval: Interval | None
    median: float
    median_interval: Interval | None


def paired_ratio(
    pairs: Sequence[tuple[float, float]], clusters: Sequence[Hashable] | None = None
) -> PairedRatio | None:
    """Ratio of means and median of ratios of (before, now); None without pairs, or where nothing was there before.

    The ratio of means has the interval of the delta method on the log scale, with the cluster-robust variance and
    Student's t of the clusters (Cochran 1977, 6.4); the median of ratios that of Woodruff (1952): the order statistics
    at the ends of the interval of the share of pairs below it. Pairs that were nothing before have no ratio.
    """
    ratios, own = [], []
    for place, (before, now) in enumerate(pairs):
        if before > 0:
            ratios.append(now / before)
            own.append(place if clusters is None else clusters[place])
    if not ratios:
        return None
    n = len(pairs)
    before, now = (sum(values) / n for values in zip(*pairs, strict=True))
    ratio, middle = now / before, median(ratios)
    residuals = ClusterSums.of([after - ratio * first for first, after in pairs], clusters)
    interval = None
    if residuals.count > 1 and ratio > 0:
        reach = residuals.reach() / now
        interval = Interval(ratio * exp(-reach), ratio * exp(reach))
    return PairedRatio(n, before, now, ratio, interval, middle, _median_interval(ratios, own))


def _median_interval(ratios: Sequence[float], clusters: Sequence[Hashable]) -> Interval | None:
    middle, n = median(ratios), len(ratios)
    below = ClusterSums.of([0.5 if ratio == middle else float(ratio < middle) for ratio in ratios], clusters)
    if below.count < _FEWEST:
        return None
    # Ties at the median must not make it look better known than by independent pairs without ties.
    reach = student_quantile(0.975, below.count - 1) * sqrt(max(below.variance_of_mean, 0.25 / n))
    ordered = sorted(ratios)
    low, high = floor(n * (0.5 - reach)), ceil(n * (0.5 + reach)) - 1
    return Interval(ordered[max(0, low)], ordered[min(n - 1, high)])
