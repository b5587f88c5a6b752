"""The judge in presets, baselines, estimates, budgets of workers, and the figures of a row."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Case, Output, Review
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.gates.baselines import RecordedRun, misfits
from pytest_thinkslm.judging.canaries import CanaryResult
from pytest_thinkslm.judging.desk import Budget, JudgeDesk
from pytest_thinkslm.judging.policy import question_about, with_ruling
from pytest_thinkslm.judging.session import JudgeSession
from pytest_thinkslm.runs.judged import row_judge
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.settings.run_settings import JudgePolicy, Settings, build_settings
from pytest_thinkslm.tasks.metrics import review_metrics

CASE = Case("gsm8k", 3, "number", "What is 2 + 3?", "5")
REVIEW = Case("mr_gsm", 0, "review", "Q?", Review("wrong", "2", "divides by 5"), steps=("Step 1: a", "Step 2: b"))


@pytest.mark.parametrize(
    ("output", "fallback", "every"),
    [
        (Output("The answer is 5."), False, True),
        (Output("The answer is 6."), False, True),
        (Output("I like turtles."), True, True),
        (Output("Either the answer is 5 or the answer is 6. Or five or six."), None, True),
        (Output("Let me think", finish_reason="length"), False, False),
        (Output("The answer is \\boxed{5}. And", finish_reason="length"), False, True),
        (Output("<think>It is 5"), False, False),
        (Output("<think>It is 5</think>I like turtles."), True, True),
        (Output("", reasoning="It is 5"), False, False),
        (Output("  \n"), False, False),
    ],
)
def test_who_is_asked_about(output: Output, fallback: bool | None, every: bool) -> None:
    if fallback is None:
        fallback = read_answer(CASE, output).value is None
    assert (question_about("fallback", CASE, output) is not None) is fallback
    assert (question_about("all", CASE, output) is not None) is every


@pytest.mark.parametrize("policy", ["fallback", "all"])
@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Final Judgement: wrong\nFirst Error Step: 2\nError Analysis: it divides by 5", True),
        ("Final Judgement: wrong\nFirst Error Step: 1\nError Analysis: it divides by 5", False),
        ("Final Judgement: correct\nFirst Error Step: N/A\nError Analysis: N/A", False),
        ("I like turtles.", False),
    ],
)
def test_a_review_is_asked_about_where_the_step_is_right(policy: JudgePolicy, text: str, asked: bool) -> None:
    question = question_about(policy, REVIEW, Output(text))
    assert (question is not None) is asked
    assert question is None or question.kind == "reason"


@pytest.mark.parametrize("step", ["y = x + 1", "return y", "N/A"])
def test_a_review_of_code_is_asked_about_whatever_line_it_names(step: str) -> None:
    code = ("y = x + 1", "return y")
    case = Case(
        "mr_ben", 0, "review", "?", Review("wrong", "y = x + 1", "sign"), steps=code, facets={"subject": "coding"}
    )
    reply = f"Solution Correctness: {{}}\nFirst Error Step: {step}\nError Reason: it adds"
    question = question_about("fallback", case, Output(reply.format("incorrect")))
    assert question is not None
    assert (f"First wrong line: {step}" in question.text) is (step != "N/A")
    assert question_about("fallback", case, Output(reply.format("correct"))) is None


RIGHT, WRONG = Ruling("judged", "correct", "5", "equal"), Ruling("judged", "incorrect", "6", "not equal")


@pytest.mark.parametrize(
    ("text", "ruling", "verdict", "source"),
    [
        ("The answer is 6.", RIGHT, "correct", "judge"),
        ("The answer is 5.", WRONG, "incorrect", "judge"),
        ("I like turtles.", WRONG, "incorrect", "judge"),
        ("The answer is 6.", Ruling("judged", None, None, "open"), "incorrect", "parser"),
        ("The answer is 6.", Ruling("unjudged", reason="no reply"), "incorrect", "parser"),
        ("The answer is 6.", Ruling("over-budget", reason="spent"), "incorrect", "parser"),
        ("The answer is 5.", None, "correct", "parser"),
    ],
)
def test_what_a_ruling_decides(text: str, ruling: Ruling | None, verdict: str, source: str) -> None:
    graded = with_ruling(grade(CASE, Output(text)), CASE, ruling)
    assert graded.judged is not None
    assert (graded.verdict.name, graded.judged.source) == (verdict, source)
    assert graded.judged.parser == grade(CASE, Output(text)).verdict
    assert graded.verdict.failure is None or verdict != "correct"
    kept = with_ruling(grade(CASE, Output(text)), CASE, ruling, decides=False)
    assert kept.verdict == grade(CASE, Output(text)).verdict


def test_the_verdict_on_a_review_stays_the_parsers() -> None:
    output = Output("Final Judgement: wrong\nFirst Error Step: 2\nError Analysis: it is bad")
    graded = with_ruling(grade(REVIEW, output), REVIEW, WRONG)
    assert graded.judged is not None
    assert (graded.verdict.name, graded.judged.source, graded.judged.ruling) == ("correct", "parser", WRONG)


def record(parser: str, judge: Ruling | None, verdict: str, gold: object = "5") -> dict[str, Any]:
    return {
        "task": "gsm8k",
        "item": "0000",
        "verdict": verdict,
        "parser_verdict": parser,
        "source": "judge" if judge and judge.verdict else "parser",
        "gold": gold,
        "answer": gold,
        "judge": None if judge is None else dataclasses.asdict(judge),
    }


def test_the_figures_of_a_row() -> None:
    records = [
        record("correct", RIGHT, "correct"),
        record("incorrect", RIGHT, "correct"),
        record("unparsed", RIGHT, "correct"),
        record("correct", Ruling("judged", None, None, "open"), "correct"),
        record("incorrect", Ruling("unjudged", reason="no reply"), "incorrect"),
        record("truncated", None, "truncated"),
        record("unparsed", Ruling("over-budget", reason="spent"), "unparsed"),
        record("correct", WRONG, "incorrect"),
    ]
    assert row_judge(records) == {
        "asked": 7,
        "judged": 5,
        "unjudged": 2,
        "cannot_tell": 1,
        "decided": 4,
        "agree": 1,
        "disagree": 3,
        "accuracy_parser": 0.375,
        "accuracy_judge": 0.5,
    }


def test_a_row_of_reviews_has_nothing_to_agree_on_and_no_reason_is_none_accepted() -> None:
    gold = {"judgement": "wrong", "first_error_step": "2"}
    missed = {**record("incorrect", None, "incorrect", gold), "answer": {"judgement": "correct"}}
    row = row_judge([missed])
    assert (row["agree"], row["disagree"], row["accuracy_judge"]) == (None, None, None)
    assert review_metrics([missed])["acc_reason"]["value"] == 0.0, "with a judge in the run, asked or not"
    open_one = record("correct", Ruling("judged", None, None, "open"), "correct", gold)
    assert "left 1 of 1 reasons open" in str(review_metrics([open_one])["acc_reason"]["undefined"])


def settings(**raw: object) -> Settings:
    built = build_settings({"model": "m", **{name.replace("_", "-"): value for name, value in raw.items()}})
    assert built is not None
    return built


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "answers are read by rules here (its way: --judge MODEL --judge-policy all)"),
        ({"judge": "big"}, "and big is asked where they find none (the paper's way: --judge-policy all)"),
        ({"judge": "big", "judge_policy": "all"}, "here it is big, asked about every output, too"),
    ],
)
def test_the_preset_says_who_evaluates(raw: dict[str, object], said: str) -> None:
    (line,) = [choice for choice in settings(preset="thinkslm", **raw).preset_choices if choice.startswith("evaluator")]
    assert "GPT-4 Turbo" in line
    assert said in line


def test_judge_options_without_a_judge_are_refused_without_their_value() -> None:
    with pytest.raises(UsageError, match="--judge-url is about the judge") as caught:
        settings(judge_url="http://me:secret@host/v1")
    assert "secret" not in str(caught.value)


def test_a_baseline_with_another_judge_is_unfit() -> None:
    kept: dict[str, Any] = {"settings": {"temperature": 0, "judge": None}, "selection": "full", "results": []}
    run = RecordedRun({}, {}, "before", kept)
    now = {"temperature": 0, "judge": "big", "judge_policy": "all"}
    assert "judge (baseline: none; this run: big, policy all)" in misfits(run, now, {}, ())
    assert not [line for line in misfits(run, {**now, "judge": None}, {}, ()) if line.startswith("judge")]


def session(tmp_path: Path, budget: int | None, **raw: object) -> JudgeSession:
    made = dataclasses.replace(settings(judge="big", **raw), report_dir=tmp_path)
    desk = JudgeDesk(None, None, budget=Budget(budget))  # type: ignore[arg-type]
    desk.spent.read, desk.spent.prompt_tokens_read, desk.spent.output_tokens_read = 16, 16 * 500, 16 * 50
    return JudgeSession(made, desk, Fingerprint({"role": "judge"}), CanaryResult(16, 16))


@pytest.mark.parametrize("budget", [0, 1, 7, 8, 100])
@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_the_shares_of_the_workers_are_the_budget(tmp_path: Path, budget: int, slots: int) -> None:
    made = session(tmp_path, budget)
    shares = [made.for_worker(slot, slots)["share"] for slot in range(slots)]
    assert sum(shares) == budget
    assert max(shares) - min(shares) <= 1
    assert session(tmp_path, None).for_worker(0, slots)["share"] is None


@pytest.mark.parametrize(
    ("budget", "policy", "said"),
    [
        (None, "all", "about 1,000 requests, about 500,000 tokens asked and 50,000 answered"),
        (None, "fallback", "at most 1,000 requests, at most 500,000 tokens asked and 50,000 answered"),
        (100, "all", "at most 100 requests, at most 50,000 tokens asked and 5,000 answered"),
    ],
)
def test_the_estimate(tmp_path: Path, budget: int | None, policy: str, said: str) -> None:
    assert said in session(tmp_path, budget, judge_policy=policy).estimate(1000)
