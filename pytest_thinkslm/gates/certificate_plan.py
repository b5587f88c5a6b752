"""How many items a certificate takes, said before a run and after one that was not decided. Pure; points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt
from statistics import NormalDist

from pytest_thinkslm.gates.outcomes import counted
from pytest_thinkslm.settings.policies import Policy
from pytest_thinkslm.statistics import assumed_discordance, items_to_pass, power_to_pass
from pytest_thinkslm.statistics.power import POWER
from pytest_thinkslm.statistics.stratified import MeanDrop


@dataclass(frozen=True, slots=True)
class Planned:
    """A task of a run to come: items that both have or will have, items it has as a whole, its baseline's accuracy."""

    label: str
    task: str
    n: int
    size: int
    baseline: float
    design_effect: float = 1.0


def plan(policy: Policy, planned: Sequence[Planned], level: float = 0.05) -> list[str]:
    """What a certificate can show with these items where nothing is lost, in lines."""
    counting = [task for task in planned if policy.tier(task.task, task.size) != "advisory" and task.n]
    if not counting:
        return []
    changing = [assumed_discordance(task.baseline) for task in counting]
    margin = policy.margin.of(sum(task.baseline for task in counting) / len(counting))
    variance = (
        sum(share * task.design_effect / task.n for share, task in zip(changing, counting, strict=True))
        / len(counting) ** 2
    )
    mean = _power(margin / 100, sqrt(variance), level)
    lines, powers = [], [mean]
    for share, task in zip(changing, counting, strict=True):
        if policy.tier(task.task, task.size) != "critical":
            continue
        guard = policy.guard_of(task.task, task.baseline)
        power = power_to_pass(task.n, guard / 100, share, alpha=level, design_effect=task.design_effect)
        powers.append(power)
        if power < POWER:
            takes = items_to_pass(guard / 100, share, alpha=level, design_effect=task.design_effect)
            lines.append(
                f"{task.label}: with {counted(task.n, 'item')} a drop within its guard of {guard:g} points is shown in "
                f"{power:.0%} of runs that lose nothing; 80% takes {_items(takes, task.size)}"
            )
    factor = _factor(margin / 100, sqrt(variance), level)
    more = "" if factor <= 1 else f" (80%: {factor:.1f} times the items of every task)"
    head = (
        f"certificate, margin {margin:g}: of runs that lose nothing {mean:.0%} show the mean of "
        f"{counted(len(counting), 'task')} within it{more}, about {prod(powers):.0%} reach GO (assumed: p (1 - p) of "
        "the items change their verdict)"
    )
    return [head, *lines]


def needed_for_guard(
    label: str, guard: float, size: int, discordance: float, design_effect: float, level: float
) -> str:
    """How many items it takes to show a task within its guard in 4 of 5 runs that lose nothing."""
    takes = items_to_pass(guard / 100, discordance, alpha=level, design_effect=design_effect)
    return f"to show {label} within {guard:g} points in 4 of 5 runs where nothing is lost takes {_items(takes, size)}"


def needed_for_mean(mean: MeanDrop, margin: float, level: float) -> str:
    """How many times the items the mean takes to be shown within the margin in 4 of 5 runs that lose nothing."""
    # Where nothing changed at all the bound alone tells how much is known.
    error = mean.standard_error or (mean.at_most(1 - level) - mean.estimate) / NormalDist().inv_cdf(1 - level)
    factor = _factor(margin / 100, error, level)
    if factor <= 1:
        return "the items are enough for the mean where nothing is lost: the drop that is seen is too near the margin"
    return (
        f"the mean takes {factor:.1f} times these items in every task (or repeats) in 4 of 5 runs where nothing is lost"
    )


def _factor(margin: float, error: float, level: float) -> float:
    normal = NormalDist()
    return float("inf") if margin <= 0 else ((normal.inv_cdf(1 - level) + normal.inv_cdf(POWER)) * error / margin) ** 2


def _power(margin: float, error: float, level: float) -> float:
    if error <= 0:
        return float(margin > 0)
    return NormalDist().cdf(margin / error - NormalDist().inv_cdf(1 - level))


def _items(takes: int | None, size: int) -> str:
    if takes is None:
        return "more than ten million items"
    beyond = f", more than the {size} it has: widen its guard, make it supporting, or repeat" if takes > size else ""
    return counted(takes, "item") + beyond
