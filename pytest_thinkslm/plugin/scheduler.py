"""The xdist scheduler: static shards, one a slot, so that every worker knows its whole future.

A slot is a place to run: its GPUs, or its share of the CPUs. A replacement worker takes over the slot of the dead one
with its remaining items; the item that was running when the worker died is tried once more, and reported as
crashed the second time. Called by ``xdist.dsession.DSession`` on the controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.generating.shards import shard

if TYPE_CHECKING:
    import pytest
    from xdist.workermanage import WorkerController


class StaticShards:
    """xdist's ``Scheduling`` protocol over ``shard()``.

    Invariants: every index is pending in exactly one slot or completed; a slot has at most one node.
    """

    def __init__(self, config: pytest.Config, slots: int) -> None:
        self.config = config
        self.slots = slots
        self.collection: list[str] | None = None
        self.node2slot: dict[WorkerController, int] = {}
        self.node2collection: dict[WorkerController, list[str]] = {}
        self.pending: list[dict[int, None]] = [{} for _ in range(slots)]
        self.free: list[int] = list(range(slots))
        self.claimed: dict[WorkerController, int] = {}
        #: Ids of items that were running when their node died, and the slot that it had.
        self.crashed: dict[str, int] = {}
        self._sent: set[Any] = set()

    def claim_slot(self, node: WorkerController) -> int:
        """The slot of a node that is being configured: one with work left before one without."""
        slot = next((slot for slot in self.free if self.pending[slot]), self.free[0])
        self.free.remove(slot)
        self.claimed[node] = slot
        return slot

    def release_slot(self, node: WorkerController) -> None:
        """A node is gone, perhaps before xdist called it ready; under a ``--dist`` of the user's that is all it is."""
        if node in self.claimed:
            self.free.append(self.claimed.pop(node))

    def remaining(self, slot: int) -> list[int] | None:
        """What a replacement node has to run; None before the first distribution."""
        return None if self.collection is None else list(self.pending[slot])

    # -- xdist's protocol, in the order of its calls ----------------------------------------------------

    @property
    def nodes(self) -> list[WorkerController]:
        """Nodes that take part."""
        return list(self.node2slot)

    @property
    def collection_is_completed(self) -> bool:
        """True when every slot's node (later on: every node there is) has reported its collection."""
        if self.collection is None:
            return len(self.node2collection) >= self.slots
        return all(node in self.node2collection for node in self.node2slot)

    @property
    def tests_finished(self) -> bool:
        """True when nothing is pending that a node could still need another index for."""
        return self.collection_is_completed and not any(self.pending)

    @property
    def has_pending(self) -> bool:
        """True while an item has no result."""
        return any(self.pending)

    def add_node(self, node: WorkerController) -> None:
        """A worker is ready."""
        self.node2slot[node] = self.claimed[node]

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected; every collection must be the same."""
        ids = list(collection)
        expected = self.collection if self.collection is not None else next(iter(self.node2collection.values()), ids)
        if ids != expected:
            where = next(
                (i for i, (a, b) in enumerate(zip(expected, ids, strict=False)) if a != b), min(len(ids), len(expected))
            )
            raise RuntimeError(f"workers collected different tests (first difference at number {where})")
        self.node2collection[node] = ids

    def schedule(self) -> None:
        """Distribute once; later calls serve a replacement node."""
        if self.collection is None:
            self.collection = next(iter(self.node2collection.values()), [])
            self.pending = [dict.fromkeys(part) for part in shard(self.collection, self.slots)]
        for node, slot in self.node2slot.items():
            if node not in self._sent and node in self.node2collection:
                self._sent.add(node)
                if self.pending[slot]:
                    node.send_runtest_some(list(self.pending[slot]))
                node.shutdown()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has finished an item."""
        del self.pending[self.node2slot[node]][item_index]

    def mark_test_pending(self, item: str) -> None:
        """Put an item back: a ``pytest_handlecrashitem`` hook calls this to have a crashed one tried once more.

        It goes to the slot that it came from, whose next node runs it: nodes that are at work have been told their
        last item.
        """
        assert self.collection is not None
        slot = self.crashed[item]
        self.pending[slot] = {self.collection.index(item): None, **self.pending[slot]}

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Stealing is not offered."""
        raise NotImplementedError

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker is gone. Returns the id of an item that crashed it twice."""
        slot = self.node2slot.pop(node)
        if self.collection is not None:  # else what it found counts: a worker that has nothing to do ends at once
            self.node2collection.pop(node, None)
        self.release_slot(node)
        pending = self.pending[slot]
        if not pending or self.collection is None:
            return None
        index = next(iter(pending))
        item = self.collection[index]
        if item not in self.crashed:
            self.crashed[item] = slot
            return None
        del pending[index]
        return item
