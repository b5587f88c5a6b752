"""Adaptive runs against full ones: false alarms, agreement of the decisions, and tokens.

    python benchmarks/simulate_adaptive.py [--suites 2000] [--seed 0] > benchmarks/results/adaptive.md

Each simulated suite is a set of tasks of real sizes and prices in which every item is lost, gained or unchanged at
random. It is decided twice by the package's own tests on the same outcomes: with all of its items (Holm's correction),
and adaptively, by the looks, boundaries and the schedule of ``--adaptive``. Four tables:

1. False alarms at the boundary: every task has truly lost exactly the margin (regression), or one task of a family has
   truly lost it and the others nothing (non-inferiority).
2. What an adaptive run decides and takes, where nothing changed and where something was lost; also at the loss that the
   full run finds in 95% of the cases.
3. Single gates on clusters and on repeats, whose order mixes the clusters.
4. Certificates over 17 tasks.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.gates.adaptive import changing, pace
from pytest_thinkslm.gates.adaptive_certificate import CertificateWatch, Part
from pytest_thinkslm.gates.baselines import Group
from pytest_thinkslm.gates.certificate import Evidence, certify
from pytest_thinkslm.gates.outcomes import ALPHA
from pytest_thinkslm.generating.shards import COSTS
from pytest_thinkslm.runs.types import FigureRow
from pytest_thinkslm.settings.gate_specs import GateMode
from pytest_thinkslm.settings.policies import make_policy
from pytest_thinkslm.statistics import PairedResult, PairedTable, compare_paired
from pytest_thinkslm.statistics.paired import single_table
from pytest_thinkslm.statistics.sequential import State, interleaved, look, look_counts
from pytest_thinkslm.statistics.stratified import ClusterTotal, Stratum

#: Items of each task, and an accuracy as a small model has it.
TASKS: Mapping[str, tuple[int, float]] = {
    "gsm8k": (1319, 0.60),
    "math": (5000, 0.35),
    "mathqa": (2985, 0.45),
    "arc_easy": (2376, 0.88),
    "arc_challenge": (1172, 0.75),
    "commonsenseqa": (1221, 0.70),
    "openbookqa": (500, 0.70),
    "hellaswag": (3243, 0.60),
    "gsm_plus": (2400, 0.40),
    "mr_gsm": (590, 0.20),
    "mr_ben": (4534, 0.30),
    "sort8_positive": (100, 0.85),
    "sort8_mixed": (100, 0.70),
    "sort16_positive": (100, 0.60),
    "sort16_mixed": (100, 0.40),
    "sort32_positive": (100, 0.20),
    "sort32_mixed": (100, 0.10),
}


@dataclass(frozen=True)
class Task:
    """A task of a simulated suite: items, baseline's accuracy, true drop, share of items that change at least."""

    name: str
    items: int
    accuracy: float
    drop: float = 0.0
    changing: float = 0.10

    @property
    def lost_and_gained(self) -> tuple[float, float]:
        changing = max(min(self.changing, self.accuracy + 0.02), self.drop)
        return (changing + self.drop) / 2, (changing - self.drop) / 2

    @property
    def price(self) -> float:
        return 100 * COSTS[self.name]

    def figures(self) -> FigureRow:
        """What the schedule reads of a baseline."""
        return cast("FigureRow", {"n": 1, "accuracy": self.accuracy, "output_tokens": self.price})


@dataclass
class Decision:
    """Shares of the simulated suites: failed in full, adaptively, decided differently; and of the full run's tokens."""

    full: float
    adaptive: float
    differ: float
    tokens: float


def suite(names: Sequence[str] = tuple(TASKS), changing: float = 0.10, **drops: float) -> tuple[Task, ...]:
    """These tasks with true drops by name."""
    return tuple(Task(name, *TASKS[name], drops.get(name, 0.0), changing) for name in names)


@functools.lru_cache(maxsize=2_000_000)
def p_values(lost: int, gained: int, n: int, margin: float, mode: GateMode) -> tuple[float, float]:
    """The p-value of a gate on single runs of independent items, and the one from the other side of the margin."""
    table = PairedTable.single(lost, gained, n)
    both = table.worse(margin).p, table.not_worse(margin).p
    return both if mode == "regression" else both[::-1]


