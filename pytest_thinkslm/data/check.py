"""A data set held against its content pins for people to read: every record that differs, and which part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.data.delivery import Delivery, build_all, deliver
from pytest_thinkslm.data.matching import Built, Match, Unbuildable, match
from pytest_thinkslm.data.verification import tolerated
from pytest_thinkslm.tasks import pins as pins_data
from pytest_thinkslm.tasks.task import Task

#: Characters of a part that are shown.
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """One record: ``item`` is its name ("new" where no pin knows it), ``place`` where the source has it, ``what``."""

    item: str
    place: str
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a source delivered of a task, held against the pins.

    Attributes:
        task: key of the task.
        source: file name, or hub id with revision and split.
        records: number of records delivered.
        summary: how many match and what a run does with the others, in a sentence.
        differences: every record that is not a pinned item as it is pinned, and every pinned item that is missing
            (a run of them is one entry).
        note: what else is to be known of the source; empty.
        same: every pinned record is there as it is pinned, and where a set was pinned as a whole nothing else is.
    """

    task: str
    source: str
    records: int
    summary: str
    differences: tuple[Difference, ...]
    note: str
    same: bool


def check(task: Task, data_dir: Path | None, hub: Mapping[str, str]) -> Checked:
    """Read a task's records and hold each against its pin. Raises ``DataError`` where they cannot be had."""
    delivery = deliver(task, data_dir, hub)
    built = build_all(task, delivery)
    pins = pins_data.load(task.key)
    if pins is None:
        broken = [Difference("-", "", entry.why) for entry in built if isinstance(entry, Unbuildable)]
        summary = f"no pins: {len(built) - len(broken)} of {len(built)} records can be built"
        return Checked(task.key, delivery.source, len(built), summary, tuple(broken), delivery.note, same=not broken)
    found = match(pins, built)
    unpinned = max(task.count, delivery.expected or 0) > len(pins.records)
    new = () if unpinned and found.verified else found.new
    differences = (*_pinned(delivery, found), *_new(delivery, built, found, new))
    summary = f"{found.verified} of {len(pins.records)} pinned records match"
    if unpinned and found.new and not new:
        summary += f", {len(found.new)} others are unpinned"
    summary += f"; {_run(delivery, found)}" if differences else ""
    return Checked(task.key, delivery.source, len(built), summary, differences, delivery.note, same=not differences)


def _run(delivery: Delivery, found: Match) -> str:
    """What a run over all items does."""
    bound = tolerated(len(delivery.records))
    if not found.verified and not found.differing:
        return "a run stops: not one record is known"
    if found.amiss > bound:
        return f"a run that asks for them stops: {found.amiss} are amiss, with at most {bound} it would leave them out"
    return "a run leaves these out, and says so"


def _pinned(delivery: Delivery, found: Match) -> list[Difference]:
    listed = {
        record.item: Difference(
            f"{record.item:04d}",
            delivery.places[record.position],
            "; ".join(f"{part.name} differs: {safe_line(part.text, _SHOWN)}" for part in record.parts)
            or "differs (which part cannot be told)",
        )
        for record in found.differing
    }
    listed |= {first: _missing(first, last) for first, last in _runs(found.missing)}
    nowhere = []
    for record in found.broken:
        name = "-" if record.item is None else f"{record.item:04d}"
        entry = Difference(name, "", f"cannot be built: {record.why}")
        if record.item is None:
            nowhere.append(entry)
        else:
            listed[record.item] = entry
    return [*(listed[item] for item in sorted(listed)), *nowhere]


def _missing(first: int, last: int) -> Difference:
    return Difference(f"{first:04d}" if first == last else f"{first:04d} to {last:04d}", "", "missing")


def _runs(items: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive items."""
    starts = [item for place, item in enumerate(items) if not place or items[place - 1] != item - 1]
    ends = [item for place, item in enumerate(items) if place + 1 == len(items) or items[place + 1] != item + 1]
    return list(zip(starts, ends, strict=True))


def _new(delivery: Delivery, built: list[Built], found: Match, new: tuple[int, ...]) -> list[Difference]:
    entries = []
    for item in new:
        position = found.positions[item]
        case = built[position]
        assert isinstance(case, Case)
        what = f"known to no pin: {safe_line(case.question, _SHOWN)}"
        entries.append(Difference("new", delivery.places[position], what))
    return entries
