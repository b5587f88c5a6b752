"""Items of a task: which there are, and the cases of those that were selected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.core.records import Case, PinState
from pytest_thinkslm.data import tour
from pytest_thinkslm.data.delivery import Delivery, build_all, deliver, folder_of, unbuildable
from pytest_thinkslm.data.local import count_records, find_file
from pytest_thinkslm.data.matching import Built, Match, Unbuildable, match
from pytest_thinkslm.data.verification import Policy, item_names, verify
from pytest_thinkslm.tasks import pins as pins_data
from pytest_thinkslm.tasks.task import Task


@dataclass(frozen=True, slots=True)
class DataState:
    """What a report has to say about the data that a figure rests on.

    Attributes:
        source: file name, hub id with revision, or "generated (data seed N)".
        records: number of records at hand.
        expected: number of records of the whole set.
        partial: e.g. "590 of 2999 records, wrong solutions only"; None for the whole set.
        pin: "ok" (what was asked is verified, or generated), "accepted" (items that are not the pinned ones were run on
            purpose) or "unpinned".
        differing: items whose content is not the pinned one.
        missing: pinned items that are not at hand.
        new: number of records that no pin knows, in a set that should have none.
        unverified: items that were asked for and left out: they differ from their pin or cannot be built.
        absent: items that were asked for and are not at hand.
        notes: what else is odd, a line each.
        digest: of the pins used; empty where there are none.
    """

    source: str
    records: int
    expected: int
    partial: str | None = None
    pin: PinState = "ok"
    differing: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    new: int = 0
    unverified: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The selected cases of a task, by index, and the state of its data; ``left_out`` says why others are not run."""

    cases: dict[int, Case]
    state: DataState
    left_out: Mapping[int, str] = field(default_factory=dict)


def item_indices(task: Task, data_dir: Path | None) -> Sequence[int]:
    """The items that there are, for collection; opens no data but a local file whose size is unknown.

    Without ``data_dir``, or where the file is missing or unreadable, those that are pinned: the error comes when the
    data is read. Of a local file with no more records than are pinned, the items that it has: an item keeps its index.
    """
    folder = folder_of(task, data_dir)
    if task.source is None or folder is None:
        return range(task.count)
    if tour.is_tour(folder):
        return range(tour.RECORDS)
    header = pins_data.header(task.key)
    pinned = header.records if header is not None else task.count
    found = find_file(task, folder)
    counted = count_records(task, found[1]) if found else None
    if found is None or counted is None:
        return range(pinned)
    known = header is not None and header.sizes.get(found[1].name) == found[1].stat().st_size
    if known or header is None or counted > pinned:
        return range(counted)
    try:
        built = build_all(task, deliver(task, data_dir, {}))
    except DataError:
        return range(counted)
    pins = pins_data.load(task.key)
    assert pins is not None
    matched = match(pins, built)
    broken = [record.item for record in matched.broken if record.item is not None]
    return sorted({*matched.positions, *broken})


def item_count(task: Task, data_dir: Path | None) -> int:
    """Number of items, as ``item_indices`` has them."""
    return len(item_indices(task, data_dir))


def load_cases(
    task: Task,
    indices: Iterable[int],
    data_dir: Path | None,
    *,
    data_seed: int,
    accept_data: bool = False,
    strict_data: bool = False,
    hub: Mapping[str, str] | None = None,
) -> Dataset:
    """Read one task's data and build the cases of ``indices``.

    Args:
        task: whose items; no other task's data is opened.
        indices: items by index.
        data_dir: local folder; None: the hub.
        data_seed: seed of generated tasks.
        accept_data: run items that are not the pinned ones too; the state says so.
        strict_data: any record that is not the pinned one is an error. Without either, few of them are left out
            (``verification.py``).
        hub: overrides of hub ids by task key.

    Returns:
        The cases of the items that are to be run, and why others are left out.

    Raises:
        DataError: data missing, damaged, of another task, too far from its pins, or without any item asked for.
    """
    wanted = list(indices)
    policy: Policy = "accept" if accept_data else "strict" if strict_data else "verified"
    if task.source is None:
        assert task.generate is not None
        _exist(task, wanted, range(task.count), "", task.count)
        cases = {index: task.generate(data_seed, index) for index in wanted}
        return Dataset(cases, DataState(f"generated (data seed {data_seed})", task.count, task.count))
    delivery = deliver(task, data_dir, hub or {})
    if tour.is_tour(folder_of(task, data_dir)):
        return _toured(_unpinned(task, delivery, build_all(task, delivery), wanted, policy))
    if pins_data.header(task.key) is None:
        return _unpinned(task, delivery, build_all(task, delivery), wanted, policy)
    return _pinned(task, delivery, wanted, policy)


