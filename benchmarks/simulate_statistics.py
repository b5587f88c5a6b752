"""Coverage and error rates of the intervals, tests and gates.

    python benchmarks/simulate_statistics.py [--pairs 2000] [--seed 0] > tables.md

Everything is computed by the package's own functions, in three tables:

1. Pairs of simulated runs, a baseline and a candidate on the same items, with known true accuracies. An item is right
   where a latent normal variable lies below the quantile of the accuracy; the variable is a sum of parts that belong
   to the cluster, the item, the cluster in this run, the item in this run and the repeat, so that accuracies are exact
   and items, runs and repeats correlate.
2. Families of gates: how often any of five tasks raises a false alarm, and how often all are wrongly passed.
3. Exact error rates of the margin tests of single runs: the largest over all true discordances, by enumeration.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from pytest_thinkslm.gates.decisions import evaluate
from pytest_thinkslm.gates.outcomes import GatedGroup, any_failed
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, Margin
from pytest_thinkslm.statistics import PairedTable, accuracy_interval, compare_paired
from pytest_thinkslm.statistics.clusters import ClusterSums
from pytest_thinkslm.statistics.paired import clustered_table, single_table

ALPHA = 0.05


@dataclass(frozen=True)
class Design:
    """Sizes, and the shares of the latent variance: cluster, item, cluster in run, item in run; the rest is noise."""

    name: str
    clusters: int
    size: int
    repeats: int
    shares: tuple[float, float, float, float]

    @property
    def items(self) -> int:
        return self.clusters * self.size


DESIGNS = (
    Design("plain, 1000 items", 1000, 1, 1, (0.0, 0.8, 0.0, 0.0)),
    Design("plain, 100 items", 100, 1, 1, (0.0, 0.8, 0.0, 0.0)),
    Design("clustered, 300 x 5", 300, 5, 1, (0.4, 0.3, 0.1, 0.0)),
    Design("clustered, 30 x 8", 30, 8, 1, (0.4, 0.3, 0.1, 0.0)),
    Design("repeated, 500 x 3 runs", 500, 1, 3, (0.0, 0.6, 0.0, 0.15)),
    Design("repeated, 60 x 3 runs", 60, 1, 3, (0.0, 0.6, 0.0, 0.15)),
)
#: True accuracy of the baseline, and the margin.
SETTINGS = ((0.02, 0.01), (0.5, 0.03), (0.98, 0.01))


@dataclass
class Rates:
    """Shares of the simulated pairs."""

    accuracy_covered: float = 0.0
    difference_covered: float = 0.0
    drop_at_least_covered: float = 0.0
    drop_at_most_covered: float = 0.0
    change_found: float = 0.0
    regression_fails: float = 0.0
    noninferiority_passes: float = 0.0


def simulate(design: Design, accuracy: float, drop: float, margin: float, pairs: int, seed: int) -> Rates:
    """Rates over so many simulated pairs of runs."""
    totals = np.zeros(len(fields(Rates)))
    seen: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for before, after in draw(design, accuracy, drop, pairs, seed):
        if design.repeats == 1 and design.size == 1:  # nothing but these counts matters
            key = (int(after.sum()), int((before > after).sum()), int((before < after).sum()))
            if key not in seen:
                seen[key] = judge(design, accuracy, drop, margin, before, after)
            totals += seen[key]
        else:
            totals += judge(design, accuracy, drop, margin, before, after)
    return Rates(*(totals / pairs))


def draw(
    design: Design, accuracy: float, drop: float, pairs: int, seed: int
) -> Iterator[tuple[NDArray[np.int_], NDArray[np.int_]]]:
    """Pairs of runs: numbers of right repeats, clusters x items."""
    generator = np.random.default_rng(seed)
    cluster, item, cluster_run, item_run = np.sqrt(design.shares)
    noise = sqrt(1 - sum(design.shares))
    clusters, size, repeats = design.clusters, design.size, design.repeats
    thresholds = [_quantile(accuracy), _quantile(accuracy - drop)]
    for _ in range(pairs):
        common = generator.standard_normal((clusters, 1)) * cluster + generator.standard_normal((clusters, size)) * item
        runs = []
        for threshold in thresholds:
            own = common + generator.standard_normal((clusters, 1)) * cluster_run
            if item_run:
                own += generator.standard_normal((clusters, size)) * item_run
            latent = own[:, :, None] + generator.standard_normal((clusters, size, repeats)) * noise
            runs.append((latent < threshold).sum(axis=2))
        yield runs[0], runs[1]


def judge(
    design: Design, accuracy: float, drop: float, margin: float, before: NDArray[np.int_], after: NDArray[np.int_]
) -> NDArray[np.float64]:
    """Whether each statement about one pair holds, in the order of `Rates`."""
    values = (after / design.repeats).ravel().tolist()
    names = None if design.size == 1 else np.repeat(np.arange(design.clusters), design.size).tolist()
    interval = accuracy_interval(values, names, repeats=design.repeats)
    change = (after - before) / design.repeats
    lost, gained = -change[change < 0].sum(), change[change > 0].sum()
    if design.size == 1 and design.repeats == 1:
        table, any_change = single_table(round(lost), round(gained), design.items)
    else:
        sums = ClusterSums(tuple(change.sum(axis=1).tolist()), (design.size,) * design.clusters)
        losses, wrong = np.maximum(-change, 0).sum(axis=1), (1 - before / design.repeats).sum(axis=1)
        room = list(zip(losses.tolist(), wrong.tolist(), strict=True))
        table, any_change = clustered_table(sums, float(lost), float(gained), design.repeats, design.repeats, room)
    low, high = table.interval()
    tolerance = 1e-9
    return np.array(
        [
            interval.low - tolerance <= accuracy - drop <= interval.high + tolerance,
            low - tolerance <= -drop <= high + tolerance,
            table.drop_at_least(1 - ALPHA) <= drop + tolerance,
            table.drop_at_most(1 - ALPHA) >= drop - tolerance,
            any_change.p <= ALPHA,
            table.worse(margin).p <= ALPHA,
            table.not_worse(margin).p <= ALPHA,
        ],
        dtype=np.float64,
    )


def _quantile(share: float) -> float:
    return NormalDist().inv_cdf(share) if share > 1e-12 else -np.inf


def family(mode: GateMode, drops: Sequence[float], margin: float, pairs: int, seed: int, items: int = 200) -> float:
    """Share of simulated pairs of runs whose gates fail, with one task a drop (all fractions; accuracy 50%)."""
    design = Design("", items, 1, 1, (0.0, 0.8, 0.0, 0.0))
    tasks = [draw(design, 0.5, drop, pairs, seed + number) for number, drop in enumerate(drops)]
    specs = GateSpecs(margin=Margin(100 * margin, mode))
    failed = 0
    for runs in zip(*tasks, strict=True):
        cells = []
        for number, (before, after) in enumerate(runs):
            old, new = (
                {str(item): [float(right)] for item, right in enumerate(run.ravel())} for run in (before, after)
            )
            accuracy = accuracy_interval(after.ravel().tolist())
            cells.append(GatedGroup(f"task{number}", "task", accuracy, comparison=compare_paired(old, new)))
        failed += any_failed(evaluate(specs, cells))
    return failed / pairs


def exact_sizes(n: int, margin: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Largest true error rate of "worse by more than the margin" and of non-inferiority, single runs of ``n`` items."""
    lost, gained = (counts.ravel() for counts in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    lost, gained = lost[lost + gained <= n], gained[lost + gained <= n]
    tables = [PairedTable.single(int(a), int(b), n) for a, b in zip(lost, gained, strict=True)]
    worse = np.array([table.worse(margin).p <= alpha for table in tables])
    passes = np.array([margin > 0 and table.not_worse(margin).p <= alpha for table in tables])
    chosen = worse | passes
    lost, gained, worse, passes = lost[chosen], gained[chosen], worse[chosen], passes[chosen]
    same = n - lost - gained
    ways = gammaln(n + 1) - gammaln(lost + 1) - gammaln(gained + 1) - gammaln(same + 1)
    largest = [0.0, 0.0]
    for share_lost in margin + np.linspace(0, (1 - margin) / 2, 101):
        share_gained = share_lost - margin
        logs = ways + xlogy(lost, share_lost) + xlogy(gained, share_gained)
        chances = np.exp(logs + xlogy(same, max(0.0, 1 - share_lost - share_gained)))
        largest = [max(largest[0], float(chances[worse].sum())), max(largest[1], float(chances[passes].sum()))]
    return largest[0], largest[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    print_pairs(options.pairs, options.seed)
    print_families(options.pairs, options.seed)
    print_sizes()
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)


def print_pairs(pairs: int, seed: int) -> None:
    print(
        "| design | baseline | margin | true drop | accuracy covered (95) | difference covered (95) "
        "| drop at least (95) | drop at most (95) | any change | regression gate fails | non-inferiority gate passes |"
    )
    print("|---" * 11 + "|")
    for design in DESIGNS:
        for accuracy, margin in SETTINGS:
            for times in (0, 1, 2):
                rates = simulate(design, accuracy, times * margin, margin, pairs, seed)
                numbers = " | ".join(f"{100 * getattr(rates, field.name):.1f}" for field in fields(Rates))
                print(f"| {design.name} | {accuracy:.0%} | {100 * margin:g} | {100 * times * margin:g} | {numbers} |")
                sys.stdout.flush()
    error = 100 * sqrt(0.05 * 0.95 / pairs)
    print(f"\n{pairs} pairs a row, seed {seed}; standard error of a true 5% or 95%: {error:.1f} points.\n")


def print_families(pairs: int, seed: int) -> None:
    none, some, large = (0.0,) * 5, (0.05,) * 5, (0.05, 0.0, 0.0, 0.0, 0.0)
    print("| family of 5 tasks, 200 items each, baseline 50% | gates fail |")
    print("|---|---|")
    print(f"| regression, margin 0, no true drop | {100 * family('regression', none, 0.0, pairs, seed):.1f} |")
    print(f"| regression, margin 5, every drop 5 | {100 * family('regression', some, 0.05, pairs, seed):.1f} |")
    print(f"| regression, margin 5, no true drop | {100 * family('regression', none, 0.05, pairs, seed):.1f} |")
    failing = 100 * family("noninferiority", large, 0.05, pairs, seed)
    print(f"| non-inferiority, margin 5, one drop 5 (wrongly passed: {100 - failing:.1f}) | {failing:.1f} |\n")


def print_sizes() -> None:
    print(
        "| items | margin | regression gate, largest false alarm rate | non-inferiority gate, largest false pass rate |"
    )
    print("|---|---|---|---|")
    for n in (3, 5, 8, 20, 50, 100, 200, 400):
        for margin in (0.0, 0.01, 0.02, 0.05):
            false_alarm, false_pass = exact_sizes(n, margin)
            shown = f"{100 * false_pass:.1f}" if margin else "not offered"
            print(f"| {n} | {100 * margin:g} | {100 * false_alarm:.1f} | {shown} |")


if __name__ == "__main__":
    main()
