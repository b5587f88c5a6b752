"""MR-Ben: review a solution, over seven subjects (Zeng et al. 2024, arXiv:2406.13975)."""

from __future__ import annotations

from pytest_thinkslm.core.records import Case, Review
from pytest_thinkslm.tasks.metrics import mr_ben_metrics
from pytest_thinkslm.tasks.reviews import judgement, step_or_none, text_or_none, texts
from pytest_thinkslm.tasks.task import File, Record, Source, Task

CODING = "coding"
_BLANK_LINE = "the labelled first wrong line of code is blank: only a reply that names a blank line matches"


def build(record: Record, index: int) -> Case:
    """Subjects are the six or seven of the paper ("college_biology" is biology). In coding a step is a line of code.

    The code arrives as one text, as one text in a list (the hub's rows), or as a list of lines: it is split at line
    ends. Options that say "None" are none.

    ``Question_UUID`` names the question, which up to three solutions share: it is the cluster, not the key.
    """
    subject = str(record["Subject"]).strip().lower().removeprefix("college_").removeprefix("high_school_")
    label = judgement(record["Model_Solution_Correctness"])
    error_step = step_or_none(record["Model_Solution_First_Error_Step"]) if label == "wrong" else None
    steps = texts(record["Model_Solution_Steps"])
    if subject == CODING:
        steps = [line for step in steps for line in step.split("\n")]
    lines = [step.rstrip() for step in steps]
    while lines and not lines[-1]:
        lines.pop()
    options = text_or_none(record.get("Options"))
    if options == "None":
        options = None
    question = str(record["Question"]).strip()
    return Case(
        task="mr_ben",
        index=index,
        kind="review",
        question=question if not options else f"{question}\n{_lines(record['Options'])}",
        gold=Review(
            judgement=label,
            first_error_step=error_step,
            reason=text_or_none(record["Model_Solution_Error_Reason"]) if label == "wrong" else None,
        ),
        steps=tuple(lines),
        cluster=str(record["Question_UUID"]),
        facets={"subject": subject},
        source_id=str(record["Question_UUID"]),
        note=_BLANK_LINE if label == "wrong" and not error_step else "",
    )


def _lines(options: object) -> str:
    return "\n".join(line.strip() for line in texts(options) if line.strip())


TASKS = {
    "mr_ben": Task(
        key="mr_ben",
        title="MR-Ben",
        kind="review",
        build=build,
        source=Source(
            hub="Randolphzeng/Mr-Ben",
            split="train",
            files=(File("mr_ben", 5975), File("mr_ben_no_logic", 4534, "without the subject logic")),
            forms=(
                frozenset(
                    {
                        "Question_UUID",
                        "Subject",
                        "Question",
                        "Model_Solution_Steps",
                        "Model_Solution_Correctness",
                        "Model_Solution_First_Error_Step",
                        "Model_Solution_Error_Reason",
                    }
                ),
            ),
        ),
        count=5975,
        metrics=mr_ben_metrics,
    )
}
