"""One entry point for all answer kinds: an item and its output -> the answer, with the rule that found it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pytest_thinkslm.core.records import UNANSWERABLE, Answer, Case, Output
from pytest_thinkslm.scoring.answers.custom import custom_reader, read_with
from pytest_thinkslm.scoring.answers.lists import read_list
from pytest_thinkslm.scoring.answers.loops import find_loop, read_loop
from pytest_thinkslm.scoring.answers.numbers import read_number
from pytest_thinkslm.scoring.answers.region import Region, final_region


def read_answer(case: Case, output: Output) -> Answer:
    """Read the answer to ``case`` from ``output``. Raises for no text; linear in its length (math-verify aside).

    A user's own reader reads where the task or its kind has one (``custom.py``).
    """
    region = final_region(output)
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    own = custom_reader(case.task, case.kind)
    read: Callable[[Region], Answer]
    if own is not None and own.read is not None:
        read = partial(read_with, own, case)
    else:
        read = partial(_READERS[case.kind], case)
    loop = find_loop(region.text) if region.cut else None
    return read(region) if loop is None else read_loop(region, loop, read)


def _number(case: Case, region: Region) -> Answer:
    if case.gold == UNANSWERABLE or case.facets.get("unanswerable_possible") == "yes":
        from pytest_thinkslm.scoring.answers.unanswerable import says_unanswerable

        if says_unanswerable(region.text):
            return Answer(UNANSWERABLE, "unanswerable", anchored=True, detail=region.text[-80:])
    return read_number(region, case.question)


def _list(case: Case, region: Region) -> Answer:
    return read_list(region, case.given)


def _choice(case: Case, region: Region) -> Answer:
    from pytest_thinkslm.scoring.answers.choices import read_choice

    return read_choice(region, case.options)


def _expression(case: Case, region: Region) -> Answer:
    from pytest_thinkslm.scoring.answers.expressions import read_expression

    return read_expression(region, case.question)


def _review(case: Case, region: Region) -> Answer:
    from pytest_thinkslm.scoring.answers.reviews import read_review

    return read_review(region, case.steps if case.facets.get("subject") == "coding" else ())


_READERS: Mapping[str, Callable[[Case, Region], Answer]] = {
    "number": _number,
    "list": _list,
    "choice": _choice,
    "expression": _expression,
    "review": _review,
}
