"""``--budget-curve`` from outside: exact on known thoughts, journalled, within half of the tokens."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from importlib import resources

import jsonschema
import pytest
from replayed import Line, results, sorted_answer

Replay = Callable[..., pytest.RunResult]
TASK = "sort8_positive"
WRONG = "\\boxed{1, 2}"


def thinks(item: int, tokens: int, *, ended: bool = True, right: bool = True) -> Line:
    """An output of so many tokens, ten characters each: a thought, and an answer in its last six tokens."""
    answer = f"</think>{sorted_answer(TASK, item) if right else WRONG}"
    thought = "<think>" + "x" * (10 * tokens - 7 - (60 if ended else 0))
    text = thought + (answer.ljust(60) if ended else "")
    reason = "stop" if ended else "length"
    return {"task": TASK, "item": item, "output": text, "output_tokens": tokens, "finish_reason": reason}


def forced(item: int, budget: int, right: bool, **fields: object) -> Line:
    answer = sorted_answer(TASK, item) if right else WRONG
    return {"task": TASK, "item": item, "budget": budget, "output": answer, "output_tokens": 4, **fields}


def check(report: object) -> None:
    schema = json.loads(resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text())
    jsonschema.validate(report, schema)


def test_what_breaks_costs_the_curve_alone(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest_thinkslm.generating.budgets as budgets\n"
        "def measure(*arguments):\n"
        "    raise MemoryError('out of memory')\n"
        "budgets.measure = measure\n"
    )
    replay([thinks(0, 40)], "--budget-curve=10", "--recorded-only")
    found = results(pytester.path / "report")
    assert found["problems"] == ["--budget-curve: nothing was measured: MemoryError: out of memory (conftest.py:3)"]
    assert [row["n"] for row in found["results"]] == [1]


def test_recorded_answers_make_an_exact_curve(replay: Replay, pytester: pytest.Pytester) -> None:
    """0 is right from 20 tokens on, 1 is right at 20 and unlearns it, 2 never ends, 3 does not think."""
    lines = [
        thinks(0, 40),
        thinks(1, 80, right=False),
        thinks(2, 200, ended=False),
        {"task": TASK, "item": 3, "output": sorted_answer(TASK, 3), "output_tokens": 9},
        *(forced(0, budget, budget > 10) for budget in (10, 20)),
        *(forced(1, budget, budget == 20) for budget in (10, 20, 50)),
        *(
            forced(2, budget, budget == 50, finish_reason="stop" if budget > 10 else "length")
            for budget in (10, 20, 50)
        ),
        forced(2, 100, True),
    ]
    result = replay(lines, "--budget-curve=100,10,20,50,300", "--recorded-only")
    assert result.ret == 0, result.stdout.str()
    report = pytester.path / "report"
    found = results(report)
    check(found)
    (curve,) = found["budget_curves"]
    assert [(one["budget"], one["accuracy"], one["forced"], one["cut"]) for one in curve["points"]] == [
        (10, 0.25, 0.75, 0.25),
        (20, 0.75, 0.75, 0),
        (50, 0.75, 0.5, 0),
        (100, 0.75, 0.25, 0),
        (300, 0.5, 0, 0),
    ]
    assert curve["tokens"] == {"run": 40 + 80 + 200 + 9, "curve": 9 * 4}
    assert curve["errors"] == 0
    assert found["results"][0]["accuracy"] == curve["points"][-1]["accuracy"]
    for text in (str(result.stdout), (report / "summary.md").read_text(), (report / "report.html").read_text()):
        assert "Accuracy by the length of the thought" in text
        assert "1.11 times" in " ".join(text.split())
    assert f'id="plot-{TASK}-budget"' in (report / "report.html").read_text()


def test_what_has_no_answer_is_left_out_and_said(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = [thinks(0, 40), thinks(1, 80), forced(0, 10, False), forced(1, 50, True)]
    replay(lines, "--budget-curve=10,50", "--recorded-only")
    found = results(pytester.path / "report")
    (curve,) = found["budget_curves"]
    assert curve["errors"] == 1
    assert [(one["n"], one["accuracy"]) for one in curve["points"]] == [(1, 0), (1, 1)]
    assert any("--budget-curve: 1 items of sort8_positive (direct)" in problem for problem in found["problems"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--budget-curve=auto",), "--budget-curve auto: recorded answers are of certain budgets"),
        (("--budget-curve=0,5",), "--budget-curve 0,5: give 'auto', or at most 12 numbers of tokens"),
        (("--budget-curve=many",), "--budget-curve many"),
        (("--budget-curve=1,2,3,4,5,6,7,8,9,10,11,12,13",), "at most 12 numbers"),
        (("--budget-curve=5", "--thinking=off"), "--thinking off asks for none"),
    ],
)
def test_what_cannot_be_is_refused(replay: Replay, arguments: tuple[str, ...], says: str) -> None:
    result = replay([thinks(0, 40)], *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert says in " ".join((str(result.stderr) + str(result.stdout)).split())


def test_an_output_without_a_thought_is_said(replay: Replay, pytester: pytest.Pytester) -> None:
    replay([{"task": TASK, "item": 0, "output": "1"}], "--budget-curve=5")
    found = results(pytester.path / "report")
    assert found["budget_curves"] == []
    assert found["problems"] == ["--budget-curve: no output of outputs (none) has a thought"]


ENGINE = """
from concurrent.futures import Future
from pytest_thinkslm import Fingerprint, Output, register_engine

