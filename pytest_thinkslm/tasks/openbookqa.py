"""OpenBookQA: elementary science without the book (Mihaylov et al. 2018, arXiv:1809.02789)."""

from __future__ import annotations

from pytest_thinkslm.records import Case
from pytest_thinkslm.tasks.choices import letter_of, stem_and_choices
from pytest_thinkslm.tasks.registry import File, Record, Source, Task, TrainSource


def build(record: Record, index: int) -> Case:
    """Four options; the stem is often a sentence to complete. Answer keys can carry blanks."""
    stem, labels, texts = stem_and_choices(record)
    return Case(
        task="openbookqa",
        index=index,
        kind="choice",
        question=stem,
        gold=letter_of(record["answerKey"], labels),
        options=tuple(texts),
        source_id=str(record.get("id", "")),
    )


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
            train=TrainSource(files=("openbookqa_main_train",), hub="allenai/openbookqa", configs=("main",)),
        ),
        count=500,
    )
}