def _unpinned(task: Task, delivery: Delivery, built: Sequence[Built], wanted: Sequence[int], policy: Policy) -> Dataset:
    """Items by position; a record that cannot be built stops a run that asks for it, unless data is accepted."""
    _exist(task, wanted, range(len(built)), delivery.source, len(built))
    cases: dict[int, Case] = {}
    left_out: dict[int, str] = {}
    for index in wanted:
        entry = built[index]
        if isinstance(entry, Case):
            cases[index] = replace(entry, index=index)
        elif policy == "accept":
            left_out[index] = f"unverified: the record cannot be built ({entry.why})"
        else:
            raise unbuildable(task, delivery, entry)
    broken = [entry for entry in built if isinstance(entry, Unbuildable)]
    if broken and policy == "strict":
        raise unbuildable(task, delivery, broken[0])
    _some_left(task, delivery, wanted, cases, left_out)
    notes = [delivery.note] if delivery.note else []
    if broken:
        notes.append(f"{len(broken)} records cannot be built (the first: {broken[0].why})")
    state = DataState(
        delivery.source,
        len(built),
        task.count or len(built),
        pin="unpinned",
        unverified=tuple(left_out),
        notes=(*notes, *_odd(cases.values())),
    )
    return Dataset(cases, state, left_out)


def _toured(data: Dataset) -> Dataset:
    """A tour's records are the package's own: there is nothing to verify, and no more of them."""
    own = data.state.source
    state = replace(data.state, expected=data.state.records, pin="ok", digest=tour.digest(own), notes=())
    return replace(data, state=replace(state, source=f"tour ({own})"))


def _pinned(task: Task, delivery: Delivery, wanted: Sequence[int], policy: Policy) -> Dataset:
    """Items by their pins. Of a file that is pinned as a whole no more is read than what was asked for."""
    header = pins_data.header(task.key)
    assert header is not None
    assert task.build is not None
    records = len(delivery.records)
    if delivery.pinned:
        found = Match({item: item for item in range(records)}, verified=records)
        own = {item: task.build(delivery.records[item], item) for item in wanted if item in found.positions}
    else:
        pins = pins_data.load(task.key)
        assert pins is not None
        built = build_all(task, delivery)
        found = match(pins, built)
        own = {item: case for item, at in found.positions.items() if isinstance(case := built[at], Case)}
    whole = max(task.count, delivery.expected or header.records)
    outcome = verify(task, delivery, own.values(), found, wanted, policy)
    _exist(task, wanted, {*range(whole), *own}, delivery.source, records)
    cases = {item: replace(own[item], index=item) for item in wanted if item not in outcome.left_out}
    _some_left(task, delivery, wanted, cases, outcome.left_out)
    partial = None
    if records < whole:
        partial = f"{records} of {whole} records" + (f", {delivery.lacks}" if delivery.lacks else "")
    state = DataState(
        source=delivery.source,
        records=records,
        expected=whole,
        partial=partial,
        pin="accepted" if outcome.accepted else "ok",
        differing=tuple(record.item for record in found.differing),
        missing=found.missing,
        new=0 if whole > header.records else len(found.new),
        unverified=outcome.unverified,
        absent=outcome.absent,
        notes=(*outcome.notes, *_odd(cases.values())),
        digest=header.digest,
    )
    return Dataset(cases, state, outcome.left_out)


def _odd(cases: Iterable[Case]) -> tuple[str, ...]:
    """One line for each kind of oddity, with the items that have it."""
    items: dict[str, list[int]] = {}
    for case in cases:
        if case.note:
            items.setdefault(case.note, []).append(case.index)
    return tuple(
        f"{note}: {len(found)} items ({', '.join(f'{i:04d}' for i in found)})" for note, found in items.items()
    )


def _exist(task: Task, indices: Iterable[int], known: range | set[int], source: str, records: int) -> None:
    unknown = [index for index in indices if index not in known]
    if unknown:
        where = f" of {source}" if source else ""
        raise DataError(
            f"{task.key}: items {item_names(unknown)} do not exist: there are {records} records{where}, "
            "numbered from 0000"
        )


def _some_left(
    task: Task, delivery: Delivery, wanted: Sequence[int], cases: Mapping[int, Case], left_out: Mapping[int, str]
) -> None:
    """Nothing left to run is no result: what was asked for could not be checked."""
    if wanted and not cases:
        first = wanted[0]
        raise DataError(
            f"{task.key}: none of the {len(wanted)} items asked for can be run on {delivery.where} "
            f"({first:04d}: {left_out[first]}). 'thinkslm data check {task.key}' names every difference; get the "
            "original data, or run on these with --accept-data"
        )
