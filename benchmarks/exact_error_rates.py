"""The largest error rates of the gates on single runs of independent items, by enumeration of all outcomes.

For each number of items and each margin: the largest chance, over all true shares of lost and gained items that lie on
the margin, that a regression gate fails (though the drop is no more than the margin) and that a non-inferiority gate
passes (though it is no less). Nothing is simulated.

    python benchmarks/exact_error_rates.py                 # every n to 2,000: 5 minutes of CPU time on one core
    python benchmarks/exact_error_rates.py --every 50      # every n to 100, then each 50th: seconds
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.special import bdtr, gammaln, xlogy

from pytest_thinkslm.statistics import PairedTable

ALPHA = 0.05
MARGINS = (0.0, 0.01, 0.02, 0.05, 0.1)

#: True shares that are tried, from the fewest lost items on the margin to as many as there can be, denser at first.
SHARES = np.linspace(0, 1, 61) ** 2

#: Ranges of items that are shown in a row.
RANGES = ((1, 4), (5, 9), (10, 49), (50, 199), (200, 499), (500, 2000))


def largest(n: int, margin: float) -> tuple[float, float]:
    """The largest false alarm rate of regression and false pass rate of non-inferiority (0 at margin 0)."""
    alarms = np.array(list(_edge(n, lambda lost, gained: PairedTable.single(lost, gained, n).worse(margin).p <= ALPHA)))
    passes = np.zeros(0)
    if margin > 0:
        passes = np.array(
            list(_edge(n, lambda lost, gained: PairedTable.single(lost, gained, n).not_worse(margin).p > ALPHA))
        )
    rates = [_rates(n, margin, gained) for gained in SHARES * (1 - margin) / 2]
    alarm = max(float((chance * _from(n, alarms, lost)).sum()) for chance, lost in rates)
    if not len(passes):
        return alarm, 0.0
    return alarm, max(float((chance * (1 - _from(n, passes, lost))).sum()) for chance, lost in rates)


def _edge(n: int, beyond: Callable[[int, int], bool]) -> Iterator[int]:
    """For each number of gained items the fewest lost ones that are ``beyond``; it rises with the gained ones."""
    lost = 0
    for gained in range(n + 1):
        while lost <= n - gained and not beyond(lost, gained):
            lost += 1
        yield lost


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
    return sorted({*range(1, min(100, most) + 1), *range(100, most + 1, every)})


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
