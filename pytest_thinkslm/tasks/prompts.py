r"""Prompts: a case and a style become chat messages; few-shot exemplars are drawn from the training split.

The final answer is asked for in one format per answer kind, the same in every style: ``\boxed{...}`` for numbers,
expressions and lists, ``Answer: X`` for choices, labelled lines for reviews. The wording shows no filled-in
template, since small models copy one as it stands.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.errors import DataError, UsageError
from pytest_thinkslm.core.records import AnswerKind, Case, Message, Review
from pytest_thinkslm.tasks.data import hub as hub_data
from pytest_thinkslm.tasks.data.local import SUFFIXES, read_jsonl
from pytest_thinkslm.tasks.pins import question_hash, question_index
from pytest_thinkslm.tasks.registry import get
from pytest_thinkslm.tasks.task import Record, Task, TrainSource

STYLES = ("direct", "cot", "5shot", "5shot-cot", "8shot")
#: Number of exemplars of a style.
SHOTS = {"direct": 0, "cot": 0, "5shot": 5, "5shot-cot": 5, "8shot": 8}

_ASK: Mapping[AnswerKind, str] = {
    "number": r"give the final number inside \boxed{}.",
    "expression": r"give the final answer inside \boxed{}.",
    "list": r"give the sorted list, separated by commas, inside \boxed{}.",
    "choice": 'give the letter of the correct option after "Answer:".',
}
_THINK = "Think step by step. Then "
_SOLVE_FIRST = "Solve the question yourself step by step before you judge the solution. Then "


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A solved item of the training split. ``solution`` is the worked solution; empty where there is none."""

    case: Case
    solution: str = ""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The labelled lines of a review task, and its words for right and wrong."""

    steps: str
    judgement: str
    wrong: str
    error_step: str
    reason: str


_LAYOUTS: Mapping[str, _Layout] = {
    "mr_gsm": _Layout("Step-by-step Evaluation", "Final Judgement", "wrong", "First Error Step", "Error Analysis"),
    "mr_ben": _Layout("Solution Analysis", "Solution Correctness", "incorrect", "First Error Step", "Error Reason"),
}


def render(case: Case, style: str, exemplars: Sequence[Exemplar] = ()) -> tuple[Message, ...]:
    """The chat turns that ask ``case``: exemplars as user and assistant turns, then the question.

    Raises ``UsageError`` for an unknown style and ``ValueError`` where the number of exemplars is not the style's.
    """
    check_style(style)
    if len(exemplars) != SHOTS[style]:
        raise ValueError(f"style {style} takes {SHOTS[style]} exemplars, not {len(exemplars)}")
    turns = []
    for exemplar in exemplars:
        turns.append(Message("user", _question(exemplar.case, style)))
        turns.append(Message("assistant", _solved(exemplar, style)))
    return (*turns, Message("user", _question(case, style)))


def check_style(style: str) -> None:
    """Raise ``UsageError`` where there is no such style."""
    if style not in STYLES:
        raise UsageError(f"unknown style {style!r}: valid: {', '.join(STYLES)}")


def render_text(messages: Iterable[Message]) -> str:
    """Messages as readable text, a heading line a turn (for documentation)."""
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)


def exemplars(
    task: Task,
    style: str,
    data_dir: Path | None,
    data_seed: int,
    *,
    hub: Mapping[str, str] | None = None,
    evaluated: Iterable[Case] = (),
) -> tuple[Exemplar, ...]:
    """The exemplars of a few-shot style, drawn once for a task from its training split by the data seed.

    A style with fewer exemplars takes the first of those of a style with more. A training question that the
    evaluated split has as well (by its pins, or among ``evaluated``) is never drawn.

    Raises:
        UsageError: the task has no training split or no worked solutions, or none is at hand.
        DataError: the training data is damaged.
    """
    check_style(style)
    if not SHOTS[style]:
        return ()
    asked_by = f"task {task.key}, style {style}"
    if task.generate is not None:
        return _generated_exemplars(task, style, data_seed, asked_by)
    source = task.source.train if task.source is not None else None
    if source is None:
        raise UsageError(f"{asked_by}: the data set has no training split to take exemplars from; use direct or cot")
    if "cot" in style and source.solution is None:
        raise UsageError(f"{asked_by}: the training split has no worked solutions; use 5shot or 8shot, or cot")
    owner = get(source.task) if source.task and source.task != task.key else task
    seen = question_index(task.key).keys() | question_index(owner.key).keys()
    seen |= {question_hash(case.question) for case in evaluated}
    rng = random.Random(f"exemplars:{data_seed}:{owner.key}")
    records = _train_records(task, source, data_dir, hub or {}, asked_by)
    rng.shuffle(records)
    drawn = []
    for record in records:
        exemplar = _exemplar(owner, source, record, asked_by)
        if question_hash(exemplar.case.question) not in seen:
            drawn.append(exemplar)
        if len(drawn) == SHOTS[style]:
            break
    else:
        raise UsageError(f"{asked_by}: the training data at hand has only {len(drawn)} questions that are not asked")
    assert not seen & {question_hash(exemplar.case.question) for exemplar in drawn}
    return tuple(drawn)


def _question(case: Case, style: str) -> str:
    if case.kind == "review":
        return _review_question(case, style)
    parts = [case.context, case.question]
    if case.kind == "choice":
        parts.append("\n".join(f"{letter}. {text}" for letter, text in zip(case.letters, case.options, strict=True)))
    ask = _ASK[case.kind]
    parts.append(_THINK + ask if "cot" in style else ask[0].upper() + ask[1:])
    return "\n\n".join(part for part in parts if part)


def _review_question(case: Case, style: str) -> str:
    """Question, solution under review, and the labelled lines that are asked for; nothing of the gold."""
    layout = _LAYOUTS.get(case.task, _LAYOUTS["mr_gsm"])
    if case.facets.get("subject") == "coding":
        solution, unit, name = (
            "```python\n" + "\n".join(case.steps) + "\n```",
            "line of code",
            "the first wrong line of code",
        )
    else:
        # The data sets' steps carry their own numbers, which the labels refer to.
        numbered = any(step.lstrip().startswith("Step") for step in case.steps)
        steps = case.steps if numbered else [f"Step {number}: {step}" for number, step in enumerate(case.steps, 1)]
        solution, unit, name = "\n".join(steps), "step", "the number of the first wrong step"
    ask = (
        "reply in this form, with these four labels:\n"
        f"{layout.steps}: say of each {unit} whether it is right\n"
        f"{layout.judgement}: one word for the whole solution, correct or {layout.wrong}\n"
        f"{layout.error_step}: {name}, or N/A if there is none\n"
        f"{layout.reason}: explain that error, or N/A if there is none"
    )
    ask = _SOLVE_FIRST + ask if "cot" in style else ask[0].upper() + ask[1:]
    return f"Check whether a solution is correct.\n\nQuestion:\n{case.question}\n\nSolution:\n{solution}\n\n{ask}"


def _solved(exemplar: Exemplar, style: str) -> str:
    """An exemplar's reply: the answer alone in the final format, after the worked solution in a -cot style."""
    gold = exemplar.case.gold
    if isinstance(gold, Review):
        raise ValueError("reviews have no exemplars")
    text = gold if isinstance(gold, str) else ", ".join(map(str, gold))
    final = f"Answer: {text}" if exemplar.case.kind == "choice" else rf"\boxed{{{text}}}"
    return f"{exemplar.solution}\n{final}" if "cot" in style else final


