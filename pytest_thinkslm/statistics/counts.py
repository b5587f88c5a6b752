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
    value, parts = _linearised(rows, clusters, function)
    half = _reach(list(parts.values()), confidence)
    return None if half is None else Interval(max(bounds[0], value - half), min(bounds[1], value + half))


def function_change(
    before: Sequence[Sequence[float]],
    now: Sequence[Sequence[float]],
    clusters: Sequence[Hashable],
    function: Callable[[Sequence[float]], float],
    *,
    bounds: tuple[float, float] = (-1.0, 1.0),
    confidence: float = 0.95,
) -> Interval | None:
    """Two-sided interval of what ``function`` is now less what it was before, of the same items in the same order.

    The delta method over the differences of the clusters: what both sides share falls out, as in a paired comparison of
    accuracies. It is what the jackknife that leaves out one cluster at a time, of both sides, tends to. Where few
    clusters changed, chance makes it too narrow: two more, moved as far as those are in the mean square, one each way,
    are counted to the variance, as is done with pairs of shares.

    Args:
        before, now: what each item adds to each count on either side.
        clusters, function: as for `function_interval`.
        bounds: between which the change lies.

    Source: Binder (1983), as for one run; Kovar, Rao and Wu (1988), Canadian Journal of Statistics 16, 25-45; Bonett
    and Price (2012), Journal of Educational and Behavioral Statistics 37, 479-488 (one more in either cell of change).
    """
    was, old = _linearised(before, clusters, function)
    is_, new = _linearised(now, clusters, function)
    parts = {name: new[name] - part for name, part in old.items()}
    moved = {name for name, a, b in zip(clusters, before, now, strict=True) if tuple(a) != tuple(b)}
    more = 2 * fsum(parts[name] ** 2 for name in moved) / max(1, len(moved))
    half = _reach(list(parts.values()), confidence, more)
    change = is_ - was
    return None if half is None else Interval(max(bounds[0], change - half), min(bounds[1], change + half))


def _linearised(
    rows: Sequence[Sequence[float]], clusters: Sequence[Hashable], function: Callable[[Sequence[float]], float]
) -> tuple[float, dict[Hashable, float]]:
    """The function's value, and what each cluster contributes to it at first order."""
    by_cluster: dict[Hashable, list[float]] = {}
    for row, cluster in zip(rows, clusters, strict=True):
        sums = by_cluster.setdefault(cluster, [0.0] * len(row))
        for place, value in enumerate(row):
            sums[place] += value
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
    return function(totals), {name: fsum(map(float.__mul__, gradient, sums)) for name, sums in by_cluster.items()}


def _reach(parts: Sequence[float], confidence: float, more: float = 0.0) -> float | None:
    """Half of the interval's width from what each cluster contributes; None where that says nothing.

    ``more`` is added to the sum of squares.
    """
    count = len(parts)
    if count < 2:
        return None
    mean = fsum(parts) / count
    error = sqrt(count / (count - 1) * (fsum((part - mean) ** 2 for part in parts) + more))
    return None if error <= 1e-9 else student_quantile((1 + confidence) / 2, count - 1) * error


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
