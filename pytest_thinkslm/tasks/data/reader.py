"""Items of a task: how many there are, and the cases of those that were selected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks import pins as pins_data
from pytest_thinkslm.tasks.data import hub as hub_data
from pytest_thinkslm.tasks.data.local import SUFFIXES, count_records, find_file, read_jsonl
from pytest_thinkslm.tasks.registry import all_tasks
from pytest_thinkslm.tasks.task import Record, Task

PinState = Literal["ok", "accepted", "unpinned"]
_NAMED = 8


@dataclass(frozen=True, slots=True)
class DataState:
    """What a report has to say about the data that a figure rests on.

    Attributes:
        source: file name, hub id, or "generated (data seed N)".
        records: number of records at hand.
        expected: number of records of the whole set.
        partial: e.g. "590 of 2999 records, wrong solutions only"; None for the whole set.
        pin: "ok" (content verified, or generated), "accepted" (fails its pins, run on purpose) or "unpinned".
        differing: items whose content is not the pinned one.
        missing: pinned items that are not at hand.
        new: number of records that no pin knows, in a set that should have none.
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
    notes: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The selected cases of a task, by index, and the state of its data."""

    cases: dict[int, Case]
    state: DataState


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Records as a source delivered them. ``places`` name them in messages ("line 3")."""

    source: str
    records: Sequence[Record]
    places: Sequence[str]
    expected: int | None
    lacks: str = ""
    stem: str = ""
    where: str = ""


def item_count(task: Task, data_dir: Path | None) -> int:
    """Number of items, for collection; opens no data unless a local file's size is unknown.

    Without ``data_dir``, or where the file is missing or unreadable, the pinned number: the error comes when
    the data is read.
    """
    folder = _folder(task, data_dir)
    if task.source is None or folder is None:
        return task.count
    found = find_file(task, folder)
    counted = count_records(task, found[1]) if found else None
    if counted is not None:
        return counted
    header = pins_data.header(task.key)
    return header.records if header is not None else task.count


def load_cases(
    task: Task,
    indices: Iterable[int],
    data_dir: Path | None,
    *,
    data_seed: int,
    accept_data: bool = False,
    hub: Mapping[str, str] | None = None,
) -> Dataset:
    """Read one task's data and build the cases of ``indices``.

    Args:
        task: whose items; no other task's data is opened.
        indices: items by index; all of them must exist.
        data_dir: local folder; None: the hub.
        data_seed: seed of generated tasks.
        accept_data: run on data that fails its pins; the state says so.
        hub: overrides of hub ids by task key.

    Raises:
        DataError: data missing, damaged, of another task, failing its pins, or without an item asked for.
    """
    wanted = list(indices)
    if task.source is None:
        assert task.generate is not None
        _check(task, wanted, task.count, "")
        cases = {index: task.generate(data_seed, index) for index in wanted}
        return Dataset(cases, DataState(f"generated (data seed {data_seed})", task.count, task.count))
    delivery = _deliver(task, _folder(task, data_dir), hub or {})
    built = _build(task, delivery)
    ordered, state = _pinned(task, delivery, built, accept_data)
    _check(task, wanted, len(ordered), delivery.source)
    return Dataset({index: replace(ordered[index], index=index) for index in wanted}, state)


def _folder(task: Task, data_dir: Path | None) -> Path | None:
    return task.source.folder if task.source is not None and task.source.folder is not None else data_dir


def _deliver(task: Task, folder: Path | None, hub: Mapping[str, str]) -> _Delivery:
    assert task.source is not None
    if folder is None:
        hub_id, rows = hub_data.read_hub(task, hub)
        places = [f"row {row}" for row in range(len(rows))]
        return _Delivery(f"hub {hub_id}, {task.source.split}", rows, places, task.count or None, where=hub_id)
    found = find_file(task, folder)
    if found is None:
        if not folder.is_dir():
            raise DataError(f"{task.key}: the data folder {folder} does not exist; give another with --data-dir")
        names = " or ".join(f"{file.stem}{suffix}" for file in task.source.files for suffix in SUFFIXES)
        raise DataError(
            f"{task.key}: {folder} has no {names}; put it there, select other tasks with --task, "
            "or leave --data-dir out to take it from the hub"
        )
    file, path = found
    numbered = read_jsonl(path, task.key)
    places = [f"line {number}" for number, _ in numbered]
    return _Delivery(
        path.name, [record for _, record in numbered], places, file.records, file.lacks, file.stem, str(path)
    )


def _build(task: Task, delivery: _Delivery) -> list[Case]:
    assert task.build is not None
    cases = []
    for position, record in enumerate(delivery.records):
        if position == 0:
            _check_form(task, record, delivery)
        try:
            cases.append(task.build(record, position))
        except (KeyError, TypeError, ValueError, SyntaxError, IndexError) as error:
            _check_form(task, record, delivery, position)
            what = f"has no field {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{task.key}: {delivery.where}, {delivery.places[position]}: {what}; "
                "the record is none of this task's, or damaged: get the data again"
            ) from error
    return cases


