"""pytest-thinkslm: reasoning benchmarks for small language models, as a pytest suite.

What a test or a task module needs is importable from here; everything loads when it is used.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_thinkslm.core.records import Answer, Case, Message, Output, Review, Verdict
    from pytest_thinkslm.plugin.fixtures import Model
    from pytest_thinkslm.scoring.grading import WrongAnswer, grade, verify
    from pytest_thinkslm.tasks.registry import reasoning_task, register
    from pytest_thinkslm.tasks.task import File, Limit, Source, Task, TrainSource

__all__ = [
    "Answer",
    "Case",
    "File",
    "Limit",
    "Message",
    "Model",
    "Output",
    "Review",
    "Source",
    "Task",
    "TrainSource",
    "Verdict",
    "WrongAnswer",
    "grade",
    "reasoning_task",
    "register",
    "verify",
]


def __getattr__(name: str) -> Any:
    home: ModuleType
    if name in ("Answer", "Case", "Message", "Output", "Review", "Verdict"):
        from pytest_thinkslm.core import records as home
    elif name in ("File", "Limit", "Source", "Task", "TrainSource"):
        from pytest_thinkslm.tasks import task as home
    elif name in ("reasoning_task", "register"):
        from pytest_thinkslm.tasks import registry as home
    elif name in ("WrongAnswer", "grade", "verify"):
        from pytest_thinkslm.scoring import grading as home
    elif name == "Model":
        from pytest_thinkslm.plugin import fixtures as home
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
