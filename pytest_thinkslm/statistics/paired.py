"""Comparison of two runs on the same items: what changed, by how much, and is it more than chance."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, lcm, sqrt
from typing import Generic, TypeVar

from pytest_thinkslm.statistics.clusters import ClusterSums
from pytest_thinkslm.statistics.intervals import Interval, effective_n, wilson
from pytest_thinkslm.statistics.paired_table import PairedTable, Permutation, PValue
from pytest_thinkslm.statistics.permutation import sign_flip

K = TypeVar("K", bound=Hashable)

#: How many losses are taken away at most, and how many clusters are filled up.
_MOST_RELIEVED, _MOST_FILLED = 200, 20


@dataclass(frozen=True, slots=True)
class PairedResult(Generic[K]):
    """Outcome of `compare_paired`. Accuracies, differences and margins are fractions.

    Attributes:
        n: items in both runs; ``clusters``: independent groups of them (n where all stand alone);
            ``effective_clusters``: as many of one size would tell as much, if all items of a cluster were one.
        repeats: values an item that both runs have (the largest number of them).
        baseline, candidate: accuracies over the shared items, of item means; 0 without items.
        difference: candidate - baseline, with its two-sided ``interval`` at ``confidence``.
        lost, gained: keys whose mean fell and rose, in the baseline's order.
        only_baseline, only_candidate: keys that the other run lacks, left out of everything else.
        discordance: share lost plus share gained, by their amounts.
        design_effect: variance of the difference over that of as many independent single-run items.
        change: test of "no change at all", two-sided.
        table: one-sided tests and bounds for any margin.
    """

    n: int
    clusters: int
    effective_clusters: float
    repeats: int
    baseline: float
    candidate: float
    difference: float
    interval: Interval
    confidence: float
    lost: tuple[K, ...]
    gained: tuple[K, ...]
    only_baseline: tuple[K, ...]
    only_candidate: tuple[K, ...]
    discordance: float
    design_effect: float
    change: PValue
    table: PairedTable

    @property
    def flips(self) -> float:
        """Share of the items that were lost or gained."""
        return (len(self.lost) + len(self.gained)) / self.n if self.n else 0.0

    def share_interval(self, count: int) -> Interval:
        """Wilson's interval of the share of so many items."""
        return wilson(count, self.n, self.confidence)

    def worse(self, margin: float = 0.0) -> PValue:
        """One-sided test against "the drop is at most ``margin``": small where it is worse by more than that."""
        return self.table.worse(_fraction(margin))

    def not_worse(self, margin: float) -> PValue:
        """One-sided test against "the drop is at least ``margin``": small where non-inferiority is shown."""
        return self.table.not_worse(_fraction(margin))


def compare_paired(
    baseline: Mapping[K, Sequence[float]],
    candidate: Mapping[K, Sequence[float]],
    clusters: Mapping[K, Hashable] | None = None,
    *,
    confidence: float = 0.95,
) -> PairedResult[K]:
    """Compare two runs item by item, on the items that both have.

    Args:
        baseline, candidate: for each item its scores (0 to 1), one a repeat. Repeats enter as the item's mean:
            they are never pooled as if they were items. Of an item that one run repeated more often, as many repeats
            count as both have, the first ones: a mean of three varies less than a single run, and exchanging the two
            is then no longer the same under "no change" (it found one in 10 to 20% of like runs at 98%).
        clusters: for items that are not independent, what they share; a missing or empty one stands alone.

    "No change" is tested by the exact McNemar test for single runs of independent items (two-sided: twice the smaller
    binomial tail, as statsmodels' ``mcnemar(exact=True)``), else by its generalisation, the sign-flip permutation of
    whole clusters. Margins are tested by Tango's paired score test; with clusters or repeats on the counts over the
    design effect of the difference, against Student's t with clusters - 1 degrees of freedom. A p-value is never below
    that of the exact tests that its hypothesis contains (`PairedTable`), which guards few items and few discordant
    ones. The two-sided interval inverts the plain score test.

    Error rates at a nominal one-sided 5% (docs/statistics.md): for single runs of independent items, by enumeration
    over true discordances on a grid, at most 7.3% for "worse by more than a margin" (6.4% from 200 items on), and at
    most 10.5% for non-inferiority from 5 items on (6.5% from 50 items on); with clusters or repeats at most 6% in
    simulation, from 30 clusters on.

    Raises:
        ValueError: an item without scores, or a score outside 0..1.

    Sources: McNemar (1947); Tango (1998), Statistics in Medicine 17, 891-908; Yang, Sun and Hardin (2012),
    Computational Statistics and Data Analysis 56, for score tests of a margin on clustered pairs; Miller (2024), Adding
    Error Bars to Evals, for paired differences on item means.
    """
    keys = [key for key in baseline if key in candidate]
    only_baseline = tuple(key for key in baseline if key not in candidate)
    only_candidate = tuple(key for key in candidate if key not in baseline)
    both = {key: min(len(baseline[key]), len(candidate[key])) for key in keys}
    before = [_mean(baseline[key][: both[key]], key) for key in keys]
    after = [_mean(candidate[key][: both[key]], key) for key in keys]
    counts = set(both.values())
    differences = [b - a for a, b in zip(before, after, strict=True)]
    groups = _groups(keys, clusters)
    table, design_effect, change, sizes = _tabulate(before, after, groups, counts)
    n = len(keys)
    return PairedResult(
        n=n,
        clusters=len(sizes),
        effective_clusters=n * n / sum(size * size for size in sizes) if n else 0.0,
        repeats=max(counts, default=1),
        baseline=sum(before) / n if n else 0.0,
        candidate=sum(after) / n if n else 0.0,
        difference=sum(differences) / n if n else 0.0,
        interval=table.interval(confidence),
        confidence=confidence,
        lost=tuple(key for key, change_ in zip(keys, differences, strict=True) if change_ < -1e-9),
        gained=tuple(key for key, change_ in zip(keys, differences, strict=True) if change_ > 1e-9),
        only_baseline=only_baseline,
        only_candidate=only_candidate,
        discordance=sum(map(abs, differences)) / n if n else 0.0,
        design_effect=design_effect,
        change=change,
        table=table,
    )


