"""Whole runs with a judge: verdicts and their source, both accuracies, the spot-check list, journal, budget, gates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from judge_server import JudgeServer
from judged_runs import SEVEN, TASK, JudgedRuns, reference

ROOT = Path(__file__).parents[2]


def readings(records: list[dict[str, Any]]) -> dict[str, tuple[object, ...]]:
    return {
        record["item"]: (
            record["verdict"],
            record["source"],
            record["parser_verdict"],
            record["judge"] and record["judge"]["verdict"],
        )
        for record in records
    }


def test_fallback_asks_only_where_the_parser_found_nothing(judged: JudgedRuns) -> None:
    with JudgeServer() as server:
        result = judged(url=server.url)
        assert result.ret == 0
        assert server.about_items == 2
    assert readings(judged.items()) == {
        "0000": ("correct", "parser", "correct", None),
        "0001": ("incorrect", "parser", "incorrect", None),
        "0002": ("correct", "judge", "unparsed", "correct"),
        "0003": ("incorrect", "judge", "unparsed", "incorrect"),
        "0004": ("truncated", "parser", "truncated", None),
        "0005": ("truncated", "parser", "truncated", None),
        "0006": ("unparsed", "parser", "unparsed", None),
    }
    ruled = judged.items()[2]
    assert ruled["judge"] == {
        "status": "judged",
        "verdict": "correct",
        "answer": "as read",
        "reason": "by the scripted rule",
    }
    assert ruled["reason"].startswith("judge: by the scripted rule (parser: unparsed, ")
    (row,) = judged.results()["results"]
    assert (row["judge"]["accuracy_parser"], row["judge"]["accuracy_judge"]) == (
        pytest.approx(1 / 7, abs=1e-6),
        pytest.approx(2 / 7, abs=1e-6),
    )
    assert row["accuracy"] == row["judge"]["accuracy_judge"]
    result.stdout.fnmatch_lines(
        [
            "*judge judge-1: 16 canaries to ask*",
            "*judge judge-1: 16 of 16 canaries right*",
            "*judge judge-1 (policy fallback): at most 7 requests, at most 2,800 tokens asked and 280 answered*",
            "*accuracy 14.3% by the parser, 28.6% with the judge*",
        ]
    )


def test_under_all_the_judge_decides_and_disagreements_are_listed(judged: JudgedRuns) -> None:
    with JudgeServer("wrong") as server:
        result = judged("--judge-policy=all", url=server.url)
        assert result.ret == 0
        assert server.about_items == 4, "nothing in the other three is graded"
    assert readings(judged.items()) == {
        "0000": ("incorrect", "judge", "correct", "incorrect"),
        "0001": ("correct", "judge", "incorrect", "correct"),
        "0002": ("incorrect", "judge", "unparsed", "incorrect"),
        "0003": ("correct", "judge", "unparsed", "correct"),
        "0004": ("truncated", "parser", "truncated", None),
        "0005": ("truncated", "parser", "truncated", None),
        "0006": ("unparsed", "parser", "unparsed", None),
    }
    results = judged.results()
    schema = json.loads(resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text())
    jsonschema.validate(results, schema)
    block = results["judge"]
    assert (block["model"], block["policy"], block["canaries"]["trusted"]) == ("judge-1", "all", True)
    assert (block["asked"], block["judged"], block["unjudged"], block["agree"], block["disagree"]) == (4, 4, 0, 1, 3)
    assert [entry["item"] for entry in block["disagreements"]] == ["0000", "0001", "0003"]
    assert block["disagreements"][1]["parser"] == {"verdict": "incorrect", "answer": [1, 2, 3], "rule": "boxed"}
    assert block["disagreements"][1]["judge"]["verdict"] == "correct"
    summary = (judged.folder / "summary.md").read_text()
    assert (
        f"{TASK} 0001 (direct, outputs none): parser incorrect, read [1, 2, 3] (rule boxed); judge correct" in summary
    )
    assert results["measured"]["judge"]["requests"] == 20
    assert results["measured"]["judge"]["prompt_tokens"] == 8000
    assert "3 disagreements with the parser to look at" in result.stdout.str()


def test_workers_change_nothing_and_a_full_journal_asks_nothing(judged: JudgedRuns) -> None:
    with JudgeServer("wrong") as server:
        judged("--judge-policy=all", url=server.url)
        requests = server.requests
        items = (judged.folder / "items.jsonl").read_bytes()
        first = judged.results()
        result = judged("--judge-policy=all", "-n2", url=server.url)
        assert server.requests == requests
        assert (judged.folder / "items.jsonl").read_bytes() == items
        second = judged.results()
        assert second["measured"]["judge"]["requests"] == 0
        assert second["measured"]["judge"]["journalled"] == requests
        del first["measured"], second["measured"]
        assert first == second
        assert result.ret == 0
        judged("--judge-policy=all", "-n2", "--fresh", url=server.url)
        assert server.requests == 2 * requests, "the canaries are asked once, by the controller"
        assert (judged.folder / "items.jsonl").read_bytes() == items
    assert not list(judged.folder.glob(".*"))


def hundred() -> list[dict[str, object]]:
    return [{"task": TASK, "item": index, "output": f"I like {index} turtles."} for index in range(100)]


def test_a_killed_run_resumes_without_asking_again(judged: JudgedRuns) -> None:
    judged.write(hundred())
    with JudgeServer(latency=0.4) as server:
        command = [sys.executable, "-m", "pytest", *judged.arguments(f"--task={TASK}", url=server.url)]
        process = subprocess.Popen(
            command,
            cwd=judged.pytester.path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 60
        while server.about_items < 40 and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kept = sum(
            line.endswith("\n")
            for path in (judged.pytester.path / ".thinkslm" / "journal").glob("*/*/*.jsonl")
            for line in path.read_text().splitlines(keepends=True)
        )
        assert 16 < kept < 116
        before = server.requests
        server.latency = 0.0
        result = judged(f"--task={TASK}", url=server.url, lines=hundred())
        assert result.ret == 0
        assert server.requests - before == 116 - kept
    assert {record["judge"]["status"] for record in judged.items()} == {"judged"}


def test_rescoring_with_a_full_journal_asks_nothing(judged: JudgedRuns) -> None:
    with JudgeServer() as server:
        own = ("--model=judge-1", "--engine=openai", f"--server-url={server.url}")
        judged(*own, url=server.url)
        assert (server.generated, server.about_items) == (7, 7)
        items = (judged.folder / "items.jsonl").read_bytes()
        requests = server.requests
        result = judged(*own, "--rescore", url=server.url)
        assert result.ret == 0
        assert (server.generated, server.requests) == (7, requests)
    assert (judged.folder / "items.jsonl").read_bytes() == items


def test_model_and_judge_of_a_server_leave_nothing_open(judged: JudgedRuns) -> None:
    judged.pytester.makeini("[pytest]\nfilterwarnings = error\n")
    with JudgeServer() as server:
        own = ("--model=judge-1", "--engine=openai", f"--server-url={server.url}")
        result = judged(*own, url=server.url)
    assert result.ret == 0
    assert not [item for item in judged.items() if item["verdict"] == "error"]
    assert "Warning" not in result.stdout.str() + result.stderr.str()


def test_outputs_are_judged_later_by_rescoring(judged: JudgedRuns) -> None:
    with JudgeServer() as server:
        own = ("--model=judge-1", "--engine=openai", f"--server-url={server.url}")
        judged(*own, judge="")
        assert (server.generated, server.requests) == (7, 0)
        assert "judge" not in judged.results()
        assert "source" not in judged.items()[0]
        judged(*own, "--rescore", url=server.url)
        assert (server.generated, server.about_items) == (7, 7)


def test_the_budget_bounds_all_requests_of_all_workers(judged: JudgedRuns) -> None:
    with JudgeServer() as server:
        result = judged(f"--task={TASK}", "--judge-budget=27", "-n2", url=server.url, lines=hundred())
        assert server.requests == 27
    assert result.ret == 0
    statuses = [record["judge"]["status"] for record in judged.items()]
    assert (statuses.count("judged"), statuses.count("over-budget")) == (11, 89)
    assert judged.results()["judge"]["over_budget"] == 89
    assert "--judge-budget was spent, 89 of 100 items are unjudged" in result.stdout.str()
    assert {record["verdict"] for record in judged.items() if record["judge"]["status"] != "judged"} == {"unparsed"}
    assert not list(judged.folder.glob(".*"))


def test_a_budget_below_the_canaries_leaves_the_judge_untrusted(judged: JudgedRuns) -> None:
    with JudgeServer() as server:
        result = judged("--judge-budget=1", url=server.url)
        assert server.requests == server.about_items == 1
    assert result.ret == 1
    assert judged.results()["judge"]["canaries"]["trusted"] is False
    assert "--judge-budget 1 does not cover the 16 canaries: they were not asked" in result.stdout.str()


def test_a_judge_that_fails_its_canaries_decides_no_gate(judged: JudgedRuns) -> None:
    bar = (f"--min-accuracy={TASK}=99", "--judge-policy=all", "--color=yes")
    with JudgeServer(canaries="gullible") as server:
        result = judged(*bar, url=server.url)
        assert judged(*bar, "--allow-unevaluated", url=server.url).ret == 1
        assert judged(url=server.url).ret == 1, "without any gate, too"
        judged(*bar, url=server.url)
    assert result.ret == 1
    gate, verdict_on_the_judge = judged.results()["gates"]
    assert verdict_on_the_judge["name"] == "gate::judge"
    assert verdict_on_the_judge["state"] == "failed"
    assert "decided 4 of 7 verdicts" in verdict_on_the_judge["sentence"]
    assert f"{TASK} (direct) 14.3% (with the judge " in verdict_on_the_judge["sentence"]
    assert (gate["state"], gate["passed"]) == ("failed", False)
    assert "verdicts of the judge: judge-1 got 6 of 16 canaries right (needed: 90%)" in gate["sentence"]
    assert "by the parser alone: accuracy 14.3%" in gate["sentence"]
    red = "\x1b[31mjudge judge-1: 6 of 16 canaries right (needed: 90%): it is not to be trusted, and a run"
    assert red in result.stdout.str()
    assert "forged-verdict" in judged.results()["judge"]["canaries"]["failed"]
    with JudgeServer() as server:
        result = judged(*bar, "--fresh", url=server.url)
    assert result.ret == 1
    assert judged.results()["gates"][0]["state"] == "failed"


def test_a_gate_on_the_parsers_verdicts_stands_beside_an_untrusted_judge(judged: JudgedRuns) -> None:
    lines = [{"task": TASK, "item": index, "output": "\\boxed{1, 2}"} for index in range(7)]
    with JudgeServer(canaries="gullible") as server:
        result = judged(f"--min-accuracy={TASK}=99", url=server.url, lines=lines)
    assert result.ret == 1
    assert judged.results()["gates"][0]["state"] == "failed"


@pytest.mark.parametrize("conduct", ["prose", "malformed", "hang", "500"])
def test_a_judge_that_gives_no_ruling_leaves_the_parsers_verdict(judged: JudgedRuns, conduct: str) -> None:
    with JudgeServer(conduct) as server:
        result = judged("--judge-policy=all", url=server.url)
    assert result.ret == 0
    records = judged.items()
    assert [record["verdict"] for record in records[:4]] == ["correct", "incorrect", "unparsed", "unparsed"]
    assert {record["judge"]["status"] for record in records[:4]} == {"unjudged"}
    assert {record["source"] for record in records} == {"parser"}
    (problem,) = judged.results()["problems"]
    assert "judge judge-1: 4 of 4 items are unjudged, the parser's verdict stands: " in problem
    assert "judge judge-1: 4 of 4 items are unjudged" in result.stdout.str()


def test_a_server_that_is_not_there_is_said_and_lived_with(judged: JudgedRuns) -> None:
    with JudgeServer() as server:
        url = server.url
        judged(url=url)
        known = judged.items()
    result = judged("--judge-policy=all", url=url)
    assert result.ret == 0
    assert "cannot be reached" in result.stdout.str()
    by_item = {record["item"]: record["judge"] and record["judge"]["status"] for record in judged.items()}
    assert [by_item[f"000{index}"] for index in range(4)] == ["unjudged", "unjudged", "judged", "judged"]
    assert judged.items()[2] == known[2], "what the journal has, it still has"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--judge=judge-7"], "has no model 'judge-7'"),
        (["--judge=judge-1", "--judge-policy=some"], "--judge-policy 'some' is unknown"),
        (["--judge=judge-1", "--judge-budget=0"], "--judge-budget 0 is out of range"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_done(
    judged: JudgedRuns, arguments: list[str], says: str
) -> None:
    with JudgeServer() as server:
        result = judged(*arguments, url=server.url, judge="")
    assert result.ret == 4
    assert says in result.stderr.str() + result.stdout.str()
    assert "Traceback" not in result.stderr.str()
    assert not judged.folder.exists()


@pytest.mark.parametrize("refused", [False, True])
def test_no_key_is_written_anywhere(judged: JudgedRuns, monkeypatch: pytest.MonkeyPatch, refused: bool) -> None:
    canary, password = "sk-canary-4f8a91c2", "pw-canary-77aa01"
    monkeypatch.setenv("THINKSLM_JUDGE_API_KEY", canary)
    with JudgeServer("500" if not refused else "honest", key="another" if refused else "") as server:
        url = server.url.replace("://", f"://me:{password}@")
        result = judged("--judge-policy=all", "-n2", "--full-trace", "-vv", url=url)
        said = result.stdout.str() + result.stderr.str()
    written = [path for path in judged.pytester.path.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in written if path.name != "stdout"}
    for secret in (canary, password):
        assert secret not in said.replace(url, "")
        found = [name for name, text in texts.items() if secret.encode() in text]
        assert not [name for name in found if not name.endswith(("stdout", "stderr"))], found
    if not refused:
        assert result.ret == 0
        assert judged.results()["settings"]["judge_url"] == server.url
        assert any(name.endswith("engine.log") for name in texts)


def test_the_reasons_of_reviews_are_judged_and_mr_score_is_reported(judged: JudgedRuns) -> None:
    records = [json.loads(line) for line in (ROOT / "fixtures/data/mr_gsm8k.jsonl").read_text().splitlines()]
    lines = []
    for index, record in enumerate(records):
        judgement = record["model_output_solution_correctness"]
        step, reason = (
            record["model_output_solution_first_error_step"],
            record["model_output_solution_first_error_reason"],
        )
        said = f"{reason} Indeed." if index != 2 else "It is a bad step."
        text = f"Final Judgement: {judgement}\nFirst Error Step: {step}\nError Analysis: {said}"
        lines.append({"task": "mr_gsm", "item": index, "output": text})
    wrong = sum(record["model_output_solution_correctness"] == "wrong" for record in records)
    data = (f"--data-dir={ROOT / 'fixtures/data'}", "--accept-data", "--task=mr_gsm", f"--limit={len(records)}")
    with JudgeServer() as server:
        result = judged(*data, "--judge-policy=all", url=server.url, lines=lines)
        assert result.ret == 0
        assert server.about_items == wrong
    (row,) = judged.results()["results"]
    assert row["metrics"]["acc_step"]["value"] == 1.0
    assert row["metrics"]["acc_reason"]["value"] == pytest.approx((wrong - 1) / wrong)
    assert row["metrics"]["mr_score"]["value"] == pytest.approx(0.2 + 0.3 + 0.5 * (wrong - 1) / wrong)
    assert {record["verdict"] for record in judged.items()} == {"correct"}, "the verdict stays the parser's"
    assert {record["source"] for record in judged.items()} == {"parser"}
    assert judged.results()["judge"]["disagreements"] == []


OWN_TEST = """
def test_own(judge):
    ruling = judge(question="What is 2 + 2?", gold="4", output="<think>5?</think>It is 4.")
    assert (ruling.status, ruling.verdict) == ("judged", "correct")
    assert judge(question="What is 2 + 2?", gold="4", output="It is 5.").verdict == "incorrect"
    assert judge(question="Which?", gold="B", options=["red", "blue"], output="B) blue").verdict == "correct"
