"""The records of a task as a source delivers them, each made into a case or told why it cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.errors import DataError, where_raised
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.data import hub as hub_data
from pytest_thinkslm.data.local import SUFFIXES, PinnedLines, content_of, find_file, parse_jsonl
from pytest_thinkslm.data.matching import Built, Unbuildable
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.registry import all_tasks, is_of_the_suite
from pytest_thinkslm.tasks.task import Record, Task

#: Records whose fields are looked at before any is built: most of them have to be the task's.
_SAMPLE = 21

#: What a builder raises on a record that is none of its task's, or that is damaged or hostile.
_UNBUILDABLE = (LookupError, TypeError, ValueError, SyntaxError, AttributeError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a source delivered.

    Attributes:
        source: for reports: a file name, or hub id, revision and split.
        where: for messages: the file's path or the hub id.
        records: as they came.
        places: what names each of them in messages ("line 3").
        expected: how many the source has when it is whole; None where nobody knows.
        lacks: what a partial file lacks, in words.
        note: what a reader of the figures has to know of the source.
        pinned: the file is, byte for byte, the one that the pins were made from, so that record ``i`` is item ``i``.
    """

    source: str
    where: str
    records: Sequence[Record]
    places: Sequence[str]
    expected: int | None
    lacks: str = ""
    note: str = ""
    pinned: bool = False


def folder_of(task: Task, data_dir: Path | None) -> Path | None:
    """The folder that a task is read from: a user's task has its own; None means the hub."""
    return task.source.folder if task.source is not None and task.source.folder is not None else data_dir


def deliver(task: Task, data_dir: Path | None, hub: Mapping[str, str]) -> Delivery:
    """Read a task's records. Raises ``DataError`` where they cannot be had or the file is damaged."""
    assert task.source is not None
    folder = folder_of(task, data_dir)
    if folder is None:
        read = hub_data.read_hub(task, hub)
        at = f"@{read.revision[:12]}" if read.revision else ""
        places = [f"row {row}" for row in range(len(read.rows))]
        source = f"hub {read.hub_id}{at}, {task.source.split}"
        return Delivery(source, read.hub_id, read.rows, places, task.count or None, note=read.note)
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
    content = content_of(path, task.key)
    header = pins.header(task.key)
    if header is not None and header.content == pins.content_hash(content):
        lines = PinnedLines(content)
        places = [f"line {number}" for number in range(1, len(lines) + 1)]
        return Delivery(path.name, str(path), lines, places, file.records, file.lacks, pinned=True)
    numbered = parse_jsonl(content, path, task.key)
    places = [f"line {number}" for number, _ in numbered]
    return Delivery(path.name, str(path), [record for _, record in numbered], places, file.records, file.lacks)


def build_all(task: Task, delivery: Delivery) -> list[Built]:
    """Every record as a case, or why it cannot be one; a record that is amiss stops no other.

    Raises:
        DataError: the records are another task's, or not one of them can be built.
    """
    assert task.build is not None
    sample = [form_problem(task, record) for record in delivery.records[:_SAMPLE]]
    foreign = [problem for problem in sample if problem]
    if len(foreign) * 2 > len(sample):
        position = next(place for place, problem in enumerate(sample) if problem)
        raise DataError(f"{task.key}: {delivery.where}, {delivery.places[position]} {foreign[0]}")
    built: list[Built] = []
    for position, record in enumerate(delivery.records):
        try:
            built.append(task.build(record, position))
        except Exception as error:
            if not isinstance(error, _UNBUILDABLE) and is_of_the_suite(task.key):
                raise
            what = f"has no field {error}" if isinstance(error, KeyError) else str(error)
            if not is_of_the_suite(task.key):
                what = f"the task's build raised {where_raised(error)}"
            problem = form_problem(task, record)
            why = f" {problem}" if problem else f": {what}"
            built.append(Unbuildable(safe_line(f"{delivery.places[position]}{why}", 300)))
    broken = [entry for entry in built if isinstance(entry, Unbuildable)]
    if built and len(broken) == len(built):
        raise unbuildable(task, delivery, broken[0])
    return built


def unbuildable(task: Task, delivery: Delivery, record: Unbuildable) -> DataError:
    """The error that names a record that cannot be built."""
    return DataError(
        f"{task.key}: {delivery.where}, {record.why}; the record is none of this task's, or damaged: get the data again"
    )


def form_problem(task: Task, record: Record) -> str:
    """What is wrong where a record's fields are not this task's, with the task that they look like; else empty."""
    assert task.source is not None
    if not task.source.forms:
        return ""
    own = max((len(form) for form in task.source.forms if form <= record.keys()), default=0)
    others = {
        other.key: max((len(form) for form in other.source.forms if form <= record.keys()), default=0)
        for other in all_tasks().values()
        if other.source is not None
    }
    best = max(others.values())
    if own and own == best:
        return ""
    likely = [key for key, size in others.items() if size == best and size]
    looks = f"; it looks like {' or '.join(likely)}" if likely else ""
    return (
        f"is no record of this task (its fields: {', '.join(map(str, record)) or 'none'}){looks}; "
        f"expected at least: {', '.join(sorted(task.source.forms[0]))}"
    )
