"""How often the 95% intervals of changes of metrics cover the true change, and how wide they are beside unpaired ones.

    python benchmarks/simulate_metric_changes.py [--pairs 2000] [--seed 0]

Two runs of a review task (MCC, ACC_step, MR-Score with a judge) and of GSM-Plus (PDR, ASP, accuracy by perturbation) on
the same items: a cluster's items are the more often right, and change the more often, the easier its question is. The
true change is the mean of those of runs of very many items.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, cast

import numpy as np

from pytest_thinkslm.core.item_record import ItemRecord
from pytest_thinkslm.tasks.figures import CountedMetrics
from pytest_thinkslm.tasks.metrics import gsm_plus_metrics, mr_gsm_metrics

Records = list[ItemRecord]


def reviews(questions: int, generator: np.random.Generator, loss: float) -> tuple[Records, Records]:
    """Reviews of one or two solutions a question before, and after ``loss`` of the right ones became wrong."""
    before, now = [], []
    for question in range(questions):
        skill = generator.beta(3, 2)
        for number in range(1 + question % 2):
            good = generator.random() < 0.5
            right = generator.random() < skill
            lost, gained = generator.random() < loss * (1.5 - skill), generator.random() < 0.05
            reason, kept = generator.random() < 0.6, generator.random() < 0.9
            for side, found, accepted in (
                (before, right, reason),
                (now, (right and not lost) or (not right and gained), reason and kept),
            ):
                gold = {"judgement": "correct" if good else "wrong", "first_error_step": None if good else "2"}
                wrong = {"judgement": "wrong" if good else "correct", "first_error_step": None}
                judge = {"verdict": "correct" if accepted else "incorrect"}
                side.append(_line(f"{question}-{number}", found, f"q{question}", gold, gold if found else wrong, judge))
    return before, now


def variations(questions: int, generator: np.random.Generator, loss: float) -> tuple[Records, Records]:
    """Seed questions with eight variations each, before and now."""
    before, now = [], []
    for question in range(questions):
        skill = generator.beta(3, 2)
        for number in range(-1, 8):
            right = generator.random() < (skill if number < 0 else 0.85 * skill)
            lost, gained = generator.random() < loss * (1.5 - skill), generator.random() < 0.05
            for side, found in ((before, right), (now, (right and not lost) or (not right and gained))):
                if number < 0:
                    side.append(_line(f"{question:04d}", found, "", "1", "1", None, role="seed"))
                else:
                    own = _line(f"{question}-{number}", found, f"gsm8k-{question:04d}", "1", "1", None)
                    own["facets"] = {"perturbation": str(number)}
                    side.append(own)
    return before, now


def _line(
    item: str, right: bool, cluster: str, gold: object, answer: object, judge: object, role: str = "item"
) -> ItemRecord:
    known = {"item": item, "repeat": 1, "role": role, "verdict": "correct" if right else "incorrect", "failure": None}
    more = {"gold": gold, "answer": answer, "judge": judge, "cluster": cluster, "facets": {"question_type": "o"}}
    return cast("ItemRecord", {**known, **more})


#: Runs of 20,000 questions whose mean change is the true one: one alone is off by a tenth of the interval of 40.
LARGE_RUNS = 16

Make = Callable[[int, np.random.Generator, float], tuple[Records, Records]]

DESIGNS: Sequence[tuple[str, CountedMetrics, Make, int, Sequence[str]]] = (
    ("reviews", mr_gsm_metrics, reviews, 300, ("mcc", "acc_step", "acc_reason", "mr_score")),
    ("reviews", mr_gsm_metrics, reviews, 40, ("mcc", "acc_step", "acc_reason", "mr_score")),
    ("variations", gsm_plus_metrics, variations, 300, ("pdr", "asp", "by_perturbation.3")),
    ("variations", gsm_plus_metrics, variations, 40, ("pdr", "asp", "by_perturbation.3")),
)


def simulate(
    metrics: CountedMetrics, make: Make, questions: int, names: Sequence[str], pairs: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """By metric: its true change, how often the interval covers it, its width over that of two independent ones."""
    generator = np.random.default_rng(seed)
    true = dict.fromkeys(names, 0.0)
    for run in range(LARGE_RUNS):
        large = metrics.changes(*make(20_000, np.random.default_rng([seed, run]), 0.1))
        true = {name: so_far + large[name]["difference"] / LARGE_RUNS for name, so_far in true.items()}
    covered = dict.fromkeys(names, 0)
    widths: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(pairs):
        before, now = make(questions, generator, 0.1)
        changes = metrics.changes(before, now)
        apart = [_flat(metrics(side)) for side in (before, now)]
        for name in names:
            low, high = changes[name]["ci95"] or [changes[name]["difference"]] * 2
            covered[name] += low <= true[name] <= high
            unpaired = sqrt(sum((side[name][1] - side[name][0]) ** 2 for side in apart))
            widths[name].append((high - low) / unpaired)
    return {name: (true[name], covered[name] / pairs, float(np.mean(widths[name]))) for name in names}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, list[float]]:
    found = {}
    for name, value in values.items():
        if "value" in value:
            found[prefix + name] = value.get("ci95", [0.0, 0.0])
        else:
            found |= _flat(value, f"{prefix}{name}.")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| records | metric | true change | covered (95) | width beside unpaired |")
    print("|---|---|---:|---:|---:|")
    for design, metrics, make, questions, names in DESIGNS:
        found = simulate(metrics, make, questions, names, given.pairs, given.seed)
        for name, (change, share, width) in found.items():
            print(
                f"| {questions} questions, {design} | {name} | {change:+.3f} | {100 * share:.1f}% | {width:.2f} |",
                flush=True,
            )
    error = 100 * sqrt(0.0475 / given.pairs)
    print(f"\n{given.pairs} pairs a row, seed {given.seed}; standard error of a true 95%: {error:.1f}")


if __name__ == "__main__":
    main()
