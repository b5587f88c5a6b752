"""GSM-Plus: eight perturbations of each of 300 or 1,319 GSM8K questions (Li et al. 2024, arXiv:2402.19255)."""

from __future__ import annotations

from dataclasses import replace

from pytest_thinkslm.core.records import UNANSWERABLE, Auxiliary, Case
from pytest_thinkslm.tasks import gsm8k
from pytest_thinkslm.tasks.metrics import gsm_plus_metrics
from pytest_thinkslm.tasks.pins import question_hash, question_index
from pytest_thinkslm.tasks.task import File, Record, Source, Task


def build(record: Record, index: int) -> Case:
    """A variation, clustered by its seed question; the seed is asked beside it as the GSM8K item that it is.

    The gold "None" (critical thinking) means that the question cannot be answered as it stands.
    """
    answer = record["answer"]
    unanswerable = answer is None or str(answer).strip() in {"None", ""}
    seed_question = str(record["seed_question"])
    seed_index = question_index("gsm8k").get(question_hash(seed_question))
    case = Case(
        task="gsm_plus",
        index=index,
        kind="number",
        question=str(record["question"]).strip(),
        gold=UNANSWERABLE if unanswerable else gsm8k.plain_number(str(answer)),
        # On every item alike: what a reply may say must not depend on the gold.
        facets={"perturbation": str(record["perturbation_type"]), "unanswerable_possible": "yes"},
    )
    if seed_index is None:
        cluster = f"seed-{question_hash(seed_question)}"
        return replace(case, cluster=cluster, note="the seed question is no GSM8K item and is not asked")
    seed = gsm8k.case(seed_question, f"#### {record['seed_answer']}", seed_index)
    return replace(case, cluster=f"gsm8k-{seed.item}", auxiliary=(Auxiliary("seed", seed),))


TASKS = {
    "gsm_plus": Task(
        key="gsm_plus",
        title="GSM-Plus",
        kind="number",
        build=build,
        source=Source(
            hub="qintongli/GSM-Plus",
            split="testmini",
            files=(File("gsm_plus_test", 10552), File("gsm_plus_testmini", 2400)),
            forms=(frozenset({"question", "answer", "perturbation_type", "seed_question", "seed_answer"}),),
            train=gsm8k.TRAIN,
        ),
        count=2400,
        metrics=gsm_plus_metrics,
    )
}
