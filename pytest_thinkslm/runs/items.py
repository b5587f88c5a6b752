"""One line of ``items.jsonl``: everything that is known of one item, as plain JSON values."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_thinkslm.core.files import write_file
from pytest_thinkslm.core.identity import ItemKey
from pytest_thinkslm.core.item_record import AnswerJson, ItemLine, ItemRecord, RulingJson, Thought
from pytest_thinkslm.core.records import Answer, AnswerValue, Case, ItemRole, Message, Output, Review, Verdict
from pytest_thinkslm.core.redaction import redacted_line
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.scoring.answers.degenerate import stuck
from pytest_thinkslm.scoring.answers.region import final_region
from pytest_thinkslm.scoring.grading import Graded

if TYPE_CHECKING:
    from pytest_thinkslm.core.rulings import Ruling

#: Fields of a line that only people and parsers of outputs need; statistics do without.
BULK = ("messages", "output", "reasoning")


def item_record(
    key: ItemKey,
    case: Case | None,
    *,
    messages: Sequence[Message] = (),
    output: Output | None = None,
    graded: Graded,
) -> ItemLine:
    """The record of one item; text from a model is escaped here, once, for every report."""
    answer, verdict = graded.answer, graded.verdict
    record: ItemLine = {
        "model": key.model,
        "quant": key.quant,
        "task": key.task,
        "test": key.test,
        "style": key.style,
        "item": key.item,
        "repeat": key.repeat,
        "role": cast("ItemRole", key.role),
        "messages": [{"role": message.role, "content": safe_text(message.content)} for message in messages],
        "output": None if output is None else safe_text(output.text),
        "finish_reason": None if output is None else output.finish_reason,
        "prompt_tokens": None if output is None else output.prompt_tokens,
        "output_tokens": None if output is None else output.output_tokens,
        "answer": plain(answer.value),
        "rule": answer.rule,
        "gold": None if case is None else _gold(case.gold),
        "verdict": verdict.name,
        "reason": safe_text(verdict.reason),
        "failure": verdict.failure,
        "judge": None if graded.judged is None else judged(graded.judged.ruling),
        "facets": {} if case is None else dict(case.facets),
        "cluster": "" if case is None else case.cluster,
    }
    if key.stress:
        record["stress"] = key.stress
        record["plain_answer"] = plain(answer.value if case is None else _in_place(answer.value, case))
    if output is not None and (thought := thought_of(output)) is not None:
        record["thought"] = thought
    if output is not None and output.stopped is not None:
        record["stopped"] = output.stopped
    if output is not None and (unit := stuck(output.text or output.reasoning or "")):
        record["stuck"] = safe_text(unit)
    if output is not None and output.reasoning is not None:
        record["reasoning"] = safe_text(output.reasoning)
    if verdict.grading_timeout:
        record["grading_timeout"] = True
    if graded.judged is not None:
        record["source"] = graded.judged.source
        record["parser_verdict"] = graded.judged.parser.name
    if case is not None and case.note:
        record["note"] = safe_text(case.note)
    return record


def thought_of(output: Output) -> Thought | None:
    """How an output's thought ended: by itself, closed at its bound, or not at all; None where it has none."""
    region = final_region(output)
    if region.unfinished:
        return "unfinished"
    if output.thought_closed:
        return "closed"
    return None if region.thought is None else "ended"


def judged(ruling: Ruling | None) -> RulingJson | None:
    """The judge's word as JSON; None where it was not asked."""
    if ruling is None:
        return None
    answer = None if ruling.answer is None else safe_text(ruling.answer)
    return {
        "status": ruling.status,
        "verdict": ruling.verdict,
        "answer": answer,
        "reason": safe_text(ruling.reason),
    }


def error_graded(reason: str) -> Graded:
    """The verdict of an item whose engine or data failed."""
    return Graded(Answer(None, "none"), Verdict("error", reason))


def to_line(record: ItemLine) -> str:
    """A record as one JSON line (ASCII, so that any text survives any transport)."""
    return _encode(record) + "\n"


#: A record is a tree, so that nobody need look for circles in it.
_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def payload(key: ItemKey, record: ItemLine) -> list[str | int]:
    """A record as it travels on a test's report: its key, its verdict, its line."""
    return [*key, str(record["verdict"]), to_line(record)]


