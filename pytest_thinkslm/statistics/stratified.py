"""The unweighted mean of the drops of several tasks: a score test and bounds, aware of clusters across tasks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum, inf, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_thinkslm.statistics.paired import PairedResult
from pytest_thinkslm.statistics.paired_table import PairedTable, PValue
from pytest_thinkslm.statistics.permutation import sign_flip

if TYPE_CHECKING:
    import numpy

    Floats = numpy.ndarray[Any, numpy.dtype[numpy.float64]]
    Flags = numpy.ndarray[Any, numpy.dtype[numpy.bool_]]

_TEST = "stratified score test"
#: Bisections of the tilt; its range is halved each time.
_STEPS = 50


class ClusterTotal(NamedTuple):
    """Of one cluster: its drops summed over its items, and how many these are."""

    drop: float
    items: int


@dataclass(frozen=True, slots=True)
class Stratum:
    """One task's part in a mean over tasks.

    Attributes:
        table: its paired comparison, on effective counts where there are clusters or repeats.
        drop: baseline - candidate, a fraction.
        totals: by cluster; clusters of one name are one, in whatever task they are.
        repeats: values an item.
    """

    table: PairedTable
    drop: float
    totals: Mapping[Hashable, ClusterTotal]
    repeats: int = 1

    @property
    def n(self) -> int:
        """Items."""
        return sum(total.items for total in self.totals.values())


@dataclass(frozen=True)
class MeanDrop:
    """The unweighted mean of the drops of ``strata`` (at least one), each a task. All fractions.

    Of several tasks it is tested by the stratified score test: the variance is that of the most likely drops of which
    the mean is the hypothesis (Miettinen and Nurminen's principle, with Tango's likelihood for each task), so that
    tasks of which no item changed do not count as known exactly. Half a step of the coarsest tasks is taken off (a
    continuity correction), since these carry most of the variance. Clusters that lie in several tasks (one question
    asked in several styles, or the same question in several data sets) enlarge the variance by what they add to it.
    The reference distribution is Student's, with Satterthwaite's degrees of freedom where tasks have clusters or
    repeats. Of a single task it is that task's own test.

    Sources: Tango (1998), Statistics in Medicine 17, 891-908; Miettinen and Nurminen (1985), Statistics in Medicine 4,
    213-226, for strata; Satterthwaite (1946).
    """

    strata: tuple[Stratum, ...]

    @property
    def estimate(self) -> float:
        """Mean of the observed drops."""
        return fsum(stratum.drop for stratum in self.strata) / len(self.strata)

    def not_worse(self, margin: float) -> PValue:
        """One-sided, against "the mean drop is ``margin`` or more"."""
        if len(self.strata) == 1:
            return self.strata[0].table.not_worse(margin)
        return PValue(self._upper_tail(self._curve.score(margin, -self._half_step)), _TEST)

    def worse(self, margin: float) -> PValue:
        """One-sided, against "the mean drop is at most ``margin``"."""
        if len(self.strata) == 1:
            return self.strata[0].table.worse(margin)
        return PValue(self._upper_tail(-self._curve.score(margin, self._half_step)), _TEST)

    def at_most(self, confidence: float) -> float:
        """Upper one-sided bound."""
        if len(self.strata) == 1:
            return self.strata[0].table.drop_at_most(confidence)
        return self._curve.bound(self._quantile(confidence), -self._half_step)

    def at_least(self, confidence: float) -> float:
        """Lower one-sided bound."""
        if len(self.strata) == 1:
            return self.strata[0].table.drop_at_least(confidence)
        return self._curve.bound(-self._quantile(confidence), self._half_step)

    @property
    def standard_error(self) -> float:
        """Of the estimate, at the observed drops."""
        return sqrt(self._inflation * fsum(self.variances)) / len(self.strata)

    @cached_property
    def _curve(self) -> Curve:
        tables = [stratum.table for stratum in self.strata]
        return Curve([t.lost for t in tables], [t.gained for t in tables], [t.n for t in tables], self._inflation)

    @cached_property
    def variances(self) -> list[float]:
        """Of each task's drop, from its own clusters."""
        return [_variance(stratum.table) for stratum in self.strata]

    @cached_property
    def _inflation(self) -> float:
        """Variance of the mean over what it were if no cluster lay in two tasks; at least 1."""
        shared: dict[Hashable, float] = {}
        apart = 0.0
        for stratum in self.strata:
            n = stratum.n
            for name, total in stratum.totals.items():
                part = (total.drop - stratum.drop * total.items) / n
                shared[name] = shared.get(name, 0.0) + part
                apart += part * part
        return max(1.0, fsum(part * part for part in shared.values()) / apart) if apart > 0 else 1.0

    @cached_property
    def _degrees(self) -> float:
        clustered = [
            (variance, stratum.table.degrees)
            for variance, stratum in zip(self.variances, self.strata, strict=True)
            if stratum.table.degrees is not None
        ]
        doubt = fsum(variance**2 / degrees for variance, degrees in clustered)
        if doubt > 0:
            return fsum(self.variances) ** 2 / doubt
        return min((degrees for _, degrees in clustered), default=inf)

    @cached_property
    def _half_step(self) -> float:
        """Half of what one item moves the mean, averaged over tasks by their part in its variance."""
        steps = [1 / (stratum.n * stratum.repeats) for stratum in self.strata]
        weights = [1 / max(stratum.table.n, 1e-9) for stratum in self.strata]
        mean = fsum(step * weight for step, weight in zip(steps, weights, strict=True)) / fsum(weights)
        return mean / 2 / len(self.strata)

    def _upper_tail(self, score: float) -> float:
        if abs(score) == inf:
            return float(score < 0)
        if self._degrees == inf:
            return 1 - NormalDist().cdf(score)
        from scipy.special import stdtr

        return float(stdtr(self._degrees, -score))

    def _quantile(self, confidence: float) -> float:
        if self._degrees == inf:
            return NormalDist().inv_cdf(confidence)
        from scipy.special import stdtrit

        return float(stdtrit(self._degrees, confidence))


