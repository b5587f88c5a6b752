"""What the multiple-choice tasks share: two forms of a list of choices, and labels turned into letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.task import Record

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def stem_and_choices(record: Record) -> tuple[str, list[str], list[str]]:
    """The question, labels and texts of an ARC-like record.

    Local files nest them (``question.stem``, ``question.choices`` a list of ``{label, text}``); hub rows are flat
    (``question`` or ``question_stem``, ``choices`` a dict of two lists).
    """
    question = record.get("question", record.get("question_stem"))
    if isinstance(question, Mapping):
        stem, choices = question["stem"], question["choices"]
    else:
        stem, choices = question, record["choices"]
    if not isinstance(stem, str):
        raise TypeError("the record has no question text")
    if isinstance(choices, Mapping):
        labels, texts = list(choices["label"]), list(choices["text"])
    else:
        labels, texts = [choice["label"] for choice in choices], [choice["text"] for choice in choices]
    if len(labels) != len(texts) or len(texts) < 2:
        raise ValueError(f"the record has {len(labels)} labels for {len(texts)} choices")
    return stem.strip(), [str(label).strip() for label in labels], [str(text).strip() for text in texts]


def choice_case(task: str, record: Record, index: int) -> Case:
    """The case of an ARC-like record, its options re-lettered by position."""
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


def letter_of(label: object, labels: Sequence[str]) -> str:
    """The letter, by position, of a source's label; keys may carry blanks (OpenBookQA)."""
    wanted = str(label).strip()
    if wanted not in labels:
        raise ValueError(f"the answer key {wanted!r} is none of the labels {', '.join(labels)}")
    return LETTERS[labels.index(wanted)]