def paired_interval(
    before: Sequence[float], after: Sequence[float], clusters: Sequence[Hashable], *, confidence: float = 0.95
) -> Interval:
    """Tango's two-sided interval of the change of a share, of the same items in the same order, as `compare_paired`'s.

    Args:
        before, after: for each item (or each of its repeats) 0 or 1.
        clusters: beside each, what it shares with those that it is not independent of.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    lost, gained = sum(-change for change in differences if change < 0), sum(filter(lambda c: c > 0, differences))
    sums = ClusterSums.of(differences, clusters)
    degrees, counts = None, (lost, gained, float(sums.n))
    if sums.count < sums.n:
        degrees, counts = max(1, sums.count - 1), _effective(sums, lost, gained, sums.n)
    return PairedTable(*counts, degrees, 1.0, 1.0, "cluster sign-flip permutation").interval(confidence)


def _tabulate(
    before: Sequence[float], after: Sequence[float], groups: Sequence[Hashable] | None, counts: set[int]
) -> tuple[PairedTable, float, PValue, Sequence[int]]:
    """The table, the design effect, the test of any change and the sizes of the clusters."""
    differences = [b - a for a, b in zip(before, after, strict=True)]
    losses = [max(0.0, -change) for change in differences]
    lost, gained = sum(losses), sum(change for change in differences if change > 0)
    if groups is None and counts <= {1} and all(change in (-1, 0, 1) for change in differences):
        table, change = single_table(round(lost), round(gained), len(differences))
        return table, 1.0, change, [1] * len(differences)
    sums = ClusterSums.of(differences, groups)
    wrong = ClusterSums.of([1 - score for score in before], groups).sums
    room = list(zip(ClusterSums.of(losses, groups).sums, wrong, strict=True))
    table, change = clustered_table(sums, lost, gained, max(counts), lcm(*counts), room)
    return table, sums.n / table.n, change, sums.sizes


def single_table(lost: int, gained: int, n: int) -> tuple[PairedTable, PValue]:
    """For single runs of ``n`` independent items: the table, and exact McNemar's test of any change."""
    table = PairedTable.single(lost, gained, n)
    p = min(1.0, 2 * min(table.p_fewer, table.p_more))
    return table, PValue(p, "exact McNemar, two-sided")


def clustered_table(
    sums: ClusterSums, lost: float, gained: float, repeats: int, scale: int, room: Sequence[tuple[float, float]]
) -> tuple[PairedTable, PValue]:
    """For clusters or repeats: the table on effective counts, and the sign-flip permutation test of any change.

    ``lost`` and ``gained`` are summed amounts over items; ``scale`` makes the ``sums`` integers. ``room`` has of each
    cluster what was lost in it, and what was wrong in the baseline, which is the most that it can gain.
    """
    name: Permutation = "cluster sign-flip permutation"
    flips = sign_flip(sums.sums, scale)
    variance = (lost + gained) / sums.n - ((gained - lost) / sums.n) ** 2
    effective = effective_n(sums, variance, sums.n * repeats)
    factor = effective / sums.n
    degrees = max(1, sums.count - 1)
    relieved = tuple(_relieved(sums, lost, gained, sums.n * repeats))
    filled = tuple(_filled(sums, lost, gained, sums.n * repeats, room))
    table = PairedTable(
        lost * factor, gained * factor, effective, degrees, flips.fewer, flips.more, name, relieved, filled
    )
    return table, PValue(flips.any, f"{name}, two-sided")