def mean_drop(strata: Sequence[Stratum]) -> MeanDrop:
    """The mean over these tasks.

    Raises:
        ValueError: no task, or one without items.
    """
    if not strata or any(stratum.table.n <= 0 for stratum in strata):
        raise ValueError("a mean drop needs at least one task, and items in each")
    return MeanDrop(tuple(strata))


def stratum(
    paired: PairedResult[str],
    baseline: Mapping[str, Sequence[float]],
    candidate: Mapping[str, Sequence[float]],
    cluster: Callable[[str], Hashable],
) -> Stratum:
    """The part of a task whose comparison of these scores is ``paired``; ``cluster`` names what an item shares."""
    sums: dict[Hashable, list[float]] = {}
    for item, before in baseline.items():
        if item in candidate:
            after = candidate[item]
            both = min(len(before), len(after))
            sums.setdefault(cluster(item), []).append((sum(before[:both]) - sum(after[:both])) / both)
    totals = {name: ClusterTotal(fsum(drops), len(drops)) for name, drops in sums.items()}
    return Stratum(paired.table, -paired.difference, totals, paired.repeats)


def pooled_change(strata: Sequence[Stratum]) -> tuple[PValue, PValue]:
    """Whether anything was lost over all tasks (one-sided), or changed (two-sided); every item counts once.

    The exact McNemar test of all items together where each stands alone, else the sign-flip permutation of whole
    clusters, across tasks. It finds a small loss that is spread over many tasks, which no single one shows.
    """
    sums: dict[Hashable, float] = {}
    repeats, items = 1, 0
    for part in strata:
        repeats = max(repeats, part.repeats)
        for name, total in part.totals.items():
            sums[name] = sums.get(name, 0.0) - total.drop
            items += total.items
    flips = sign_flip(list(sums.values()), repeats)
    alone = repeats == 1 and len(sums) == items
    name = "exact McNemar" if alone else "cluster sign-flip permutation"
    return PValue(flips.fewer, f"pooled {name}, one-sided"), PValue(flips.any, f"pooled {name}, two-sided")


