"""How small a drop a gate can see, and how many items it would take. Fractions throughout."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

from pytest_thinkslm.statistics.paired_table import PairedTable, at_least

POWER = 0.8
_MOST_ITEMS = 10_000_000


def assumed_discordance(accuracy: float) -> float:
    """Share of items whose verdict changes between two like runs, assumed before there is a candidate: p (1 - p).

    It is half of what two unrelated runs of this accuracy would have, that is, a correlation of 0.5 between them.
    """
    return accuracy * (1 - accuracy)


def power_to_detect(
    n: float, drop: float, discordance: float, *, margin: float = 0.0, alpha: float = 0.05, design_effect: float = 1.0
) -> float:
    """Probability that a true ``drop`` is found to be more than ``margin`` at one-sided level ``alpha``.

    Args:
        n: items; ``design_effect`` of the difference divides them (`PairedResult.design_effect`).
        discordance: share of items that change their verdict, lost and gained; at least the drop itself.

    The smaller of two figures: the normal approximation of the score test, and the chance of as many lost items as
    the gate's exact tests demand even if none is gained, which governs small n.

    Source: Connor (1987), Biometrics 43, 207-211, with the margin added to the hypothesis as in Lu and Bean (1995).
    """
    items = n / design_effect
    if items <= 0 or drop <= margin:
        return 0.0
    changed = min(1.0, max(discordance, drop))
    reach = (drop - margin) * sqrt(items) - NormalDist().inv_cdf(1 - alpha) * sqrt(max(0.0, changed - margin**2))
    approximate = _chance(reach, changed - drop**2)
    return min(approximate, at_least(_fewest_lost(max(1, round(items)), margin, alpha), items, (changed + drop) / 2))


def power_to_pass(
    n: float, margin: float, discordance: float, *, alpha: float = 0.05, design_effect: float = 1.0
) -> float:
    """Probability that without any true drop non-inferiority within ``margin`` is shown at level ``alpha``.

    Source: Nam (1997), Biometrics 53, 1422-1430, with the variance of the hypothesis at the given discordance.
    """
    items = n / design_effect
    if items <= 0 or margin <= 0 or (1 - margin) ** items > alpha:
        return 0.0  # not even without a single lost item
    changed = max(discordance, margin)
    reach = margin * sqrt(items) - NormalDist().inv_cdf(1 - alpha) * sqrt(max(0.0, changed - margin**2))
    return _chance(reach, discordance)


def smallest_detectable_drop(
    n: float,
    discordance: float,
    *,
    margin: float = 0.0,
    alpha: float = 0.05,
    power: float = POWER,
    design_effect: float = 1.0,
    baseline: float = 1.0,
) -> float | None:
    """The smallest true drop that `power_to_detect` finds with probability ``power``.

    None where not even a drop from ``baseline`` accuracy to zero would be found.
    """

    def seen(drop: float) -> bool:
        found = power_to_detect(n, drop, discordance, margin=margin, alpha=alpha, design_effect=design_effect)
        return found >= power

    if not seen(baseline):
        return None
    low, high = min(margin, baseline), baseline
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def items_needed(
    drop: float,
    discordance: float,
    *,
    margin: float = 0.0,
    alpha: float = 0.05,
    power: float = POWER,
    design_effect: float = 1.0,
) -> int | None:
    """Items for `power_to_detect` to reach ``power``; None where none does (drop <= margin) or over ten million."""
    return _fewest(
        lambda n: (
            power_to_detect(n, drop, discordance, margin=margin, alpha=alpha, design_effect=design_effect) >= power
        )
    )


def items_to_pass(
    margin: float, discordance: float, *, alpha: float = 0.05, power: float = POWER, design_effect: float = 1.0
) -> int | None:
    """Items for `power_to_pass` to reach ``power``; None where no number does (margin 0) or over ten million."""
    return _fewest(lambda n: power_to_pass(n, margin, discordance, alpha=alpha, design_effect=design_effect) >= power)


def _chance(reach: float, variance: float) -> float:
    """Probability that a centred normal variable of this variance stays below ``reach``."""
    if variance <= 1e-12:
        return float(reach >= 0)
    return NormalDist().cdf(reach / sqrt(variance))


@lru_cache(maxsize=4096)
def _fewest_lost(whole: int, margin: float, alpha: float) -> int:
    """How many items must be lost for the gate to fail where none is gained; more than there are if it cannot."""
    low, high = 0, whole + 1
    while high - low > 1:
        middle = (low + high) // 2
        if PairedTable.single(middle, 0, whole).worse(margin).p <= alpha:
            high = middle
        else:
            low = middle
    return high


def _fewest(enough: Callable[[int], bool]) -> int | None:
    high = 1
    while not enough(high):
        high *= 2
        if high > _MOST_ITEMS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
