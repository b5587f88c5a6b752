"""Agreement with hand-labelled real outputs: choices, expressions, reviews (answer and verdict, the sure labels)."""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.answers.choices import read_choice
from pytest_thinkslm.answers.expressions import equal, read_expression
from pytest_thinkslm.answers.region import Region, final_region
from pytest_thinkslm.answers.reviews import read_review, same_step
from pytest_thinkslm.records import Answer, Output, Review

LABELS = Path(__file__).parents[2] / "fixtures" / "labels" / "outputs_a.jsonl"
DATA = os.environ.get("THINKSLM_DATA_DIR")
CHOICES = {
    "arc_challenge": "arc_challenge_test.jsonl",
    "commonsenseqa": "commonsenseqa_dev.jsonl",
    "openbookqa": "openbookqa_main_test.jsonl",
}
AGREEMENT = 0.97


def sure(*tasks: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in LABELS.read_text().splitlines()]
    return [row for row in rows if row["task"] in tasks and row["sure"]]


def verdict(answer: Answer, region: Region, is_right: Callable[[Any], bool]) -> str:
    if answer.value is None:
        return "truncated" if region.cut or region.unfinished else "unparsed"
    return "correct" if is_right(answer.value) else "incorrect"


def report(kind: str, outcomes: list[tuple[dict[str, Any], bool, bool]]) -> None:
    """Print the agreement of a kind, and fail below the bound with the disagreements."""
    answers = sum(answer for _, answer, _ in outcomes) / len(outcomes)
    verdicts = sum(verdict for *_, verdict in outcomes) / len(outcomes)
    print(f"{kind}: n = {len(outcomes)}, answer {answers:.1%}, verdict {verdicts:.1%}")
    wrong = [(row["task"], row["item"], row["note"]) for row, *agrees in outcomes if not all(agrees)]
    assert min(answers, verdicts) >= AGREEMENT, wrong


def region_of(row: dict[str, Any]) -> Region:
    return final_region(Output(row["output"], finish_reason=row["finish_reason"]))


@cache
def option_sets(task: str) -> list[tuple[str, ...]]:
    lines = (Path(DATA or "") / CHOICES[task]).read_text().splitlines()
    return [tuple(choice["text"] for choice in json.loads(line)["question"]["choices"]) for line in lines]


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="the options come from the data sets: set THINKSLM_DATA_DIR")
def test_choices_agree_with_the_labels() -> None:
    outcomes = []
    for row in sure(*CHOICES):
        region = region_of(row)
        answer = read_choice(region, option_sets(row["task"])[row["item"]])
        said = verdict(answer, region, lambda value, row=row: value == row["gold"])  # type: ignore[misc]
        outcomes.append((row, answer.value == row["answer"], said == row["verdict"]))
    assert len(outcomes) > 50
    report("choice", outcomes)


def test_expressions_agree_with_the_labels() -> None:
    outcomes = []
    for row in sure("math"):
        region = region_of(row)
        answer = read_expression(region)
        same = (
            isinstance(answer.value, str) and equal(answer.value, row["answer"]).equal
            if row["answer"] is not None
            else answer.value is None
        )
        said = verdict(answer, region, lambda value, row=row: equal(value, row["gold"]).equal)  # type: ignore[misc]
        outcomes.append((row, same, said == row["verdict"]))
    assert len(outcomes) > 20
    report("expression", outcomes)


def test_reviews_agree_with_the_labels() -> None:
    outcomes = []
    for row in sure("mr_gsm"):
        region = region_of(row)
        answer = read_review(region, (), "mr_gsm")
        gold = Review(row["gold"]["judgement"], str(row["gold"]["first_error_step"]))
        read = (
            f"{answer.value.judgement}/{answer.value.first_error_step or '-'}"
            if isinstance(answer.value, Review)
            else None
        )
        said = verdict(
            answer,
            region,
            lambda value, gold=gold: value.judgement == gold.judgement and same_step(value, gold),  # type: ignore[misc]
        )
        outcomes.append((row, read == row["answer"], said == row["verdict"]))
    assert len(outcomes) > 15
    report("review", outcomes)
