"""Sorting: lists of 8, 16 or 32 distinct integers to be put in ascending order, generated from the data seed."""

from __future__ import annotations

import random
from functools import partial

from pytest_thinkslm.metrics import sorting_metrics
from pytest_thinkslm.records import Case
from pytest_thinkslm.tasks.registry import Task

ITEMS = 100
LENGTHS = (8, 16, 32)
#: Condition -> the integers that lists are drawn from.
RANGES = {"positive": range(1, 101), "mixed": range(-100, 101)}


def generate(length: int, condition: str, data_seed: int, index: int, purpose: str = "item") -> Case:
    """One list: distinct integers, never in ascending order already; ``mixed`` has both signs.

    Drawn from a generator of its own, seeded by a string of the data seed, task and index, so that a list
    depends on nothing else. ``purpose`` sets the few-shot exemplars apart from the items.
    """
    key = f"sort{length}_{condition}"
    rng = random.Random(f"{purpose}:{data_seed}:{key}:{index}")
    while True:
        given = tuple(rng.sample(RANGES[condition], length))
        both_signs = min(given) < 0 < max(given)
        if list(given) != sorted(given) and (condition != "mixed" or both_signs):
            break
    return Case(
        task=key,
        index=index,
        kind="list",
        question=f"Sort this list of integers in ascending order: [{', '.join(map(str, given))}]",
        gold=tuple(sorted(given)),
        given=given,
        facets={"length": str(length), "condition": condition},
    )


TASKS = {
    f"sort{length}_{condition}": Task(
        key=f"sort{length}_{condition}",
        title=f"Sorting {length} integers, {condition}",
        kind="list",
        generate=partial(generate, length, condition),
        count=ITEMS,
        metrics=sorting_metrics,
    )
    for length in LENGTHS
    for condition in RANGES
}
