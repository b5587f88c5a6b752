"""Comparison with a published accuracy of which only the figure and its n are known. Fractions throughout."""

from __future__ import annotations

from math import acos, copysign, cos, hypot, pi, sqrt
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

    Source: Miettinen and Nurminen (1985), Statistics in Medicine 4, 213-226, score tests; Newcombe (1998), the same 17,
    873-890, method 10 for the interval.
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
    """The score test of "the reference's share of wrong answers less this one's is ``value``", uncorrected."""
    from scipy.special import ndtr

    wrong, wrong_reference = 1 - share, 1 - reference
    base = _under_null(wrong * n, n, wrong_reference * reference_n, reference_n, value)
    other = base + value
    variance = other * (1 - other) / reference_n + base * (1 - base) / n
    if variance <= 0:  # without any variance under the hypothesis nothing speaks against it
        return 1.0
    z = (wrong_reference - wrong - value) / sqrt(variance)
    return float(2 * ndtr(-abs(z)) if side == "two-sided" else ndtr(z))


def _under_null(count: float, n: float, other_count: float, other_n: float, value: float) -> float:
    """The first group's likeliest share where the other's is larger by ``value`` (their appendix I)."""
    total, events = n + other_n, count + other_count
    if value == 0:
        return events / total
    square = ((other_n + 2 * n) * value - total - events) / (3 * total)
    linear = ((n * value - total - 2 * count) * value + events) / (3 * total)
    constant = count * value * (1 - value) / total
    q = square**3 - 1.5 * square * linear + constant / 2
    p = copysign(sqrt(max(0.0, square**2 - linear)), q)
    angle = (pi + acos(max(-1.0, min(1.0, q / p**3)))) / 3 if p else 0.0
    return min(max(2 * p * cos(angle) - square, max(0.0, -value)), min(1.0, 1 - value))
