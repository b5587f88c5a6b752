"""What a task declares: key, source of its records, answer kind, metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.item_record import ItemRecord
from pytest_thinkslm.core.records import Case
from pytest_thinkslm.scoring.answers.custom import Compare, Read, Reader

#: A data set's record, as its source has it.
Record = Mapping[str, object]

Metrics = Callable[[Sequence[ItemRecord]], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class File:
    """A local file, by its name without ``.jsonl`` or ``.jsonl.gz``.

    ``records`` is how many it has when whole (None where nobody knows: they are counted). ``lacks`` says in
    a few words what a partial file has or lacks; empty for the whole set.
    """

    stem: str
    records: int | None = None
    lacks: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.stem, str) or self.stem.endswith((".jsonl", ".jsonl.gz")) or not self.stem:
            raise UsageError(f"File({self.stem!r}): give the file's name without .jsonl or .jsonl.gz")


def _check_files(owner: str, files: object) -> None:
    """Raise ``UsageError`` where a source's files are none, in the words of the class that was written."""
    if not isinstance(files, tuple) or not all(isinstance(file, File) for file in files):
        raise UsageError(f'{owner}(files={files!r}): give a tuple of File, e.g. files=(File("my_records"),)')


@dataclass(frozen=True, slots=True)
class TrainSource:
    """Where few-shot exemplars come from: local files in order of preference, else the hub's split.

    ``task`` is the task that they are records of (GSM-Plus takes GSM8K's; empty: the task itself).
    ``solution`` gives a record's worked solution, without the final answer's line; None: there are none.
    """

    files: tuple[File, ...] = ()
    hub: str = ""
    configs: tuple[str | None, ...] = (None,)
    split: str = "train"
    task: str = ""
    solution: Callable[[Record], str] | None = None

    def __post_init__(self) -> None:
        _check_files("TrainSource", self.files)
        if not self.files and not self.hub:
            raise UsageError("TrainSource: give files or hub, where the exemplars come from")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's records come from.

    Attributes:
        hub: the hub data set, ``owner/name`` in full; empty for a purely local task.
        configs: its configurations, joined in this order; None is the default one.
        split: the evaluated split.
        files: local files in order of preference.
        forms: the fields that tell this task's records, one set a form (hub, local); empty: not checked.
        train: where few-shot exemplars come from; None where the data set has no training split.
        folder: where a user's task keeps its file; ``--data-dir`` is not asked then.
    """

    hub: str = ""
    configs: tuple[str | None, ...] = (None,)
    split: str = "test"
    files: tuple[File, ...] = ()
    forms: tuple[frozenset[str], ...] = ()
    train: TrainSource | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        _check_files("Source", self.files)
        if self.folder is not None and not isinstance(self.folder, Path):
            raise UsageError(f"Source(folder={self.folder!r}): give a pathlib.Path")


@dataclass(frozen=True, slots=True)
class Limit:
    """New tokens that an output may have: its answer, and a thought on top of that where the model thinks."""

    answer: int
    thought: int


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the suite.

    Attributes:
        key: what ``--task`` takes: lower case letters, digits and underscores.
        title: the name in reports.
        kind: how answers are asked for, read and compared: ``number``, ``expression``, ``choice``, ``list``,
            ``review``, or a kind of one's own (``Reader``).
        build: one record (hub or local form) and its position -> ``Case``. Raises ``KeyError``, ``TypeError``
            or ``ValueError`` on a record that is none of this task's.
        source: where records come from; None for generated tasks.
        generate: ``(data_seed, index) -> Case`` of a generated task.
        count: number of items of the whole set (as on the hub).
        metrics: what is reported beyond accuracy, from the item records of one (model, quant, task, style).
        limit: default limits of new tokens; None: those of the answer kind (``tasks/limits.py``).
        max_tokens: default limits of the answer by style, where a style needs another than ``limit``.
        note: what a reader of the figures has to know.
        stress: the transformations of ``--stress`` that keep its gold; None: those of its kind (``tasks/stress``).
        read: this task's own way of reading answers, as ``Reader.read``.
        compare: this task's own comparison, as ``Reader.compare``.
        ask: this task's own sentence that asks for the answer, as ``Reader.ask``.
        test: its test function, for ``--task KEY`` without a path; None: one that calls ``verify(case, slm(case))``.
    """

    key: str
    title: str
    kind: str
    build: Callable[[Record, int], Case] | None = None
    source: Source | None = None
    generate: Callable[[int, int], Case] | None = None
    count: int = 0
    metrics: Metrics | None = None
    limit: Limit | None = None
    max_tokens: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    stress: frozenset[str] | None = None
    read: Read | None = None
    compare: Compare | None = None
    ask: str = ""
    test: Callable[..., object] | None = None

    @property
    def reader(self) -> Reader | None:
        """This task's own reader; None where its kind's is used."""
        own = self.read is not None or self.compare is not None or bool(self.ask)
        return Reader(self.kind, self.read, self.compare, self.ask) if own else None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.key):
            raise UsageError(f"task key {self.key!r}: use lower case letters, digits and underscores")
        if (self.source is None) == (self.generate is None):
            raise UsageError(f"task {self.key}: give either source (with build) or generate")
        if self.source is not None and self.build is None:
            raise UsageError(f"task {self.key}: source needs build, which makes a record a Case")
        if self.source is not None and not self.source.files and not self.source.hub:
            raise UsageError(f"task {self.key}: its Source names neither files nor a hub data set")
        if self.generate is not None and self.count < 1:
            raise UsageError(f"task {self.key}: a generated task needs count, its number of items")
        _ = self.reader  # raises what is wrong with it
