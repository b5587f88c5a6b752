"""CommonsenseQA, validation split, since the test labels are hidden (Talmor et al. 2019, arXiv:1811.00937)."""

from __future__ import annotations

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.choices import choice_case
from pytest_thinkslm.tasks.task import File, Record, Source, Task, TrainSource


def build(record: Record, index: int) -> Case:
    """Five options; the concept that the question was written about is not shown."""
    if not str(record["answerKey"]).strip():
        raise ValueError("the answer key is empty: this is the test split, whose labels are hidden; use validation")
    return choice_case("commonsenseqa", record, index)


TASKS = {
    "commonsenseqa": Task(
        key="commonsenseqa",
        title="CommonsenseQA",
        kind="choice",
        build=build,
        source=Source(
            hub="tau/commonsense_qa",
            split="validation",
            files=(File("commonsenseqa_dev", 1221),),
            forms=(
                frozenset({"id", "question", "answerKey"}),
                frozenset({"id", "question", "question_concept", "choices", "answerKey"}),
            ),
            train=TrainSource(files=(File("commonsenseqa_train"),), hub="tau/commonsense_qa"),
        ),
        count=1221,
        note="validation split: the test labels are hidden",
    )
}
