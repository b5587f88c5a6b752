"""The order of an adaptive run."""

from __future__ import annotations

from pytest_thinkslm.core.identity import ItemRef, shuffled
from pytest_thinkslm.generating.shards import in_turn


def refs(task: str, count: int, *, variant: int = 0, repeats: int = 1) -> list[ItemRef]:
    return [
        ItemRef(variant, task, "direct", index, repeat, f"test_{task}")
        for index in range(count)
        for repeat in range(1, repeats + 1)
    ]


def ordered(asked: list[ItemRef], paces: dict[str, float], lacking: frozenset[int] = frozenset()) -> list[ItemRef]:
    order = in_turn(asked, 3, pace=lambda ref: paces[ref.task], comparable=lambda ref: ref.index not in lacking)
    assert sorted(order) == list(range(len(asked)))
    return [asked[place] for place in order]


def test_items_come_in_the_order_of_the_data_seed_with_their_repeats_together() -> None:
    found = ordered(refs("a", 20, repeats=2), {"a": 1.0})
    assert [(ref.index, ref.repeat) for ref in found] == [
        (index, repeat) for index in shuffled("a", range(20), 3) for repeat in (1, 2)
    ]


def test_tasks_advance_by_their_pace_and_variants_one_after_the_other() -> None:
    asked = [*refs("a", 30), *refs("b", 30), *refs("a", 30, variant=1)]
    found = ordered(asked, {"a": 3.0, "b": 1.0})
    assert [ref.variant for ref in found] == [0] * 60 + [1] * 30
    assert [ref.task for ref in found[:40]].count("a") == 30


def test_items_that_cannot_be_compared_come_last() -> None:
    found = ordered([*refs("a", 10), *refs("b", 10)], {"a": 1.0, "b": 1.0}, frozenset(range(5)))
    assert all(ref.index >= 5 for ref in found[:10])
    assert all(ref.index < 5 for ref in found[10:])
