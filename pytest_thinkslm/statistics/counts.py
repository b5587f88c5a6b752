"""Intervals of figures that are functions of counts (correlations, ratios of accuracies), by cluster."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import fsum, sqrt

from pytest_thinkslm.statistics.clusters import student_quantile
from pytest_thinkslm.statistics.intervals import Interval


def function_interval(
    rows: Sequence[Sequence[float]],
    clusters: Sequence[Hashable],
    function: Callable[[Sequence[float]], float],
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    confidence: float = 0.95,
) -> Interval | None:
    """Two-sided interval of ``function`` of the summed ``rows``, by the delta method over clusters.

    Args:
        rows: what each item adds to each count.
        clusters: beside each row, what it shares with the rows it is not independent of.
        function: of the sums; the same for all sums times a constant (a ratio, a correlation).
        bounds: between which the figure lies.

    The variance is C / (C - 1) times the sum over the C clusters of (gradient . counts)^2, the quantile Student's with
    C - 1 degrees of freedom. None where it says nothing: fewer than two clusters, or none that moves the figure.

    Source: Binder (1983), International Statistical Review 51, 279-292 (linearization); Liang and Zeger (1986).
    """
    by_cluster: dict[Hashable, list[float]] = {}
    for row, cluster in zip(rows, clusters, strict=True):
        sums = by_cluster.setdefault(cluster, [0.0] * len(row))
        for place, value in enumerate(row):
            sums[place] += value
    count = len(by_cluster)
    if count < 2:
        return None
    totals = [fsum(sums[place] for sums in by_cluster.values()) for place in range(len(rows[0]))]
    step = 1e-5 * max(1.0, *map(abs, totals))
    gradient = []
    for place in range(len(totals)):
        ends = []
        for sign in (1, -1):
            moved = list(totals)
            moved[place] += sign * step
            ends.append(function(moved))
        gradient.append((ends[0] - ends[1]) / (2 * step))
    parts = [fsum(map(float.__mul__, gradient, sums)) for sums in by_cluster.values()]
    mean = fsum(parts) / count
    error = sqrt(count / (count - 1) * fsum((part - mean) ** 2 for part in parts))
    if error <= 1e-9:
        return None
    half, value = student_quantile((1 + confidence) / 2, count - 1) * error, function(totals)
    return Interval(max(bounds[0], value - half), min(bounds[1], value + half))


def mean_interval(
    values: Sequence[float], intervals: Sequence[Sequence[float] | None], bounds: tuple[float, float] = (-1.0, 1.0)
) -> Interval | None:
    """Interval of the unweighted mean of independent figures, each with its own; None where one has none.

    Source: Zou and Donner (2008), Statistics in Medicine 27, 1693-1702 (MOVER).
    """
    known = [interval for interval in intervals if interval is not None]
    if not values or len(known) < len(values):
        return None
    mean = fsum(values) / len(values)
    below = sqrt(fsum((value - ends[0]) ** 2 for value, ends in zip(values, known, strict=True))) / len(values)
    above = sqrt(fsum((ends[1] - value) ** 2 for value, ends in zip(values, known, strict=True))) / len(values)
    return Interval(max(bounds[0], mean - below), min(bounds[1], mean + above))


def change_interval(before: float, before_ends: Sequence[float], now: float, now_ends: Sequence[float]) -> Interval:
    """Interval of now - before from the interval of each, as if they were independent: too wide, where they are paired.

    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10, for any figure with an interval.
    """
    change = now - before
    below = sqrt((now - now_ends[0]) ** 2 + (before_ends[1] - before) ** 2)
    above = sqrt((now_ends[1] - now) ** 2 + (before - before_ends[0]) ** 2)
    return Interval(change - below, change + above)