@dataclass(frozen=True, slots=True)
class Curve:
    """The most likely drops of tasks for every value of their mean, as functions of one tilt.

    Counts are sequences, one value a task (or arrays whose last axis is the tasks, for many suites at a time). With a
    Lagrange multiplier ``tilt`` for the mean, the probabilities of a task whose counts are L lost, S same and G gained
    are L / (m - tilt), S / m and G / (m + tilt), with m such that they add up to 1; where L is 0 and the tilt demands
    losses all the same, they are what the others leave. Tilt 0 is what was observed; drop and score rise with the tilt.
    """

    lost: Sequence[float] | Floats
    gained: Sequence[float] | Floats
    n: Sequence[float] | Floats
    inflation: float | Floats = 1.0

    def at(self, tilt: Floats | float) -> tuple[Floats, Floats]:
        """Mean drop and its variance at a tilt (one a suite)."""
        import numpy

        lost, gained, n = (numpy.asarray(value, dtype=numpy.float64) for value in (self.lost, self.gained, self.n))
        tilts = numpy.asarray(tilt, dtype=numpy.float64)[..., None]
        size = numpy.abs(tilts)
        toward, away = numpy.where(tilts >= 0, lost, gained), numpy.where(tilts >= 0, gained, lost)
        same = numpy.maximum(n - lost - gained, 0.0)
        # Both are lower bounds of m, from which Newton's steps rise to it: the sum of probabilities is convex in m.
        middle = numpy.maximum(size + toward, n + size * (toward - away) / n)
        middle = numpy.maximum(middle, 1e-12)
        with numpy.errstate(divide="ignore", invalid="ignore"):
            for _ in range(60):
                towards = numpy.where(toward > 0, toward / (middle - size), 0.0)
                total = towards + same / middle + away / (middle + size)
                slope = (
                    numpy.where(toward > 0, towards / (middle - size), 0.0)
                    + same / middle**2
                    + away / (middle + size) ** 2
                )
                # Below 1 from the start: then L is 0, and m as small as it may be.
                step = numpy.where(total > 1, (total - 1) / slope, 0.0)
                middle = middle + step
                if not numpy.any(step > 1e-12 * middle):
                    break
            p_away = away / (middle + size)
            p_toward = 1 - numpy.where(same > 0, same / middle, 0.0) - p_away
        p_toward = numpy.clip(p_toward, 0.0, 1.0)
        drops = numpy.sign(tilts) * (p_toward - p_away)
        drops = numpy.where(tilts == 0, (lost - gained) / n, drops)
        variances = numpy.maximum(p_toward + p_away - drops**2, 0.0) / n
        tasks = lost.shape[-1]
        return drops.mean(axis=-1), self.inflation * variances.sum(axis=-1) / tasks**2

    def scores(self, margin: float, correction: float | Floats = 0.0) -> Floats:
        """(margin - estimate) in standard errors under the hypothesis that the mean drop is ``margin``.

        ``correction`` is added to the distance.
        """
        import numpy

        estimate = self._estimate
        low, high = self._bracket(lambda tilt: self.at(tilt)[0] >= margin)
        for _ in range(_STEPS):
            tilt = (low + high) / 2
            above = self.at(tilt)[0] >= margin
            low, high = numpy.where(above, low, tilt), numpy.where(above, tilt, high)
        _, variance = self.at((low + high) / 2)
        distance = margin - estimate + correction
        with numpy.errstate(divide="ignore", invalid="ignore"):
            found = distance / numpy.sqrt(variance)
        without = numpy.where(numpy.abs(distance) < 1e-12, 0.0, numpy.copysign(inf, distance))
        return numpy.where(variance > 1e-18, found, without)

    def score(self, margin: float, correction: float = 0.0) -> float:
        """`scores` of one suite."""
        return float(self.scores(margin, correction))

    def bound(self, quantile: float, correction: float = 0.0) -> float:
        """The mean drop whose `score` is ``quantile``, of one suite."""

        def beyond(tilt: Floats) -> Flags:
            mean, variance = self.at(tilt)
            return mean - self._estimate + correction >= quantile * variance**0.5

        low, high = self._bracket(beyond)
        for _ in range(_STEPS):
            tilt = (low + high) / 2
            low, high = (low, tilt) if bool(beyond(tilt)) else (tilt, high)
        return float(self.at((low + high) / 2)[0])

    @property
    def _estimate(self) -> Floats:
        import numpy

        shares: Floats = ((numpy.asarray(self.lost) - numpy.asarray(self.gained)) / numpy.asarray(self.n)).mean(axis=-1)
        return shares

    def _bracket(self, above: Callable[[Floats], Flags]) -> tuple[Floats, Floats]:
        """Tilts of which the first is not above and the second is."""
        import numpy

        shape = numpy.shape(self.n)[:-1]
        low, high = numpy.zeros(shape), numpy.zeros(shape)
        size = 1.0
        for _ in range(60):
            short, far = ~above(high), above(low)
            if not (numpy.any(short) or numpy.any(far)):
                break
            high, low = numpy.where(short, size, high), numpy.where(far, -size, low)
            size *= 4
        return low, high


def _variance(table: PairedTable) -> float:
    """Of the drop, as observed."""
    drop = (table.lost - table.gained) / table.n
    return max(0.0, (table.lost + table.gained) / table.n - drop * drop) / table.n
