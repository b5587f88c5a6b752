"""Statistics of items that are asked in several forms with one gold: change, consistency, position, variance. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from pytest_thinkslm.statistics.clusters import ClusterSums
from pytest_thinkslm.statistics.intervals import Interval

#: Draws of the permutation test, with a fixed seed: the same figures give the same result.
DRAWS = 4000


@dataclass(frozen=True, slots=True)
class FormChange:
    """What changed forms do to accuracy: the mean over items of (mean of the changed forms - the item as it is)."""

    items: int
    before: float
    after: float
    difference: float
    interval: Interval | None
    p: float


def form_change(
    scores: Sequence[tuple[float, Sequence[float]]], clusters: Sequence[Hashable] | None = None
) -> FormChange:
    """Compare each item with its changed forms.

    Args:
        scores: for each item its score (0 to 1) and those of its changed forms, one or more.
        clusters: what items share; None: nothing.

    Under "no form is different" an item's forms can be exchanged, also where it has several changed ones and one
    original: ``p`` is that of the permutation of which form is the original, two-sided, by ``DRAWS`` draws. (A mean
    over three forms varies less than a single one, so that flipping the sign of the difference would be wrong.) The
    interval is the differences' mean with Student's t, by cluster; None for fewer than two.
    """
    before = [own for own, _ in scores]
    after = [sum(forms) / len(forms) for _, forms in scores]
    differences = [b - a for a, b in zip(before, after, strict=True)]
    n = len(scores)
    if not n:
        return FormChange(0, 0.0, 0.0, 0.0, None, 1.0)
    mean = sum(differences) / n
    return FormChange(
        n, sum(before) / n, sum(after) / n, mean, _interval(differences, clusters), _exchanged(scores, mean * n)
    )


def _interval(values: Sequence[float], clusters: Sequence[Hashable] | None) -> Interval | None:
    sums = ClusterSums.of(values, clusters)
    if sums.count < 2:
        return None
    mean, reach = sum(values) / len(values), sums.reach()
    return Interval(max(-1.0, mean - reach), min(1.0, mean + reach))


def _exchanged(scores: Sequence[tuple[float, Sequence[float]]], seen: float) -> float:
    """Two-sided p of the summed difference under exchanging forms within each item."""
    import numpy

    # Items of which every form scored alike cannot tell anything.
    told = [(own, *forms) for own, forms in scores if any(form != own for form in forms)]
    if not told:
        return 1.0
    rng = numpy.random.default_rng(0)
    total = numpy.zeros(DRAWS)
    for values in told:
        forms = numpy.asarray(values, dtype=float)
        others = (forms.sum() - forms) / (len(forms) - 1)
        total += (others - forms)[rng.integers(len(forms), size=DRAWS)]
    extreme = int((numpy.abs(total) >= abs(seen) - 1e-9).sum())
    return min(1.0, (extreme + 1) / (DRAWS + 1))


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Where picks fall against where the golds stand: shares by position, and the test of "no difference"."""

    picked: tuple[float, ...]
    expected: tuple[float, ...]
    p: float


def position_bias(picks: Mapping[str, Sequence[tuple[int, int]]], positions: int) -> PositionBias | None:
    """Whether a model prefers positions, whatever stands there.

    Args:
        picks: by item (or cluster), for each of its outputs the position that was picked and that of the gold, from 0.
        positions: how many there are.

    The share of picks less the share of golds, position by position, is 0 for a model that errs to all sides alike.
    Wald's chi-squared test on the items' mean differences with their empirical covariance, as Stuart (1955) and
    Maxwell (1970) for marginal homogeneity, generalised to several outputs an item. None: fewer items than positions.
    """
    import numpy
    from scipy.stats import chi2

    if len(picks) <= positions:
        return None
    rows, weights = [], []
    picked, golds = numpy.zeros(positions), numpy.zeros(positions)
    for pairs in picks.values():
        row = numpy.zeros(positions)
        for pick, gold in pairs:
            picked[pick] += 1
            golds[gold] += 1
            row[pick] += 1
            row[gold] -= 1
        rows.append(row / len(pairs))
        weights.append(len(pairs))
    matrix = numpy.array(rows)
    mean = matrix.mean(axis=0)
    covariance = numpy.atleast_2d(numpy.cov(matrix, rowvar=False)) / len(rows)
    rank = int(numpy.linalg.matrix_rank(covariance, tol=1e-12))
    # A model that always picks one position has no variance where it picks: the golds' variance is in all others.
    statistic = float(mean @ numpy.linalg.pinv(covariance, rcond=1e-10) @ mean) if rank else 0.0
    p = float(chi2.sf(statistic, rank)) if rank else (1.0 if not numpy.abs(mean).max() else 0.0)
    return PositionBias(tuple((picked / picked.sum()).tolist()), tuple((golds / golds.sum()).tolist()), p)


@dataclass(frozen=True, slots=True)
class Component:
    """A share of the variance of a single score, with its 95% interval over items."""

    share: float
    interval: Interval


#: The scores of an item, nested by what they differ in: ``[[0, 1], [1]]`` are two of one kind and one of another.
Tree = float | Sequence["Tree"]


