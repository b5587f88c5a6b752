"""Replies made from gold, in the format that the prompts ask for: right ones and wrong ones."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_thinkslm.core.records import UNANSWERABLE, Case, Review
from pytest_thinkslm.data.reader import item_count, load_cases
from pytest_thinkslm.tasks import registry

_LABELS = {
    "mr_gsm": ("Step-by-step Evaluation", "Final Judgement", "First Error Step", "Error Analysis"),
    "mr_ben": ("Solution Analysis", "Solution Correctness", "First Error Step", "Error Reason"),
}
#: No item's gold.
WRONG_VALUE = "-98765432.125"


@functools.cache
def cases(task: str, folder: Path | None) -> Sequence[Case]:
    """Every case of a task."""
    found = registry.get(task)
    count = item_count(found, folder)
    return tuple(load_cases(found, range(count), folder, data_seed=0).cases.values())


def right(case: Case) -> str:
    gold = case.gold
    if isinstance(gold, Review):
        step = "blank line" if gold.first_error_step == "" else gold.first_error_step
        return _review(case, gold.judgement, step or "N/A")
    if isinstance(gold, tuple):
        return rf"\boxed{{{', '.join(map(str, gold))}}}"
    if case.kind == "choice":
        return f"Answer: {gold}"
    return "The question cannot be answered as it stands." if gold == UNANSWERABLE else rf"\boxed{{{gold}}}"


def wrong(case: Case) -> str:
    gold = case.gold
    if isinstance(gold, Review):
        return _review(case, "correct" if gold.judgement == "wrong" else "wrong", "1")
    if isinstance(gold, tuple):
        return rf"\boxed{{{', '.join(map(str, reversed(gold)))}}}"
    if case.kind == "choice":
        return f"Answer: {next(letter for letter in case.letters if letter != gold)}"
    return rf"\boxed{{{WRONG_VALUE}}}"


def _review(case: Case, judgement: str, step: str) -> str:
    values = ("each was looked at.", judgement, step if judgement == "wrong" else "N/A", "N/A")
    return "\n".join(f"{label}: {value}" for label, value in zip(_LABELS[case.task], values, strict=True))


def with_seeds(chosen: Sequence[Case]) -> Iterator[Case]:
    """The cases and, once each, those that are asked beside them."""
    seen = set()
    for case in (*chosen, *(beside.case for main in chosen for beside in main.auxiliary)):
        if (case.task, case.index) not in seen:
            seen.add((case.task, case.index))
            yield case
