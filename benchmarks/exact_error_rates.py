"""The largest error rates of the gates on single runs of independent items, by enumeration of all outcomes.

For each number of items and each margin: the largest chance, over all true shares of lost and gained items that lie on
the margin, that a regression gate fails (though the drop is no more than the margin) and that a non-inferiority gate
passes (though it is no less). Nothing is simulated.

    python benchmarks/exact_error_rates.py                 # every n to 2,000, four minutes of a core
    python benchmarks/exact_error_rates.py --every 40      # every n to 100, then each 40th
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import bdtr, gammaln, xlogy
from vectorised import not_worse, worse

ALPHA = 0.05
MARGINS = (0.0, 0.01, 0.02, 0.05, 0.1)

#: True shares that are tried, from the fewest lost items on the margin to as many as there can be, denser at first.
SHARES = np.linspace(0, 1, 61) ** 2

#: Ranges of items that are shown in a row.
RANGES = ((1, 4), (5, 9), (10, 49), (50, 199), (200, 499), (500, 2000))


def largest(n: int, margin: float) -> tuple[float, float]:
    """The largest false alarm rate of regression and false pass rate of non-inferiority (0 at margin 0)."""
    alarms = _edge(n, lambda lost, gained: worse(lost, gained, n, margin) <= ALPHA)
    rates = [_rates(n, margin, gained) for gained in SHARES * (1 - margin) / 2]
    alarm = max(float((chance * _from(n, alarms, lost)).sum()) for chance, lost in rates)
    if margin == 0:
        return alarm, 0.0
    passes = _edge(n, lambda lost, gained: not_worse(lost, gained, n, margin) > ALPHA)
    return alarm, max(float((chance * (1 - _from(n, passes, lost))).sum()) for chance, lost in rates)


def _edge(n: int, beyond: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """For each number of gained items the fewest lost ones that are ``beyond``; more than are left if none is."""
    gained = np.arange(n + 1)
    low, high = np.full(n + 1, -1), n - gained + 1
    while np.any(high - low > 1):
        middle = (low + high) // 2
        far = beyond(np.maximum(middle, 0), gained)
        low, high = np.where(far | (high - low <= 1), low, middle), np.where(far & (high - low > 1), middle, high)
    return high


def _rates(n: int, margin: float, gained: float) -> tuple[np.ndarray, float]:
    """The chance of each number of gained items, and that of an item which is not gained to be lost."""
    count = np.arange(n + 1)
    ways = gammaln(n + 1) - gammaln(count + 1) - gammaln(n - count + 1)
    return np.exp(ways + xlogy(count, gained) + xlogy(n - count, 1 - gained)), min(
        1.0, (gained + margin) / (1 - gained)
    )


def _from(n: int, fewest: np.ndarray, lost: float) -> np.ndarray:
    """For each number of gained items the chance of at least so many lost ones among the others."""
    rest = n - np.arange(n + 1)
    few = np.minimum(fewest - 1, rest)
    return np.where(few < 0, 1.0, 1 - bdtr(np.maximum(few, 0), rest, lost))


def sizes(every: int, most: int) -> Sequence[int]:
    """Every number of items to 100, then each ``every``-th one."""
    return [*range(1, min(most, 100) + 1), *range(100 + every, most + 1, every)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--most", type=int, default=2000)
    options = parser.parse_args()
    found = {(n, margin): largest(n, margin) for n in sizes(options.every, options.most) for margin in MARGINS}
    print(
        "| items | margin | regression gate, largest false alarm rate | non-inferiority gate, largest false pass rate |"
    )
    print("|---|---|---|---|")
    for low, high in RANGES:
        for margin in MARGINS:
            cells = {n: rates for (n, own), rates in found.items() if own == margin and low <= n <= high}
            if not cells:
                continue
            at = [max(cells, key=lambda n, side=side: cells[n][side]) for side in (0, 1)]  # type: ignore[misc]
            alarm, wrongly = (f"{100 * cells[n][side]:.1f} ({n} items)" for side, n in enumerate(at))
            print(f"| {low} to {high} | {100 * margin:g} | {alarm} | {wrongly if margin else 'not offered'} |")


if __name__ == "__main__":
    main()
