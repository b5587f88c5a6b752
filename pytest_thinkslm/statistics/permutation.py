"""Sign-flip permutation test of paired differences, whole clusters at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, lgamma, log
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy

    Floats = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float64]]

DRAWS = 9_999
SEED = 0
#: Largest sum of absolute integer differences for which the distribution is computed exactly.
EXACT_UP_TO = 20_000


class SignFlip(NamedTuple):
    """P-values of "no change": against a smaller mean, a larger mean, either."""

    fewer: float
    more: float
    any: float


def sign_flip(sums: Sequence[float], scale: int = 1) -> SignFlip:
    """Permutation test that swaps baseline and candidate in whole clusters (that is, flips signs of ``sums``).

    Args:
        sums: sum of the differences of each cluster.
        scale: what makes the sums integers when multiplied with it (the least common multiple of the repeats).

    Exact by convolution while the integers add up to at most `EXACT_UP_TO`; beyond, and for sums that are no
    integers, Monte Carlo with `DRAWS` draws of numpy's PCG64 seeded with `SEED`, where the observed signs count as
    a draw, so that p is never 0. For single runs of independent items it is the exact McNemar test.

    Source: Fisher (1935), The Design of Experiments, sec. 21; Phipson and Smyth (2010) for the added draw;
    Hemerik, Goeman and Finos (2020) for its validity with unequal variances.
    """
    scaled = [total * scale for total in sums if abs(total) > 1e-9]
    if not scaled:
        return SignFlip(1.0, 1.0, 1.0)
    whole = [round(total) for total in scaled]
    exact = all(abs(a - b) < 1e-6 for a, b in zip(whole, scaled, strict=True))
    if exact and sum(map(abs, whole)) <= EXACT_UP_TO:
        return _exact(whole)
    return _monte_carlo(scaled)


def _exact(sums: Sequence[int]) -> SignFlip:
    import numpy

    # The flipped sum is 2 x (sum over the clusters with a plus) - total: convolve the sums with a plus.
    chances: Floats = numpy.ones(1)
    for size, count in Counter(map(abs, sums)).items():
        every = lgamma(count + 1) - count * log(2)
        spread = numpy.zeros(size * count + 1)
        spread[::size] = [exp(every - lgamma(plus + 1) - lgamma(count - plus + 1)) for plus in range(count + 1)]
        chances = numpy.convolve(chances, spread)
    observed = sum(total for total in sums if total > 0)
    return _p_values(float(chances[: observed + 1].sum()), float(chances[observed:].sum()))


def _monte_carlo(sums: Sequence[float]) -> SignFlip:
    import numpy

    generator = numpy.random.default_rng(SEED)
    values = numpy.asarray(sums, dtype=numpy.float64)
    observed = values.sum()
    tolerance = 1e-9 * numpy.abs(values).sum()
    fewer = more = 1
    for start in range(0, DRAWS, 500):
        signs = generator.integers(0, 2, size=(min(500, DRAWS - start), len(values)), dtype=numpy.int8) * 2 - 1
        flipped = signs @ values
        fewer += int((flipped <= observed + tolerance).sum())
        more += int((flipped >= observed - tolerance).sum())
    return _p_values(fewer / (DRAWS + 1), more / (DRAWS + 1))


def _p_values(fewer: float, more: float) -> SignFlip:
    # The distribution is symmetrical about 0, so that both tails together are twice the smaller one.
    fewer, more = min(1.0, fewer), min(1.0, more)
    return SignFlip(fewer, more, min(1.0, 2 * min(fewer, more)))
