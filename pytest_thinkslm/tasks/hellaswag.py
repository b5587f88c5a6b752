"""HellaSwag: how does it go on (Zellers et al. 2019, arXiv:1905.07830), as letter choice by generation.

Published figures mostly compare the log-likelihoods of the four endings; here the model sees all four and names one.
"""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.choices import LETTERS
from pytest_thinkslm.tasks.task import File, Record, Source, Task, TrainSource

#: The marks of WikiHow articles. A title stands as a sentence of its own.
_TITLE = re.compile(r"\s*\[(?:title|step|substeps|header)\]\s*")


def build(record: Record, index: int) -> Case:
    """The context is ``ctx_a`` and ``ctx_b`` with its first letter capitalised; WikiHow's marks are cleaned.

    ``ind`` is not unique and is not used. Items of one video or article (``source_id``) share a cluster.
    """
    endings = record["endings"]
    if not isinstance(endings, list) or len(endings) != 4:
        raise ValueError("the field 'endings' is no list of four texts")
    label = int(str(record["label"]).strip() or -1)
    if label not in range(4):
        raise ValueError(f"the label {record['label']!r} is none of 0 to 3 (the test split's labels are hidden)")
    first, second = clean(str(record["ctx_a"])), clean(str(record["ctx_b"]))
    return Case(
        task="hellaswag",
        index=index,
        kind="choice",
        question=f"{first} {second[:1].upper()}{second[1:]}".strip(),
        gold=LETTERS[label],
        options=tuple(clean(str(ending)) for ending in endings),
        cluster=str(record["source_id"]),
        context="Which ending continues the text best?",
    )


def clean(text: str) -> str:
    """Text without WikiHow's marks: a mark ends a sentence, and blanks are single."""
    parts = [part.strip() for part in _TITLE.split(text)]
    sentences = [part if part[-1] in ".!?:;,)\"'" else f"{part}." for part in parts[:-1] if part]
    return " ".join(" ".join([*sentences, parts[-1]]).split())


TASKS = {
    "hellaswag": Task(
        key="hellaswag",
        title="HellaSwag",
        kind="choice",
        build=build,
        source=Source(
            hub="Rowan/hellaswag",
            split="validation",
            files=(
                File("hellaswag_validation", 10042),
                File("hellaswag_validation_activitynet", 3243, "ActivityNet only"),
            ),
            forms=(frozenset({"ctx_a", "ctx_b", "endings", "label", "source_id"}),),
            train=TrainSource(files=(File("hellaswag_train"),), hub="Rowan/hellaswag"),
        ),
        count=10042,
        note="letter choice by generation, not log-likelihood",
    )
}
