"""Phrasings that the parser's author did not write: from gold right, from wrong values wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.scoring.answers.numbers import canonical, parse_number
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.verdicts import decide

LABELS = Path(__file__).parents[3] / "fixtures" / "labels"
GOLDS = ["18", "-7", "0", "3.5", "-0.25", "120000", "120,000", "1,234.50", "3/4", "12", "1", "100", "0.05"]


def phrasings(kind: str) -> list[str]:
    lines = [json.loads(line) for line in (LABELS / "phrasings.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["template"] for line in lines if line["kind"] == kind]


@pytest.mark.parametrize("template", phrasings("number"))
def test_number_phrasings_read_as_what_they_say(template: str) -> None:
    for gold in GOLDS:
        for said, other, verdict in ((gold, "41", "correct"), ("41", gold, "incorrect")):
            output = Output(template.format(g=said, w=other))
            case = Case("gsm8k", 0, "number", "", gold)
            answer = read_answer(case, output)
            number = parse_number(said)
            assert number is not None
            assert answer.value == canonical(number), output.text
            assert decide(case, output, answer).name == verdict


@pytest.mark.parametrize("template", phrasings("list"))
def test_list_phrasings_read_as_what_they_say(template: str) -> None:
    draw = random.Random(7)
    for length in (8, 16, 32):
        given = draw.sample(range(-100, 101), length)
        gold = sorted(given)
        partly = sorted(given[:4]) + given[4:]
        wrong = [gold[1], gold[0], *gold[2:]]
        for said, verdict in ((gold, "correct"), (wrong, "incorrect")):
            words = [str(item) for item in said]
            text = template.format(g=said, c=", ".join(words), n=" ".join(words), u=given, p=partly)
            case = Case("sort8_mixed", 0, "list", "", tuple(gold), given=tuple(given))
            answer = read_answer(case, Output(text))
            assert answer.value == tuple(said), text
            assert decide(case, Output(text), answer).name == verdict
