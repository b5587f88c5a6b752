from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from recorded_runs import SETTINGS, record, write_run

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.runs import results as results_module

TASKS = ("sort8_positive", "sort16_positive", "sort32_positive")
SCHEMA = json.loads(Path(results_module.__file__).with_name("results.schema.json").read_text())


def suite(
    lost: int = 0, tasks: tuple[str, ...] = TASKS, quant: str = "none", errors: int = 0, start: int = 0
) -> list[dict[str, object]]:
    """A hundred items a task, 80 right; ``lost`` of these are wrong, and as many more are errors."""
    return [
        record(
            item,
            lost + errors <= item < 80,
            task=task,
            quant=quant,
            **({"verdict": "error"} if item < errors else {}),
        )
        for task in tasks
        for item in range(start, 100)
    ]


BEFORE = suite()


@pytest.mark.parametrize(
    ("now", "margin", "status", "decision", "says"),
    [
        (suite(), "3", 0, "GO", "no task is critical"),
        (suite(), "0.5", 1, "INCONCLUSIVE", "the mean takes"),
        (suite(lost=20), "3", 1, "NO-GO", "beyond the margin"),
        (suite(lost=4), "3", 1, "INCONCLUSIVE", "the drop that is seen is too near the margin"),
        (suite(tasks=TASKS[:2]), "3", 1, "INCONCLUSIVE", "this run has nothing of it"),
        (suite(errors=2), "3", 1, "INCONCLUSIVE", "2 of 100 items are errors"),
        (suite(start=30), "9", 0, "GO", "no task is critical"),
        (
            [*suite(start=30), *(record(item, True, task=task) for task in TASKS for item in range(200, 230))],
            "9",
            1,
            "INCONCLUSIVE",
            "only 70 of 100 items of the smaller selection are in both",
        ),
    ],
    ids=[
        "nothing lost",
        "too few items",
        "much lost",
        "near the margin",
        "a task is missing",
        "void",
        "a selection",
        "few shared",
    ],
)
def test_only_go_exits_0(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    now: list[dict[str, object]],
    margin: str,
    status: int,
    decision: str,
    says: str,
) -> None:
    runs = write_run(tmp_path / "a", BEFORE), write_run(tmp_path / "b", now)
    assert main(["certify", *map(str, runs), "--margin", margin]) == status
    out = capsys.readouterr().out
    assert f"certificate: {decision}: " in out
    assert says in out


def test_json_has_the_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_run(tmp_path / "a", BEFORE), write_run(tmp_path / "b", suite(lost=20))
    assert main(["certify", *map(str, runs), "--margin", "3", "--format", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    certificate = found["certificate"]
    jsonschema.validate(certificate, {"$defs": SCHEMA["$defs"], "$ref": "#/$defs/certificate"})
    assert (certificate["decision"], certificate["margin"], certificate["tasks"]) == ("NO-GO", 3, 3)
    assert certificate["mean_drop"] == pytest.approx(20)
    assert certificate["bounds"][0] < 20 < certificate["bounds"][1]
    assert [guard["state"] for guard in certificate["guards"]] == ["broken"] * 3
    (loss,) = found["any_loss"]
    assert (loss["lost"], loss["gained"], loss["n"]) == (60, 0, 300)
    assert loss["p"] == pytest.approx(2.0**-60, rel=1e-3)


def test_a_policy_file_sets_tiers_guards_and_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(write_run(tmp_path / "a", BEFORE)), str(write_run(tmp_path / "b", suite(lost=20, tasks=TASKS[:1])))]
    worse = [*suite(lost=20, tasks=TASKS[:1]), *suite(tasks=TASKS[1:])]
    runs[1] = str(write_run(tmp_path / "c", worse))
    policy = tmp_path / "policy.toml"
    policy.write_text('margin = 3\n[tasks.sort8_positive]\ntier = "advisory"\n')
    assert main(["certify", *runs, "--margin", "3"]) == 1
    assert main(["certify", *runs, "--policy", str(policy)]) == 0
    capsys.readouterr()
    policy.write_text("margin = 3\nmax_unparsed = 0\n[tasks.sort8_positive]\ntier = 'advisory'\n")
    bad = [{**line, "verdict": "unparsed"} if line["item"] == "0099" else line for line in worse]
    assert main(["certify", runs[0], str(write_run(tmp_path / "d", bad)), "--policy", str(policy)]) == 1
    assert "1% unparsed (allowed: 0%)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("margin = 0", "out of range"),
        ("guard = 3", "it states no margin"),
        ("margin = 1\ntear = 2", "there is no 'tear'"),
        ("margin = 1\n[tasks.gsm9k]\ntier = 'critical'", "did you mean 'gsm8k'"),
        ("margin = 1\n[tasks.gsm8k]\ntier = 'critcal'", "did you mean 'critical'"),
        ("margin = true", "no number"),
        ("margin = 1\nmin_items = -1", "no whole number"),
        ("margin = 1\nmax_truncated = 101", "no percentage"),
        ("margin = 1\ntasks = 3", "table of tables"),
        ("margin = [", "is no TOML file"),
        ("\x00", "is no TOML file"),
    ],
)
def test_a_policy_that_cannot_be_read_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    assert main(["certify", str(write_run(tmp_path / "a", BEFORE[:1])), "x", "--policy", str(policy)]) == 4
    assert says in capsys.readouterr().err