def simulate(tasks: Sequence[Task], margin: float, mode: GateMode, suites: int, seed: int) -> Decision:
    """Decide so many simulated suites in full and adaptively."""
    generator = np.random.default_rng(seed)
    level = ALPHA / len(tasks) if mode == "regression" else ALPHA
    rates = [pace(task.name, task.figures()) for task in tasks]
    counts = [look_counts(task.items) for task in tasks]
    drawn = [_outcomes(task, own, suites, generator) for task, own in zip(tasks, counts, strict=True)]
    whole = sum(task.items * task.price for task in tasks)
    fails = np.zeros((2, suites), bool)
    tokens = np.zeros(suites)
    for place in range(suites):
        ends: list[tuple[int, State]] = []
        shown = []
        for own, (lost, gained) in zip(counts, drawn, strict=True):
            p = functools.partial(_p, lost[place], gained[place], own, margin, mode)
            ends.append(_end(own, level, p))
            shown.append(p(len(own) - 1)[0] <= level)
        failing: State = "shown" if mode == "regression" else "given up"
        # Item i of a task has its turn at time (i + 1/2) / rate; the first gate that fails ends the run.
        turns = [(count - 0.5) / rate for (count, _), rate in zip(ends, rates, strict=True)]
        stop = min((turn for turn, (_, state) in zip(turns, ends, strict=True) if state == failing), default=np.inf)
        fails[0, place] = any(shown) if mode == "regression" else not all(shown)
        fails[1, place] = stop < np.inf
        for task, rate, (count, _) in zip(tasks, rates, ends, strict=True):
            before = count if stop == np.inf else min(count, ceil(stop * rate + 0.5))
            tokens[place] += before * task.price
    full, adaptive = fails
    return Decision(
        float(full.mean()), float(adaptive.mean()), float((full != adaptive).mean()), float(tokens.mean()) / whole
    )


