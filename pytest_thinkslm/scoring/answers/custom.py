"""Answer kinds beside the suite's own: a reader, a comparison and the prompt's request that a user brings.

A ``Reader`` belongs to a kind (entry point group ``pytest_thinkslm.readers``, or ``register_reader`` in a conftest)
or to one task (``Task(read=..., compare=...)``), which wins. What a reader does wrong is a verdict ``error`` of the
item that names the reader: nothing here raises for what a user's function does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast, get_args

from pytest_thinkslm.core.entry_points import load_all
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.records import Answer, AnswerKind, Case
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.scoring.answers.region import Region

ENTRY_POINT_GROUP = "pytest_thinkslm.readers"

#: The text that follows an output's thought, and the case -> the answer; None where there is none.
Read = Callable[[str, Case], str | Answer | None]
#: The answer as it was read, and the case -> whether it is right, or the failure class of a wrong one.
Compare = Callable[[str, Case], bool | str]

#: Rule of an answer that a reader's own fault stands in place of.
FAULT = "reader-fault"

_OWN: frozenset[str] = frozenset(get_args(AnswerKind))


@dataclass(frozen=True, slots=True)
class Reader:
    """How answers of one kind are asked for, read and compared.

    Attributes:
        kind: the name that tasks and cases give; a user's own, e.g. ``"json"``.
        read: ``(text, case) -> answer``: ``text`` is the output after its thought. A plain string counts only where
            the output was not cut by the limit of new tokens; an ``Answer`` that is ``anchored`` counts there, too.
            None, or an ``Answer`` whose value is None, is no answer; the rule of the latter is the failure class. None
            in place of the function: as the suite reads this kind.
        compare: ``(answer, case) -> bool``; a string in place of False is the failure class of the wrong answer. None:
            as the suite compares this kind; for kinds of one's own: equal to the gold, blanks around it aside.
        ask: the sentence that ends a prompt, e.g. ``"give the answer as one line of JSON."``; empty: for kinds of one's
            own nothing is added to the question.
    """

    kind: str
    read: Read | None = None
    compare: Compare | None = None
    ask: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _OWN and self.read is None:
            raise UsageError(
                f"answer kind {self.kind!r} is none of the suite's ({', '.join(sorted(_OWN))}): it needs "
                "read=(text, case) -> answer"
            )


_kinds: dict[str, Reader] = {}
_tasks: dict[str, Reader] = {}


def register_reader(reader: Reader) -> Reader:
    """Add an answer kind; returns it. A kind of the suite's own, or one that is taken, is a ``UsageError``."""
    if reader.kind in _OWN:
        raise UsageError(
            f"answer kind {reader.kind!r} is the suite's own; choose another name, or give one task its own reader: "
            "Task(read=..., compare=...)"
        )
    known = _kinds.get(reader.kind)
    if known is not None and known != reader and _origin(known) != _origin(reader):
        raise UsageError(f"answer kind {reader.kind!r} is registered twice; choose another name")
    _kinds[reader.kind] = reader
    return reader


def register_for_task(task: str, reader: Reader | None) -> None:
    """Have the cases of one task read by ``reader``; None: by their kind."""
    _tasks.pop(task, None)
    if reader is not None:
        _tasks[task] = reader


def custom_reader(task: str, kind: str) -> Reader | None:
    """The reader that a user brought for a task or its kind; None for the suite's own way.

    Raises ``UsageError`` where nobody knows the kind.
    """
    if task in _tasks:
        return _tasks[task]
    if kind in _OWN:
        return None
    if kind not in _kinds:
        for found in load_all(ENTRY_POINT_GROUP, "a Reader", Reader):
            register_reader(found)
    if kind not in _kinds:
        raise UsageError(
            f"task {task}: unknown answer kind {kind!r}: {nearest(kind, [*_OWN, *_kinds])}; a kind of one's own is a "
            "Reader, or Task(read=...)"
        )
    return _kinds[kind]


def read_with(reader: Reader, case: Case, region: Region) -> Answer:
    """The answer that a user's reader finds in the final region."""
    assert reader.read is not None
    try:
        found = cast("object", reader.read(region.text, case))
    except Exception as error:  # whatever a foreign function raises, the item says whose it is
        return _fault(reader, case, f"read raised {type(error).__name__}: {error}")
    if found is None:
        return Answer(None, "none")
    if isinstance(found, str):
        found = Answer(found, reader.kind, anchored=False)
    if not isinstance(found, Answer):
        return _fault(reader, case, f"read returned a {type(found).__name__}, neither text, an Answer nor None")
    if region.cut and found.value is not None and not found.anchored:
        return Answer(None, "cut")
    return found


def compare_with(reader: Reader, case: Case, answer: Answer) -> bool | str | Answer:
    """Whether an answer is right by a user's comparison, else the failure class; an ``Answer`` says what went wrong."""
    value = answer.value if isinstance(answer.value, str) else str(answer.value)
    if reader.compare is None:
        return value.strip() == str(case.gold).strip()
    try:
        found = cast("object", reader.compare(value, case))
    except Exception as error:  # as above
        return _fault(reader, case, f"compare raised {type(error).__name__}: {error}")
    if isinstance(found, bool | str):
        return found
    return _fault(reader, case, f"compare returned a {type(found).__name__}, neither a bool nor a failure class")


def _fault(reader: Reader, case: Case, what: str) -> Answer:
    message = f"the reader of {reader.kind!r} failed on {case.task} {case.item}: {what}"
    return Answer(None, FAULT, detail=safe_line(message, 300))


def _origin(reader: Reader) -> str | None:
    code = getattr(reader.read or reader.compare, "__code__", None)
    return code.co_filename if code is not None else None
