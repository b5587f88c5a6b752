"""Error rates and power of the certificate over suites of 17 tasks, against gates with Holm's correction.

    python benchmarks/simulate_certificate.py [--suites 5000] [--seed 0] [--only boundary|nothing|items]

A suite is a baseline and a candidate on the 17 tasks with their numbers of items and sizes of clusters. Each item is
lost or gained with probabilities that give its task's true drop and discordance; in clusters and over repeats these
vary (a quarter of the clusters changes five times as often as the rest). Everything is decided by the package's own
tables and tests; the mean's test is evaluated for all suites at a time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from pytest_thinkslm.statistics import PairedTable
from pytest_thinkslm.statistics.stratified import Curve

Floats = NDArray[np.float64]
#: A test's name, and in which share of suites it finds something.
Test = tuple[str, "Callable[[Suites], float]"]

#: Items of the tasks; of those with clusters how many clusters of each size there are.
ITEMS: Mapping[str, int] = {
    "gsm8k": 1319,
    "math": 5000,
    "mathqa": 2985,
    "arc_easy": 2376,
    "arc_challenge": 1172,
    "commonsenseqa": 1221,
    "openbookqa": 500,
    "hellaswag": 3243,
    "gsm_plus": 2400,
    "mr_gsm": 590,
    "mr_ben": 4534,
    **{f"sort{length}_{sign}": 100 for length in (8, 16, 32) for sign in ("positive", "mixed")},
}
CLUSTERS: Mapping[str, Mapping[int, int]] = {
    "hellaswag": {1: 706, 2: 484, 3: 236, 4: 99, 5: 56, 6: 17, 7: 3, 8: 2, 9: 4, 10: 1},
    "gsm_plus": {8: 300},
    "mr_gsm": {1: 382, 2: 77, 3: 14, 4: 3},
    "mr_ben": {1: 9, 2: 44, 3: 1479},
}
TASKS = tuple(ITEMS)
SORTING = tuple(task for task in TASKS if task.startswith("sort"))
#: Share of clusters (or of repeated items) that change more often than the rest, and how often both do, in means.
HOT, FACTORS = 0.25, (2.5, 0.5)
#: Tasks with so many items are critical; their guard in margins.
CRITICAL, GUARD = 1000, 3.0


@dataclass(frozen=True)
class World:
    """True drops by task (fractions; absent: 0); accuracies and discordances are drawn from these ranges."""

    name: str
    drops: Mapping[str, float] = field(default_factory=dict)
    accuracy: tuple[float, float] = (0.02, 0.98)
    discordance: tuple[float, float] = (0.02, 0.30)
    repeats: int = 1
    share: float = 1.0
    limit: int | None = None

    def part(self, task: str) -> float:
        """The share of a task's items that is asked."""
        return self.share if self.limit is None else min(1.0, self.limit / ITEMS[task])


@dataclass
class Suites:
    """What the tests see of so many suites: arrays (suites x tasks) of effective counts."""

    lost: Floats
    gained: Floats
    n: Floats
    degrees: Floats
    items: NDArray[np.int_]
    repeats: int


def spread(mean: float) -> dict[str, float]:
    """Every task loses the same."""
    return dict.fromkeys(TASKS, mean)


def carried(tasks: Sequence[str], mean: float) -> dict[str, float]:
    """These tasks alone lose, so that the mean over all is ``mean``."""
    return dict.fromkeys(tasks, mean * len(TASKS) / len(tasks))


def draw(world: World, suites: int, generator: np.random.Generator) -> Suites:
    """So many suites of a world, each with accuracies and discordances of its own."""
    columns = [_task(world, task, suites, generator) for task in TASKS]
    lost, gained, n, degrees = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    items = np.array([_items(world, task) for task in TASKS])
    return Suites(lost, gained, n, degrees, items, world.repeats)


def _items(world: World, task: str) -> int:
    return max(10, round(ITEMS[task] * world.part(task)))


