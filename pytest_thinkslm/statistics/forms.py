"""Statistics of items that are asked in several forms with one gold: change, consistency, position, variance. Pure."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from pytest_thinkslm.statistics.clusters import ClusterSums, student_quantile
from pytest_thinkslm.statistics.intervals import Interval

#: Draws of the permutation test and of the bootstrap, with a fixed seed: the same figures give the same result.
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
    mean = sum(values) / len(values)
    reach = student_quantile(0.975, sums.count - 1) * sqrt(sums.variance_of_mean)
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
    """A share of the variance of a single score, with its bootstrap interval over items."""

    share: float
    interval: Interval


def variance_components(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Component]:
    """How much of a score's variance is the item's, the item's under one transformation, and one form's own.

    Args:
        scores: for each item, by transformation (the item as it is counts as one), the scores of its forms.

    The nested random model score = mean + item + item x transformation + form, by the method of moments (Searle,
    Casella and McCulloch, 1992, ch. 5) on the linear scale; negative estimates are 0. 95% percentile intervals of
    ``DRAWS`` / 8 bootstrap samples of whole items. Empty where fewer than two items have two transformations.
    """
    items = [
        tuple(tuple(forms) for forms in by_form.values() if forms) for by_form in scores.values() if len(by_form) > 1
    ]
    if len(items) < 2:
        return {}
    parts = [_moments(item) for item in items]
    found = _shares(parts)
    rng = random.Random(0)
    draws = [_shares(rng.choices(parts, k=len(parts))) for _ in range(DRAWS // 8)]
    return {
        name: Component(
            share,
            Interval(
                *(sorted(draw[name] for draw in draws)[int(place * (len(draws) - 1))] for place in (0.025, 0.975))
            ),
        )
        for name, share in found.items()
    }


#: Of one item: its mean, sums of squares and degrees of freedom within forms and between transformations, and the sums
#: of 1 / number of forms that the expectation of the second needs.
_Moments = tuple[float, float, int, float, int, float]


def _moments(item: Sequence[Sequence[float]]) -> _Moments:
    means = [sum(forms) / len(forms) for forms in item]
    mean = sum(means) / len(means)
    within = sum((score - own) ** 2 for forms, own in zip(item, means, strict=True) for score in forms)
    between = sum((own - mean) ** 2 for own in means)
    inverse = sum(1 / len(forms) for forms in item) / len(item)
    return mean, within, sum(len(forms) - 1 for forms in item), between, len(item) - 1, inverse


def _shares(parts: Sequence[_Moments]) -> dict[str, float]:
    degrees_within, degrees_between = sum(part[2] for part in parts), sum(part[4] for part in parts)
    form = sum(part[1] for part in parts) / degrees_within if degrees_within else 0.0
    inverse = sum(part[5] for part in parts) / len(parts)
    transformation = max(0.0, sum(part[3] for part in parts) / degrees_between - form * inverse)
    grand = sum(part[0] for part in parts) / len(parts)
    spread = sum((part[0] - grand) ** 2 for part in parts) / (len(parts) - 1)
    number = sum(part[4] + 1 for part in parts) / len(parts)
    item = max(0.0, spread - (transformation + form * inverse) / number)
    total = item + transformation + form
    values = {"item": item, "transformation": transformation, "form": form}
    return {name: value / total if total else 0.0 for name, value in values.items()}
