"""A certificate in a run: what is said before, the decision in every report, and the exit status."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Collection
from pathlib import Path

import jsonschema
import pytest
from replayed import Line, results, sorted_answer

from pytest_thinkslm.runs import results as results_module

Replay = Callable[..., pytest.RunResult]
TASKS = ("sort8_positive", "sort16_positive")
SCHEMA = json.loads(Path(results_module.__file__).with_name("results.schema.json").read_text())


def sorts(wrong: Collection[int], tasks: Collection[str] = TASKS, **fields: object) -> list[Line]:
    """Recorded outputs of which these items of every task are wrong."""
    return [
        {"task": task, "item": i, "output": "\\boxed{3, 1, 2}" if i in wrong else sorted_answer(task, i), **fields}
        for task in tasks
        for i in range(100)
    ]


def test_only_go_passes_and_every_report_has_the_decision(replay: Replay, pytester: pytest.Pytester) -> None:
    assert replay(sorts([]), "--report-dir=base").ret == 0
    go = replay(sorts([]), "--baseline=base", "--certify=4")
    assert go.ret == 0
    go.stdout.fnmatch_lines(["*certificate, margin 4: of runs that lose nothing *show the mean of 2 tasks*"])
    go.stdout.fnmatch_lines(["gate passed: certificate: GO: mean drop of 2 tasks +0.00 points*"])
    found = replay(sorts(range(30)), "--baseline=base", "--certify=4")
    assert found.ret == 1
    found.stdout.fnmatch_lines(["any loss over 2 tasks together: 60 lost*", "gate failed: certificate: NO-GO: *"])
    report = pytester.path / "report"
    value = results(report)
    jsonschema.validate(value, SCHEMA)
    certificate = value["certificate"]
    assert (certificate["decision"], certificate["margin"]) == ("NO-GO", 4)
    assert certificate["mean_drop"] == pytest.approx(30)
    assert {guard["label"]: guard["tier"] for guard in certificate["guards"]} == dict.fromkeys(TASKS, "supporting")
    assert value["baseline"]["any_loss"][0]["lost"] == 60
    assert "## Certificate: NO-GO (margin 4)" in (report / "summary.md").read_text()
    assert "Certificate: NO-GO (margin 4)" in (report / "report.html").read_text()
    for name in ("gates.xml", "junit.xml"):
        cases = [
            case for case in ElementTree.parse(report / name).iter("testcase") if "certificate" in case.get("name", "")
        ]
        assert [case.find("failure") is not None for case in cases] == [True], name
    # The other gates show the tasks and fail nothing: only the certificate was asked for.
    assert [gate["fails"] for gate in value["gates"]] == [False, False, True]


def test_what_cannot_be_certified_fails_and_says_why(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(sorts([]), "--report-dir=base")
    missing = replay(sorts([], TASKS[:1]), "--baseline=base", "--certify=9")
    assert missing.ret == 1
    assert "sort16_positive (the baseline has sort16_positive (direct) and this run has nothing of it)" in (
        " ".join(missing.stdout.str().split())
    )
    asked = replay(sorts([], TASKS[:1]), "--baseline=base", "--certify=9", "--task=sort8_positive")
    assert asked.ret == 0, "what the command itself left out is not missing"
    (pytester.path / "policy.toml").write_text("margin = 9\nmax_unparsed = 1\n")
    lines = sorts([])
    for line in lines[:3]:
        line["output"] = "no list here"
    rates = replay(lines, "--baseline=base", "--policy=policy.toml")
    assert rates.ret == 1
    assert "sort8_positive (3% unparsed (allowed: 1%))" in " ".join(rates.stdout.str().split())
    assert results(pytester.path / "report")["certificate"]["policy"] == "policy.toml"


def test_variants_of_one_run_are_certified_against_its_first(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = [*sorts([], quant="none"), *sorts([], quant="w8a8"), *sorts(range(30), quant="w4a16")]
    found = replay(lines, "--certify=4")
    assert found.ret == 1
    value = results(pytester.path / "report")
    jsonschema.validate(value, SCHEMA)
    assert value["certificate"]["decision"] == "NO-GO"
    assert {one["quant"]: one["decision"] for one in value["certificates"]} == {"w8a8": "GO", "w4a16": "NO-GO"}
    assert value["certificates"][0]["against"]["quant"] == "none"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--certify=1"], "--certify needs something to hold the run against"),
        (["--certify=1", "--quant=none,none"], "--certify needs something to hold the run against"),
        (["--certify=1", "--baseline=paper"], "--certify cannot be used with --baseline paper"),
        (["--certify=no", "--quant=a,b"], "--certify: 'no' is no number"),
        (["--policy=nowhere.toml", "--quant=a,b"], "nowhere.toml cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_runs(replay: Replay, arguments: list[str], says: str) -> None:
    found = replay(sorts([], TASKS[:1])[:1], *arguments)
    assert found.ret == 4
    assert says in found.stdout.str() + found.stderr.str()