def _task(world: World, task: str, suites: int, generator: np.random.Generator) -> tuple[Floats, ...]:
    drop = world.drops.get(task, 0.0)
    low, high = world.accuracy
    accuracy = generator.uniform(max(low, min(0.98, drop + 0.01)), max(high, min(0.98, drop + 0.01)), suites)
    changing = np.maximum(generator.uniform(*world.discordance, suites), drop)
    lost = np.minimum((changing + drop) / 2, accuracy)
    gained = np.clip(np.minimum(lost - drop, 1 - accuracy), 0.0, None)
    lost = gained + drop
    sizes = CLUSTERS.get(task, {})
    n = _items(world, task)
    if not sizes and world.repeats == 1:
        counts = generator.multinomial(n, np.stack([lost, gained, 1 - lost - gained], axis=1)).astype(float)
        return counts[:, 0], counts[:, 1], np.full(suites, float(n)), np.full(suites, np.inf)
    clusters = {size: max(1, round(count * world.part(task))) for size, count in sizes.items()} if sizes else {1: n}
    repeats = world.repeats
    total_lost, total_gained, squares, products = (np.zeros(suites) for _ in range(4))
    n = sum(size * count for size, count in clusters.items())
    for size, count in clusters.items():
        hot = generator.binomial(count, HOT, suites)
        for factor, many in ((FACTORS[0], hot), (FACTORS[1], count - hot)):
            rates = np.stack([lost * factor, gained * factor], axis=1)
            rates /= np.maximum(1.0, rates.sum(axis=1, keepdims=True))
            a, b, sq, pr = _clusters(rates, many, size * repeats, generator)
            total_lost, total_gained = total_lost + a / repeats, total_gained + b / repeats
            squares, products = squares + sq / repeats**2, products + pr * size / repeats
    mean = (total_lost - total_gained) / n
    whole = sum(count for count in clusters.values())
    sizes_squared = sum(size * size * count for size, count in clusters.items())
    robust = whole / (whole - 1) * (squares - 2 * mean * products + mean**2 * sizes_squared) / n**2
    variance = np.maximum((total_lost + total_gained) / n - mean**2, 0.0)
    identical = n * n / sizes_squared
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(robust > 1e-12 / n, np.clip(variance / robust, 1.0, n * repeats), identical)
    factor = effective / n
    return total_lost * factor, total_gained * factor, effective, np.full(suites, float(whole - 1))


def _clusters(rates: Floats, many: NDArray[np.int_], trials: int, generator: np.random.Generator) -> tuple[Floats, ...]:
    """Over ``many`` clusters of ``trials`` outcomes (one number a suite): lost, gained, squared nets, nets."""
    suites, most = len(rates), int(many.max(initial=0))
    lost, gained, squares = (np.zeros(suites) for _ in range(3))
    for start in range(0, most, 256):
        width = min(256, most - start)
        real = np.arange(start, start + width) < many[:, None]
        a = generator.binomial(trials, rates[:, :1], (suites, width)) * real
        left = np.clip(rates[:, 1:] / np.maximum(1 - rates[:, :1], 1e-12), 0.0, 1.0)
        b = generator.binomial(trials - a, left) * real
        lost, gained = lost + a.sum(axis=1), gained + b.sum(axis=1)
        squares = squares + ((a - b) ** 2).sum(axis=1)
    return lost, gained, squares, lost - gained


@dataclass
class Decided:
    """Shares of the suites in which so much was decided."""

    mean_within: float
    go: float
    mean_beyond: float
    no_go: float


def decide(suites: Suites, margin: float, levels: tuple[float, float, float] = (0.05, 0.025, 0.025)) -> Decided:
    """The certificate's decision on each suite, by the rule of ``gates/certificate.py`` (fractions)."""
    p_within, p_beyond = mean_tests(suites, margin)
    within, beyond = p_within <= levels[0], p_beyond <= levels[1]
    broken = np.array([min(row) * len(TASKS) for row in worse_than(suites, GUARD * margin)]) <= levels[2]
    critical = [place for place, task in enumerate(TASKS) if ITEMS[task] >= CRITICAL]
    go = within & ~broken & ~beyond
    for suite in np.flatnonzero(go):
        held = (tables(suites, suite, place).not_worse(GUARD * margin).p <= levels[0] for place in critical)
        go[suite] = all(held)
    return Decided(*(float(flags.mean()) for flags in (within, go, beyond, beyond | broken)))


def mean_tests(suites: Suites, margin: float) -> tuple[Floats, Floats]:
    """P-values of "the mean drop is within the margin" and "beyond it", as `MeanDrop` has them for one suite."""
    curve = Curve(suites.lost, suites.gained, suites.n)
    weights = 1 / suites.n
    steps = (weights / (suites.items * suites.repeats)).sum(axis=1) / weights.sum(axis=1)
    half = steps / 2 / len(TASKS)
    drops = (suites.lost - suites.gained) / suites.n
    variances = ((suites.lost + suites.gained) / suites.n - drops**2) / suites.n
    finite = np.isfinite(suites.degrees)
    doubt = np.where(finite, variances**2 / np.where(finite, suites.degrees, 1.0), 0.0).sum(axis=1)
    degrees = np.where(doubt > 0, variances.sum(axis=1) ** 2 / np.maximum(doubt, 1e-300), 1e9)
    return stdtr(degrees, -curve.scores(margin, -half)), stdtr(degrees, curve.scores(margin, half))


