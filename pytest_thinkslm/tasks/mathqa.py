"""MathQA: word problems with five options in one packed string (Amini et al. 2019, arXiv:1905.13319).

Its labels are known to be noisy; they are taken as they are.
"""

from __future__ import annotations

import ast
import re

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.choices import LETTERS
from pytest_thinkslm.tasks.task import File, Limit, Record, Source, Task, TrainSource

REJECT = "the options string could not be split into five; shown as it is"
_OPTIONS = "abcde"


def build(record: Record, index: int) -> Case:
    """A record whose options cannot be split is still asked: with the raw string and the letters A to E."""
    packed = str(record["options"])
    options = split_options(packed)
    label = str(record["correct"]).strip().lower()
    if len(label) != 1 or label not in _OPTIONS:
        raise ValueError(f"the label {record['correct']!r} is none of a to e")
    question = str(record["Problem"]).strip()
    return Case(
        task="mathqa",
        index=index,
        kind="choice",
        question=question if options else f"{question}\nOptions: {packed}",
        gold=LETTERS[_OPTIONS.index(label)],
        options=options or tuple(f"option {letter}" for letter in _OPTIONS),
        note="" if options else REJECT,
    )


def split_options(packed: str) -> tuple[str, ...] | None:
    """The five texts of ``"a ) 38 , b ) 1 , 000 , ..., e ) none"``; None where five cannot be told apart.

    Printed Python lists and doubled markers (``a ) a ) 24``) are read too. A marker counts only in its turn, at
    the start or after a comma, so that commas and letters inside an option do no harm.
    """
    text = packed.strip()
    if text.startswith("["):
        try:
            entries = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return None
        text = " , ".join(map(str, entries))
    starts = []
    position = 0
    for letter in _OPTIONS:
        lead = r"\s*" if letter == "a" else r".*?,\s*"
        marker = re.compile(rf"{lead}({letter}\s*\)\s*(?:{letter}\s*\)\s*)*)", re.DOTALL).match(text, position)
        if marker is None:
            return None
        starts.append(marker.span(1))
        position = marker.end()
    ends = [start for start, _ in starts[1:]] + [len(text)]
    options = tuple(text[begin:end].strip().rstrip(",").rstrip() for (_, begin), end in zip(starts, ends, strict=True))
    return options if all(options) else None


def worked_solution(record: Record) -> str:
    """The rationale of the data set, without the quotes around it. It is as noisy as the labels."""
    return str(record["Rationale"]).strip().strip('"').strip()


TASKS = {
    "mathqa": Task(
        key="mathqa",
        title="MathQA",
        kind="choice",
        build=build,
        source=Source(
            hub="regisss/math_qa",
            files=(File("mathqa_test", 2985),),
            forms=(frozenset({"Problem", "options", "correct"}),),
            train=TrainSource(files=(File("mathqa_train"),), hub="regisss/math_qa", solution=worked_solution),
        ),
        count=2985,
        limit=Limit(answer=1024, thought=8192),  # a choice that has to be calculated
        note="labels known to be noisy, taken as they are",
    )
}
