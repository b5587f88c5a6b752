"""What each xdist worker gets of a machine: GPU groups divided among slots. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_thinkslm.core.errors import UsageError


def devices_of_slots(groups: Sequence[Sequence[int]], slots: int, reason: str = "") -> list[tuple[int, ...]]:
    """The GPU positions of each slot: one group or several neighbouring ones, every group in exactly one slot.

    With fewer slots than groups a slot gets several: vLLM loads a replica on each of them.

    Args:
        groups: positions among the visible GPUs; each group holds the model once.
        slots: number of workers, at least 1.
        reason: how the groups came about, for the message.

    Raises:
        UsageError: more slots than groups. Two workers on one group would load the model twice where it was
            placed once.
    """
    if slots > len(groups):
        many = f"{len(groups)} GPU group{'s' if len(groups) != 1 else ''}"
        raise UsageError(
            f"-n {slots}: a worker needs a GPU group of its own, and there is room for {many}"
            + (f" ({reason})" if reason else "")
            + f"; use -n {len(groups)}, or -n auto, which takes as many as there are groups"
        )
    cuts = [slot * len(groups) // slots for slot in range(slots + 1)]
    return [tuple(position for group in groups[start:stop] for position in group) for start, stop in pairwise(cuts)]
