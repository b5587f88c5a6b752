r"""MATH: competition problems with LaTeX answers (Hendrycks et al. 2021, arXiv:2103.03874)."""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.scoring.answers.region import boxes
from pytest_thinkslm.tasks.metrics import math_metrics
from pytest_thinkslm.tasks.task import File, Record, Source, Task, TrainSource

#: The hub has no configuration with all of it.
CONFIGS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


def build(record: Record, index: int) -> Case:
    r"""The gold is the content of the last balanced ``\boxed`` of the worked solution."""
    level = re.search(r"\d", str(record["level"]))
    return Case(
        task="math",
        index=index,
        kind="expression",
        question=str(record["problem"]).strip(),
        gold=last_box(str(record["solution"])),
        facets={"subject": str(record["type"]), "level": level[0] if level else "?"},
    )


def last_box(solution: str) -> str:
    r"""Content of the last closed ``\boxed{...}`` or ``\boxed 5``; ``ValueError`` where there is none."""
    closed = [box.content for box in boxes(solution) if box.closed]
    if not closed:
        raise ValueError(r"the field 'solution' has no complete \boxed answer")
    return closed[-1].strip()


def worked_solution(record: Record) -> str:
    """The worked solution of the data set, which ends in the boxed answer."""
    return str(record["solution"]).strip()


TASKS = {
    "math": Task(
        key="math",
        title="MATH",
        kind="expression",
        build=build,
        source=Source(
            hub="EleutherAI/hendrycks_math",
            configs=CONFIGS,
            files=(File("math_test", 5000),),
            forms=(frozenset({"problem", "level", "type", "solution"}),),
            train=TrainSource(
                files=(File("math_train"),), hub="EleutherAI/hendrycks_math", configs=CONFIGS, solution=worked_solution
            ),
        ),
        count=5000,
        metrics=math_metrics,
    )
}
