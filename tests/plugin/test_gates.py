"""Gates in a run: baselines, exit status, reports, and what is said before and after."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from replayed import Line, items, results, sorted_answer, without_measured
from statsmodels.stats.contingency_tables import mcnemar

from pytest_thinkslm.core.identity import limited
from pytest_thinkslm.gates.baselines import load_run

Replay = Callable[..., pytest.RunResult]
TASK = "sort8_positive"
HUNDRED = range(100)


def sorts(wrong: Collection[int], indices: Iterable[int] = HUNDRED, **fields: object) -> list[Line]:
    """Recorded outputs of which these items are wrong."""
    return [
        {"task": TASK, "item": i, "output": "\\boxed{3, 1, 2}" if i in wrong else sorted_answer(TASK, i), **fields}
        for i in indices
    ]


def gates(folder: Path) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = results(folder)["gates"]
    return value


def said(result: pytest.RunResult) -> str:
    text = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    return text


def gates_xml(folder: Path) -> ElementTree.Element:
    suite = ElementTree.parse(folder / "gates.xml").getroot().find("testsuite")
    assert suite is not None
    return suite


FEW = limited(TASK, range(100), 8, 0)
EIGHT = f"--limit={len(FEW)}"


def test_a_known_discordance_table_fails_the_gate_the_same_on_two_workers(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    report = pytester.path / "report"
    assert replay(sorts(range(20)), "--report-dir=base").ret == 0
    candidate = sorts(range(5, 40))  # 60 right in both, 20 lost, 5 gained, 15 wrong in both
    seen = []
    for workers in ((), ("-n2",)):
        result = replay(candidate, "--baseline=base", "--gate=2", *workers)
        assert result.ret == 1
        result.assert_outcomes(passed=65, failed=1)
        (gate,) = gates(report)
        assert gate["name"] == "gate::sort8_positive"
        assert gate["state"] == "failed"
        expected = mcnemar([[60, 20], [5, 15]], exact=True).pvalue
        assert gate["fields"]["p_change"] == pytest.approx(expected, rel=1e-12)
        assert (gate["fields"]["baseline"], gate["fields"]["candidate"]) == (80.0, 65.0)
        assert gate["lost"] == [f"{i:04d}" for i in range(20, 40)]
        assert gate["gained"] == [f"{i:04d}" for i in range(5)]
        text = said(result)
        assert "accuracy 80.0% before, 65.0% now, -15.0 points (95% interval" in text
        assert "20 lost and 5 gained of 100 items" in text
        assert "exact McNemar, two-sided, p = 0.00408" in text
        suite = gates_xml(report)
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
        junit = ElementTree.parse(report / "junit.xml").getroot()
        assert [case.get("name") for case in junit.iter("testcase") if case.get("classname") == "gate"] == [TASK]
        assert gate["sentence"] in (report / "summary.md").read_text()
        seen.append((without_measured(report), (report / "gates.xml").read_bytes()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two workers"])
def test_a_gate_that_holds_leaves_wrong_answers_data(
    replay: Replay, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    replay(sorts(FEW[:2], FEW), EIGHT, "--report-dir=base")
    result = replay(sorts(FEW[:2], FEW), EIGHT, "--baseline=base", "--gate=2", *workers)
    assert result.ret == 0
    assert gates(pytester.path / "report")[0]["state"] == "passed"
    assert gates_xml(pytester.path / "report").get("failures") == "0"


def test_eight_items_with_one_lost_raise_no_alarm_and_say_what_could_be_seen(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    replay(sorts([], FEW), EIGHT, "--report-dir=base")
    result = replay(sorts(FEW[:1], FEW), EIGHT, "--baseline=base", "--gate=2")
    assert result.ret == 0
    text = said(result)
    before, _, after = text.partition("on replay: 8 outputs")
    assert "with 8 items only a drop of" in before  # said before anything is generated
    assert "takes" in before
    assert "1 lost and 0 gained of 8 items: no drop of more than 2 points is shown" in after
    assert "with 8 items only a drop of" in after
    smallest = gates(pytester.path / "report")[0]["fields"]["smallest_detectable_drop"]
    assert f"only a drop of {smallest:.1f} points or more would be found in 4 of 5 runs" in after


def others(wrong: Collection[int] = (), task: str = "sort8_mixed", **fields: object) -> list[Line]:
    """The same items of another task."""
    return [
        {"task": task, "item": i, "output": "\\boxed{3, 1, 2}" if i in wrong else sorted_answer(task, i), **fields}
        for i in limited(task, range(100), 8, 0)
    ]


GATE = ("--baseline=base", "--gate=2")


def test_many_gates_take_two_lines_beforehand(replay: Replay) -> None:
    tasks = ("sort8_mixed", "sort16_mixed", "sort32_mixed")
    lines = [*sorts([], FEW), *(line for task in tasks for line in others(task=task))]
    command = ("--task=sort8_*,sort16_mixed,sort32_mixed", "--limit=8")
    replay(lines, *command, "--report-dir=base")
    before = said(replay(lines, *command, *GATE)).partition("on replay")[0]
    assert before.count("with 8 items only a drop of") == 1
    assert "3 more lines are like it: --plan has them all" in before
    planned = replay(lines, *command, *GATE, "--plan")
    assert planned.ret == 0
    assert planned.stdout.str().count("with 8 items only a drop of") == 4


@pytest.mark.parametrize(
    ("before", "now", "arguments", "status", "says"),
    [
        (sorts([], FEW), sorts([], FEW), (EIGHT,), 0, "gate passed"),
        ([*sorts([], FEW), *others()], sorts([], FEW), (EIGHT,), 1, "the baseline has sort8_mixed (direct) and this"),
        ([*sorts([], FEW), *others()], sorts([], FEW), (EIGHT, f"--task={TASK}"), 0, "gate passed"),
        ([*sorts([], FEW), *others()], [*sorts([], FEW), *others()], (EIGHT, "-k", TASK), 0, "gate passed"),
        ([*sorts([], FEW), *others()], sorts([], FEW), (EIGHT, "--allow-unevaluated"), 0, "gate not evaluated"),
        (sorts([], FEW), [*sorts([], FEW), *others()], (EIGHT,), 1, "the baseline has no sort8_mixed (direct)"),
        (sorts([], FEW), [*sorts([], FEW), *others()], (EIGHT, "--allow-unevaluated"), 0, "gate not evaluated"),
        (sorts([], FEW), sorts([], FEW[1:]), (EIGHT,), 1, "1 of 8 items are errors"),
        (sorts([], FEW), others(), (EIGHT,), 4, "this run asks none of them"),
        (sorts([], FEW), others(), (EIGHT, "--allow-unevaluated"), 0, "gate not evaluated"),
        (sorts([], FEW), sorts([], FEW), (EIGHT, "--min-accuracy=gsm8k=1"), 1, "gsm8k: not evaluated, no item"),
        (sorts([], FEW), sorts([], FEW), (EIGHT, "--min-accuracy=gsm8k=1", f"--task={TASK}"), 0, "gsm8k: not"),
        (sorts([], FEW), sorts([], FEW), (EIGHT, "--min-accuracy=gsm8k=1", "-k", TASK), 0, "gsm8k: not evaluated"),
    ],
    ids=[
        "the same",
        "a task dropped",
        "left out by --task",
        "left out by -k",
        "a task dropped, allowed",
        "a task that the baseline lacks",
        "lacks, allowed",
        "void",
        "nothing shared",
        "nothing shared, allowed",
        "a bar on a task that is not there",
        "a bar left out by --task",
        "a bar left out by -k",
    ],
)
def test_what_could_not_be_evaluated_fails(
    replay: Replay,
    pytester: pytest.Pytester,
    before: list[Line],
    now: list[Line],
    arguments: tuple[str, ...],
    status: int,
    says: str,
) -> None:
    replay(before, EIGHT, "--report-dir=base")
    result = replay(now, *arguments, *GATE)
    assert says in said(result)
    assert result.ret == status
    if status != 4:
        failures = int(gates_xml(pytester.path / "report").get("failures", "0"))
        assert bool(failures) is bool(status), "what turns CI red is what turns the run red"


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = results(folder)
    change(value)
    (folder / "results.json").write_text(json.dumps(value))


def other_pins(value: dict[str, Any]) -> None:
    value["results"][0]["data"]["digest"] = "0123456789abcdef"


def test_a_baseline_that_does_not_fit_is_refused_before_anything_is_generated(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    lines = sorts([], FEW)
    replay(lines, EIGHT, "--report-dir=base")
    gate = (EIGHT, "--gate=2", "--baseline=base", "--report-dir=refused")
    for arguments, named in (
        (("--style=cot",), "style (baseline: direct; this run: cot)"),
        (("--temperature=0.7",), "temperature (baseline: 0.0; this run: 0.7)"),
        (("--max-tokens=7",), "max_tokens (baseline: by default; this run: 7)"),
        (("--data-seed=1", "-k", TASK), "data_seed (baseline: 0; this run: 1)"),
        (("--data-seed=1", "-k", TASK, "-n2"), "data_seed (baseline: 0; this run: 1)"),
        (("--data-seed=1", "--allow-unevaluated", "-n2"), "prompts of sort8_positive (direct)"),
        (("--task=sort8_mixed",), "this run asks none of them"),
    ):
        result = replay([*sorts([]), {"task": "sort8_mixed", "item": 0, "output": "x"}], *gate, *arguments)
        assert result.ret == 4, arguments
        text = said(result)
        assert "these differ:" in text
        assert named in text
        assert "outputs" not in text.replace("outputs.jsonl", "")
        assert not (pytester.path / "refused" / "results.json").exists()
    two = [{**line, "model": model} for line in lines for model in ("one/m", "two/m")]
    assert "models (baseline: outputs (none); this run:" not in said(replay(two, *gate)), "the only one stands for all"
    replay(two, EIGHT, "--report-dir=both")
    other = said(replay(lines, EIGHT, "--gate=2", "--baseline=both", "--report-dir=refused"))
    assert "models (baseline: one/m (none), two/m (none); this run: outputs (none))" in other
    edited(pytester.path / "base", other_pins)
    assert "data pins of sort8_positive (baseline: 0123456789ab" in said(replay(lines, *gate))


def test_an_interrupted_run_is_not_evaluated_and_can_be_no_baseline(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = sorts(FEW[3:], FEW)
    replay(lines, EIGHT, "--report-dir=base")
    result = replay(lines, EIGHT, "-x", "--baseline=base", "--gate=2", "--min-accuracy=sort8_positive=99")
    assert result.ret == 2
    assert [(gate["state"], gate["passed"]) for gate in gates(pytester.path / "report")] == [
        ("not evaluated", None)
    ] * 2
    assert "not evaluated, the run is not complete" in said(result)
    assert gates_xml(pytester.path / "report").get("skipped") == "2"
    (pytester.path / "report").rename(pytester.path / "cut")
    refused = replay(lines, EIGHT, "--baseline=cut", "--gate=2")
    assert refused.ret == 4
    assert "selection (baseline: partial" in said(refused)


def test_another_selection_is_compared_on_the_shared_items_and_that_is_said(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    replay(sorts([]), "--report-dir=base")
    result = replay(sorts([]), EIGHT, "--baseline=base/results.json", "--gate=50")
    assert result.ret == 0
    assert "compared on the 8 items that are in both (the baseline has 100, this run 8)" in said(result)
    (gate,) = gates(pytester.path / "report")
    assert gate["fields"]["n"] == 8
    assert "92 items that only the baseline has" in gate["sentence"]


def test_bars_and_rates_from_an_ini_file(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nslm_min_accuracy = sort8_*=lower:70\nslm_max_rate = unparsed=10,error=0\n")
    lines = sorts([], FEW)
    lines[0]["output"] = "no list here"
    result = replay(lines, EIGHT, "--min-accuracy=sort8_positive=lower:80,gsm8k=10", "-v")
    assert result.ret == 1
    states = {gate["name"]: gate["state"] for gate in gates(pytester.path / "report")}
    assert states == {
        "gate::sort8_positive::min-accuracy": "failed",
        "gate::sort8_positive::max-unparsed": "failed",
        "gate::sort8_positive::max-error": "passed",
        "gate::gsm8k": "not evaluated",
    }
    text = said(result)
    assert "the lower bound of 52.9% is below 80%" in text
    assert "gate::sort8_positive::max-error PASSED" in text
    assert "[101%]" not in text
    assert replay(sorts([]), "--min-accuracy=sort8_positive=lower:80").ret == 0


def test_a_gate_is_no_test_of_last_failed(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = sorts(FEW[:1], FEW)
    assert replay(lines, EIGHT, "--min-accuracy=sort8_positive=100").ret == 1
    failed = json.loads((pytester.path / ".pytest_cache/v/cache/lastfailed").read_text())
    assert len(failed) == 1
    assert "gate" not in "".join(failed)


def test_an_error_item_is_red_in_gates_xml_without_any_gate(replay: Replay, pytester: pytest.Pytester) -> None:
    assert replay(sorts([], FEW[1:]), EIGHT).ret == 1
    suite = gates_xml(pytester.path / "report")
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")


def test_styles_and_variants_are_in_the_name_and_corrected_together(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = [line for quant in ("none", "gptq4") for line in sorts([], FEW, model="m", quant=quant)]
    replay(lines, EIGHT, "--style=direct,cot", "--report-dir=base")
    worse = [*sorts([], FEW, model="m", quant="none"), *sorts(FEW, FEW, model="m", quant="gptq4")]
    result = replay(worse, EIGHT, "--style=direct,cot", "--baseline=base", "--gate=0")
    assert result.ret == 1
    states = {gate["name"]: gate["state"] for gate in gates(pytester.path / "report")}
    assert states == {
        "gate::sort8_positive[m+none-direct]": "passed",
        "gate::sort8_positive[m+none-cot]": "passed",
        "gate::sort8_positive[m+gptq4-direct]": "failed",
        "gate::sort8_positive[m+gptq4-cot]": "failed",
    }
    assert gates(pytester.path / "report")[0]["fields"]["family"] == 4
    against = replay(
        [line for line in worse if line["quant"] == "gptq4"], EIGHT, "--style=direct", "--baseline=base", "--gate=0"
    )
    assert "accuracy 100.0% before, 0.0% now" in said(against)


@pytest.mark.parametrize("asked", [["--gate=5"], ["--certify=5"]])
def test_the_first_variant_is_the_one_that_was_named_first(
    replay: Replay, pytester: pytest.Pytester, asked: list[str]
) -> None:
    """Not the first by the alphabet, which is the order of a run's files; the recorded run says the same."""
    lines = [*sorts([], FEW, model="m", quant="q8_0"), *sorts(FEW, FEW, model="m", quant="q4_0")]
    result = replay(lines, EIGHT, "--quant=q8_0,q4_0", *asked)
    assert result.ret == 1
    value = json.loads((pytester.path / "report" / "results.json").read_text())
    assert {(row["quant"], row["against"]["quant"]) for row in value["deltas"]} == {("q4_0", "q8_0")}
    if asked == ["--gate=5"]:
        assert [gate["quant"] for gate in value["gates"]] == ["q4_0"]
        assert "accuracy 100.0% before, 0.0% now" in said(result)
    else:
        assert (value["certificate"]["quant"], value["certificate"]["against"]["quant"]) == ("q4_0", "q8_0")
    assert load_run(pytester.path / "report").variants == [("m", "q8_0"), ("m", "q4_0")]


