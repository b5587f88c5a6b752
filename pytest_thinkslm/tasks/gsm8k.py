"""GSM8K: grade-school word problems (Cobbe et al. 2021, arXiv:2110.14168)."""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.task import File, Record, Source, Task, TrainSource


def worked_solution(record: Record) -> str:
    """The annotator's reasoning, without calculator annotations (``<<48/2=24>>``) and the ``####`` line."""
    reasoning = str(record["answer"]).rpartition("####")[0]
    return re.sub(r"<<[^<>]*>>", "", reasoning).strip()


TRAIN = TrainSource(
    files=(
        File("gsm8k_train"),
        File("gsm8k_train_first100"),
    ),
    hub="openai/gsm8k",
    configs=("main",),
    task="gsm8k",
    solution=worked_solution,
)


def build(record: Record, index: int) -> Case:
    """The gold is the number after the last ``####``, without its thousands separators."""
    return case(str(record["question"]), str(record["answer"]), index)


def case(question: str, solution: str, index: int) -> Case:
    """A GSM8K item from its question and worked solution."""
    _, mark, after = solution.rpartition("####")
    if not mark or not after.strip():
        raise ValueError("the field 'answer' has no number after '####'")
    return Case(task="gsm8k", index=index, kind="number", question=question.strip(), gold=plain_number(after))


def plain_number(text: str) -> str:
    """A gold number as a plain string: ``" 2,125 "`` becomes ``"2125"``."""
    return text.strip().replace(",", "")


TASKS = {
    "gsm8k": Task(
        key="gsm8k",
        title="GSM8K",
        kind="number",
        build=build,
        source=Source(
            hub="openai/gsm8k",
            configs=("main",),
            files=(File("gsm8k_test", 1319),),
            forms=(frozenset({"question", "answer"}),),
            train=TRAIN,
        ),
        count=1319,
    )
}
