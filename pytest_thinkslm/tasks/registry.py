"""The tasks: what a task declares, and how tasks are found by key.

Importing this module opens no data and imports no data library. Built-in tasks live in one module a data
set family beside this one; a user's tasks come from the entry point group ``pytest_thinkslm.tasks`` or from
``register`` in a conftest.
"""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TypeVar

from pytest_thinkslm.errors import UsageError, nearest
from pytest_thinkslm.records import AnswerKind, Case

Record = Mapping[str, object]
ItemRecord = Mapping[str, object]
Metrics = Callable[[Sequence[ItemRecord]], Mapping[str, object]]
_Function = TypeVar("_Function", bound=Callable[..., object])

ENTRY_POINT_GROUP = "pytest_thinkslm.tasks"

#: The contract's order: task key -> module that defines it.
_BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "gsm8k": "gsm8k",
        "math": "hendrycks_math",
        "mathqa": "mathqa",
        "arc_easy": "arc",
        "arc_challenge": "arc",
        "commonsenseqa": "commonsenseqa",
        "openbookqa": "openbookqa",
        "hellaswag": "hellaswag",
        "gsm_plus": "gsm_plus",
        "mr_gsm": "mr_gsm",
        "mr_ben": "mr_ben",
        "sort8_positive": "sorting",
        "sort8_mixed": "sorting",
        "sort16_positive": "sorting",
        "sort16_mixed": "sorting",
        "sort32_positive": "sorting",
        "sort32_mixed": "sorting",
    }
)


@dataclass(frozen=True, slots=True)
class File:
    """A local file, by its name without ``.jsonl`` or ``.jsonl.gz``.

    ``records`` is how many it has when whole (None where nobody knows: they are counted). ``lacks`` says in
    a few words what a partial file has or lacks; empty for the whole set.
    """

    stem: str
    records: int | None = None
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class TrainSource:
    """Where few-shot exemplars come from: local files in order of preference, else the hub's split.

    ``task`` is the task that they are records of (GSM-Plus takes GSM8K's; empty: the task itself).
    ``solution`` gives a record's worked solution, without the final answer's line; None: there are none.
    """

    files: tuple[str, ...]
    hub: str = ""
    configs: tuple[str | None, ...] = (None,)
    split: str = "train"
    task: str = ""
    solution: Callable[[Record], str] | None = None


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
        kind: how answers are read.
        build: one record (hub or local form) and its position -> ``Case``. Raises ``KeyError``, ``TypeError``
            or ``ValueError`` on a record that is none of this task's.
        source: where records come from; None for generated tasks.
        generate: ``(data_seed, index) -> Case`` of a generated task.
        count: number of items of the whole set (as on the hub).
        metrics: what is reported beyond accuracy, from the item records of one (model, quant, task, style).
        limit: default limits of new tokens; None: those of the answer kind (``tasks/limits.py``).
        max_tokens: default limits of the answer by style, where a style needs another than ``limit``.
        note: what a reader of the figures has to know.
    """

    key: str
    title: str
    kind: AnswerKind
    build: Callable[[Record, int], Case] | None = None
    source: Source | None = None
    generate: Callable[[int, int], Case] | None = None
    count: int = 0
    metrics: Metrics | None = None
    limit: Limit | None = None
    max_tokens: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.key):
            raise UsageError(f"task key {self.key!r}: use lower case letters, digits and underscores")
        if (self.source is None) == (self.generate is None):
            raise UsageError(f"task {self.key}: give either source (with build) or generate")
        if self.source is not None and self.build is None:
            raise UsageError(f"task {self.key}: source needs build, which makes a record a Case")
        if self.generate is not None and self.count < 1:
            raise UsageError(f"task {self.key}: a generated task needs count, its number of items")


_registered: dict[str, Task] = {}
_plugins_loaded = False


def register(task: Task) -> Task:
    """Add a user's task; returns it. A key that is taken by another task is a ``UsageError``.

    The file that registered a task may do so again: a conftest is run anew in a second session of one process.
    """
    if task.key in _BUILT_IN:
        raise UsageError(f"task key {task.key!r} belongs to a task of the suite; choose another")
    known = _registered.get(task.key, task)
    if known is not task and _origin(known) != _origin(task):
        raise UsageError(f"task key {task.key!r} is registered twice; choose another")
    _registered[task.key] = task
    return task


def all_tasks() -> Mapping[str, Task]:
    """Every task by key: the suite's in the contract's order, then registered ones in order of registration."""
    _load_entry_points()
    return {key: _built_in(key) for key in _BUILT_IN} | _registered


def get(key: str) -> Task:
    """The task of this key. Raises ``UsageError`` with the nearest keys when there is none."""
    if key in _BUILT_IN:
        return _built_in(key)
    tasks = all_tasks()
    if key not in tasks:
        raise UsageError(f"unknown task {key!r}: {nearest(key, tasks)}")
    return tasks[key]


def select(patterns: Sequence[str]) -> list[Task]:
    """Tasks that match exact keys or globs (``sort8_*``), in the order of ``all_tasks``, each once.

    No pattern selects every task; a pattern that matches none is a ``UsageError`` with the nearest keys.
    """
    tasks = all_tasks()
    if not patterns:
        return list(tasks.values())
    chosen: set[str] = set()
    for pattern in patterns:
        matches = fnmatch.filter(tasks, pattern) if pattern not in tasks else [pattern]
        if not matches:
            raise UsageError(f"unknown task {pattern!r}: {nearest(pattern, tasks)}")
        chosen.update(matches)
    return [task for key, task in tasks.items() if key in chosen]


def reasoning_task(key: str) -> Callable[[_Function], _Function]:
    """Mark a test function as the test of a task: it is then run once an item, with its ``case``."""

    def mark(function: _Function) -> _Function:
        function.__thinkslm_task__ = key  # type: ignore[attr-defined]
        return function

    return mark


def _origin(task: Task) -> str | None:
    code = getattr(task.build or task.generate, "__code__", None)
    return code.co_filename if code is not None else None


def _built_in(key: str) -> Task:
    module = importlib.import_module(f"pytest_thinkslm.tasks.{_BUILT_IN[key]}")
    task: Task = module.TASKS[key]
    return task


def _load_entry_points() -> None:
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded = point.load()
        except Exception as error:  # whatever a foreign module raises, the user has to know whose it is
            raise UsageError(
                f"the task entry point {point.name!r} ({point.value}) cannot be loaded: {error!r}; "
                "mend or uninstall the package that declares it"
            ) from error
        if isinstance(loaded, Task):
            if _registered.get(loaded.key) is not loaded:
                register(loaded)
        elif not isinstance(loaded, ModuleType):
            raise UsageError(
                f"the task entry point {point.name!r} ({point.value}) is a {type(loaded).__name__}; "
                "it must be a Task or a module that calls register"
            )