def tables(suites: Suites, suite: int, task: int) -> PairedTable:
    """The paired table of one task; the permutation test of clusters by its normal approximation."""
    lost, gained, n = suites.lost[suite, task], suites.gained[suite, task], suites.n[suite, task]
    degrees = suites.degrees[suite, task]
    if not np.isfinite(degrees):
        return PairedTable.single(int(lost), int(gained), int(n))
    score = (gained - lost) / sqrt(lost + gained) if lost + gained else 0.0
    fewer = float(ndtr(score)) if lost + gained else 1.0
    more = float(ndtr(-score)) if lost + gained else 1.0
    permutation = "cluster sign-flip permutation"
    return PairedTable(float(lost), float(gained), float(n), int(degrees), fewer, more, permutation)


def worse_than(suites: Suites, margin: float) -> list[list[float]]:
    """P-values of "worse by more than the margin", by suite and task."""
    return [
        [tables(suites, suite, task).worse(margin).p for task in range(len(TASKS))] for suite in range(len(suites.n))
    ]


def holm_fails(suites: Suites, margin: float, level: float = 0.05) -> float:
    """Share of suites in which any regression gate fails after Holm's correction."""
    return float(np.mean([min(row) * len(TASKS) <= level for row in worse_than(suites, margin)]))


def boundary_worlds(margin: float) -> list[World]:
    """Worlds whose mean drop is the margin."""
    small, sharp = (0.02, 0.05), (0.95, 0.98)
    few = (0.02, 0.03)
    return [
        World("all tasks lose the same", spread(margin)),
        World("the same, accuracies 2 to 5%, discordance 2 to 3%", spread(margin), small, few),
        World("the same, accuracies 95 to 98%, discordance 2 to 3%", spread(margin), sharp, few),
        World("the same, three repeats", spread(margin), repeats=3),
        World("the same, a tenth of the items", spread(margin), share=0.1),
        World("the same, a thirtieth of the items", spread(margin), share=1 / 30),
        World("the six sorting tasks lose it", carried(SORTING, margin)),
        World("one sorting task loses it", carried(SORTING[:1], margin)),
        World("one sorting task loses it, a tenth of the items", carried(SORTING[:1], margin), share=0.1),
        World("one sorting task loses it, three repeats", carried(SORTING[:1], margin), repeats=3),
        World("openbookqa loses it", carried(["openbookqa"], margin)),
        World("gsm_plus loses it", carried(["gsm_plus"], margin)),
        World("math loses it", carried(["math"], margin)),
    ]


def pooled_finds(suites: Suites, level: float = 0.05) -> float:
    """Share of suites in which the pooled test finds any loss (its normal approximation)."""
    items = suites.items
    drops = (suites.lost - suites.gained) / suites.n
    without = (suites.lost + suites.gained) / suites.n**2  # variance of a drop where none is true
    scores = (drops * items).sum(axis=1) / np.sqrt((without * items**2).sum(axis=1))
    return float((ndtr(-scores) <= level).mean())


#: Designs: the same share of every task, or the same number of items a task (as far as it has them).
DESIGNS: Sequence[Mapping[str, float]] = (
    *({"share": share} for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)),
    *({"limit": limit} for limit in (15, 25, 40, 65, 100, 160, 250, 400, 650, 1000, 1600, 2500)),
)


def cheapest(
    world: World, test: Callable[[Suites], float], suites: int, seed: int, power: float = 0.8
) -> tuple[float, str] | None:
    """The fewest items with which a test finds it in this share of the suites, and by which kind of design."""
    best: tuple[float, str] | None = None
    for kind in ("share", "limit"):
        before: tuple[float, float] | None = None
        for design in (design for design in DESIGNS if kind in design):
            own = replace(world, **design)  # type: ignore[arg-type]
            total = float(sum(_items(own, task) for task in TASKS))
            if best is not None and total > best[0]:
                break
            reached = test(draw(own, suites, np.random.default_rng(seed)))
            if reached >= power:
                if before is not None and reached > before[1]:
                    part = (power - before[1]) / (reached - before[1])
                    total = float(np.exp(np.log(before[0]) + part * (np.log(total) - np.log(before[0]))))
                if best is None or total < best[0]:
                    best = total, "a share of each" if kind == "share" else "equally many of each"
                break
            before = total, reached
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=5000)
    parser.add_argument("--power-suites", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("boundary", "nothing", "items"))
    options = parser.parse_args()
    started = time.perf_counter()
    error = 100 * sqrt(0.05 * 0.95 / options.suites)
    print("# The certificate, simulated\n")
    print(
        f"`benchmarks/simulate_certificate.py`: {options.suites} suites of {len(TASKS)} tasks a row, seed "
        f"{options.seed}; accuracies 2% to 98% and discordances 2% to 30% drawn for each task unless said; in percent. "
        f"Standard error of a true 5%: {error:.1f}.\n"
    )
    if options.only in (None, "boundary"):
        print_boundary(options.suites, options.seed)
    if options.only in (None, "nothing"):
        print_nothing_lost(options.suites, options.seed)
    if options.only in (None, "items"):
        print_items(options.power_suites, options.seed)
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)