"""


def test_the_fixture_judges_for_a_users_own_test(judged: JudgedRuns) -> None:
    judged.pytester.makepyfile(test_own=OWN_TEST)
    with JudgeServer() as server:
        result = judged("test_own.py", url=server.url)
        result.assert_outcomes(passed=1)
        assert server.about_items == 3
    judged("test_own.py", judge="").stdout.fnmatch_lines(["*1 skipped*"])
    assert "needs a judge" in judged("test_own.py", "-rs", judge="").stdout.str()


def test_own_assertions_decide_over_the_judge(judged: JudgedRuns) -> None:
    judged.pytester.makepyfile(
        test_own=f"""
        from pytest_thinkslm import reasoning_task, verify

        @reasoning_task("{TASK}")
        def test_{TASK}(case, slm):
            assert "turtles" in slm(case).text
        """
    )
    with JudgeServer() as server:
        judged("test_own.py", *SEVEN, "--judge-policy=all", url=server.url)
    assert readings(judged.items())["0003"] == ("correct", "parser", "correct", "incorrect")


def test_the_reference_helper_is_what_the_judge_sees(judged: JudgedRuns) -> None:
    with JudgeServer() as server:
        judged("--judge-policy=all", url=server.url)
        shown = [body["messages"][1]["content"] for body in server.bodies]
    assert any(f"Reference answer:\n{reference(0)}\n" in text for text in shown)


def test_waiting_for_the_judge_is_no_time_of_a_test(judged: JudgedRuns) -> None:
    pytest.importorskip("pytest_timeout")
    judged.pytester.makeini("[pytest]\ntimeout = 1\n")
    with JudgeServer(latency=1.5) as server:
        result = judged(url=server.url)
    assert result.ret == 0
    assert "Timeout" not in result.stdout.str()
    assert readings(judged.items())["0002"] == ("correct", "judge", "unparsed", "correct")