ANSWERS = {answers!r}
KEYS = [2, 4, 8, 16]

class Scripted:
    "Thinks 64 words of five characters, a token each; knows the answer once it has written the word KEY0."

    def submit(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        item = int(request.item)
        thought = "".join("KEY0 " if word == KEYS[item] else "word " for word in range(1, 65))
        right = "KEY0" in request.prefix if request.prefix else item < 3
        answer = ANSWERS[item] if right else "\\\\boxed{{1, 2}}"
        text = answer if request.prefix else "<think>\\n12" + thought + "</think>" + answer
        tokens = min(2, request.sampling.max_tokens) if request.prefix else -(-len(text) // 5)
        with open("asked.txt", "a") as file:
            file.write(f"{{request.item}} {{request.budget}} {{request.sampling.max_tokens}}\\n")
        future = Future()
        future.set_result(Output(text, output_tokens=tokens, prompt_tokens=1))
        return future

    def fingerprint(self):
        return Fingerprint({{"scripted": 1}})

    def measured(self):
        return {{}}

    def close(self):
        pass

register_engine("scripted", lambda spec: Scripted())
"""


def test_scripted_thoughts_are_asked_once_and_within_half_of_the_tokens(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(ENGINE.format(answers=[sorted_answer(TASK, item) for item in range(4)]))
    four = " or ".join(f"direct-000{item}" for item in range(4))
    asked = ("--model=m", "--engine=scripted", f"--task={TASK}", "-k", four)

    def run(report: str, *more: str) -> dict[str, object]:
        result = pytester.runpytest_subprocess(*asked, f"--report-dir={report}", *more, timeout=180)
        assert result.ret == 0, result.stdout.str()
        found = results(pytester.path / report)
        check(found)
        (curve,) = found["budget_curves"]
        return curve

    curve = run("first", "--budget-curve=5,8,12,20,400")
    # "<think>\n12" is two tokens, KEY0 the 2nd, 4th, 8th and 16th word after it; at the end the fourth is not known.
    assert [(one["budget"], one["accuracy"]) for one in curve["points"]] == [
        (5, 0.25), (8, 0.5), (12, 0.75), (20, 1.0), (400, 0.75),
    ]  # fmt: skip
    assert curve["tokens"]["curve"] == 16 * 2
    log = (pytester.path / "asked.txt").read_text().splitlines()
    assert len(log) == 4 + 16
    limits = [int(line.split()[2]) for line in log if line.split()[1] != "0"]
    assert set(limits) == {curve["limit"]}
    assert sum(limits) <= 0.5 * curve["tokens"]["run"]

    # With the journal, whatever the number of processes, nothing is asked again; its own outputs have other keys.
    assert run("again", "--budget-curve=5,8,12,20,400", "--rescore", "-n2") == curve
    assert len((pytester.path / "asked.txt").read_text().splitlines()) == 20

    found = run("auto", "--budget-curve=auto")
    budgets = [one["budget"] for one in found["points"]]
    assert len(budgets) == 6
    assert all(less <= more / 2 + 1 for less, more in itertools.pairwise(budgets))
    assert (found["points"][-1]["accuracy"], found["points"][-1]["forced"]) == (0.75, 0)
