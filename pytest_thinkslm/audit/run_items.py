"""The items of a finished run as an audit sees them, read from its report folder."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import ItemKey
from pytest_thinkslm.core.item_record import ItemLine, item_key, read_lines
from pytest_thinkslm.core.run_file import read_results_file
from pytest_thinkslm.core.text import safe_text

#: Characters of an output or question that an annotator gets; a cell of a spreadsheet holds 32,767.
TEXT_LIMIT = 30_000


@dataclass(frozen=True, slots=True)
class JudgeReading:
    """What a judge made of an output. ``verdict`` is None where it was not asked, gave no verdict or could not tell."""

    status: str
    verdict: str | None
    answer: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One outcome of a run, without its texts.

    Attributes:
        key: its name.
        parser: the parser's verdict.
        verdict: the recorded verdict, decided by ``source`` (``parser`` or ``judge``).
        judge: the judge's reading; None without a judge, where it was not asked, and in the review tasks, where the
            judge decides on the reason of an error and not on the item.
        digest: digest of the output.
        reason_judge: the judge's reading of the error reason, in the review tasks, where it was asked.
        cluster: outcomes that share it are not independent: the question, or what several questions share.
    """

    key: ItemKey
    parser: str
    verdict: str
    source: str
    judge: JudgeReading | None
    digest: str
    cluster: str
    reason_judge: JudgeReading | None = None

    @property
    def is_error(self) -> bool:
        """Whether the engine or the data failed, so that there is no output."""
        return self.verdict == "error"

    @property
    def disagreement(self) -> bool:
        """Whether the judge called right what the parser called wrong, or the other way round."""
        judged = None if self.judge is None else self.judge.verdict
        return judged is not None and (judged == "correct") != (self.parser == "correct")


@dataclass(frozen=True, slots=True)
class ItemTexts:
    """What an annotator reads. Long texts keep their beginning and, twice as long, their end.

    ``wrong_solution``: the output reviews a wrong solution, so that its error reason can be labelled, too.
    """

    question: str
    gold: str
    output: str
    wrong_solution: bool


@dataclass(frozen=True, slots=True)
class AuditedRun:
    """A finished run's folder; its lines are read when asked for, one at a time."""

    folder: Path
    name: str
    judge_model: str | None

    def items(self) -> Iterator[AuditItem]:
        """Every outcome; further cases asked beside items (role ``seed``) are left out.

        Raises:
            UsageError: ``items.jsonl`` is missing or damaged.
        """
        for record in self._lines():
            if _is_item(record):
                yield _audit_item(record)

    def texts(self, wanted: Collection[ItemKey]) -> dict[ItemKey, ItemTexts]:
        """The texts of the wanted outcomes."""
        return {
            key: _texts(record) for record in self._lines() if _is_item(record) and (key := item_key(record)) in wanted
        }

    def _lines(self) -> Iterator[ItemLine]:
        path = self.folder / "items.jsonl"
        try:
            yield from read_lines(path)
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read ({error.strerror or error}); an audit needs the whole report folder of a run, "
                "with its items.jsonl"
            ) from None
        except ValueError as error:
            raise UsageError(f"{self.folder}: {error}") from None


def open_run(place: Path) -> AuditedRun:
    """A run, from its report folder or a file in it.

    Raises:
        UsageError: there is no such run.
    """
    folder = place if place.is_dir() else place.parent
    path = folder / "results.json"
    try:
        judge = read_results_file(path).get("judge")
    except OSError as error:
        raise UsageError(
            f"no run in {place}: {path} cannot be read ({error.strerror or error}); give the report folder that "
            "a run left (--report-dir, by default reports/<time>-<model>-<quant>)"
        ) from None
    except ValueError as error:
        raise UsageError(f"{folder}: {error}; give the report folder of a run") from None
    model = judge.get("model") if isinstance(judge, dict) else None
    return AuditedRun(folder, folder.absolute().name, model if isinstance(model, str) else None)


def digest_of(line: ItemLine) -> str:
    """What tells an output from others of its item."""
    return hashlib.blake2b(str(line.get("output")).encode("utf-8", "replace"), digest_size=8).hexdigest()


def bounded(text: str, limit: int = TEXT_LIMIT) -> str:
    """The text, safe to show; of a longer one than ``limit`` characters the first third and the last two thirds."""
    text = safe_text(text)
    if len(text) <= limit:
        return text
    head, tail = limit // 3, limit - limit // 3
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[... {left_out} characters left out: see items.jsonl ...]\n{text[-tail:]}"


def _is_item(record: ItemLine) -> bool:
    return bool(record.get("role", "item") == "item")


def named(key: ItemKey) -> dict[str, object]:
    """The key's parts by name; all are of role ``item``, so that this is left out."""
    return {name: value for name, value in key._asdict().items() if name != "role"}


def _audit_item(record: ItemLine) -> AuditItem:
    key = item_key(record)
    judge = record.get("judge")
    review = isinstance(record.get("gold"), Mapping)
    reading = None
    if judge:
        reading = JudgeReading(judge["status"], judge["verdict"], judge["answer"], judge["reason"])
    return AuditItem(
        key=key,
        parser=record.get("parser_verdict") or record["verdict"],
        verdict=record["verdict"],
        source=record.get("source") or "parser",
        judge=None if review else reading,
        digest=digest_of(record),
        cluster=f"{key.task}/{record.get('cluster') or key.item}",
        reason_judge=reading if review else None,
    )


def _texts(record: ItemLine) -> ItemTexts:
    turns = [turn for turn in record.get("messages") or () if turn.get("role") == "user"]
    question = str(turns[-1]["content"]) if turns else ""
    gold = record.get("gold")
    return ItemTexts(
        bounded(question),
        bounded(_gold(gold)),
        bounded(str(record.get("output") or "")),
        isinstance(gold, Mapping) and gold.get("judgement") == "wrong",
    )


def _gold(gold: object) -> str:
    if isinstance(gold, Mapping):
        step = gold.get("first_error_step")
        said = f"the solution is {gold.get('judgement')}" + (f"; first error step {step}" if step else "")
        return said + (f"\nthe error: {reason}" if (reason := gold.get("reason")) else "")
    if isinstance(gold, list):
        return ", ".join(map(str, gold))
    return "" if gold is None else str(gold)
