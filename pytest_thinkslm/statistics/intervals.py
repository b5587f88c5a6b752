"""Confidence intervals of an accuracy. Fractions (0 to 1) throughout; pure, without scipy."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A closed interval of fractions."""

    low: float
    high: float


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's (1927) score interval of a proportion, two-sided.

    ``successes`` and ``n`` may be fractional, so that it also serves an effective number of items.
    With ``n`` 0 nothing is known: (0, 1). A one-sided bound at 95% is an end of the interval at 90%.

    Raises:
        ValueError: for a ``successes`` outside 0..n or a ``confidence`` outside 0..1 (both open).

    Source: Brown, Cai and DasGupta (2001), Interval Estimation for a Binomial Proportion, eq. (4).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    if n <= 0:
        return Interval(0.0, 1.0)
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}, not {successes}")
    return _score_interval(successes / n, n, NormalDist().inv_cdf((1 + confidence) / 2))


def _score_interval(share: float, n: float, quantile: float) -> Interval:
    spread = quantile * quantile / n
    centre = (share + spread / 2) / (1 + spread)
    half = sqrt(spread * share * (1 - share) + spread * spread / 4) / (1 + spread)
    # Rounding must not push an end past the estimate itself (at 0% and 100% they coincide).
    return Interval(max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
