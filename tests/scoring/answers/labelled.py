"""Hand-labelled outputs as cases with golds, and how far reader and verdicts agree with them."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.records import UNANSWERABLE, Answer, AnswerKind, Case, Output, Review, Verdict
from pytest_thinkslm.scoring.answers.equality import equal
from pytest_thinkslm.scoring.answers.numbers import canonical, parse_number
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.answers.reviews import same_step
from pytest_thinkslm.scoring.verdicts import decide

LABELS = Path(__file__).parents[3] / "fixtures" / "labels"
SETS = ("outputs_a.jsonl", "outputs_b.jsonl", "outputs_c.jsonl")
KINDS: tuple[AnswerKind, ...] = ("number", "list", "choice", "expression", "review")
DATA = os.environ.get("THINKSLM_DATA_DIR")

Label = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """A label beside what was read: whether answer, verdict and (where labelled) failure class are the label's."""

    label: Label
    answer: Answer
    verdict: Verdict
    same_answer: bool
    same_verdict: bool
    question_known: bool

    @property
    def same_failure(self) -> bool | None:
        """None where no class is labelled, or the one that is can only be told with the question."""
        named = self.label.get("failure")
        told = named != "restated" or self.question_known or "given" in self.label
        return self.verdict.failure == named if named is not None and told else None


def readings(name: str, kind: AnswerKind) -> Iterator[Reading]:
    """Every sure label of a set and kind; choices whose options are in the data sets only where these are at hand."""
    for line in (LABELS / name).read_text(encoding="utf-8").splitlines():
        label = json.loads(line)
        if label["sure"] and _kind(label["task"]) == kind and (case := _case(label, kind)) is not None:
            output = Output(label["output"], finish_reason=label["finish_reason"])
            answer = read_answer(case, output)
            verdict = decide(case, output, answer, prompt_text=case.question)
            same = _same(kind, answer.value, label["answer"])
            yield Reading(label, answer, verdict, same, verdict.name == label["verdict"], bool(case.question))


def _kind(task: str) -> AnswerKind:
    if task.startswith("sort"):
        return "list"
    kinds: dict[str, AnswerKind] = {"math": "expression", "mr_gsm": "review", "mr_ben": "review"}
    return kinds.get(task, "number" if task.startswith("gsm") else "choice")


def _case(label: Label, kind: AnswerKind) -> Case | None:
    task, gold = label["task"], label["gold"]
    known = _dataset_case(task, label["item"]) if label["item"] is not None and kind in ("choice", "review") else None
    if known is not None:
        return replace(known, gold=_gold(kind, gold))
    case = Case(task, 0, kind, "", _gold(kind, gold))
    if kind == "choice":
        return replace(case, options=tuple(label["options"])) if "options" in label else None
    if kind == "list":
        return replace(case, given=tuple(label["given"]))
    if kind == "review":
        facets = {"subject": label["subject"]} if "subject" in label else {}
        return replace(case, steps=tuple(label.get("steps", ())), facets=facets)
    case = replace(case, question=label.get("question", ""))
    return replace(case, facets={"unanswerable_possible": "yes"}) if task == "gsm_plus" else case


def _gold(kind: AnswerKind, gold: Any) -> Any:
    if kind == "number":
        return UNANSWERABLE if gold in (None, "None", UNANSWERABLE) else str(gold)
    if kind == "review":
        step = gold["first_error_step"]
        return Review(gold["judgement"], None if step is None else str(step))
    return tuple(gold) if kind == "list" else gold


def _same(kind: AnswerKind, read: Any, label: Any) -> bool:
    """Whether the answer as read is the label's, in value."""
    if label is None or read is None:
        return read is None and label is None
    if kind == "number" and label != UNANSWERABLE:
        number = parse_number(str(label))
        return number is not None and read == canonical(number)
    if kind == "list":
        return bool(read == tuple(label))
    if kind == "expression":
        return equal(read, label).equal
    if kind == "review":
        if isinstance(label, str):  # the first set writes "wrong/4"
            judgement, _, step = label.partition("/")
            label = {"judgement": judgement, "first_error_step": None if step == "-" else step}
        return bool(read.judgement == label["judgement"]) and _same_step(read, label["first_error_step"])
    return bool(read == label)


def _same_step(read: Review, step: object) -> bool:
    if step is None or read.first_error_step is None:
        return step is None and read.first_error_step is None
    return same_step(read, Review("wrong", str(step)))


@functools.cache
def _dataset(task: str) -> dict[int, Case] | None:
    if DATA is None:
        return None
    from pytest_thinkslm.data.reader import item_count, load_cases
    from pytest_thinkslm.tasks import registry

    found = registry.get(task)
    return load_cases(found, range(item_count(found, Path(DATA))), Path(DATA), data_seed=0).cases


def _dataset_case(task: str, item: int) -> Case | None:
    cases = _dataset(task)
    return None if cases is None else cases[item]
