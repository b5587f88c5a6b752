"""What the statistics give for small data, whole (kept.py): every field, on both sides of every border.

What is kept here was held against other implementations in the tests beside this one; here nothing else may change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import kept
import pytest

from pytest_thinkslm.statistics import (
    clusters,
    corrected,
    counts,
    families,
    forms,
    intervals,
    paired,
    paired_table,
    permutation,
    power,
    ratios,
    repeats,
    sequential,
    stratified,
    unpaired,
)

FILE = Path(__file__).parent / "kept" / "figures.jsonl"


def drawn(seed: int, n: int, share: float, size: int = 1) -> list[float]:
    """Scores of ``n`` items, of ``size`` repeats each."""
    numbers = random.Random(seed)
    return [sum(numbers.random() < share for _ in range(size)) / size for _ in range(n)]


def sides(lost: int, gained: int, n: int, size: int, shared: int, extra: int) -> tuple[Any, Any, Any]:
    """Two runs of ``n`` items and ``extra`` of its own each, ``size`` repeats, ``shared`` items a cluster."""
    before = {item: [1.0] * size if item < n // 2 else [0.0] * size for item in range(n)}
    now = {item: list(scores) for item, scores in before.items()}
    for item in range(lost):
        now[item] = [0.0] * ((size + 1) // 2) + [1.0] * (size // 2)
    for item in range(n // 2, n // 2 + gained):
        now[item] = [1.0] * ((size + 1) // 2) + [0.0] * (size // 2)
    for item in range(extra):
        before[n + item], now[2 * n + item] = [1.0] * size, [0.0] * size
    groups = {item: f"c{item // shared}" for item in range(n)} if shared else None
    return before, now, groups


def compared(*words: int) -> Any:
    before, now, groups = sides(*words)
    found = paired.compare_paired(before, now, groups)
    table = found.table
    margins = (0.0, 0.02, 0.1)
    return [
        *(found, found.flips, found.share_interval(len(found.lost))),
        *([found.worse(margin) for margin in margins], [found.not_worse(margin) for margin in margins]),
        *(table.drop_at_least(0.95), table.drop_at_most(0.95), table.interval(), table.interval(0.9)),
    ]


def single(lost: int, gained: int, n: float) -> Any:
    table = paired_table.PairedTable.single(lost, gained, n)
    return [
        (table.worse(margin), table.not_worse(margin), table.score(margin)) for margin in (0.0, 0.01, 0.05, 0.3)
    ] + [(table.drop_at_least(0.95), table.drop_at_most(0.95), table.interval())]


def means(*tables: Sequence[int]) -> Any:
    """The mean drop of several tasks and its pooled test."""
    parts = []
    for place, words in enumerate(tables):
        before, now, groups = sides(*words)  # type: ignore[arg-type]
        found = paired.compare_paired(before, now, groups)

        def name(item: int, place: int = place, groups: Any = groups) -> object:
            return groups.get(item, "none") if groups else (place, item)

        parts.append(stratified.stratum(found, before, now, name))  # type: ignore[arg-type]
    mean = stratified.mean_drop(parts)
    return [
        *(mean.estimate, mean.standard_error, mean.variances, mean.at_most(0.95), mean.at_least(0.975)),
        *([mean.worse(margin) for margin in (0.0, 0.01, 0.1)], [mean.not_worse(margin) for margin in (0.01, 0.1)]),
        *(stratified.pooled_change(parts), [(part.n, part.drop, part.repeats, len(part.totals)) for part in parts]),
    ]


def ratio(sums: Sequence[float]) -> float:
    return sums[0] / sums[1]


def correlation(sums: Sequence[float]) -> float:
    return sums[0] / sqrt(sums[1] * (sums[0] + sums[1])) - 0.5


def rows(seed: int, n: int) -> list[list[float]]:
    numbers = random.Random(seed)
    return [[float(numbers.randrange(0, 3)), 1.0 + numbers.randrange(0, 2)] for _ in range(n)]


def named(n: int, size: int) -> list[int]:
    return [place // size for place in range(n)]


def picks(n: int, seed: int, positions: int, each: int) -> dict[str, list[tuple[int, int]]]:
    numbers = random.Random(seed)
    return {
        str(item): [
            (min(numbers.randrange(positions), numbers.randrange(positions)), numbers.randrange(positions))
            for _ in range(1 + item % each)
        ]
        for item in range(n)
    }


def trees(seed: int, n: int, shape: Sequence[int]) -> list[Any]:
    numbers = random.Random(seed)

    def tree(level: int, share: float) -> Any:
        if level == len(shape):
            return float(numbers.random() < share)
        count = shape[level] + (numbers.randrange(2) if level == 0 else 0)
        return [tree(level + 1, min(1.0, max(0.0, share + numbers.uniform(-0.2, 0.2)))) for _ in range(count)]

    return [tree(0, numbers.random()) for _ in range(n)]


def form_scores(seed: int, n: int, loss: float) -> list[tuple[float, list[float]]]:
    numbers = random.Random(seed)
    return [
        (float(numbers.random() < 0.7), [float(numbers.random() < 0.7 - loss) for _ in range(1 + item % 3)])
        for item in range(n)
    ]


def readings(*given: Sequence[float]) -> list[corrected.Reading]:
    return [corrected.Reading(*reading) for reading in given]  # type: ignore[arg-type]


def parts(given: Sequence[Sequence[float]]) -> list[tuple[float, intervals.Interval]]:
    return [(value, intervals.Interval(low, high)) for value, low, high in given]


def accuracy(seed: int, n: int, share: float, size: int, shared: int, confidence: float) -> Any:
    groups = named(n, shared) if shared else None
    return intervals.accuracy_interval(drawn(seed, n, share, size), groups, repeats=size, confidence=confidence)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "wilson": intervals.wilson,
    "accuracy_interval": accuracy,
    "same_values": lambda value, n, shared, size: intervals.accuracy_interval(
        [value] * n, named(n, shared), repeats=size
    ),
    "student_quantile": clusters.student_quantile,
    "cluster_sums": lambda values, names: (
        (sums := clusters.ClusterSums.of(values, names)),
        *(sums.n, sums.count, sums.variance_of_mean, sums.reach(), sums.reach(0.9), sums.n_if_identical),
    ),
    "compare_paired": compared,
    "single": single,
    "half_tail": paired_table.half_tail,
    "at_least": paired_table.at_least,
    "mean_drop": means,
    "sign_flip": permutation.sign_flip,
    "paired_ratio": lambda pairs, names: ratios.paired_ratio([(one, two) for one, two in pairs], names),
    "run_spread": repeats.run_spread,
    "pass_at_k": repeats.pass_at_k,
    "mean_pass_at_k": repeats.mean_pass_at_k,
    "majority_vote": repeats.majority_vote,
    "compare_unpaired": lambda reference, n, seed, items, share, margin: unpaired.compare_unpaired(
        reference, n, intervals.accuracy_interval(drawn(seed, items, share)), margin
    ),
    "unpaired_interval": unpaired.difference_interval,
    "holm": families.holm,
    "holm_levels": families.holm_levels,
    "assumed_discordance": power.assumed_discordance,
    "power_to_detect": lambda n, drop, share, margin, alpha, effect: power.power_to_detect(
        n, drop, share, margin=margin, alpha=alpha, design_effect=effect
    ),
    "power_to_pass": lambda n, margin, share, alpha, effect: power.power_to_pass(
        n, margin, share, alpha=alpha, design_effect=effect
    ),
    "smallest_drop": lambda n, share, margin, alpha, effect, baseline: power.smallest_detectable_drop(
        n, share, margin=margin, alpha=alpha, design_effect=effect, baseline=baseline
    ),
    "items_needed": lambda drop, share, margin, alpha, effect: power.items_needed(
        drop, share, margin=margin, alpha=alpha, design_effect=effect
    ),
    "items_to_pass": lambda margin, share, alpha, wanted, effect: power.items_to_pass(
        margin, share, alpha=alpha, power=wanted, design_effect=effect
    ),
    "look_counts": sequential.look_counts,
    "look": lambda p, opposite, place, times, alpha: sequential.look(p, opposite, place, tuple(times), alpha),
    "predictive_power": sequential.predictive_power,
    "nominal_levels": lambda times, alpha: sequential.nominal_levels(tuple(times), alpha),
    "interleaved": sequential.interleaved,
    "function_interval": lambda seed, n, size: [
        counts.function_interval(rows(seed, n), named(n, size), function, bounds=bounds, confidence=level)
        for function, bounds, level in (
            (ratio, (0.0, 1.0), 0.95),
            (correlation, (-0.4, 0.4), 0.9),
            (ratio, (0.2, 9.0), 0.5),
        )
    ],
    "function_change": lambda seed, n, size: [
        counts.function_change(rows(seed, n), rows(seed + 1, n), named(n, size), function, bounds=(-0.3, 0.3))
        for function in (ratio, correlation)
    ],
    "mean_interval": counts.mean_interval,
    "form_change": lambda seed, n, loss, size: forms.form_change(
        form_scores(seed, n, loss), named(n, size) if size else None
    ),
    "position_bias": lambda n, seed, positions, each: forms.position_bias(picks(n, seed, positions, each), positions),
    "one_position": lambda n, gold: forms.position_bias({str(item): [(0, gold)] for item in range(n)}, 2),
    "variance_components": lambda seed, n, shape, sources: forms.variance_components(trees(seed, n, shape), sources),
    "corrected_accuracy": lambda given, n, confidence: corrected.corrected_accuracy(readings(*given), n, confidence),
    "mean_of": lambda given: corrected.mean_of(parts(given)),
    "difference_of": lambda one, two: corrected.difference_of(*parts([one, two])),
}


@pytest.mark.parametrize("name", kept.names(FILE))
def test_every_figure_is_what_is_kept(name: str) -> None:
    assert kept.differences(FILE, FUNCTIONS, name) == []
