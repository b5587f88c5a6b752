"""ARC: grade-school science questions, Easy and Challenge sets (Clark et al. 2018, arXiv:1803.05457)."""

from __future__ import annotations

from functools import partial

from pytest_thinkslm.tasks.choices import choice_case
from pytest_thinkslm.tasks.task import File, Source, Task, TrainSource

FORMS = (frozenset({"id", "question", "answerKey"}), frozenset({"id", "question", "choices", "answerKey"}))


def _task(key: str, title: str, config: str, count: int) -> Task:
    return Task(
        key=key,
        title=title,
        kind="choice",
        # 3, 4 or 5 options; labels 1 to 4 become letters by position.
        build=partial(choice_case, key),
        source=Source(
            hub="allenai/ai2_arc",
            configs=(config,),
            files=(File(f"{key}_test", count),),
            forms=FORMS,
            train=TrainSource(files=(File(f"{key}_train"),), hub="allenai/ai2_arc", configs=(config,)),
        ),
        count=count,
    )


TASKS = {
    "arc_easy": _task("arc_easy", "ARC-Easy", "ARC-Easy", 2376),
    "arc_challenge": _task("arc_challenge", "ARC-Challenge", "ARC-Challenge", 1172),
}
