"""pytest-thinkslm: reasoning benchmarks for small language models, as a pytest suite.

What a test or a task module needs is importable from here; everything loads when it is used.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_thinkslm.core.errors import EngineError, UsageError
    from pytest_thinkslm.core.fingerprint import Fingerprint
    from pytest_thinkslm.core.records import Answer, Case, Message, Output, Request, Review, Sampling, Verdict
    from pytest_thinkslm.engines.base import Engine
    from pytest_thinkslm.engines.conformance import check_engine
    from pytest_thinkslm.engines.function_engine import engine_from
    from pytest_thinkslm.engines.own import EngineSpec, register_engine
    from pytest_thinkslm.plugin.fixtures import Model
    from pytest_thinkslm.scoring.answers.custom import Reader, register_reader
    from pytest_thinkslm.scoring.grading import WrongAnswer, grade, verify
    from pytest_thinkslm.tasks.registry import reasoning_task, register
    from pytest_thinkslm.tasks.task import File, Limit, Source, Task, TrainSource

__all__ = [
    "Answer",
    "Case",
    "Engine",
    "EngineError",
    "EngineSpec",
    "File",
    "Fingerprint",
    "Limit",
    "Message",
    "Model",
    "Output",
    "Reader",
    "Request",
    "Review",
    "Sampling",
    "Source",
    "Task",
    "TrainSource",
    "UsageError",
    "Verdict",
    "WrongAnswer",
    "check_engine",
    "engine_from",
    "grade",
    "reasoning_task",
    "register",
    "register_engine",
    "register_reader",
    "verify",
]


def __getattr__(name: str) -> Any:
    home: ModuleType
    if name in ("Answer", "Case", "Message", "Output", "Request", "Review", "Sampling", "Verdict"):
        from pytest_thinkslm.core import records as home
    elif name in ("EngineError", "UsageError"):
        from pytest_thinkslm.core import errors as home
    elif name == "Fingerprint":
        from pytest_thinkslm.core import fingerprint as home
    elif name in ("File", "Limit", "Source", "Task", "TrainSource"):
        from pytest_thinkslm.tasks import task as home
    elif name in ("reasoning_task", "register"):
        from pytest_thinkslm.tasks import registry as home
    elif name in ("Reader", "register_reader"):
        from pytest_thinkslm.scoring.answers import custom as home
    elif name in ("WrongAnswer", "grade", "verify"):
        from pytest_thinkslm.scoring import grading as home
    elif name == "Engine":
        from pytest_thinkslm.engines import base as home
    elif name in ("EngineSpec", "register_engine"):
        from pytest_thinkslm.engines import own as home
    elif name == "engine_from":
        from pytest_thinkslm.engines import function_engine as home
    elif name == "check_engine":
        from pytest_thinkslm.engines import conformance as home
    elif name == "Model":
        from pytest_thinkslm.plugin import fixtures as home
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
