"""One line of ``items.jsonl`` as typed JSON: what everything after an item's verdict works on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast

from pytest_thinkslm.core import files
from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.records import FinishReason, ItemRole, Role, Stopped, VerdictName
from pytest_thinkslm.core.rulings import JudgeVerdict, Status
from pytest_thinkslm.core.shapes import misfit
from pytest_thinkslm.core.text import safe_text

#: How an output's thought ended: by itself, closed at its bound, or not at all.
Thought = Literal["ended", "closed", "unfinished"]

#: Who decided a verdict.
Decider = Literal["parser", "judge"]


class VariantJson(TypedDict):
    """What names a variant."""

    model: str
    quant: str


class GroupJson(VariantJson):
    """What names a row of figures; ``test`` is the test function's name, without its path."""

    task: str
    test: str
    style: str


class Turn(TypedDict):
    """One message of a prompt."""

    role: Role
    content: str


class ReviewJson(TypedDict):
    """An answer or a gold of a task that reviews solutions."""

    judgement: Literal["correct", "wrong"]
    first_error_step: str | None
    #: Of a gold alone: what is wrong in the solution, for people to read.
    reason: NotRequired[str]


#: An answer or a gold as JSON; None: no answer was found.
AnswerJson = str | list[int] | ReviewJson | None


class RulingJson(TypedDict):
    """The judge's word on an output."""

    status: Status
    verdict: JudgeVerdict | None
    answer: str | None
    reason: str


class ItemRecord(GroupJson):
    """Everything that statistics need of an item. ``judge`` is None where no judge was asked.

    ``attempts`` is there where there was more than one: the last one counts. With a judge ``source`` says who decided
    the verdict, and ``parser_verdict`` what it is without the judge.
    """

    item: str
    repeat: int
    role: ItemRole
    finish_reason: FinishReason | None
    prompt_tokens: int | None
    output_tokens: int | None
    answer: AnswerJson
    rule: str
    gold: AnswerJson
    verdict: VerdictName
    reason: str
    failure: str | None
    judge: RulingJson | None
    facets: dict[str, str]
    cluster: str
    thought: NotRequired[Thought]
    grading_timeout: NotRequired[bool]
    source: NotRequired[Decider]
    parser_verdict: NotRequired[VerdictName]
    note: NotRequired[str]
    stopped: NotRequired[Stopped]
    #: What the output repeats that is nothing else.
    stuck: NotRequired[str]
    attempts: NotRequired[int]
    #: Of role ``stress``: which changed form of the item this is, and its answer in the letters of the item itself.
    stress: NotRequired[str]
    plain_answer: NotRequired[AnswerJson]


class ItemLine(ItemRecord):
    """A whole line: with the texts that only people and readers of outputs need."""

    messages: list[Turn]
    output: str | None
    reasoning: NotRequired[str]


def group_key(record: GroupJson) -> GroupKey:
    """The row that a record counts in, or that a row is. Files of earlier versions name no test: the suite's own."""
    test = record.get("test") or f"test_{record['task']}"
    return GroupKey(record["model"], record["quant"], record["task"], test, record["style"])


def group_json(key: GroupKey) -> GroupJson:
    """What names a row, as it stands in JSON: ``group_key`` reads it."""
    return {"model": key.model, "quant": key.quant, "task": key.task, "test": key.test, "style": key.style}


def item_key(record: ItemRecord) -> ItemKey:
    """Whose line a record is."""
    return ItemKey(
        *group_key(record), record["item"], record["repeat"], record.get("role", "item"), record.get("stress", "")
    )


#: What a line has to have; the others are absent in files of earlier versions.
_NEEDED = ("model", "quant", "task", "style", "item", "verdict")


def read_lines(path: Path) -> Iterator[ItemLine]:
    """The lines of ``items.jsonl``, one at a time. Raises ``OSError``, and ``ValueError`` that names a damaged line."""
    for number, line in files.read_lines(path):
        try:
            record = read_line(line)
        except ValueError as error:
            raise ValueError(
                f"line {number} of {path.name} is damaged ({error}); fetch or make the run again"
            ) from None
        yield record


def read_line(text: str | bytes) -> ItemLine:
    """One line as it was written. Raises ``ValueError`` where it is not what a run writes."""
    record = files.parse_json(text)
    wrong = misfit(record, ItemLine, lenient=(ItemLine,))
    if wrong:
        raise ValueError(wrong.strip())
    for name in _NEEDED:
        if name not in record:
            raise ValueError(f"{name} is missing")
        record[name] = safe_text(record[name])  # as results.json is read, so that names of the two are equal
    for name, usual in (("test", f"test_{record['task']}"), ("repeat", 1), ("role", "item")):
        record.setdefault(name, usual)  # files of earlier versions lack them
    return cast("ItemLine", record)