def _check_form(task: Task, record: Record, delivery: _Delivery, position: int = 0) -> None:
    """Raise where a record's fields are not this task's, naming the task that they look like."""
    assert task.source is not None
    if not task.source.forms:
        return
    own = max((len(form) for form in task.source.forms if form <= record.keys()), default=0)
    others = {
        other.key: max((len(form) for form in other.source.forms if form <= record.keys()), default=0)
        for other in all_tasks().values()
        if other.source is not None
    }
    best = max(others.values())
    if own and own == best:
        return
    likely = [key for key, size in others.items() if size == best and size]
    looks = f"; it looks like {' or '.join(likely)}" if likely else ""
    raise DataError(
        f"{task.key}: {delivery.where}, {delivery.places[position]} is no record of this task "
        f"(its fields: {', '.join(map(str, record)) or 'none'}){looks}; "
        f"expected at least: {', '.join(sorted(task.source.forms[0]))}"
    )


def _pinned(task: Task, delivery: _Delivery, cases: list[Case], accept: bool) -> tuple[list[Case], DataState]:
    """Cases in item order, and what the pins say of them; ``DataError`` where they fail and that is not accepted."""
    pins = pins_data.load(task.key)
    whole = task.count or len(cases)
    if pins is None:
        state = DataState(delivery.source, len(cases), whole, pin="unpinned", notes=_odd(cases))
        return cases, state
    found = pins_data.match(pins, cases)
    expected = delivery.expected or pins.header.records
    # A set of which only a part was pinned may bring the other records, as long as none of the pinned is amiss.
    unpinned = len(found.new) if expected > pins.header.records else 0
    new = len(found.new) - unpinned
    short = max(0, expected - len(cases)) if unpinned or expected > pins.header.records else 0
    fails = bool(found.differing or found.missing or new or short)
    if fails and not accept:
        raise DataError(_pin_message(task, delivery, cases, pins, found, new, expected))
    ordered = [cases[position] for position in found.order]
    notes = list(_odd(replace(case, index=index) for index, case in enumerate(ordered)))
    if unpinned:
        notes.insert(0, f"{unpinned} records are unpinned: their content was not verified")
    if len(cases) > expected:
        notes.insert(0, f"{len(cases)} records where {expected} were expected")
    partial = None
    whole = max(whole, expected)
    if len(cases) < whole:
        partial = f"{len(cases)} of {whole} records" + (f", {delivery.lacks}" if delivery.lacks else "")
    return ordered, DataState(
        source=delivery.source,
        records=len(cases),
        expected=whole,
        partial=partial,
        pin="accepted" if fails else "ok",
        differing=found.differing,
        missing=found.missing,
        new=new,
        notes=tuple(notes),
        digest=pins.digest,
    )


def _pin_message(
    task: Task,
    delivery: _Delivery,
    cases: Sequence[Case],
    pins: pins_data.Pins,
    found: pins_data.Match,
    new: int,
    expected: int,
) -> str:
    facts = []
    if found.differing:
        facts.append(f"{len(found.differing)} differ (items {_names(found.differing)})")
    if found.missing:
        facts.append(f"{len(found.missing)} are missing (items {_names(found.missing)})")
    if new:
        places = [delivery.places[position] for position in found.new]
        facts.append(f"{new} are new ({', '.join(places[:_NAMED])}{', ...' if new > _NAMED else ''})")
    if not facts:
        facts.append(f"only {len(cases)} of {expected} are there")
    other = _other_task(task, cases) if len(found.missing) > pins.header.records / 2 else None
    if other is not None:
        return (
            f"{task.key}: {delivery.where} holds the records of another task, {other}; put {task.key}'s own file there"
        )
    return (
        f"{task.key}: {delivery.where} fails its content pin: of {pins.header.records} pinned records "
        f"{', '.join(facts)}. Get the original data, or run on these with --accept-data; every report will say so"
    )


def _other_task(task: Task, cases: Sequence[Case]) -> str | None:
    """The task whose pinned questions most of these are, where there is one."""
    questions = {pins_data.question_hash(case.question) for case in cases}
    for key in all_tasks():
        known = pins_data.question_index(key).keys()
        if key != task.key and len(questions & known) > len(questions) / 2:
            return key
    return None


def _odd(cases: Iterable[Case]) -> tuple[str, ...]:
    """One line for each kind of oddity, with the items that have it."""
    items: dict[str, list[int]] = {}
    for case in cases:
        if case.note:
            items.setdefault(case.note, []).append(case.index)
    return tuple(
        f"{note}: {len(found)} items ({', '.join(f'{i:04d}' for i in found)})" for note, found in items.items()
    )


def _check(task: Task, indices: Iterable[int], count: int, source: str) -> None:
    absent = [index for index in indices if not 0 <= index < count]
    if absent:
        where = f" of {source}" if source else ""
        raise DataError(
            f"{task.key}: items {_names(absent)} do not exist: there are {count} records{where}, numbered from 0000"
        )


def _names(indices: Sequence[int]) -> str:
    return ", ".join(f"{index:04d}" for index in indices[:_NAMED]) + (", ..." if len(indices) > _NAMED else "")