def test_a_baseline_without_a_gate_is_shown_and_fails_nothing(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(sorts([], FEW), EIGHT, "--report-dir=base")
    result = replay(sorts(FEW, FEW), EIGHT, "--baseline=base")
    assert result.ret == 0
    assert gates(pytester.path / "report")[0]["state"] == "advisory"
    assert gates_xml(pytester.path / "report").get("failures") == "0"


def test_the_papers_table_is_advisory_unless_it_may_fail(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = sorts(range(50), model="qwen2.5-32b", quant="none")
    arguments = ("--baseline=paper", "--gate=2")
    result = replay(lines, *arguments)
    assert result.ret == 0
    assert "in the paper (100 items), 50.0% now" in said(result)
    assert gates(pytester.path / "report")[0]["state"] == "advisory"
    assert replay(lines, *arguments, "--gate-paper").ret == 1
    unknown = replay(sorts([]), *arguments, "--gate-paper")
    assert unknown.ret == 1
    assert replay(sorts([]), *arguments, "--gate-paper", "--allow-unevaluated").ret == 0
    assert "the paper has no row for outputs (none)" in said(unknown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gate=2"], "--gate 2 needs a baseline"),
        (["--gate-mode=noninferiority"], "--gate-mode is about --gate"),
        (["--baseline=nowhere", "--gate=2"], "cannot be read"),
        (["--baseline=paper", "--gate=2", "--gate-mode=noninferiority"], "runs cannot be paired"),
        (["--gate=2", "--baseline=paper", "--gate-mode=superiority"], "--gate-mode 'superiority' is unknown"),
        (["--min-accuracy=gsm8=40"], "there is no task 'gsm8'"),
        (["--max-rate=incorrect=5"], "there is no kind 'incorrect'"),
        (["--preset=study"], "--preset 'study' is unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_gate_options_that_cannot_be_read(replay: Replay, arguments: list[str], message: str) -> None:
    result = replay(sorts([], [0]), *arguments)
    assert result.ret == 4
    assert message in said(result)


def test_gate_results_fit_the_schema_and_the_preset_is_recorded(replay: Replay, pytester: pytest.Pytester) -> None:
    from importlib import resources

    schema = json.loads(resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text())
    replay(sorts(FEW[:1], FEW), EIGHT, "--preset=thinkslm", "--report-dir=base")
    result = replay(
        sorts(FEW[:2], FEW),
        EIGHT,
        "--preset=thinkslm",
        "--repeats=2",
        "--baseline=base",
        "--gate=1",
        "--min-accuracy=sort8_positive=1",
    )
    value = results(pytester.path / "report")
    jsonschema.validate(value, schema)
    assert "temperature 0.7 (open in the paper" in said(result)
    assert value["settings"]["preset"] == "thinkslm"
    assert any(line.startswith("repeats 2 (given") for line in value["settings"]["preset_choices"])
    (row,) = value["results"]
    assert (row["n"], row["items"], len(row["repeats"]["runs"])) == (16, 8, 2)
    assert value["gates"][0]["fields"]["repeats"] == 2, "as many as both have"
    assert len(items(pytester.path / "report")) == 16
