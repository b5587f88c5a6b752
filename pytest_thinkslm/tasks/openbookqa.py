"""OpenBookQA: elementary science without the book (Mihaylov et al. 2018, arXiv:1809.02789)."""

from __future__ import annotations

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.choices import choice_case
from pytest_thinkslm.tasks.task import File, Record, Source, Task, TrainSource


def build(record: Record, index: int) -> Case:
    """Four options; the stem is often a sentence to complete. Answer keys can carry blanks."""
    return choice_case("openbookqa", record, index)


TASKS = {
    "openbookqa": Task(
        key="openbookqa",
        title="OpenBookQA",
        kind="choice",
        build=build,
        source=Source(
            hub="allenai/openbookqa",
            configs=("main",),
            files=(File("openbookqa_main_test", 500),),
            forms=(
                frozenset({"id", "question", "answerKey"}),
                frozenset({"id", "question_stem", "choices", "answerKey"}),
            ),
            train=TrainSource(files=(File("openbookqa_main_train"),), hub="allenai/openbookqa", configs=("main",)),
        ),
        count=500,
    )
}
