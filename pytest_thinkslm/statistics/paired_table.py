"""Score test and interval of a paired difference of proportions (Tango 1998), on full or effective counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

from pytest_thinkslm.statistics.clusters import student_quantile
from pytest_thinkslm.statistics.intervals import Interval

Permutation = Literal["exact McNemar", "cluster sign-flip permutation"]


class PValue(NamedTuple):
    """A p-value and the name of the test that gave it."""

    p: float
    test: str


@dataclass(frozen=True, slots=True)
class PairedTable:
    """What a paired comparison rests on: ``lost`` and ``gained`` of ``n`` items.

    For single runs of independent items these are counts; else counts over the design effect, so that mean and
    variance of the difference are those of the clusters, and ``degrees`` (clusters - 1) makes the reference
    distribution Student's. ``p_fewer`` and ``p_more`` are one-sided permutation p-values of "no change" against fewer
    and more right answers.

    ``relieved`` are (lost, gained, n) of the same comparison with losses taken away from the clusters that lost most,
    on effective counts of their own: a loss is shown if it is shown with fewer losses, too. Without it one more lost
    item in a cluster that has lost much could raise the variance by more than the drop, and undo a finding. ``filled``
    are those of the comparison with more right answers: that little was lost is shown only if it is shown with these,
    too. Without it one more lost item in a cluster that gained much could lower the variance, and show it.

    All p-values and bounds are one-sided, for the difference candidate - baseline as a fraction.
    """

    lost: float
    gained: float
    n: float
    degrees: int | None
    p_fewer: float
    p_more: float
    permutation: Permutation
    relieved: tuple[tuple[float, float, float], ...] = ()
    filled: tuple[tuple[float, float, float], ...] = ()
    #: Lost and gained have changed places, to be held against a drop.
    mirrored: bool = False

    @classmethod
    def single(cls, lost: int, gained: int, n: float) -> PairedTable:
        """For single runs of ``n`` independent items; the permutation test is then McNemar's."""
        discordant = lost + gained
        fewer, more = half_tail(gained, discordant), half_tail(lost, discordant)
        return cls(lost, gained, n, None, fewer, more, "exact McNemar")

    def worse(self, margin: float) -> PValue:
        """Against "the drop is at most ``margin``" (a fraction, at least 0)."""
        return self._below(-margin)

    def not_worse(self, margin: float) -> PValue:
        """Against "the drop is at least ``margin``"."""
        return self._mirrored()._below(margin)

    def drop_at_least(self, confidence: float) -> float:
        """Lower one-sided bound of the drop: the largest margin that `worse` rejects at 1 - confidence."""
        return -_boundary(lambda difference: self._below(difference).p > 1 - confidence)

    def drop_at_most(self, confidence: float) -> float:
        """Upper one-sided bound of the drop: the smallest margin that `not_worse` rejects at 1 - confidence."""
        return _boundary(lambda margin: self._mirrored()._below(margin).p > 1 - confidence)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Tango's two-sided interval of the difference, by inversion of the score test."""
        if self.n <= 0:
            return Interval(-1.0, 1.0)
        probability = (1 + confidence) / 2
        quantile = (
            NormalDist().inv_cdf(probability) if self.degrees is None else student_quantile(probability, self.degrees)
        )
        return Interval(
            -_boundary(lambda difference: self._mirrored().score(difference) > -quantile),
            _boundary(lambda difference: self.score(difference) > -quantile),
        )

    def score(self, difference: float) -> float:
        """Tango's statistic of the hypothesis that the true difference is ``difference``, normal under it."""
        n, share_lost = self.n, self._share_lost(difference)
        variance = n * (2 * share_lost + difference * (1 - difference))
        excess = self.gained - self.lost - n * difference
        if variance <= 1e-12:
            return 0.0 if abs(excess) <= 1e-9 else (inf if excess > 0 else -inf)
        return excess / sqrt(variance)

    def _share_lost(self, difference: float) -> float:
        """The probability that an item is lost, at its maximum likelihood under the hypothesis."""
        lost, gained, n = self.lost, self.gained, self.n
        linear = lost + gained - difference * (2 * n + lost - gained)
        root = sqrt(max(0.0, linear * linear + 8 * n * lost * difference * (1 - difference)))
        return max((linear + root) / (4 * n), 0.0, -difference)

    def _skewed(self, difference: float) -> float:
        """The score with the skewness of the drop under the hypothesis taken into account: normal as `score` is.

        Where few items are gained, losses more than expected are more frequent than a normal distribution has them,
        the more so the smaller the level: the score test then finds a drop too often. The drop's distribution is taken
        to be Pearson's type III with the same mean, variance and skewness. Only a skewness towards losses counts.

        Source: Pearson (1895); Bohman and Esscher (1963) for its use with sums of counts.
        """
        lost = self._share_lost(difference)
        gained = lost + difference
        variance = lost + gained - difference * difference
        third = lost * (1 + difference) ** 3 - gained * (1 - difference) ** 3 + (1 - lost - gained) * difference**3
        score = self.score(difference)
        if variance <= 1e-12 or abs(score) == inf or (skewness := third / variance**1.5 / sqrt(self.n)) <= 1e-3:
            return score
        from scipy.special import gammaincc, ndtri

        shape = 4 / skewness**2
        return float(ndtri(gammaincc(shape, max(0.0, shape - 2 * score / skewness))))

    def _below(self, difference: float) -> PValue:
        """Against "the true difference is ``difference`` or more".

        For ``difference`` 0 it is the permutation test. Else it is the score test's p-value at the boundary; where that
        is below one half, no less than what it is with the skewness of a drop (`_skewed`), and than the p-values of two
        exact tests of hypotheses that this one contains: the boundary with the fewest discordant items (only losses, or
        only gains; binomial), where the score test rejects too often, and no change at all, where that is contained.
        """
        if self.n <= 0:
            return PValue(1.0, "no items")
        return max(self._candidates(difference), key=lambda test: test.p)

    def _candidates(self, difference: float) -> list[PValue]:
        permutation = PValue(self.p_fewer, f"{self.permutation}, one-sided")
        if difference == 0:
            return [permutation]
        tests = self._margin_tests(difference)
        # A bound of a drop that is not shown lies above 0, where losses taken away mean nothing, and nothing is filled.
        others = () if self.mirrored != (difference > 0) else self.filled if self.mirrored else self.relieved
        for lost, gained, n in others:
            other = replace(self, lost=lost, gained=gained, n=n, relieved=(), filled=())._margin_tests(difference)
            tests = (max if self.mirrored else min)(tests, other, key=lambda found: max(found).p)
        return tests if difference > 0 or tests[0].p >= 0.5 else [*tests, permutation]

    def _margin_tests(self, difference: float) -> list[PValue]:
        """The score test's p-value, and where it is below one half that of the exact test beside it."""
        name = "Tango's paired score test" + ("" if self.degrees is None else " on effective counts")
        tests = [PValue(self._lower_tail(self.score(difference)), name)]
        if tests[0].p >= 0.5:
            return tests
        drop = self.lost - self.gained
        if difference < 0:
            exact = at_least(drop, self.n, min(1.0, -difference))
            tests.append(PValue(self._lower_tail(self._skewed(difference)), f"{name}, skewness corrected"))
        else:
            exact = 1 - at_least(1 - drop, self.n, min(1.0, difference))
        return [*tests, PValue(exact, "exact binomial bound")]

    def _lower_tail(self, score: float) -> float:
        if abs(score) == inf:
            return float(score > 0)
        if self.degrees is None:
            return NormalDist().cdf(score)
        from scipy.special import stdtr

        return float(stdtr(self.degrees, score))

    def _mirrored(self) -> PairedTable:
        filled = tuple((gained, lost, n) for lost, gained, n in self.filled)
        return replace(
            self, lost=self.gained, gained=self.lost, p_fewer=self.p_more, p_more=self.p_fewer, relieved=(),
            filled=filled, mirrored=True,
        )  # fmt: skip


