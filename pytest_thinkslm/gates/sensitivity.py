"""What a margin gate can see with so many items. Pure; percent and percentage points throughout."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_thinkslm.gates.outcomes import ALPHA, counted
from pytest_thinkslm.settings.gate_specs import Margin
from pytest_thinkslm.statistics import assumed_discordance, items_needed, items_to_pass, smallest_detectable_drop


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How small a drop (points) a margin gate finds in 4 of 5 runs; None where it finds none, however large.

    ``resolved`` is whether a drop of the margin itself can be told from no drop (power 80%), and ``items_needed`` how
    many items that takes, None where the margin is 0 or no number is enough.
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
        family: gates that are corrected together (Holm's first, strictest level is used; none for non-inferiority).
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
        purpose = f"showing that there is no drop of {margin.points:g} points where there is none"
    else:
        needed = items_needed(points, changing, alpha=alpha, design_effect=design_effect)
        purpose = f"telling a drop of {margin.points:g} points from none"
    resolved = needed is not None and needed <= n
    parts = []
    if margin.mode == "regression":
        found = "no drop at all" if smallest is None else f"only a drop of {100 * smallest:.1f} points or more"
        beyond = ", more than there is to lose" if smallest is not None and smallest > baseline else ""
        parts.append(f"with {counted(n, 'item')} {found} would be found in 4 of 5 runs{beyond}")
    if margin.points > 0 and not resolved:
        parts.append(f"{purpose} takes {needed or 'more than ten million'} items")
    detail = f" (one-sided level {alpha:.2g}, {100 * changing:.1f}% of the items changing their verdict, {source})"
    sentence = ", and ".join(parts) + detail if parts else ""
    return Sensitivity(None if smallest is None else 100 * smallest, resolved, needed, sentence)