def print_boundary(suites: int, seed: int) -> None:
    print("## At the boundary: the true mean drop is the margin\n")
    print("| losses | margin | mean shown within (5) | GO (5) | mean shown beyond (2.5) |")
    print("|---|---|---|---|---|")
    for margin in (0.01, 0.02):
        for world in boundary_worlds(margin):
            found = decide(draw(world, suites, np.random.default_rng(seed)), margin)
            shown = " | ".join(f"{100 * value:.1f}" for value in (found.mean_within, found.go, found.mean_beyond))
            print(f"| {world.name} | {100 * margin:g} | {shown} |", flush=True)


def print_nothing_lost(suites: int, seed: int) -> None:
    print("\n## Where nothing is lost\n")
    print("| discordance | margin | mean shown within | GO | NO-GO (5) |")
    print("|---|---|---|---|---|")
    for margin in (0.01, 0.02):
        for few in ((0.02, 0.05), (0.08, 0.12), (0.02, 0.30)):
            world = World("", {}, discordance=few)
            found = decide(draw(world, suites, np.random.default_rng(seed)), margin)
            shown = " | ".join(f"{100 * value:.1f}" for value in (found.mean_within, found.go, found.no_go))
            print(f"| {100 * few[0]:g}% to {100 * few[1]:g}% | {100 * margin:g} | {shown} |", flush=True)


def print_items(suites: int, seed: int) -> None:
    print("\n## Items that it takes, beside regression gates with Holm's correction\n")
    whole = sum(ITEMS.values())
    print(
        f"The fewest items of all tasks together (of {whole:,}) with which 80% of the suites are found, each test with "
        f"its own best design: the same share of every task, or equally many items of each; {suites} "
        "suites each, discordance 8% to 12%.\n"
    )
    print("| losses | test | items | Holm's gates of the same margin | items | test over Holm |")
    print("|---|---|---|---|---|---|")
    certificate: Test = ("certificate, margin 1: NO-GO", lambda suites: decide(suites, 0.01).no_go)
    gates: Test = ("margin 1", lambda suites: holm_fails(suites, 0.01))
    pooled: Test = ("pooled, any loss", pooled_finds)
    any_gates: Test = ("margin 0", lambda suites: holm_fails(suites, 0.0))
    one = {"math": 0.06}, {"gsm8k": 0.08}, {SORTING[0]: 0.30}
    rows: list[tuple[World, Test, Test]] = [
        (World("all tasks lose 2 points", spread(0.02)), certificate, gates),
        (World("all tasks lose 3 points", spread(0.03)), certificate, gates),
        (World("all tasks lose 5 points", spread(0.05)), certificate, gates),
        (World("math alone loses 6 points", one[0]), certificate, gates),
        (World("gsm8k alone loses 8 points", one[1]), certificate, gates),
        (World("one sorting task alone loses 30 points", one[2]), certificate, gates),
        (World("all tasks lose 1 point", spread(0.01)), pooled, any_gates),
        (World("all tasks lose 3 points", spread(0.03)), pooled, any_gates),
        (World("gsm8k alone loses 8 points", one[1]), pooled, any_gates),
    ]
    for world, (name, ours), (other, theirs) in rows:
        few = replace(world, discordance=(0.08, 0.12))
        found, beside = (cheapest(few, test, suites, seed) for test in (ours, theirs))
        ratio = "–" if found is None or beside is None else f"{found[0] / beside[0]:.2f}"
        print(f"| {world.name} | {name} | {_items_of(found)} | {other} | {_items_of(beside)} | {ratio} |", flush=True)


def _items_of(found: tuple[float, str] | None) -> str:
    return "more than all" if found is None else f"{found[0]:,.0f} ({found[1]})"


if __name__ == "__main__":
    main()
