"""Comparison with a published accuracy of which only the figure and its n are known. Fractions throughout."""

from __future__ import annotations

from math import hypot, isnan
from typing import Literal, NamedTuple

from pytest_thinkslm.statistics.intervals import AccuracyInterval, Interval, wilson
from pytest_thinkslm.statistics.paired_table import PValue


class UnpairedResult(NamedTuple):
    """Candidate minus reference with its two-sided 95% interval, and tests of any change and of a margin."""

    difference: float
    interval: Interval
    change: PValue
    worse: PValue


def compare_unpaired(
    reference: float, reference_n: int, candidate: AccuracyInterval, margin: float = 0.0
) -> UnpairedResult | None:
    """Compare a run with an accuracy ``reference`` over ``reference_n`` independent items.

    The candidate counts with its effective n. ``worse`` is one-sided against "the drop is at most ``margin``". Since
    items cannot be matched, this sees far less than `compare_paired`. None without items on either side.

    Source: Miettinen and Nurminen (1985) score tests, as statsmodels has them; Newcombe (1998), Statistics in Medicine
    17, 873-890, method 10 for the interval.
    """
    if candidate.estimate is None or candidate.n_effective <= 0 or reference_n <= 0:
        return None
    share, n = candidate.estimate, candidate.n_effective
    interval = difference_interval(reference, reference_n, share, n)
    return UnpairedResult(
        share - reference,
        interval,
        PValue(_score_p(share, n, reference, reference_n, 0.0, "two-sided"), "unpaired score test, two-sided"),
        PValue(_score_p(share, n, reference, reference_n, -margin, "smaller"), "unpaired score test, one-sided"),
    )


def difference_interval(reference: float, reference_n: int, share: float, n: float) -> Interval:
    """Newcombe's 95% interval of ``share`` over ``n`` items minus ``reference`` over ``reference_n``."""
    mine, theirs = wilson(share * n, n), wilson(reference * reference_n, reference_n)
    difference = share - reference
    return Interval(
        max(-1.0, difference - hypot(share - mine.low, theirs.high - reference)),
        min(1.0, difference + hypot(mine.high - share, reference - theirs.low)),
    )


def _score_p(
    share: float, n: float, reference: float, reference_n: int, value: float, side: Literal["two-sided", "smaller"]
) -> float:
    import numpy
    from statsmodels.stats.proportion import test_proportions_2indep

    # In wrong answers: the same test, and statsmodels divides by zero where both are 100% right.
    wrong, wrong_reference = (1 - share) * n, (1 - reference) * reference_n
    with numpy.errstate(all="ignore"):
        found = test_proportions_2indep(
            wrong_reference, reference_n, wrong, n, value=value, method="score", alternative=side, correction=False
        )
    # Without any variance under the hypothesis nothing speaks against it.
    return 1.0 if isnan(found.pvalue) else float(found.pvalue)
