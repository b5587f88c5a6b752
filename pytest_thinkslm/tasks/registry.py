"""How tasks are found by key.

Importing this module opens no data and imports no data library. Built-in tasks live in one module a data
set family beside this one; a user's tasks come from the entry point group ``pytest_thinkslm.tasks`` or from
``register`` in a conftest.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pytest_thinkslm.core.entry_points import load_all
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.scoring.answers.custom import register_for_task
from pytest_thinkslm.tasks.task import Task

_Function = TypeVar("_Function", bound=Callable[..., object])

ENTRY_POINT_GROUP = "pytest_thinkslm.tasks"

_registered: dict[str, Task] = {}
_plugins_loaded = False


def register(task: Task) -> Task:
    """Add a user's task; returns it. A key that is taken by another task is a ``UsageError``.

    The file that registered a task may do so again: a conftest is run anew in a second session of one process.
    """
    if task.key in _suite():
        raise UsageError(f"task key {task.key!r} belongs to a task of the suite; choose another")
    known = _registered.get(task.key, task)
    if known is not task and _origin(known) != _origin(task):
        raise UsageError(f"task key {task.key!r} is registered twice; choose another")
    register_for_task(task.key, task.reader)
    _registered[task.key] = task
    return task


def all_tasks() -> Mapping[str, Task]:
    """Every task by key: the suite's in the contract's order, then registered ones in order of registration."""
    _load_entry_points()
    return {**_suite(), **_registered}


def suite_keys() -> tuple[str, ...]:
    """The keys of the suite's own tasks; of others nothing is loaded."""
    return tuple(_suite())


def get(key: str) -> Task:
    """The task of this key. Raises ``UsageError`` with the nearest keys when there is none."""
    if key in _suite():
        return _suite()[key]
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


def generic_tests() -> dict[str, Callable[..., object]]:
    """A test function for each of a user's tasks, ``test_KEY``: the task's own ``test``, else one with ``verify``.

    They are run where ``--task`` selects the task, no path is given, and no other test of it was collected.
    """
    return {f"test_{task.key}": _generic_test(task) for task in registered().values()}


def _generic_test(task: Task) -> Callable[..., object]:
    from pytest_thinkslm.core.records import Case, Output
    from pytest_thinkslm.scoring.grading import verify

    def ask(case: Case, slm: Callable[[Case], Output]) -> None:
        """Ask the item, read the answer, compare it with the gold."""
        verify(case, slm(case))

    own = task.test or ask

    @functools.wraps(own)
    def test(*arguments: Any, **keywords: Any) -> object:
        return own(*arguments, **keywords)

    test.__name__ = f"test_{task.key}"
    test.__dict__.update(__thinkslm_generic__=True, __thinkslm_task__=task.key)
    return test


def is_generic(test: object) -> bool:
    """Whether a test stands in for that of a task that has none here; it gives way to the task's own."""
    return hasattr(test, "__thinkslm_generic__")


def reasoning_task(key: str) -> Callable[[_Function], _Function]:
    """Mark a test function as the test of a task: it is then run once an item, with its ``case``."""

    def mark(function: _Function) -> _Function:
        function.__thinkslm_task__ = key  # type: ignore[attr-defined]
        return function

    return mark


def _origin(task: Task) -> str | None:
    code = getattr(task.build or task.generate, "__code__", None)
    return code.co_filename if code is not None else None


@functools.cache
def _suite() -> Mapping[str, Task]:
    """The suite's own tasks, in the contract's order; their modules load when the first of them is asked for."""
    from pytest_thinkslm.tasks import (
        arc,
        commonsenseqa,
        gsm8k,
        gsm_plus,
        hellaswag,
        hendrycks_math,
        mathqa,
        mr_ben,
        mr_gsm,
        openbookqa,
        sorting,
    )

    modules = (
        gsm8k,
        hendrycks_math,
        mathqa,
        arc,
        commonsenseqa,
        openbookqa,
        hellaswag,
        gsm_plus,
        mr_gsm,
        mr_ben,
        sorting,
    )
    return {key: task for module in modules for key, task in module.TASKS.items()}


def _load_entry_points() -> None:
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for task in load_all(ENTRY_POINT_GROUP, "a Task", Task):
        if _registered.get(task.key) is not task:
            register(task)


def is_of_the_suite(key: str) -> bool:
    """Whether a task is one of the suite's own."""
    return key in _suite()


def registered() -> Mapping[str, Task]:
    """A user's tasks by key: of entry points, and those registered so far."""
    _load_entry_points()
    return dict(_registered)
