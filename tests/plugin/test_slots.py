"""GPU groups divided among slots, and the scheduler that hands slots on."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.plugin.scheduler import StaticShards
from pytest_thinkslm.plugin.slots import devices_of_slots


@given(st.integers(1, 4), st.integers(1, 9), st.data())
def test_every_group_is_in_one_slot_and_none_is_cut(size: int, count: int, data: st.DataObject) -> None:
    slots = data.draw(st.integers(1, count))
    groups = [tuple(range(at * size, at * size + size)) for at in range(count)]
    given_out = devices_of_slots(groups, slots)
    assert len(given_out) == slots
    assert [position for part in given_out for position in part] == list(range(size * count))
    sizes = {len(part) // size for part in given_out}
    assert all(len(part) % size == 0 for part in given_out)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


def test_too_many_slots() -> None:
    with pytest.raises(UsageError, match=r"-n 3: .* room for 1 GPU group \(why\); use -n 1,"):
        devices_of_slots([(0, 1)], 3, "why")


class Node:
    """What the scheduler asks of xdist's node."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.told_to_end = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.told_to_end = True


IDS = [f"test_x.py::test_gsm8k[direct-{index:04d}]" for index in range(30)]


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=12))
def test_whatever_dies_every_test_is_reported_once(slots: int, deaths: list[tuple[int, int]]) -> None:
    """``deaths``: (which of the nodes, tests that it finishes before it dies)."""
    scheduler = StaticShards(cast("Any", SimpleNamespace()), slots)
    reported: list[str] = []
    slot_of: dict[Node, int] = {}
    crashes: Counter[int] = Counter()

    def start() -> Node:
        node = Node()
        slot_of[node] = scheduler.claim_slot(cast("Any", node))
        scheduler.add_node(cast("Any", node))
        scheduler.add_node_collection(cast("Any", node), IDS)
        return node

    def finish(node: Node, count: int) -> None:
        for index in node.sent[:count]:
            reported.append(IDS[index])
            scheduler.mark_test_complete(cast("Any", node), index)
        del node.sent[:count]

    nodes = [start() for _ in range(slots)]
    scheduler.schedule()
    for which, done in deaths:
        node = nodes[which % len(nodes)]
        finish(node, done)
        crashes.update(node.sent[:1])
        scheduler.release_slot(cast("Any", node))  # as the controller does it, before xdist takes it off
        crashed = scheduler.remove_node(cast("Any", node))
        if crashed is not None:
            reported.append(crashed)
        nodes[nodes.index(node)] = replacement = start()
        scheduler.schedule()
        assert slot_of[replacement] == slot_of[node]
        assert replacement.told_to_end
        assert sorted(slot_of[node] for node in nodes) == list(range(slots))
    for node in nodes:
        finish(node, len(IDS))
    assert sorted(reported) == IDS
    assert scheduler.tests_finished
    assert set(crashes.values()) <= {1, 2}, "tried once more, and no more than that"


def test_a_slot_comes_back_from_a_node_that_never_was_ready() -> None:
    scheduler = StaticShards(cast("Any", SimpleNamespace()), 2)
    first, second, third = Node(), Node(), Node()
    assert [scheduler.claim_slot(cast("Any", node)) for node in (first, second)] == [0, 1]
    scheduler.release_slot(cast("Any", second))
    scheduler.release_slot(cast("Any", second))
    assert scheduler.claim_slot(cast("Any", third)) == 1
    assert not scheduler.free


def scheduled(slots: int) -> tuple[StaticShards, list[Node]]:
    scheduler, nodes = StaticShards(cast("Any", SimpleNamespace()), slots), [Node() for _ in range(slots)]
    for node in nodes:
        scheduler.claim_slot(cast("Any", node))
        scheduler.add_node(cast("Any", node))
    return scheduler, nodes


def test_nothing_is_complete_until_every_slot_has_collected() -> None:
    scheduler, nodes = scheduled(2)
    assert scheduler.remaining(0) is None
    seen = [(scheduler.collection_is_completed, scheduler.tests_finished, scheduler.has_pending)]
    for node in nodes:
        scheduler.add_node_collection(cast("Any", node), IDS)
        seen.append((scheduler.collection_is_completed, scheduler.tests_finished, scheduler.has_pending))
    assert seen == [(False, False, False), (False, False, False), (True, True, False)]
    scheduler.schedule()
    assert (scheduler.tests_finished, scheduler.has_pending) == (False, True)
    assert scheduler.remaining(0) == nodes[0].sent
    scheduler.add_node_collection(cast("Any", nodes[0]), IDS)
    scheduler.schedule()
    assert nodes[0].sent + nodes[1].sent == list(range(len(IDS))), "sent once"


def test_a_replacement_is_told_its_tests_when_it_has_collected() -> None:
    scheduler, nodes = scheduled(1)
    scheduler.add_node_collection(cast("Any", nodes[0]), IDS)
    scheduler.schedule()
    assert scheduler.remove_node(cast("Any", nodes[0])) is None
    replacement = Node()
    scheduler.claim_slot(cast("Any", replacement))
    scheduler.add_node(cast("Any", replacement))
    scheduler.schedule()
    assert (replacement.sent, replacement.told_to_end) == ([], False)
    assert not scheduler.collection_is_completed
    scheduler.add_node_collection(cast("Any", replacement), IDS)
    scheduler.schedule()
    assert (replacement.sent, replacement.told_to_end) == (list(range(len(IDS))), True)


def test_a_slot_with_work_left_is_taken_first() -> None:
    scheduler, nodes = scheduled(2)
    for node in nodes:
        scheduler.add_node_collection(cast("Any", node), IDS)
    scheduler.schedule()
    for index in nodes[0].sent:
        scheduler.mark_test_complete(cast("Any", nodes[0]), index)
    for node in nodes:
        assert scheduler.remove_node(cast("Any", node)) is None
    assert scheduler.claim_slot(cast("Any", Node())) == 1


def test_a_node_without_tests_is_sent_none() -> None:
    class Strict(Node):
        def send_runtest_some(self, indices: list[int]) -> None:
            assert indices, "xdist's workers take no empty list"
            super().send_runtest_some(indices)

    scheduler = StaticShards(cast("Any", SimpleNamespace()), 1)
    node = Strict()
    scheduler.claim_slot(cast("Any", node))
    scheduler.add_node(cast("Any", node))
    scheduler.add_node_collection(cast("Any", node), [])
    scheduler.schedule()
    assert node.told_to_end


def test_an_item_put_back_comes_first() -> None:
    scheduler, nodes = scheduled(1)
    scheduler.add_node_collection(cast("Any", nodes[0]), IDS)
    scheduler.schedule()
    assert scheduler.remove_node(cast("Any", nodes[0])) is None
    del scheduler.pending[0][0]
    scheduler.mark_test_pending(IDS[0])
    assert scheduler.remaining(0) == list(range(len(IDS)))


@pytest.mark.parametrize(
    ("other", "number"), [(IDS[:7], 7), ([*IDS, "more"], 30), ([*IDS[:3], "x", *IDS[4:]], 3), (IDS[::-1], 0)]
)
def test_workers_that_collected_different_tests(other: list[str], number: int) -> None:
    scheduler, nodes = scheduled(2)
    scheduler.add_node_collection(cast("Any", nodes[0]), IDS)
    with pytest.raises(RuntimeError, match=rf"first difference at number {number}\)"):
        scheduler.add_node_collection(cast("Any", nodes[1]), other)
