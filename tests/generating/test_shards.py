from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.generating.shards import COSTS, group_of, shard
from pytest_thinkslm.tasks.registry import all_tasks


def ids_of(counts: dict[str, int]) -> list[str]:
    return [f"test_x.py::test_{task}[direct-{index:04d}]" for task, count in counts.items() for index in range(count)]


COUNTS = st.dictionaries(st.sampled_from([*COSTS, "mine"]), st.integers(0, 60), max_size=6)


@given(COUNTS, st.integers(1, 9))
def test_every_test_is_in_exactly_one_shard_in_order(counts: dict[str, int], slots: int) -> None:
    ids = ids_of(counts)
    shards = shard(ids, slots)
    assert len(shards) == slots
    assert sorted(index for part in shards for index in part) == list(range(len(ids)))
    assert all(part == sorted(part) for part in shards)


@given(COUNTS, st.integers(1, 9))
def test_loads_differ_by_little_more_than_the_costliest_item(counts: dict[str, int], slots: int) -> None:
    ids = ids_of(counts)
    costs = [COSTS.get(group_of(nodeid), 1.0) for nodeid in ids]
    loads = [sum(costs[index] for index in part) for part in shard(ids, slots)]
    assert max(loads) - min(loads) <= 2 * max(costs, default=0) + 1e-9


def test_a_tasks_items_stay_together() -> None:
    parts = shard(ids_of({"gsm8k": 100}), 4)
    assert [part == list(range(part[0], part[-1] + 1)) for part in parts] == [True] * 4
    assert [len(part) for part in parts] == [25] * 4


def test_costs_name_every_task_of_the_suite() -> None:
    assert set(COSTS) == set(all_tasks())


def test_the_group_is_read_from_the_id() -> None:
    assert group_of("a/test_sorting.py::test_sort8_mixed[m+q-5shot-cot-0001-r2]") == "sort8_mixed"
    assert group_of("a.py::TestIt::test_gsm8k[direct-0001]@group") == "gsm8k"
    assert group_of("a.py::something_else") == ""
