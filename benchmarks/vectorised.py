"""The tests of single runs of independent items, and what a look at them says, for arrays of outcomes at once.

Twins of ``PairedTable.single(...).worse`` and ``.not_worse`` and of ``sequential.look``, to which a test holds them.
The simulations of many suites and the enumerations of all outcomes use them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import fftconvolve
from scipy.special import betainc, gammaincc, gammaln, ndtr, ndtri, xlogy

from pytest_thinkslm.settings.gate_specs import GateMode
from pytest_thinkslm.statistics.sequential import FUTILITY, item_levels, look_counts

Floats = NDArray[np.float64]


def worse(lost: ArrayLike, gained: ArrayLike, n: ArrayLike, margin: float) -> Floats:
    """P-values against "the drop is at most ``margin``"."""
    lost, gained, n = np.asarray(lost, float), np.asarray(gained, float), np.asarray(n, float)
    fewer = at_least(lost, lost + gained, 0.5)
    if margin == 0:
        return fewer
    score, skewness = _score(lost, gained, n, -margin)
    p = ndtr(score)
    with np.errstate(all="ignore"):
        shape = 4 / skewness**2
        skewed = np.where(skewness > 1e-3, gammaincc(shape, np.maximum(0, shape - 2 * score / skewness)), p)
    skewed = np.where(np.isfinite(score), skewed, p)
    beyond = np.maximum(np.maximum(p, skewed), np.maximum(at_least(lost - gained, n, margin), fewer))
    return np.asarray(np.where(p >= 0.5, p, beyond))


def not_worse(lost: ArrayLike, gained: ArrayLike, n: ArrayLike, margin: float) -> Floats:
    """P-values against "the drop is at least ``margin``" (above 0)."""
    lost, gained, n = np.asarray(lost, float), np.asarray(gained, float), np.asarray(n, float)
    p = ndtr(_score(gained, lost, n, margin)[0])
    exact = 1 - at_least(1 - (gained - lost), n, min(1.0, margin))
    return np.asarray(np.where(p >= 0.5, p, np.maximum(p, exact)))


def both(lost: ArrayLike, gained: ArrayLike, n: ArrayLike, margin: float, mode: GateMode) -> tuple[Floats, Floats]:
    """A gate's p-values, and those from the other side of the margin."""
    regression = worse(lost, gained, n, margin)
    other = not_worse(lost, gained, n, margin) if margin else at_least(gained, np.add(lost, gained), 0.5)
    return (regression, other) if mode == "regression" else (other, regression)


def at_least(count: ArrayLike, n: ArrayLike, probability: float) -> Floats:
    """P(X >= count) of a binomial X."""
    count, n = np.asarray(count, float), np.asarray(n, float)
    found = betainc(np.maximum(count, 1e-9), np.maximum(n - count + 1, 1e-9), probability)
    return np.asarray(np.where(count <= 0, 1.0, np.where(count >= n + 1, 0.0, found)))


def _score(lost: Floats, gained: Floats, n: Floats, difference: float) -> tuple[Floats, Floats]:
    """Tango's statistic, and the skewness of the drop under the hypothesis."""
    linear = lost + gained - difference * (2 * n + lost - gained)
    root = np.sqrt(np.maximum(0.0, linear * linear + 8 * n * lost * difference * (1 - difference)))
    share = np.maximum(np.maximum((linear + root) / (4 * n), 0.0), -difference)
    back = share + difference
    variance = np.maximum(2 * share + difference * (1 - difference), 0.0)
    excess = gained - lost - n * difference
    none = np.where(np.abs(excess) <= 1e-9, 0.0, np.copysign(np.inf, excess))
    third = share * (1 + difference) ** 3 - back * (1 - difference) ** 3 + (1 - share - back) * difference**3
    with np.errstate(all="ignore"):
        score = np.where(n * variance <= 1e-12, none, excess / np.sqrt(n * variance))
        return score, np.where(variance <= 1e-12, 0.0, third / variance**1.5 / np.sqrt(n))


def hopeless(p: Floats, opposite: Floats, time: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """Whether a test is given up: with all data what is not shown, else what will hardly be."""
    middle = np.clip((p + 1 - opposite) / 2, 1e-300, 1 - 1e-15)
    time = np.asarray(time, float)
    with np.errstate(all="ignore"):
        power = ndtr((-ndtri(middle) / np.sqrt(time) + ndtri(alpha)) * np.sqrt(time / (1 - time)))
    return np.asarray(np.where(time >= 1, True, power < FUTILITY))


def ends(
    lost: NDArray[np.int64],
    gained: NDArray[np.int64],
    counts: Sequence[int],
    margin: float,
    mode: GateMode,
    alpha: float,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of gates whose outcomes stand by suite and look: the look that ends each, whether it shows it, whether all do.

    The last is the fixed test of all items at the same level.
    """
    times = tuple(count / counts[-1] for count in counts)
    p, opposite = both(lost, gained, np.asarray(counts, float), margin, mode)
    shown = p <= np.asarray(item_levels(tuple(counts), alpha))
    end = (shown | hopeless(p, opposite, np.asarray(times), alpha)).argmax(axis=1)
    return end, shown[np.arange(len(end)), end], p[:, -1] <= alpha


def crossing(n: int, margin: float, alpha: float, discordance: float, mode: GateMode) -> float:
    """The chance that a single gate finds something at any of its looks, where the true drop is the margin, exactly.

    By enumeration of all outcomes, look by look (Schultz et al. 1973); nothing is given up.
    """
    counts = look_counts(n)
    levels = item_levels(counts, alpha)
    lost, gained = (discordance + margin) / 2, (discordance - margin) / 2
    going, crossed, before = np.ones((1, 1)), 0.0, 0
    for count, level in zip(counts, levels, strict=True):
        step, before = count - before, count
        going = np.maximum(fftconvolve(going, _trinomial(step, lost, gained)), 0.0)
        going = going[: _most(count, lost), : _most(count, gained)]
        a, b = np.arange(going.shape[0])[:, None], np.arange(going.shape[1])[None, :]
        found = both(a, b, count, margin, mode)[0] <= level
        crossed += float(going[found].sum())
        going = np.where(found, 0.0, going)
    return crossed


def _most(n: int, share: float) -> int:
    """More of ``n`` items than will be of this share."""
    return min(n + 1, int(n * share + 8 * np.sqrt(n * share) + 12))


def _trinomial(n: int, lost: float, gained: float) -> Floats:
    a, b = np.arange(_most(n, lost))[:, None], np.arange(_most(n, gained))[None, :]
    rest = n - a - b
    ways = gammaln(n + 1) - gammaln(a + 1) - gammaln(b + 1) - gammaln(np.maximum(rest, 0) + 1)
    chance = np.exp(ways + xlogy(a, lost) + xlogy(b, gained) + xlogy(np.maximum(rest, 0), 1 - lost - gained))
    return np.where(rest >= 0, chance, 0.0)