#: Tails of one half are exact up to so many draws, which takes some milliseconds.
_EXACT = 8_000


def half_tail(count: int, n: int) -> float:
    """P(X <= count) of a binomial X of ``n`` draws with probability one half."""
    if n > _EXACT:
        return at_least(n - count, n, 0.5)  # imports scipy, which takes longer than a run's other statistics
    if 2 * count > n:
        return ((1 << n) - _ways(n - count - 1, n)) / (1 << n)
    return _ways(count, n) / (1 << n)


def _ways(count: int, n: int) -> int:
    """In how many ways at most ``count`` of ``n`` are chosen."""
    ways = term = int(count >= 0)
    for place in range(count):
        term = term * (n - place) // (place + 1)
        ways += term
    return ways


def at_least(count: float, n: float, probability: float) -> float:
    """P(X >= count) of a binomial X, continued to fractional ``count`` and ``n``."""
    if count <= 0:
        return 1.0
    if count >= n + 1:
        return 0.0
    from scipy.special import betainc

    return float(betainc(count, n - count + 1, probability))


def _boundary(above: Callable[[float], bool]) -> float:
    """The difference in -1..1 where ``above``, true below it, turns false (by bisection)."""
    low, high = -1.0, 1.0
    if above(high):
        return high
    for _ in range(44):  # to 1e-13
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return (low + high) / 2
