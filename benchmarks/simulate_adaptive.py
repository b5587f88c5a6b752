"""Adaptive runs against full ones: false alarms, agreement of the decisions, and tokens.

    python benchmarks/simulate_adaptive.py [--suites 2000] [--seed 0] [--only exact|gates|clusters|certificates]

Each simulated suite is a set of tasks of real sizes and prices in which every item is lost, gained or unchanged at
random. It is decided twice by the package's own tests on the same outcomes: with all of its items (Holm's correction),
and adaptively, by the looks, boundaries and the schedule of ``--adaptive``. Four tables:

1. The chance of a false alarm of single gates at any of their looks, exactly, by enumeration: the largest over the
   shares of items that change.
2. What an adaptive run decides and takes: where the loss is exactly the margin (every task has lost it, or one alone),
   where nothing changed, and where something was lost; also at the loss that the full run finds in 95% of the cases.
3. Single gates on clusters and on repeats, whose order mixes the clusters.
4. Certificates over 17 tasks.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from vectorised import both, crossing, ends, hopeless, not_worse, worse

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.gates.adaptive import changing, pace
from pytest_thinkslm.gates.adaptive_certificate import CertificateWatch, Part
from pytest_thinkslm.gates.baselines import Group
from pytest_thinkslm.gates.certificate import ONE_LOOK, Levels
from pytest_thinkslm.gates.outcomes import ALPHA
from pytest_thinkslm.generating.shards import COSTS
from pytest_thinkslm.runs.types import FigureRow
from pytest_thinkslm.settings.gate_specs import GateMode
from pytest_thinkslm.settings.policies import Policy, make_policy
from pytest_thinkslm.statistics import compare_paired
from pytest_thinkslm.statistics.sequential import interleaved, look, look_counts
from pytest_thinkslm.statistics.stratified import Curve

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


def simulate(tasks: Sequence[Task], margin: float, mode: GateMode, suites: int, seed: int) -> Decision:
    """Decide so many simulated suites in full and adaptively."""
    generator = np.random.default_rng(seed)
    level = ALPHA / len(tasks) if mode == "regression" else ALPHA
    turns, counted, found = [], [], []
    for task in tasks:
        counts = look_counts(task.items)
        lost, gained = _outcomes(task, counts, suites, generator)
        end, shown, whole = ends(lost, gained, counts, margin, mode, level)
        count = np.asarray(counts)[end]
        fails = shown if mode == "regression" else ~shown
        # Item i of a task has its turn at time (i + 1/2) / rate; the first gate that fails ends the run.
        turns.append(np.where(fails, (count - 0.5) / pace(task.name, task.figures()), np.inf))
        counted.append(count)
        found.append(whole if mode == "regression" else ~whole)
    stop, full = np.min(turns, axis=0), np.any(found, axis=0)
    tokens = np.zeros(suites)
    for task, count in zip(tasks, counted, strict=True):
        before = np.minimum(
            count, np.ceil(np.where(np.isfinite(stop), stop, 0) * pace(task.name, task.figures()) + 0.5)
        )
        tokens += task.price * np.where(np.isfinite(stop), before, count)
    adaptive = np.isfinite(stop)
    price = sum(task.items * task.price for task in tasks)
    return Decision(
        float(full.mean()), float(adaptive.mean()), float((full != adaptive).mean()), float(tokens.mean()) / price
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
        shown.append(both(lost[:, 0], gained[:, 0], task.items, margin, mode)[0] <= level)
    return float((np.any(shown, axis=0) if mode == "regression" else ~np.all(shown, axis=0)).mean())


def exact(sizes: Sequence[int], margin: float, mode: GateMode, family: int) -> tuple[float, int, float]:
    """The largest chance of a false alarm at any look over sizes and shares that change; where it is reached."""
    alpha = ALPHA / family if mode == "regression" else ALPHA
    shares = {margin + more for more in (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)}
    return max((crossing(n, margin, alpha, share, mode) / alpha * ALPHA, n, share) for n in sizes for share in shares)


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

        for place in range(len(counts)):
            state = look(*p(place), place, counts, ALPHA)
            if state != "open":
                break
        results[run] = p(len(counts) - 1)[0] <= ALPHA, state == "shown", counts[place] / n
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
    lost, gained = (np.stack([task[side] for task in drawn], axis=2) for side in (0, 1))  # suite, look, task
    n = np.asarray(counts, float).T
    prices = np.asarray([task.price for task in tasks])
    tests = Certifying(policy, tasks, margin)
    last = len(case.looks) - 1
    full = tests.decide(lost[:, last], gained[:, last], n[last], ONE_LOOK, None)
    decided, spent = np.full(suites, "", dtype="U12"), np.zeros(suites)
    for at in range(last + 1):
        going = np.flatnonzero(decided == "")
        case.look, case.levels = at, watch._levels_at(case, at)
        shares = np.asarray([case.shares[at][key] for key in keys]), case.mean[at]
        found = tests.decide(lost[going, at], gained[going, at], n[at], case.levels, shares)
        done = found != "open"
        decided[going[done]] = found[done]
        spent[going[done]] = float((n[at] * prices).sum())
    full = np.where(full == "open", "INCONCLUSIVE", full)
    whole = sum(task.items * task.price for task in tasks)
    return Decision(
        float((full != "GO").mean()),
        float((decided != "GO").mean()),
        float((full != decided).mean()),
        float(spent.mean() / whole),
    )


class Certifying:
    """``gates.certificate.certify`` and what an adaptive run gives up, for many suites of single runs at once."""

    def __init__(self, policy: Policy, tasks: Sequence[Task], margin: float) -> None:
        self.margin = margin
        self.labels = [task.name for task in tasks]
        self.critical = np.asarray([policy.tier(task.name, task.items) == "critical" for task in tasks])
        self.guards = [policy.guard_of(task.name, task.accuracy) / 100 for task in tasks]

    def decide(
        self,
        lost: NDArray[np.int64],
        gained: NDArray[np.int64],
        n: NDArray[np.float64],
        levels: Levels,
        shares: tuple[NDArray[np.float64], float] | None,
    ) -> NDArray[np.str_]:
        """GO, NO-GO, INCONCLUSIVE or "open" of each suite; ``shares`` of the data are there: by task, of the mean."""
        with np.errstate(all="ignore"):
            curve = Curve(lost.astype(float), gained.astype(float), np.broadcast_to(n, lost.shape))
            half = (1 / n**2).sum() / (1 / n).sum() / 2 / len(n)
            distance = self.margin - ((lost - gained) / n).mean(axis=1)
            error = distance / curve.scores(self.margin)
            error = np.where(np.isfinite(error) & (error > 0), error, 1e-9)
            within, beyond = ndtr(-(distance - half) / error), ndtr((distance + half) / error)
        columns = range(len(n))
        inside = np.stack([not_worse(lost[:, i], gained[:, i], n[i], self.guards[i]) for i in columns], axis=1)
        broken = np.stack([worse(lost[:, i], gained[:, i], n[i], self.guards[i]) for i in columns], axis=1)
        go, out = (np.asarray([levels.of_task(label)[side] for label in self.labels]) for side in (0, 1))
        with np.errstate(all="ignore"):
            scaled = np.where(out > 0, np.minimum(1.0, broken * levels.guards / out), 1.0)
        any_broken = (scaled * len(n) <= levels.guards).any(axis=1)
        no_go = any_broken | (beyond <= levels.mean)
        shown = ((inside <= go) | ~self.critical).all(axis=1)
        found = np.where(no_go, "NO-GO", np.where((within <= levels.go) & shown, "GO", "open"))
        if shares is None:
            return found
        by_task, of_mean = shares
        alpha = ONE_LOOK.guards / len(n)
        never = self._unlikely(within, beyond, of_mean, ONE_LOOK.go, levels.go)
        held = self._unlikely(inside, broken, by_task, ONE_LOOK.go, go)
        never |= (held & self.critical).any(axis=1)
        nor = self._unlikely(beyond, within, of_mean, ONE_LOOK.mean, levels.mean)
        nor &= self._unlikely(broken, inside, by_task, alpha, out / len(n)).all(axis=1)
        return np.where((found == "open") & never & nor, "INCONCLUSIVE", found)

    @staticmethod
    def _unlikely(
        p: NDArray[np.float64],
        opposite: NDArray[np.float64],
        time: ArrayLike,
        alpha: float,
        level: ArrayLike,
    ) -> NDArray[np.bool_]:
        return np.asarray(np.where(np.asarray(time) >= 1, p > level, hopeless(p, opposite, time, alpha)))


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
    # Where the full run is a toss-up, at drops of at least twice the margin.
    for margin, tasks in ((0.0, ("gsm8k", "math", "sort16_mixed")), (0.02, ("gsm8k", "openbookqa", "sort16_mixed"))):
        for one in tasks:
            drop = drop_of_power(lambda drop: suite(**{one: drop}), margin, "regression", 0.5, seed + 1)  # noqa: B023
            add(f"50% power, of 17 tasks {one} lost", suite(**{one: drop}), margin, "regression", drop)
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


def exact_table() -> str:
    """Markdown."""
    lines = ["| gate | gates in the run | items | largest false alarm rate | at |", "|---|---:|---|---:|---|"]
    for mode, margins, families in (
        ("regression", (0.0, 0.01, 0.02, 0.05), (1, 17)),
        ("noninferiority", (0.01, 0.02, 0.05), (1,)),
    ):
        for family in families:
            for margin in margins:
                for name, sizes in (("20 to 100", (20, 50, 100)), ("200 to 1319", (200, 500, 1319))):
                    rate, n, share = exact(sizes, margin, cast("GateMode", mode), family)
                    gate = f"{'non-inferiority' if mode == 'noninferiority' else mode} {100 * margin:g}"
                    where = f"{n} items, {100 * share:.3g}% changing"
                    lines.append(f"| {gate} | {family} | {name} | {100 * rate:.2f}% | {where} |")
    return "\n".join(lines)


def certificate_rows(suites: int, seed: int) -> list[tuple[str, str, float, Decision]]:
    """Every scenario of certificates."""
    names, margin = tuple(TASKS), 0.02
    sorting = [name for name in names if name.startswith("sort")]

    def alone(one: str, mean: float) -> tuple[Task, ...]:
        return suite(**{one: mean * len(names)})

    wanted = (
        ("boundary: all 17 tasks lost the margin", suite(**dict.fromkeys(names, margin)), margin),
        ("boundary: openbookqa lost it all, 34 points", alone("openbookqa", margin), margin),
        ("boundary: sort16_positive lost it all, 34 points", alone("sort16_positive", margin), margin),
        ("boundary: math lost it all, 34 points", alone("math", margin), margin),
        ("boundary: the six sorting tasks lost it, 5.7 points each", suite(**dict.fromkeys(sorting, 0.34 / 6)), margin),
        ("boundary, 2% of the items changing", suite(changing=0.02, **dict.fromkeys(names, margin)), margin),
        ("nothing changed, 17 tasks", suite(), 0.0),
        ("all 17 tasks lost 3 points", suite(**dict.fromkeys(names, 0.03)), 0.03),
        ("all 17 tasks lost twice the margin", suite(**dict.fromkeys(names, 0.04)), 0.04),
        ("of 17 tasks gsm8k lost 15 points", suite(gsm8k=0.15), 0.15),
    )
    return [
        (name, f"certificate {100 * margin:g}", drop, certified(tasks, margin, suites, seed))
        for name, tasks, drop in wanted
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("exact", "gates", "clusters", "certificates"))
    given = parser.parse_args()
    started = time.process_time()
    if given.only in (None, "exact"):
        print(exact_table() + "\n")
    if given.only in (None, "gates"):
        print(table(rows(given.suites, given.seed)) + "\n")
    runs = max(100, given.suites // 5)
    if given.only in (None, "clusters"):
        found = [
            (
                f"{clusters} clusters of {size}" if size > 1 else f"{clusters} items, {repeats} repeats",
                f"regression {100 * margin:g}",
                drop,
                clustered(clusters, size, repeats, margin, drop, runs, given.seed),
            )
            for clusters, size, repeats in ((300, 8, 1), (1000, 1, 3))
            for margin, drop in ((0.02, 0.02), (0.02, 0.0), (0.02, 0.05))
        ]
        print(table(found) + "\n")
    if given.only in (None, "certificates"):
        print(table(certificate_rows(given.suites, given.seed)).replace("run fails", "run is not GO") + "\n")
    took = time.process_time() - started
    print(f"{given.suites} suites a row ({runs} of clusters and repeats), seed {given.seed}, {took:.0f} s of CPU time")


if __name__ == "__main__":
    main()