def variance_components(items: Sequence[Tree], sources: Sequence[str]) -> dict[str, Component]:
    """How much of a score's variance is the item's, and how much that of each source nested within it.

    The nested random model (score = mean + item + first source within the item + ... + the last), by the method of
    moments on unweighted means (Searle, Casella and McCulloch, 1992, ch. 5) on the linear scale; numbers of children
    may differ. Estimates below 0 are 0.

    The 95% intervals are the jackknife's over whole items (Efron and Tibshirani, 1993, ch. 11), with Student's t on
    Satterthwaite's degrees of freedom, 2 n over the excess of the pseudo-values' kurtosis, so that a variance that few
    items carry is known less well. Around the share itself it errs where the share is large, around the arcsine of its
    root where it is small: stated is what either has. By simulation (docs/stress.md) they cover 93.7% to 98.5% from 50
    items on.

    Args:
        items: the scores of each item, nested ``len(sources) - 1`` deep.
        sources: what each level of nesting is, from "item" inwards.

    Returns:
        By source its share. A source of which no item has two is left out: it cannot be told from the one around it.
        Empty for fewer than two items, and where nothing varies.
    """
    import numpy

    if len(items) < 2:
        return {}
    parts = [_Moments.of(item, len(sources)) for item in items]
    stacked = _Moments(*(numpy.array([getattr(part, name) for part in parts]) for name in _Moments.__slots__))
    whole = _variances(stacked, numpy.ones((1, len(items))))
    found = _shares(numpy.maximum(whole, 0.0))[0]
    told = [0, *(level for level in range(1, len(sources)) if stacked.degrees[:, level].sum())]
    if not found.sum() or len(items) < 3:
        return {}
    untruncated = _shares(whole)[0]
    left_out = _shares(_left_out(stacked))
    return {
        sources[level]: Component(
            float(found[level]), _jackknife(float(untruncated[level]), float(found[level]), left_out[:, level])
        )
        for level in told
    }


def _left_out(parts: _Moments) -> Any:
    """The variances without each of the items in turn, a row an item."""
    import numpy

    n = len(parts.mean)
    rows = []
    for first in range(0, n, _ROWS):  # the weights of many items at once would not fit into memory
        places = numpy.arange(first, min(n, first + _ROWS))
        weights = numpy.ones((len(places), n))
        weights[numpy.arange(len(places)), places] = 0
        rows.append(_variances(parts, weights))
    return numpy.concatenate(rows)


#: Rows of weights that are worked on at once.
_ROWS = 500


def _jackknife(share: float, stated: float, without: Any) -> Interval:
    """The interval of a share from those without each item; ``share`` may lie outside of 0 to 1, ``stated`` not."""
    import numpy
    from scipy.stats import t as student

    n = len(without)
    apart = without - without.mean()
    spread = float((apart**2).mean())
    if spread <= 1e-24:
        return Interval(stated, stated)
    error = sqrt((n - 1) * spread)
    excess = float((apart**4).mean()) / spread**2 - (n - 3) / (n - 1)
    degrees = min(n - 1.0, max(2.0, 2 * n / excess)) if excess > 0 else n - 1.0
    reach = float(student.ppf(0.975, degrees)) * error
    low, high = share - reach, share + reach
    if 0 < share < 1:
        angle, width = float(numpy.arcsin(sqrt(share))), reach / (2 * sqrt(share * (1 - share)))
        low = min(low, float(numpy.sin(max(0.0, angle - width))) ** 2)
        high = max(high, float(numpy.sin(min(numpy.pi / 2, angle + width))) ** 2)
    return Interval(min(stated, max(0.0, low)), max(stated, min(1.0, high)))


@dataclass(slots=True)
class _Moments:
    """Of one item (or, stacked, of many): what the estimates are linear in.

    ``mean`` is its mean, ``within`` the coefficients of the variances below it in that mean's variance; by level the
    degrees of freedom and sums of squares of children about their parents, and the coefficients of the variances
    further below in the expectation of the latter.
    """

    mean: Any
    within: Any
    degrees: Any
    squares: Any
    below: Any

    @classmethod
    def of(cls, tree: Tree, levels: int) -> _Moments:
        import numpy

        found = cls(0.0, None, numpy.zeros(levels), numpy.zeros(levels), numpy.zeros((levels, levels)))
        found.mean, found.within = found._add(tree, 1, levels)
        return found

    def _add(self, tree: Tree, level: int, levels: int) -> tuple[float, Any]:
        import numpy

        if isinstance(tree, int | float):
            return float(tree), numpy.zeros(levels)
        children = [self._add(child, level + 1, levels) for child in tree]
        means = numpy.array([mean for mean, _ in children])
        within = numpy.mean([own for _, own in children], axis=0)
        self.degrees[level] += len(children) - 1
        self.squares[level] += ((means - means.mean()) ** 2).sum()
        self.below[level] += (len(children) - 1) * within
        own = numpy.eye(levels)[level]
        return float(means.mean()), (own + within) / len(children)


def _variances(parts: _Moments, weights: Any) -> Any:
    """A row a row of ``weights`` (how often each item counts), a column a level; estimates may lie below 0."""
    import numpy

    degrees, squares = weights @ parts.degrees, weights @ parts.squares
    below = numpy.tensordot(weights, parts.below, axes=1)
    n = weights.sum(axis=1)
    levels = degrees.shape[1]
    found = numpy.zeros(degrees.shape)
    for level in range(levels - 1, 0, -1):
        known = numpy.maximum(degrees[:, level], 1)
        expected = (below[:, level] * found).sum(axis=1)
        found[:, level] = numpy.where(degrees[:, level] > 0, (squares[:, level] - expected) / known, 0.0)
    spread = (weights @ parts.mean**2 - (weights @ parts.mean) ** 2 / n) / (n - 1)
    found[:, 0] = spread - ((weights @ parts.within) / n[:, None] * found).sum(axis=1)
    return found


def _shares(variances: Any) -> Any:
    """Each row's parts of its sum; zeros where that is none."""
    import numpy

    total = variances.sum(axis=1, keepdims=True)
    return numpy.divide(variances, total, out=numpy.zeros_like(variances), where=total > 1e-12)
