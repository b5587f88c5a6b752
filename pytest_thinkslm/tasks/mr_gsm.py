"""MR-GSM8K: review a solution of a GSM8K question or of a variant of one (Zeng et al. 2023, arXiv:2312.17080)."""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Case, Review
from pytest_thinkslm.tasks.metrics import mr_gsm_metrics
from pytest_thinkslm.tasks.pins import question_hash
from pytest_thinkslm.tasks.reviews import judgement, step_or_none, text_or_none, texts
from pytest_thinkslm.tasks.task import File, Record, Source, Task

#: Words that a variant may have lost to its unknown "x".
_NUMERALS = frozenset(
    {
        *("a", "an", "x", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve", "twenty", "thirty", "fifty", "hundred", "dozen", "once", "twice", "thrice"),
        *("double", "triple", "half", "third", "quarter", "time", "times"),
    }
)
_KEY_WORDS = 5


def build(record: Record, index: int) -> Case:
    """Steps carry their own numbers ("Step 1: ..."). On the hub they arrive as a printed list and "N/A" as null."""
    label = judgement(record["model_output_solution_correctness"])
    step = step_or_none(record["model_output_solution_first_error_step"])
    question = str(record["question"]).strip()
    return Case(
        task="mr_gsm",
        index=index,
        kind="review",
        question=question,
        gold=Review(
            judgement=label,
            first_error_step=step if label == "wrong" else None,
            reason=text_or_none(record["model_output_solution_first_error_reason"]) if label == "wrong" else None,
        ),
        steps=tuple(step.strip() for step in texts(record["model_output_steps"])),
        cluster=question_cluster(question),
        facets={"question_type": str(record["question_type"]).strip()},
        source_id=str(record["uuid"]),
    )


def question_cluster(question: str) -> str:
    """The GSM8K question that variants share: its first five words beside numerals.

    A reversed variant has one number replaced by "x" and its last sentence rewritten, and a program-of-thought
    variant keeps the question, so that the first words stay. Over all variants at hand this agrees with the
    most similar GSM8K question in all but 1 of 3,367; three pairs of the 1,319 questions share a key.
    """
    words = [word for word in re.findall(r"[a-z]+", question.lower()) if word not in _NUMERALS]
    return f"q-{question_hash(' '.join(words[:_KEY_WORDS]))}"


TASKS = {
    "mr_gsm": Task(
        key="mr_gsm",
        title="MR-GSM8K",
        kind="review",
        build=build,
        source=Source(
            hub="Randolphzeng/Mr-GSM8K",
            files=(File("mr_gsm8k", 2999), File("mr_gsm8k_partial", 590, "wrong solutions only")),
            forms=(
                frozenset(
                    {
                        "uuid",
                        "question",
                        "question_type",
                        "model_output_steps",
                        "model_output_solution_correctness",
                        "model_output_solution_first_error_step",
                        "model_output_solution_first_error_reason",
                    }
                ),
            ),
        ),
        count=2999,
        metrics=mr_gsm_metrics,
    )
}
