"""Few-shot exemplars: drawn from a task's training split, never from the evaluated one."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_thinkslm.core.errors import DataError, UsageError
from pytest_thinkslm.core.records import Case
from pytest_thinkslm.data import hub as hub_data
from pytest_thinkslm.data.local import SUFFIXES, read_jsonl
from pytest_thinkslm.tasks.pins import question_hash, question_index
from pytest_thinkslm.tasks.prompts import SHOTS, Exemplar, check_style
from pytest_thinkslm.tasks.registry import get
from pytest_thinkslm.tasks.task import Record, Task, TrainSource


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
    names = " or ".join(f"{file.stem}.jsonl[.gz]" for file in source.files)
    if folder is None or not source.files:
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
    for file in source.files:
        for suffix in SUFFIXES:
            path = folder / f"{file.stem}{suffix}"
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
