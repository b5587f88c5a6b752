"""Which worker runs which test: one pure function, used by the controller's scheduler and by each worker.

The controller knows test ids only, so the cost of an item is read from its id. Every worker computes its
own shard and can therefore hand all of it to its engine at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from pytest_thinkslm.core.identity import ItemRef, shuffled
from pytest_thinkslm.statistics.sequential import interleaved

#: Relative cost of one item, roughly its output tokens in hundreds.
COSTS: Mapping[str, float] = {
    "gsm8k": 2.5,
    "math": 5.0,
    "mathqa": 2.5,
    "arc_easy": 1.0,
    "arc_challenge": 1.0,
    "commonsenseqa": 1.0,
    "openbookqa": 1.0,
    "hellaswag": 1.0,
    "gsm_plus": 2.8,
    "mr_gsm": 4.0,
    "mr_ben": 4.0,
    "sort8_positive": 0.6,
    "sort8_mixed": 0.6,
    "sort16_positive": 1.0,
    "sort16_mixed": 1.0,
    "sort32_positive": 1.8,
    "sort32_mixed": 1.8,
}

_TEST_NAME = re.compile(r"::test_([A-Za-z0-9_]+)(?=\[|$|@)")


def group_of(nodeid: str) -> str:
    """The test function's name without ``test_``: the task key in this suite; "" for anything else."""
    match = _TEST_NAME.search(nodeid)
    return match.group(1) if match else ""


def shard(ids: Sequence[str], slots: int) -> list[list[int]]:
    """Split tests among slots: positions in ``ids``, in order, each exactly once.

    Runs of tests of one function are cut into contiguous parts, so that shared prompt prefixes and items of
    one cluster stay together; what a slot got too much of in one run it gets less of in the next.
    """
    if slots < 1:
        raise ValueError("at least one slot")
    shards: list[list[int]] = [[] for _ in range(slots)]
    loads = [0.0] * slots
    for start, stop, cost in _runs(ids):
        # What each slot lacks of an even share once this run is distributed, in items; cut at the rounded sums.
        even = (sum(loads) + (stop - start) * cost) / slots
        wanted = [max(0.0, (even - load) / cost) for load in loads]
        scale = (stop - start) / sum(wanted)
        reached, position = 0.0, start
        for slot in range(slots):
            reached += wanted[slot] * scale
            cut = stop if slot == slots - 1 else start + round(reached)
            shards[slot].extend(range(position, cut))
            loads[slot] += (cut - position) * cost
            position = cut
    return shards


def places_of(variants: Sequence[int], costs: Sequence[float]) -> list[float]:
    """Where each test lies when the run is laid out variant after variant, each of length 1: the middle of its cost.

    Args:
        variants: the variant of each test, from 0, in ascending order.
        costs: the relative cost of each.
    """
    totals: dict[int, float] = {}
    middles: list[float] = []
    for variant, cost in zip(variants, costs, strict=True):
        before = totals.get(variant, 0.0)
        middles.append(before + cost / 2)
        totals[variant] = before + cost
    return [variant + middle / totals[variant] for variant, middle in zip(variants, middles, strict=True)]


def in_turn(
    refs: Sequence[ItemRef],
    data_seed: int,
    *,
    pace: Callable[[ItemRef], float],
    comparable: Callable[[ItemRef], bool],
) -> list[int]:
    """The order of ``--adaptive``, as positions in ``refs``: variant by variant, in each of them its tasks interleaved.

    A test in a style is a queue: its items in a random order that ``data_seed`` fixes, an item's repeats together,
    those that are not ``comparable`` behind all others. Queues advance by their ``pace``.
    """
    queues: dict[tuple[int, str, str, str], dict[int, list[int]]] = {}
    for place, ref in enumerate(refs):
        queue = queues.setdefault((ref.variant, ref.task, ref.test, ref.style), {})
        queue.setdefault(ref.index, []).append(place)
    order: list[int] = []
    for variant in dict.fromkeys(key[0] for key in queues):
        own = [(key[1], items) for key, items in queues.items() if key[0] == variant]
        for shared in (True, False):
            parts = []
            for task, items in own:
                wanted = (index for index, places in items.items() if comparable(refs[places[0]]) is shared)
                parts.append([items[index] for index in shuffled(task, wanted, data_seed)])
            paces = [pace(refs[next(iter(items.values()))[0]]) for _, items in own]
            heads = [iter(part) for part in parts]
            for turn in interleaved([len(part) for part in parts], paces):
                order += next(heads[turn])
    return order


def _runs(ids: Sequence[str]) -> list[tuple[int, int, float]]:
    """(start, stop, cost an item) of consecutive tests of one function."""
    runs: list[tuple[int, int, float]] = []
    start, previous = 0, None
    for position, nodeid in enumerate(ids):
        name = nodeid.partition("[")[0]
        if name != previous:
            if previous is not None:
                runs.append((start, position, COSTS.get(group_of(ids[start]), 1.0)))
            start, previous = position, name
    if ids:
        runs.append((start, len(ids), COSTS.get(group_of(ids[start]), 1.0)))
    return runs
