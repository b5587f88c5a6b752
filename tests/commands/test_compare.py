from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_runs import SETTINGS, record, write_run
from statsmodels.stats.contingency_tables import mcnemar

from pytest_thinkslm.__main__ import main


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """60 shared items right, 20 lost, 5 gained, 15 wrong in both; one item more in each."""
    before = [record(item, item < 80) for item in range(100)]
    after = [record(item, item < 60 or 80 <= item < 85) for item in range(100)]
    return write_run(tmp_path / "a", [*before, record(200, True)]), write_run(
        tmp_path / "b", [*after, record(300, True)]
    )


def test_json_has_the_paired_figures(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *map(str, runs), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"][0]["rows"]
    assert (row["n"], len(row["lost"]), len(row["gained"])) == (100, 20, 5)
    assert (row["only_baseline"], row["only_candidate"]) == (1, 1)
    assert row["difference"] == pytest.approx(-0.15)
    assert row["p"] == pytest.approx(mcnemar([[60, 20], [5, 15]], exact=True).pvalue)


@pytest.mark.parametrize(
    ("gate", "status"),
    [
        (["--gate", "2"], 1),
        (["--gate", "20"], 0),
        (["--gate", "2", "--gate-mode", "noninferiority"], 1),
        (["--gate", "30", "--gate-mode", "noninferiority"], 0),
    ],
    ids=["worse", "within the margin", "not ruled out", "ruled out"],
)
def test_exit_status_by_gate(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], gate: list[str], status: int
) -> None:
    assert main(["compare", *map(str, runs), *gate]) == status
    assert f"gate {'failed' if status else 'passed'}: sort8_positive: accuracy 80.0% before" in capsys.readouterr().out


def test_markdown_is_one_table_a_run_that_hostile_names_cannot_break(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a|b<c>"
    first = write_run(tmp_path / "a", [record(0, True, model=name), record(1, True, model=name)])
    second = write_run(tmp_path / "b", [record(0, False, model=name), record(1, True, model=name)])
    assert main(["compare", str(first), str(second), str(first), "--format", "markdown", "--gate", "0"]) == 0
    text = capsys.readouterr().out
    assert text.count("### a → ") == 2
    assert "a\\|b&lt;c>" in text
    assert "- **passed**: sort8_positive: accuracy 100.0% before, 50.0% now" in text
    rows = [line for line in text.splitlines() if line.startswith("| sort8_positive")]
    assert [line.replace("\\|", "").count("|") for line in rows] == [12, 12]


def test_runs_of_other_settings_are_compared_with_a_remark_but_not_gated(
    tmp_path: Path, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sampled = write_run(tmp_path / "c", [record(0, True)], settings={**SETTINGS, "temperature": 0.7})
    assert main(["compare", str(runs[0]), str(sampled)]) == 0
    assert "temperature (baseline: 0.0; this run: 0.7)" in capsys.readouterr().out
    assert main(["compare", str(runs[0]), str(sampled), "--gate", "2"]) == 4
    assert "these differ: temperature" in capsys.readouterr().err


def test_other_prompts_are_never_paired(
    tmp_path: Path, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "c", [record(item, True, prompt="Please sort.") for item in range(100)])
    assert main(["compare", str(runs[0]), str(other)]) == 0
    text = capsys.readouterr().out
    assert "not compared, other prompts of sort8_positive (direct) (100 of 100 shared items" in text
    assert "80.0%" not in text
    assert main(["compare", str(runs[0]), str(other), "--gate", "2"]) == 4


def test_an_interrupted_run_is_not_evaluated_and_no_baseline(
    tmp_path: Path, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    partial = write_run(tmp_path / "c", [record(item, False) for item in range(50)], selection="partial")
    assert main(["compare", str(runs[0]), str(partial), "--gate", "2"]) == 2
    assert "gate not evaluated" in capsys.readouterr().out
    assert main(["compare", str(partial), str(runs[0]), "--gate", "2"]) == 4
    assert "selection (baseline: partial" in capsys.readouterr().err
    assert main(["compare", str(partial), str(runs[0])]) == 0
    assert "selection partial" in capsys.readouterr().out


def test_clusters_and_repeats_use_the_permutation_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(name: str, wrong: int) -> Path:
        records = [
            record(item, item >= wrong, repeat=repeat, cluster=f"c{item // 4}")
            for item in range(80)
            for repeat in (1, 2)
        ]
        return write_run(tmp_path / name, records)

    main(["compare", str(run("a", 0)), str(run("b", 24)), "--format", "json"])
    (row,) = json.loads(capsys.readouterr().out)["runs"][0]["rows"]
    assert (row["n"], row["clusters"], row["repeats"]) == (80, 20, 2)
    assert row["test"] == "cluster sign-flip permutation, two-sided"
    assert row["p"] == pytest.approx(2 * 0.5**6)  # six clusters, all of them lost


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}", "nowhere"], "cannot be read"),
        (["{a}", "{b}", "--gate", "ten"], "is no percentage"),
        (["{a}", "{b}", "--gate-mode", "regression"], "--gate-mode is about --gate"),
    ],
)
def test_usage_errors(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["compare", *(text.format(a=runs[0], b=runs[1]) for text in arguments)]) == 4
    assert message in capsys.readouterr().err


def test_help_teaches_and_a_wrong_command_line_is_status_4(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, status in ((["--help"], 0), (["compare", "--help"], 0), (["compare"], 4), ([], 4)):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == status
    assert "thinkslm compare reports/before reports/after" in capsys.readouterr().out