def _generated_exemplars(task: Task, style: str, data_seed: int, asked_by: str) -> tuple[Exemplar, ...]:
    """Sorting lists from a stream of their own, none of which is an item."""
    from pytest_thinkslm.tasks.sorting import exemplar_case, worked_solution

    assert task.generate is not None
    if task.kind != "list":
        raise UsageError(f"{asked_by}: a generated task has no training split; use direct or cot")
    asked = {task.generate(data_seed, index).gold for index in range(task.count)}
    drawn: list[Exemplar] = []
    index = 0
    while len(drawn) < SHOTS[style]:
        case = exemplar_case(task.key, data_seed, index)
        index += 1
        if case.gold not in asked:
            drawn.append(Exemplar(case, worked_solution(case)))
    assert not asked & {exemplar.case.gold for exemplar in drawn}
    return tuple(drawn)


def _train_records(
    task: Task, source: TrainSource, data_dir: Path | None, hub: Mapping[str, str], asked_by: str
) -> list[Record]:
    folder = task.source.folder if task.source is not None and task.source.folder is not None else data_dir
    names = " or ".join(f"{stem}.jsonl[.gz]" for stem in source.files)
    if folder is None:
        key = source.task or task.key
        try:
            return list(
                hub_data.rows(
                    asked_by,
                    hub.get(key) or source.hub,
                    source.configs,
                    source.split,
                    f"--hub-id {key}=OWNER/NAME",
                    names,
                )
            )
        except DataError as error:
            raise UsageError(str(error)) from error
    for stem in source.files:
        for suffix in SUFFIXES:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return [record for _, record in read_jsonl(path, asked_by)]
    raise UsageError(
        f"{asked_by}: exemplars come from the training split, and {folder} has no {names}; "
        "put it there, or use direct or cot"
    )


def _exemplar(owner: Task, source: TrainSource, record: Record, asked_by: str) -> Exemplar:
    assert owner.build is not None
    try:
        return Exemplar(owner.build(record, 0), source.solution(record) if source.solution is not None else "")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{asked_by}: a training record is damaged: {error!r}; get the training data again") from error
