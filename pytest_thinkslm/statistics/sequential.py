"""Group-sequential tests: one hypothesis looked at several times while its data come in. Fractions throughout.

Lan and DeMets (1983), Biometrika 70, 659-663: the one-sided error ``alpha`` is spent over the share of the data that
is there. By look j at share t a test has spent alpha x t^3, the power family of Kim and DeMets (1987), Biometrika 74,
149-154, whose exponent 3 is close to O'Brien and Fleming's (1979) boundary: hard to cross early. A look before the last
one spends less where the whole data could still say otherwise: it has to make that improbable, too. What is not spent
is left to the last look, which so is nearly the fixed test. Whoever stops at any of the looks has been wrong in at most
``alpha`` of the cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil, sqrt
from statistics import NormalDist
from typing import Literal

#: Exponent of the spending function.
POWER_OF_TIME = 3

#: An early look shows something only with this predictive power: so often would the whole data have shown it, too.
CERTAINTY = 0.995

#: Below this predictive power a test is given up: so rarely would the whole data have shown it.
FUTILITY = 0.01

#: With fewer items than these the fixed test errs too often by itself (in up to 7%), and the last look, which would be
#: nearly that test, keeps to this share of the level: the errors of all looks then are at most 5.1% by enumeration.
#: From 500 items on that is so only at levels above 1%: not of a gate among many.
_FEW = ((500, 0.8, 0.0), (1000, 0.9, 0.01))

#: What a test has come to: shown; given up (it will not be, or was not with all of its data); or neither yet.
State = Literal["shown", "given up", "open"]

_NODES = 500
_WIDEST = 8.0


def look_counts(n: int, looks: int = 20) -> tuple[int, ...]:
    """After how many of ``n`` items a test is looked at: ``looks`` equal parts, not after the first, nor below 10.

    The last is always ``n``; empty without items.
    """
    counts = {n, *(ceil(n * look / looks) for look in range(2, looks))}
    return tuple(sorted(count for count in counts if count >= 10 or count == n)) if n > 0 else ()


def look(p: float, opposite: float, place: int, counts: tuple[int, ...], alpha: float) -> State:
    """What one look at a test says.

    Args:
        p: one-sided p-value of the data so far, as if it had been the only look.
        opposite: the p-value against the same border from the other side. With few data both are large; what is
            between them is what the data do not say, and giving up takes its middle.
        place: which look it is, from 0.
        counts: how many items are there at each look, rising, the last one all of them.
        alpha: one-sided error over all looks.
    """
    if p <= item_levels(counts, alpha)[place]:
        return "shown"
    middle, time = (p + 1 - opposite) / 2, counts[place] / counts[-1]
    return "given up" if time >= 1 or predictive_power(middle, time, alpha) < FUTILITY else "open"


def item_levels(counts: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """The largest p-value of a margin test that counts as shown at each look, after so many items."""
    levels = nominal_levels(tuple(count / counts[-1] for count in counts), alpha)
    share = next((share for few, share, above in _FEW if counts[-1] < few and alpha > above), 1.0)
    return *levels[:-1], min(levels[-1], share * alpha)


def predictive_power(p: float, time: float, alpha: float) -> float:
    """Probability that all of the data will show what a share ``time`` of it has not, at the fixed level ``alpha``.

    The drift is averaged over what the data so far say of it (a flat prior). Giving up by it costs power and never
    raises the error rate: the boundary does not count on it.

    Source: Spiegelhalter, Freedman and Blackburn (1986), Controlled Clinical Trials 7, 8-17.
    """
    if time >= 1:
        return float(p <= alpha)
    normal = NormalDist()
    now, needed = _quantile(p), -normal.inv_cdf(alpha)
    # B(1) given B(t) = z sqrt(t) has mean B(t) / t and variance (1 - t) / t.
    return normal.cdf((now / sqrt(time) - needed) * sqrt(time / (1 - time)))


@lru_cache(maxsize=1024)
def nominal_levels(times: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """The largest p-value that counts as shown at each look.

    Raises:
        ValueError: times that do not rise from above 0 to at most 1, or an ``alpha`` outside 0..1 (both open).

    By numerical integration over what has not crossed the boundary (Armitage, McPherson and Rowe 1969; Jennison and
    Turnbull 2000, Group Sequential Methods, ch. 19), on the score's scale B(t) of a Brownian motion.
    """
    if not times or times[0] <= 0 or times[-1] > 1 or any(a >= b for a, b in pairwise(times)):
        raise ValueError(f"looks must be at rising shares of the data, above 0 and at most 1, not {times}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    import numpy
    from scipy.special import ndtr

    normal = NormalDist()
    fixed, certain = -normal.inv_cdf(alpha), normal.inv_cdf(CERTAINTY)
    levels = []
    points, weights, before, spent = numpy.zeros(1), numpy.ones(1), 0.0, 0.0
    for time in times:
        step = sqrt(time - before)
        due = alpha * time**POWER_OF_TIME - spent
        low, high = -_WIDEST * sqrt(time), _WIDEST * sqrt(time)
        for _ in range(60):
            middle = (low + high) / 2
            crossed = float(weights @ ndtr((points - middle) / step))
            low, high = (middle, high) if crossed > due else (low, middle)
        # Where the predictive power is CERTAINTY (`predictive_power`); at the end of the data it says nothing.
        high = max(high, time * fixed + certain * sqrt(time * (1 - time))) if time < 1 else high
        spent += float(weights @ ndtr((points - high) / step))
        levels.append(float(ndtr(-high / sqrt(time))))
        fresh = numpy.linspace(-_WIDEST * sqrt(time), high, _NODES)
        density = numpy.exp(-0.5 * ((fresh[:, None] - points[None, :]) / step) ** 2) @ weights
        mass = density / (step * sqrt(2 * numpy.pi)) * (fresh[1] - fresh[0])
        mass[[0, -1]] /= 2
        points, weights, before = fresh, mass, time
    return tuple(levels)


def _quantile(p: float) -> float:
    """The normal value that a one-sided p-value stands for; finite at its ends."""
    return -NormalDist().inv_cdf(min(1 - 1e-15, max(1e-300, p)))


def interleaved(sizes: Sequence[int], rates: Sequence[float]) -> list[int]:
    """In which order several queues advance: the queue of each turn, so that queue q has had ``rates[q]`` x time turns.

    A queue that has ended is passed over. For the mean of all queues' means, with deviation s an item and a price c an
    item, rates of s / sqrt(c) give the smallest variance for the price, at any time (Neyman 1934; Cochran 1977,
    Sampling Techniques, sec. 5.5).
    """
    turns = [((place + 0.5) / rate, queue) for queue, rate in enumerate(rates) for place in range(sizes[queue])]
    return [queue for _, queue in sorted(turns)]
