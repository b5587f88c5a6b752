"""Records of a source held against the content pins: which item each one is, and what differs, is missing or is new.

Pure. A record whose whole hash is pinned is that item, wherever it stands. One whose question alone is pinned is that
item with another content. What is left over between two known neighbours, in a source that keeps the order, is what is
missing between them, where there are as many of the one as of the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.pins import Part, Pins, differing_parts, question_hash, record_hash


@dataclass(frozen=True, slots=True)
class Unbuildable:
    """A record that no item could be made of, and why, in words that name its place."""

    why: str


Built = Case | Unbuildable


@dataclass(frozen=True, slots=True)
class Differing:
    """A record that is a pinned item with another content.

    ``position`` is its place in the delivered sequence, ``parts`` what differs of it (empty: cannot be told).
    """

    item: int
    position: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that could not be built; ``item`` is the pinned one that it stands for, None where that is unknown."""

    item: int | None
    position: int
    why: str


@dataclass(frozen=True, slots=True)
class Match:
    """How delivered records stand to the pins.

    Attributes:
        positions: item -> position in the delivered sequence, of every record that is an item: verified ones and
            differing ones under their pinned index, new ones after the last pinned index (from 0 where not one record
            is pinned: these are other records altogether).
        verified: number of records that match their pin.
        differing: records that are a pinned item with another content, by item.
        broken: records that could not be built, by position.
        missing: pinned items that no record is, by index.
        new: items of records that no pin knows.
    """

    positions: Mapping[int, int]
    verified: int
    differing: tuple[Differing, ...] = ()
    broken: tuple[Broken, ...] = ()
    missing: tuple[int, ...] = ()
    new: tuple[int, ...] = ()

    @property
    def amiss(self) -> int:
        """Number of records that differ, cannot be built, or stand where a pinned one is missing."""
        return len(self.differing) + len(self.broken) + min(len(self.missing), len(self.new))


def match(pins: Pins, delivered: Sequence[Built]) -> Match:
    """Hold records against the pins; equal records are taken in turn."""
    items: dict[int, int] = {}  # position -> item
    places = _free(pins.records, range(len(pins.records)))
    hashes = [None if isinstance(built, Unbuildable) else record_hash(built) for built in delivered]
    for position, key in enumerate(hashes):
        if key is not None and places[key]:
            items[position] = places[key].pop()
    verified = len(items)
    questions = _free(pins.questions, sorted(set(range(len(pins.records))) - set(items.values())))
    for position, built in enumerate(delivered):
        if position not in items and isinstance(built, Case):
            free = questions[question_hash(built.question)]
            if free:
                items[position] = free.pop()
    missing = sorted(set(range(len(pins.records))) - set(items.values()))
    if items:
        items |= dict(_between_neighbours(items, missing, len(delivered), len(pins.records)))
    return _found(pins, delivered, hashes, items, verified)


def _found(
    pins: Pins, delivered: Sequence[Built], hashes: Sequence[str | None], items: Mapping[int, int], verified: int
) -> Match:
    positions: dict[int, int] = {}
    differing: list[Differing] = []
    broken: list[Broken] = []
    new: list[int] = []
    after = len(pins.records) if items else 0
    for position, built in enumerate(delivered):
        item = items.get(position)
        if isinstance(built, Unbuildable):
            broken.append(Broken(item, position, built.why))
            continue
        if item is None:
            item = after + len(new)
            new.append(item)
        elif pins.records[item] != hashes[position]:
            differing.append(Differing(item, position, differing_parts(pins, item, built)))
        positions[item] = position
    known = {*items.values()}
    return Match(
        positions=dict(sorted(positions.items())),
        verified=verified,
        differing=tuple(sorted(differing, key=lambda record: record.item)),
        broken=tuple(broken),
        missing=tuple(item for item in range(len(pins.records)) if item not in known),
        new=tuple(new),
    )


def _free(keys: Sequence[str], indices: Sequence[int]) -> dict[str, list[int]]:
    """Indices by key, the first one last, so that ``pop`` takes them in order."""
    free: dict[str, list[int]] = defaultdict(list)
    for index in reversed(indices):
        free[keys[index]].append(index)
    return free


def _between_neighbours(
    items: Mapping[int, int], missing: Sequence[int], delivered: int, pinned: int
) -> Iterator[tuple[int, int]]:
    """(position, item) of left-over records that stand where exactly as many items are missing."""
    before, leftover = -1, list[int]()
    for position in range(delivered + 1):
        if position < delivered and position not in items:
            leftover.append(position)
            continue
        after = items.get(position, pinned)
        if leftover:
            gap = [item for item in missing if before < item < (after if after > before else pinned)]
            if len(gap) == len(leftover):
                yield from zip(leftover, gap, strict=True)
        before, leftover = after, []