def _relieved(sums: ClusterSums, lost: float, gained: float, most: float) -> Iterator[tuple[float, float, float]]:
    """Effective counts with losses taken away one by one from the cluster that lost most beyond its share.

    As long as that makes a loss the clearer: while the cluster's excess times the net loss is more than the summed
    squares of all excesses, that is, while the variance falls faster than the drop.
    """
    losses = [-total for total in sums.sums]
    if sums.count < 2:
        return
    for step in range(_MOST_RELIEVED):
        net = fsum(losses)
        share = net / sums.n
        excess = [loss - share * size for loss, size in zip(losses, sums.sizes, strict=True)]
        top = max((place for place, loss in enumerate(losses) if loss > 0), key=excess.__getitem__, default=None)
        spread = fsum(value * value for value in excess)
        # The first step is always taken: where no two clusters differ the variance says nothing.
        if top is None or net <= 0 or (step and excess[top] * net <= spread):
            return
        unit = min(1.0, losses[top])
        losses[top] -= unit
        lost -= unit
        if lost < gained:
            return
        yield _effective(ClusterSums(tuple(-loss for loss in losses), sums.sizes), lost, gained, most)


def _filled(
    sums: ClusterSums, lost: float, gained: float, most: float, room: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, float, float]]:
    """Effective counts with more right answers, as far as they can make a small drop the less clear.

    From the comparison as it is, and from that without any loss, right answers are added to one cluster after another,
    one each or all that it lacks; first to those of which that raises the variance most for what is gained. (Adding
    them to one cluster raises the score first, then may lower it: the least that it reaches is with none or all.)
    """
    if sums.count < 2:
        return
    own = _effective(sums, lost, gained, most)
    lacking = [wrong - total for total, (_, wrong) in zip(sums.sums, room, strict=True)]
    restored = [total + back for total, (back, _) in zip(sums.sums, room, strict=True)]
    # Where no two clusters differ, as may be where none gained or all is right, the variance says nothing.
    wrong = [wrong for _, wrong in room]
    yield _effective(ClusterSums(tuple(wrong), sums.sizes), 0.0, sum(wrong), most)
    if max(sums.sums) <= 0:
        yield _effective(ClusterSums((0.0,) * sums.count, sums.sizes), gained, gained, most)
    tables = [_effective(ClusterSums(tuple(restored), sums.sizes), 0.0, gained, most)]
    for start in (sums.sums, restored):
        share = fsum(start) / sums.n
        order = sorted(
            (place for place, more in enumerate(lacking) if more > 0),
            key=lambda place: lacking[place] + 2 * (start[place] - share * sums.sizes[place]),
            reverse=True,
        )
        for one_each, places in ((True, order), (True, order[::-1]), (False, order)):
            totals, now_lost, now_gained = list(start), lost if start is sums.sums else 0.0, gained
            for place in places[:_MOST_FILLED]:
                rest, back = room[place][1] - totals[place], room[place][0] if start is sums.sums else 0.0
                more = min(1.0, rest) if one_each else rest
                now_lost, now_gained = now_lost - min(back, more), now_gained + more - min(back, more)
                totals[place] += more
                now = ClusterSums(tuple(totals), sums.sizes)
                tables.append(_effective(now, max(0.0, now_lost), now_gained, most))
    yield from (table for table in dict.fromkeys(tables) if _less_clear(table, own))


def _less_clear(table: tuple[float, float, float], own: tuple[float, float, float]) -> bool:
    """Whether a margin could be ruled out by ``own`` and not by ``table``, at any usual level."""
    (gain, error), (own_gain, own_error) = map(_moments, (table, own))
    return gain - own_gain <= 5.1 * error - 5 * own_error or (table[2] < own[2] and gain <= 0)


def _moments(table: tuple[float, float, float]) -> tuple[float, float]:
    """The gain, and its standard error as observed."""
    lost, gained, n = table
    gain = (gained - lost) / n
    return gain, sqrt(max(0.0, (lost + gained) / n - gain * gain) / n)


def _effective(sums: ClusterSums, lost: float, gained: float, most: float) -> tuple[float, float, float]:
    """Lost, gained and items on effective counts."""
    variance = (lost + gained) / sums.n - ((gained - lost) / sums.n) ** 2
    effective = effective_n(sums, variance, most)
    return lost * effective / sums.n, gained * effective / sums.n, effective


def _groups(keys: Sequence[K], clusters: Mapping[K, Hashable] | None) -> list[Hashable] | None:
    """Beside each key its cluster; None where no two items share one."""
    if clusters is None:
        return None
    groups = [("cluster", name) if (name := clusters.get(key)) else ("item", key) for key in keys]
    return None if len(set(groups)) == len(groups) else list(groups)


def _mean(scores: Sequence[float], key: object) -> float:
    if not scores:
        raise ValueError(f"item {key!r} has no score")
    mean = sum(scores) / len(scores)
    if not (min(scores) >= 0 and max(scores) <= 1 and 0 <= mean <= 1):  # the last also refuses NaN
        raise ValueError(f"scores of item {key!r} must lie between 0 and 1")
    return mean


def _fraction(margin: float) -> float:
    if not 0 <= margin < 1:
        raise ValueError(f"a margin must be a fraction from 0 to 1, not {margin}")
    return margin
