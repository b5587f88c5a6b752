"""ARC: grade-school science questions, Easy and Challenge sets (Clark et al. 2018, arXiv:1803.05457)."""

from __future__ import annotations

from functools import partial

from pytest_thinkslm.records import Case
from pytest_thinkslm.tasks.choices import letter_of, stem_and_choices
from pytest_thinkslm.tasks.registry import File, Record, Source, Task, TrainSource

FORMS = (frozenset({"id", "question", "answerKey"}), frozenset({"id", "question", "choices", "answerKey"}))


def build(task: str, record: Record, index: int) -> Case:
    """Items have 3, 4 or 5 options; labels ``1``-``4`` become letters by position."""
    stem, labels, texts = stem_and_choices(record)
    return Case(
        task=task,
        index=index,
        kind="choice",
        question=stem,
        gold=letter_of(record["answerKey"], labels),
        options=tuple(texts),
        source_id=str(record.get("id", "")),
    )


def _task(key: str, title: str, config: str, count: int) -> Task:
    return Task(
        key=key,
        title=title,
        kind="choice",
        build=partial(build, key),
        source=Source(
            hub="allenai/ai2_arc",
            configs=(config,),
            files=(File(f"{key}_test", count),),
            forms=FORMS,
            train=TrainSource(files=(f"{key}_train",), hub="allenai/ai2_arc", configs=(config,)),
        ),
        count=count,
    )


TASKS = {
    "arc_easy": _task("arc_easy", "ARC-Easy", "ARC-Easy", 2376),
    "arc_challenge": _task("arc_challenge", "ARC-Challenge", "ARC-Challenge", 1172),
}