def test_nothing_to_decide_on_is_status_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, other = write_run(tmp_path / "a", BEFORE), write_run(tmp_path / "b", suite(tasks=("sort8_mixed",)))
    assert main(["certify", str(before), str(other), "--margin", "3"]) == 4
    assert "nothing could be compared" in capsys.readouterr().err
    assert main(["certify", str(before), "--margin", "3"]) == 4
    assert "one variant, and nothing to hold it against" in capsys.readouterr().err
    assert main(["certify", str(before), str(other)]) == 4
    assert "say how much may be lost" in capsys.readouterr().err


def test_variants_of_one_run_are_held_against_the_uncompressed_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "a", [*BEFORE, *suite(quant="w8a8"), *suite(lost=20, quant="w4a16")])
    assert main(["certify", str(run), "--margin", "3", "--format", "json"]) == 1
    found = {one["name"]: one["certificate"]["decision"] for one in json.loads(capsys.readouterr().out)["runs"]}
    assert found == {"a: m (w4a16)": "NO-GO", "a: m (w8a8)": "GO"}


def test_what_a_recorded_command_left_out_is_not_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = {**SETTINGS, "tasks": ["sort8*", "sort16_positive"], "styles": ["direct"]}
    whole = str(write_run(tmp_path / "whole", BEFORE))
    part = str(write_run(tmp_path / "part", suite(tasks=TASKS[:2]), settings=two))
    lost = str(write_run(tmp_path / "lost", suite(tasks=TASKS[:1]), settings=two))
    for command in (["certify", "--margin", "5"], ["compare", "--gate", "5"]):
        assert main([command[0], whole, part, *command[1:]]) == 0
        assert main([command[0], part, whole, *command[1:]]) == 0
        assert main([command[0], whole, lost, *command[1:]]) == 1
        assert "the baseline has sort16_positive (direct) and this run has nothing of it" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["certify", "--margin"], ["compare", "--certify"], ["choose", "--within"]])
def test_what_was_not_looked_at_is_never_certified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Neither where both commands left everything out that the other has, nor where a run was cut."""
    first = {**SETTINGS, "tasks": [TASKS[0]]}
    one = str(write_run(tmp_path / "one", suite(tasks=TASKS[:1]), settings=first))
    other = str(write_run(tmp_path / "other", suite(tasks=TASKS[1:]), settings={**SETTINGS, "tasks": [*TASKS[1:]]}))
    cut = str(write_run(tmp_path / "cut", [*suite(), *suite(quant="w8a8")], selection="partial"))
    for runs, status, why in (((one, other), 1, "nothing could be compared"), ((one, cut), 2, "is not complete")):
        for form in ("rich", "markdown"):
            assert main([command[0], *runs, command[1], "9", "--allow-unevaluated", "--format", form]) == status
            out = capsys.readouterr().out
            assert why in out
            assert "INCONCLUSIVE" in out
            assert "GO:" not in out.replace("NO-GO:", "")


def test_a_critical_task_that_neither_run_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.toml").write_text('margin = 9\n[tasks.gsm8k]\ntier = "critical"\n')
    runs = [str(write_run(tmp_path / name, BEFORE)) for name in "ab"]
    assert main(["certify", *runs, "--policy", str(tmp_path / "policy.toml")]) == 0
    assert "critical by the policy, but in neither run: gsm8k" in capsys.readouterr().out


def test_a_policy_of_advisory_tasks_alone_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.toml").write_text('margin = 9\n[tasks."*"]\ntier = "advisory"\n')
    runs = [str(write_run(tmp_path / name, BEFORE)) for name in "ab"]
    assert main(["certify", *runs, "--policy", str(tmp_path / "policy.toml")]) == 1
    assert "INCONCLUSIVE: nothing could be compared: every task is advisory" in capsys.readouterr().out


def test_the_markdown_comment_of_compare_has_the_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = write_run(tmp_path / "a", BEFORE), write_run(tmp_path / "b", suite(lost=20))
    assert main(["compare", *map(str, runs), "--certify", "3", "--gate", "50", "--format", "markdown"]) == 1
    out = capsys.readouterr().out
    assert "#### Certificate: NO-GO (margin 3)" in out
    assert "| sort8_positive | supporting | 100 | +20.0 |" in out
    assert "any loss over 3 tasks together: 60 lost and 0 gained of 300 items" in out
