"""Error rates and power of the certificate over suites of 17 tasks, against gates with Holm's correction.

    python benchmarks/simulate_certificate.py [--suites 5000] [--seed 0] > benchmarks/results/certificate.md

A suite is a baseline and a candidate on the 17 tasks with their numbers of items and sizes of clusters. Each item is
lost or gained with probabilities that give its task's true drop and discordance; in clusters and over repeats these
vary (a quarter of the clusters changes five times as often as the rest). Everything is decided by the package's own
tables and tests; the mean's test is evaluated for all suites at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
    return max(10, round(ITEMS[task] * world.share))


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
    clusters = {size: max(1, round(count * world.share)) for size, count in sizes.items()} if sizes else {1: n}
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