def slim(record: ItemLine) -> ItemRecord:
    """The record without its bulky texts."""
    return cast("ItemRecord", {name: value for name, value in record.items() if name not in BULK})


def _in_place(value: AnswerValue | None, case: Case) -> AnswerValue | None:
    """A letter among reordered options as the letter of the same option in the data set's own order."""
    if not case.places or not isinstance(value, str) or value not in case.letters:
        return value
    return case.letters[case.places[case.letters.index(value)]]


def plain(value: AnswerValue | None) -> AnswerJson:
    """An answer or gold as JSON: text, list of integers, or an object for reviews."""
    if value is None:
        return None
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, tuple):
        return list(value)
    return {
        "judgement": value.judgement,
        "first_error_step": None if value.first_error_step is None else safe_text(value.first_error_step),
    }


def _gold(value: AnswerValue) -> AnswerJson:
    """A gold as JSON; of a review with its reason, too, which no parser compares but people do."""
    found = plain(value)
    if isinstance(value, Review) and value.reason and isinstance(found, dict):
        found["reason"] = safe_text(value.reason)
    return found


class ItemSpool:
    """Item lines on their way to ``items.jsonl``: on disk as they come, in order at the end.

    Only positions stay in memory, as long as the disk takes the lines; ``problem`` says why it does not any more, and
    from then on lines stay in memory, so that none is lost.
    """

    def __init__(self, folder: Path) -> None:
        self.problem = ""
        self._path = folder / ".items.unsorted.jsonl"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o666)
        #: Place and length on the disk, or the line itself.
        self._places: dict[ItemKey, tuple[int, int] | bytes] = {}
        self._attempts: dict[ItemKey, int] = {}
        self._offset = 0

    def add(self, key: ItemKey, line: str, unreported: int = 0) -> int:
        """Keep one line, in place of an earlier one of the same key.

        Returns the number of attempts at it: the lines of this key, and those of which there is no line.
        """
        key = ItemKey(*(sys.intern(part) if isinstance(part, str) else part for part in key))  # type: ignore[arg-type]
        attempts = (self._attempts.get(key, 1) if key in self._places else unreported) + 1
        if attempts > 1:
            self._attempts[key] = attempts
        data = line.encode("ascii")
        self._places[key] = data if self.problem or not self._append(data) else (self._offset - len(data), len(data))
        return attempts

    def forget(self, key: ItemKey) -> None:
        """Leave a line out."""
        del self._places[key]
        self._attempts.pop(key, None)

    def reported(self) -> Iterable[ItemKey]:
        """The keys of all lines."""
        return self._places.keys()

    def records(self, wanted: Callable[[ItemKey], bool]) -> Iterator[ItemRecord]:
        """The wanted records in order, without their bulky texts."""
        return map(slim, self.lines(wanted))

    def lines(self, wanted: Callable[[ItemKey], bool]) -> Iterator[ItemLine]:
        """The wanted records in order, whole, read back from the disk one at a time."""
        for key in sorted(self._places):
            if wanted(key):
                yield json.loads(self._line(key))

    def write(self, target: Path) -> None:
        """Write the lines in order to a file, atomically. The spool stays. Raises ``OSError``."""
        write_file(target, self._write_sorted)

    def to_memory(self) -> None:
        """Give the room of the spool back; the lines stay in memory."""
        self._places = {key: self._stored(place) for key, place in self._places.items()}
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def discard(self) -> None:
        """Remove the spool."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, data: bytes) -> bool:
        """Write a line at the spool's end; False, with the problem kept, where the disk does not take it whole."""
        try:
            written = os.pwrite(self._descriptor, data, self._offset)
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._offset + written)
        except OSError as error:
            self.problem = error.strerror or str(error)
            return False
        self._offset += len(data)
        return True

    def _write_sorted(self, draft: Path) -> None:
        with draft.open("wb") as target:
            for key in sorted(self._places):
                target.write(redacted_line(self._line(key)))

    def _line(self, key: ItemKey) -> bytes:
        """The line of a key; ``attempts`` is in it where there was more than one."""
        line = self._stored(self._places[key])
        attempts = self._attempts.get(key)
        return line if attempts is None else b'%s,"attempts":%d}\n' % (line[:-2], attempts)

    def _stored(self, place: tuple[int, int] | bytes) -> bytes:
        if isinstance(place, bytes):
            return place
        start, length = place
        return os.pread(self._descriptor, length, start)
