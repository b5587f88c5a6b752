"""Agreement with phrasings and labels that the parser's author did not write."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pytest_thinkslm.answers.numbers import canonical, parse_number
from pytest_thinkslm.answers.reader import read_answer
from pytest_thinkslm.records import UNANSWERABLE, Case, Output
from pytest_thinkslm.verdicts import decide

LABELS = Path(__file__).parents[2] / "fixtures" / "labels"
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


@pytest.mark.parametrize("name", ["outputs_a.jsonl", "outputs_b.jsonl"])
def test_agreement_with_careful_readers(name: str) -> None:
    sure = same_answer = same_verdict = 0
    for line in (LABELS / name).read_text(encoding="utf-8").splitlines():
        label = json.loads(line)
        if not label["sure"] or not label["task"].startswith(("gsm8k", "gsm_plus", "sort")):
            continue
        case, expected = _case(label)
        output = Output(label["output"], finish_reason=label["finish_reason"])
        answer = read_answer(case, output)
        sure += 1
        same_answer += answer.value == expected
        same_verdict += decide(case, output, answer).name == label["verdict"]
    print(f"{name}: {sure} sure labels, agreement on answers {same_answer}, on verdicts {same_verdict}")
    assert sure >= 50
    assert same_answer >= 0.97 * sure
    assert same_verdict >= 0.97 * sure


def _case(label: dict[str, object]) -> tuple[Case, object]:
    """The item of a label and the answer as read, as the parser would give it."""
    task, gold, answer = str(label["task"]), label["gold"], label["answer"]
    if task.startswith("sort"):
        given = tuple(label["given"])  # type: ignore[arg-type]
        case = Case(task, 0, "list", "", tuple(gold), given=given)  # type: ignore[arg-type]
        return case, None if answer is None else tuple(answer)  # type: ignore[arg-type]
    facets = {"unanswerable_possible": "yes"} if task == "gsm_plus" else {}
    unanswerable = gold in (None, "None", UNANSWERABLE)
    case = Case(task, 0, "number", "", UNANSWERABLE if unanswerable else str(gold), facets=facets)
    if answer in (None, UNANSWERABLE):
        return case, answer
    number = parse_number(str(answer))
    return case, None if number is None else canonical(number)
