"""Sorting: lists of 8, 16 or 32 distinct integers to be put in ascending order, generated from the data seed."""

from __future__ import annotations

import random
from functools import partial

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.metrics import sorting_metrics
from pytest_thinkslm.tasks.task import Limit, Task

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


def exemplar_case(key: str, data_seed: int, index: int) -> Case:
    """A list for a few-shot exemplar, from another stream than the items'."""
    length, condition = key.removeprefix("sort").split("_")
    return generate(int(length), condition, data_seed, index, purpose="exemplar")


def worked_solution(case: Case) -> str:
    """Selection sort in words: the smallest of what is left, again and again."""
    first, *others = map(str, sorted(case.given))
    return f"The smallest integer is {first}. Of those left, the smallest is, in turn: {', '.join(others)}."


#: New tokens by length: the list with its brackets, restated once or twice, and some words.
_MAX_TOKENS = {8: 512, 16: 1024, 32: 2048}


TASKS = {
    f"sort{length}_{condition}": Task(
        key=f"sort{length}_{condition}",
        title=f"Sorting {length} integers, {condition}",
        kind="list",
        generate=partial(generate, length, condition),
        count=ITEMS,
        metrics=sorting_metrics,
        limit=Limit(answer=_MAX_TOKENS[length], thought=8192),
    )
    for length in LENGTHS
    for condition in RANGES
}
