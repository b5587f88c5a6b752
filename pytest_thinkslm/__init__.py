"""pytest-thinkslm: reasoning benchmarks for small language models, as a pytest suite.

What a test or a task module needs is importable from here; everything loads when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_thinkslm.core.records import Answer, Case, Message, Output, Review, Verdict
    from pytest_thinkslm.plugin.fixtures import Model
    from pytest_thinkslm.scoring.grading import WrongAnswer, grade, verify
    from pytest_thinkslm.tasks.registry import reasoning_task, register
    from pytest_thinkslm.tasks.task import Source, Task

__all__ = [
    "Answer",
    "Case",
    "Message",
    "Model",
    "Output",
    "Review",
    "Source",
    "Task",
    "Verdict",
    "WrongAnswer",
    "grade",
    "reasoning_task",
    "register",
    "verify",
]

_HOMES = {
    "Answer": "records",
    "Case": "records",
    "Message": "records",
    "Model": "fixtures",
    "Output": "records",
    "Review": "records",
    "Source": "tasks.registry",
    "Task": "tasks.registry",
    "Verdict": "records",
    "WrongAnswer": "grading",
    "grade": "grading",
    "reasoning_task": "tasks.registry",
    "register": "tasks.registry",
    "verify": "grading",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
