"""What a margin gate can see with so many items. Pure; percent and percentage points throughout."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_thinkslm.gates.outcomes import ALPHA, counted
from pytest_thinkslm.settings.gate_specs import Margin
from pytest_thinkslm.statistics import assumed_discordance, items_needed, items_to_pass, smallest_detectable_drop
from pytest_thinkslm.statistics.power import POWER


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How small a drop (points) a margin gate finds in 4 of 5 runs; None where it finds none, however large.

    ``resolved`` is whether n items are enough for what the gate is there for, with power 80%: a regression gate to find
    a drop of twice its margin, a family of non-inferiority gates to pass together where there is no drop.
    ``items_needed`` is how many that takes for this one gate, None where the margin is 0 or no number is enough.
    """

    smallest_drop: float | None
    resolved: bool
    items_needed: int | None
    sentence: str


def sensitivity(
    margin: Margin,
    n: int,
    *,
    family: int = 1,
    baseline: float = 1.0,
    discordance: float | None = None,
    design_effect: float = 1.0,
) -> Sensitivity:
    """What a margin gate can see with ``n`` items; before a run, or from its comparison.

    Args:
        family: gates that stand together: corrected by Holm's first, strictest level; of non-inferiority all must pass.
        baseline: accuracy of the baseline, a fraction.
        discordance: share of items whose verdict changes; None assumes p (1 - p) of the baseline's p, and says so.
        design_effect: of the difference (`PairedResult.design_effect`).
    """
    changing = assumed_discordance(baseline) if discordance is None else discordance
    source = "assumed" if discordance is None else "observed"
    alpha = ALPHA if margin.mode == "noninferiority" else ALPHA / max(1, family)
    points = margin.points / 100
    smallest = smallest_detectable_drop(n, changing, margin=points, alpha=alpha, design_effect=design_effect)
    if margin.mode == "noninferiority":
        needed = items_to_pass(points, changing, alpha=alpha, design_effect=design_effect)
        # All of them have to pass; a run in which they are independent passes with the product of their powers.
        every = items_to_pass(
            points, changing, alpha=alpha, power=POWER ** (1 / max(1, family)), design_effect=design_effect
        )
        purpose = f"showing in 4 of 5 runs that there is no drop of {margin.points:g} points where there is none"
        whole = f", and {_items(every)} a gate for all {family} gates together" if family > 1 else ""
    else:
        # The margin itself is never found: that is what the gate lets pass. Twice the margin is what it is there for.
        needed = items_needed(2 * points, changing, margin=points, alpha=alpha, design_effect=design_effect)
        every = needed
        purpose = f"finding a drop of {2 * margin.points:g} points in 4 of 5 runs"
        whole = f" (corrected over {family} gates)" if family > 1 else ""
    resolved = every is not None and every <= n
    parts = []
    if margin.mode == "regression":
        found = "no drop at all" if smallest is None else f"only a drop of {100 * smallest:.1f} points or more"
        beyond = ", more than there is to lose" if smallest is not None and smallest > baseline else ""
        parts.append(f"with {counted(n, 'item')} {found} would be found in 4 of 5 runs{beyond}")
    if margin.points > 0 and not resolved:
        parts.append(f"{purpose} takes {_items(needed)}{whole}")
    detail = f" (one-sided level {alpha:.2g}, {100 * changing:.1f}% of the items changing their verdict, {source})"
    sentence = ", and ".join(parts) + detail if parts else ""
    return Sensitivity(None if smallest is None else 100 * smallest, resolved, needed, sentence)


def _items(number: int | None) -> str:
    return "more than ten million items" if number is None else counted(number, "item")