def _outcomes(
    task: Task, counts: Sequence[int], suites: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lost and gained items by suite and look."""
    steps = np.diff([0, *counts])
    lost, gained = task.lost_and_gained
    drawn = np.stack([generator.multinomial(n, [lost, gained, 1 - lost - gained], suites) for n in steps], axis=1)
    total = drawn.cumsum(axis=1)
    return total[:, :, 0], total[:, :, 1]


def _p(
    lost: NDArray[np.int64], gained: NDArray[np.int64], counts: Sequence[int], margin: float, mode: GateMode, place: int
) -> tuple[float, float]:
    return p_values(int(lost[place]), int(gained[place]), counts[place], margin, mode)


def _end(counts: Sequence[int], level: float, p: Callable[[int], tuple[float, float]]) -> tuple[int, State]:
    """After how many items a gate is decided, and how."""
    times = tuple(count / counts[-1] for count in counts)
    for place, count in enumerate(counts):
        state = look(*p(place), place, times, level)
        if state != "open":
            return count, state
    raise AssertionError("the last look decides")


def drop_of_power(
    make: Callable[[float], Sequence[Task]], margin: float, mode: GateMode, power: float, seed: int
) -> float:
    """The drop at which the full run fails with this probability."""
    low, high = margin, 0.9
    for _ in range(12):
        middle = (low + high) / 2
        found = _full(make(middle), margin, mode, 1500, seed)
        low, high = (middle, high) if found < power else (low, middle)
    return high


def _full(tasks: Sequence[Task], margin: float, mode: GateMode, suites: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    level = ALPHA / len(tasks) if mode == "regression" else ALPHA
    shown = []
    for task in tasks:
        lost, gained = _outcomes(task, [task.items], suites, generator)
        shown.append([p_values(a, b, task.items, margin, mode)[0] <= level for a, b in _pairs(lost, gained)])
    found = np.array(shown)
    return float((found.any(axis=0) if mode == "regression" else ~found.all(axis=0)).mean())


def _pairs(lost: NDArray[np.int64], gained: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip(lost[:, 0].tolist(), gained[:, 0].tolist(), strict=True))


def clustered(clusters: int, size: int, repeats: int, margin: float, drop: float, runs: int, seed: int) -> Decision:
    """A single gate on clusters of items, or on repeats; the order of the items mixes the clusters."""
    generator = np.random.default_rng(seed)
    n = clusters * size
    counts = look_counts(n)
    results = np.zeros((runs, 3))
    for run in range(runs):
        # Half of the variance of an item's change is its cluster's: a cluster loses more or less than others.
        names = np.repeat(np.arange(clusters), size)
        tilt = generator.normal(0, 0.05, clusters)[names]
        order = generator.permutation(n)
        base = (generator.random((n, repeats)) < 0.6).astype(float)
        lose = generator.random((n, repeats)) < np.clip((0.08 + (drop + tilt) / 2) / 0.6, 0, 1)[:, None]
        gain = generator.random((n, repeats)) < np.clip((0.08 - (drop + tilt) / 2) / 0.4, 0, 1)[:, None]
        now = np.where(base == 1, ~lose, gain).astype(float)

        def p(place: int) -> tuple[float, float]:
            taken = order[: counts[place]].tolist()  # noqa: B023
            before = {item: base[item].tolist() for item in taken}  # noqa: B023
            after = {item: now[item].tolist() for item in taken}  # noqa: B023
            groups = None if size == 1 else {item: int(names[item]) for item in taken}  # noqa: B023
            compared = compare_paired(before, after, groups)
            return compared.worse(margin).p, compared.not_worse(margin).p

        count, state = _end(counts, ALPHA, p)
        results[run] = p(len(counts) - 1)[0] <= ALPHA, state == "shown", count / n
    full, adaptive, share = results.T
    return Decision(float(full.mean()), float(adaptive.mean()), float((full != adaptive).mean()), float(share.mean()))


def certified(tasks: Sequence[Task], margin: float, suites: int, seed: int) -> Decision:
    """Certificates in place of gates: "fails" are those that are not GO; "decided alike" is of all three decisions."""
    generator = np.random.default_rng(seed)
    policy = make_policy(100 * margin, None, ())
    paces = [pace(task.name, task.figures()) for task in tasks]
    keys = [GroupKey("m", "q", task.name, task.name, "direct") for task in tasks]
    order = [keys[turn] for turn in interleaved([task.items for task in tasks], paces)]
    places = dict.fromkeys(keys, -1)
    items = [ItemKey(*key, str(places.update({key: places[key] + 1}) or places[key])) for key in order]
    against = {
        key: Group({str(item): [1.0] for item in range(task.items)}) for key, task in zip(keys, tasks, strict=True)
    }
    parts = {key: Part(task.name, task.items, changing(task.figures())) for key, task in zip(keys, tasks, strict=True)}
    watch = CertificateWatch(policy, items, against, parts)
    (case,) = watch._cases.values()
    counts = [
        [max(1, round(share[key] * task.items)) if share[key] else 0 for share in case.shares]
        for key, task in zip(keys, tasks, strict=True)
    ]
    drawn = [_outcomes(task, own, suites, generator) for task, own in zip(tasks, counts, strict=True)]
    whole = sum(task.items * task.price for task in tasks)
    found = np.zeros((suites, 4))
    for place in range(suites):

        def evidence(at: int) -> list[Evidence]:
            return [
                _evidence(task, int(lost[place, at]), int(gained[place, at]), own[at])  # noqa: B023
                for task, own, (lost, gained) in zip(tasks, counts, drawn, strict=True)
            ]

        full = certify(policy, evidence(len(case.looks) - 1)).decision
        for at in range(len(case.looks)):
            case.look, case.levels = at, watch._levels_at(case, at)
            certificate = certify(policy, evidence(at), case.levels)
            if certificate.decision != "INCONCLUSIVE" or watch._hopeless(case, certificate):
                break
        spent = sum(own[at] * task.price for task, own in zip(tasks, counts, strict=True))
        found[place] = full != "GO", certificate.decision != "GO", full != certificate.decision, spent / whole
    means = found.mean(axis=0)
    return Decision(*map(float, means))


def _evidence(task: Task, lost: int, gained: int, n: int) -> Evidence:
    paired_table, change = single_table(lost, gained, n)
    drop = (lost - gained) / n
    paired: PairedResult[str] = PairedResult(
        n=n,
        clusters=n,
        effective_clusters=n,
        repeats=1,
        baseline=task.accuracy,
        candidate=task.accuracy - drop,
        difference=-drop,
        interval=paired_table.interval(),
        confidence=0.95,
        lost=(),
        gained=(),
        only_baseline=(),
        only_candidate=(),
        discordance=(lost + gained) / n,
        design_effect=1.0,
        change=change,
        table=paired_table,
    )
    part = Stratum(paired_table, drop, {task.name: ClusterTotal(lost - gained, n)})
    return Evidence(task.name, task.name, task.items, paired, part, part)


def rows(suites: int, seed: int) -> list[tuple[str, str, float, Decision]]:
    """Every scenario: name, gate, size of the drop, what was found."""
    found: list[tuple[str, str, float, Decision]] = []

    def add(name: str, tasks: Sequence[Task], margin: float, mode: GateMode, drop: float) -> None:
        gate = f"{'non-inferiority' if mode == 'noninferiority' else mode} {100 * margin:g}"
        found.append((name, gate, drop, simulate(tasks, margin, mode, suites, seed)))

    everywhere = functools.partial(lambda drop, names=tuple(TASKS): suite(names, **dict.fromkeys(names, drop)))
    for margin in (0.0, 0.02):
        add("boundary: all 17 tasks lost the margin", everywhere(margin), margin, "regression", margin)
        add("boundary: gsm8k alone", suite(["gsm8k"], gsm8k=margin), margin, "regression", margin)
        add("boundary: sort16_mixed alone", suite(["sort16_mixed"], sort16_mixed=margin), margin, "regression", margin)
    large = ("gsm8k", "math", "mathqa", "arc_easy", "commonsenseqa", "hellaswag", "gsm_plus", "mr_ben")
    add("boundary: gsm8k lost the margin, 7 others nothing", suite(large, gsm8k=0.03), 0.03, "noninferiority", 0.03)
    add("boundary: gsm8k alone", suite(["gsm8k"], gsm8k=0.03), 0.03, "noninferiority", 0.03)
    for margin in (0.0, 0.02):
        add("nothing changed, 17 tasks", suite(), margin, "regression", 0)
        add("nothing changed, gsm8k alone", suite(["gsm8k"]), margin, "regression", 0)
    add("nothing changed, 8 large tasks", suite(large), 0.03, "noninferiority", 0)
    add("nothing changed, gsm8k alone", suite(["gsm8k"]), 0.03, "noninferiority", 0)

    def alone(one: str, drop: float) -> tuple[Task, ...]:
        return suite(**{one: drop})

    for margin in (0.0, 0.02):
        for name, make in (
            ("95% power, all 17 tasks lost", everywhere),
            *(
                (
                    f"95% power, of 17 tasks {one} lost",
                    functools.partial(lambda drop, one: suite(**{one: drop}), one=one),
                )
                for one in ("gsm8k", "math", "mr_ben", "openbookqa", "sort16_mixed")
            ),
            ("95% power, gsm8k alone", lambda drop: suite(["gsm8k"], gsm8k=drop)),
        ):
            drop = drop_of_power(make, margin, "regression", 0.95, seed + 1)
            add(name, make(drop), margin, "regression", drop)
    for drop in (0.04, 0.06):
        add("all 17 tasks lost", everywhere(drop), 0.02, "regression", drop)
        for one in ("gsm8k", "math"):
            add(f"of 17 tasks {one} lost", suite(**{one: drop}), 0.02, "regression", drop)
    add("all 8 large tasks lost", everywhere(0.06, large), 0.03, "noninferiority", 0.06)
    add("of 8 large tasks gsm8k lost", suite(large, gsm8k=0.06), 0.03, "noninferiority", 0.06)
    return found


def table(found: Sequence[tuple[str, str, float, Decision]]) -> str:
    """Markdown."""
    lines = [
        "| suite | gate | true drop | full run fails | adaptive run fails | decided alike | tokens |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, gate, drop, decision in found:
        lines.append(
            f"| {name} | {gate} | {100 * drop:.1f} | {100 * decision.full:.1f}% | {100 * decision.adaptive:.1f}% | "
            f"{100 * (1 - decision.differ):.1f}% | {100 * decision.tokens:.0f}% |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.time()
    print(table(rows(given.suites, given.seed)))
    print()
    runs = max(100, given.suites // 5)
    designs = [(300, 8, 1), (1000, 1, 3)]
    found = [
        (
            f"{clusters} clusters of {size}" if size > 1 else f"{clusters} items, {repeats} repeats",
            f"regression {100 * margin:g}",
            drop,
            clustered(clusters, size, repeats, margin, drop, runs, given.seed),
        )
        for clusters, size, repeats in designs
        for margin, drop in ((0.02, 0.02), (0.02, 0.0), (0.02, 0.05))
    ]
    print(table(found))
    print()
    suites = max(50, given.suites // 5)
    names = tuple(TASKS)
    wanted = (
        ("boundary: all 17 tasks lost the margin", suite(names, **dict.fromkeys(names, 0.02)), 0.02, 0.02),
        ("nothing changed, 17 tasks", suite(), 0.02, 0.0),
        ("all 17 tasks lost", suite(names, **dict.fromkeys(names, 0.04)), 0.02, 0.04),
        ("of 17 tasks gsm8k lost", suite(gsm8k=0.15), 0.02, 0.15),
    )
    print(
        table(
            [
                (name, f"certificate {100 * margin:g}", drop, certified(tasks, margin, suites, given.seed))
                for name, tasks, margin, drop in wanted
            ]
        ).replace("run fails", "run is not GO")
    )
    took = time.time() - started
    print(f"\n{given.suites} suites a row ({runs} of clusters and repeats), seed {given.seed}, {took:.0f} s")


if __name__ == "__main__":
    main()
