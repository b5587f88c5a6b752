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


def hundred(task: str = "sort8_positive", start: int = 0, errors: int = 0, **fields: object) -> list[dict[str, object]]:
    """A hundred right items of which the first ones are errors."""
    return [
        record(
            item, item >= start + errors, task=task, **({"verdict": "error"} if item < start + errors else {}), **fields
        )
        for item in range(start, start + 100)
    ]


BASE = hundred()
OTHER = hundred("sort8_mixed")


@pytest.mark.parametrize("mode", [[], ["--gate-mode", "noninferiority"]], ids=["regression", "noninferiority"])
@pytest.mark.parametrize(
    ("before", "now", "status", "says"),
    [
        (BASE, BASE, 0, "passed"),
        (BASE, hundred(errors=100), 1, "100 of 100 items are errors"),
        (BASE, hundred(errors=5), 1, "5 of 100 items are errors"),
        (hundred(errors=5), BASE, 1, "the baseline's accuracy is void"),
        ([*BASE, *OTHER], BASE, 1, "the baseline has sort8_mixed (direct) and this run has nothing of it"),
        (BASE, [*BASE, *OTHER], 1, "the baseline has no sort8_mixed (direct)"),
        (BASE, OTHER, 4, "nothing could be compared"),
        (BASE, hundred(start=100), 4, "nothing could be compared"),
        (BASE, hundred(start=21), 1, "only 79 of 100 items of the smaller selection are in both"),
        (BASE, hundred(start=20), 0, "passed"),
        (BASE, BASE[:40], 0, "passed"),
    ],
    ids=[
        "the same",
        "nothing but errors",
        "void",
        "void baseline",
        "a task dropped",
        "a task that the baseline lacks",
        "no shared task",
        "no shared item",
        "79 shared",
        "80 shared",
        "a smaller selection",
    ],
)
def test_what_could_not_be_evaluated_fails(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: list[dict[str, object]],
    now: list[dict[str, object]],
    status: int,
    says: str,
    mode: list[str],
) -> None:
    runs = [str(write_run(tmp_path / "a", before)), str(write_run(tmp_path / "b", now))]
    gate = ["--gate", "20", *mode]
    assert main(["compare", *runs, *gate]) == status
    captured = capsys.readouterr()
    assert says in captured.out + captured.err
    assert main(["compare", *runs, *gate, "--allow-unevaluated"]) == 0


def test_an_error_counts_against_the_run_and_not_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write_run(tmp_path / "a", [record(item, True) for item in range(1300)])
    lost = [record(item, item >= 5) for item in range(1300)]
    hidden = [*(record(item, False, verdict="error") for item in range(12)), *lost[12:]]
    shown = write_run(tmp_path / "b", [record(item, item >= 12) for item in range(1300)])
    errors = write_run(tmp_path / "c", hidden)
    assert main(["compare", str(before), str(shown), "--gate", "0"]) == 1
    assert main(["compare", str(before), str(errors), "--gate", "0"]) == 1
    assert "12 errors counted against this run" in " ".join(capsys.readouterr().out.split())
    # What the baseline could not say is no gain of the run's where absence of a drop is to be shown.
    assert main(["compare", str(errors), str(before), "--gate", "0"]) == 0


def test_the_pooled_test_counts_what_it_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(write_run(tmp_path / "a", BASE)), str(write_run(tmp_path / "b", hundred(errors=1)))]
    assert main(["compare", *runs, "--gate", "2"]) == 0
    assert "any loss over one task: 1 lost and 0 gained of 100 items (pooled exact McNemar, one-sided, p = 0.5)" in (
        " ".join(capsys.readouterr().out.split())
    )


def test_samples_of_other_seeds_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def sample(name: str, seed: int) -> str:
        settings = {**SETTINGS, "data_seed": seed, "limit": 100}
        return str(write_run(tmp_path / name, BASE, settings=settings, selection="limit"))

    runs = [sample("a", 0), sample("b", 1)]
    assert main(["compare", *runs, "--gate", "2"]) == 4
    assert "data_seed (baseline: 0; this run: 1)" in capsys.readouterr().err
    assert main(["compare", *runs, "--gate", "2", "--allow-unevaluated"]) == 0


@pytest.mark.parametrize("who", ["baseline", "run"])
def test_a_judge_that_failed_its_canaries_turns_nothing_green(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    judged = [{**line, "parser_verdict": "incorrect", "source": "judge", "judge": None} for line in BASE]
    runs = [write_run(tmp_path / "a", BASE), write_run(tmp_path / "b", BASE)]
    place = runs[0 if who == "baseline" else 1]
    (place / "items.jsonl").unlink()
    (place / "results.json").unlink()
    place.rmdir()
    write_run(place, judged)
    value = json.loads((place / "results.json").read_text())
    canaries = {"n": 16, "right": 6, "threshold": 0.9, "trusted": False, "failed": []}
    value["judge"] = {"model": "yes", "canaries": canaries}
    (place / "results.json").write_text(json.dumps(value))
    for allow in ([], ["--allow-unevaluated"]):
        assert main(["compare", *map(str, runs), "--gate", "2", *allow]) == 1
        said = " ".join(capsys.readouterr().out.split())
        assert "yes got 6 of 16 canaries right (needed: 90%) and decided 100 of 100 verdicts" in said
        assert "accuracy by the parser alone: sort8_positive (direct) 0.0% (with the judge 100.0%)" in said


def test_markdown_is_one_table_a_run_that_hostile_names_cannot_break(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a|b<c>"
    first = write_run(tmp_path / "a", [record(0, True, model=name), record(1, True, model=name)])
    second = write_run(tmp_path / "b", [record(0, False, model=name), record(1, True, model=name)])
    for gate, columns in (([], 13), (["--gate", "0"], 12)):
        assert main(["compare", str(first), str(second), str(first), "--format", "markdown", *gate]) == 0
        text = capsys.readouterr().out
        assert text.count("### a → ") == 2
        assert ("a\\|b&lt;c>" in text) is not bool(gate)
        assert ("- **passed**: sort8_positive: accuracy 100.0% before, 50.0% now" in text) is bool(gate)
        rows = [line for line in text.splitlines() if line.startswith("| sort8_positive")]
        bars = [line.replace("\\|", "").count("|") for line in rows]
        assert (bars.count(columns), set(bars)) == (2, {columns, 9})  # 9: the table of changes within tasks


def test_corrected_p_values_stand_where_several_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(name: str, wrong: int) -> str:
        tasks = ("sort8_positive", "sort8_mixed", "sort16_mixed")
        lines = [record(item, item >= wrong, task=task) for task in tasks for item in range(60)]
        return str(write_run(tmp_path / name, lines))

    runs = [run("a", 0), run("b", 6)]
    assert main(["compare", *runs, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"][0]["rows"]
    assert [row["p_corrected"] for row in rows] == pytest.approx([3 * row["p"] for row in rows])
    assert main(["compare", *runs]) == 0
    text = capsys.readouterr().out
    assert "Holm's correction over 3 rows" in text
    assert f"{rows[0]['p_corrected']:.3g}" in text


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
    assert main(["compare", str(runs[0]), str(other)]) == 4
    captured = capsys.readouterr()
    assert "nothing could be compared with a: c shares no item with it that was asked alike" in captured.err
    text = captured.out
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


def test_what_a_reader_has_to_know_of_a_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, now = [record(0, True), record(0, True, quant="w8a8")], [record(0, False), record(0, True, quant="w8a8")]
    runs = [str(write_run(tmp_path / "a", before)), str(write_run(tmp_path / "b", now, selection="adaptive"))]
    assert main(["compare", *runs, "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)["runs"][0]["remarks"]
    assert said[1] == "b ended when its own gate was decided: what is decided of it here errs more often"
    assert main(["compare", *runs, "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    for quant, lost in (("none", 1), ("w8a8", 0)):
        assert f"any loss over one task: {lost} lost and 0 gained of 1 item (" in out
        assert f", m ({quant})" in out


def test_the_pooled_test_of_several_variants_is_corrected_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = [[record(n, right, quant=quant) for quant in ("q8", "q4") for n in range(6)] for right in (True, False)]
    sides[1][:5] = sides[0][:5]  # q8 loses one, q4 all six
    runs = [str(write_run(tmp_path / name, side)) for name, side in zip("ab", sides, strict=True)]
    assert main(["compare", *runs, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"][0]["any_loss"]
    assert {one["quant"]: (one["p"], one["p_corrected"]) for one in found} == {
        "q8": (0.5, 0.5),
        "q4": (1 / 64, 2 / 64),
    }
    assert main(["compare", *runs]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "p = 0.0312 after Holm's correction over 2 variants), m (q4)" in out


def test_a_baseline_without_an_item_has_nothing_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(write_run(tmp_path / "a", [])), str(write_run(tmp_path / "b", BASE))]
    assert main(["compare", *runs, "--gate", "2"]) == 4
    assert "nothing could be compared with a" in capsys.readouterr().err


def test_what_where_left_out_is_not_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {**SETTINGS, "where": [["level", "5"]]}
    runs = [str(write_run(tmp_path / "a", [*BASE, *OTHER])), str(write_run(tmp_path / "b", BASE, settings=asked))]
    assert main(["compare", *runs, "--gate", "2"]) == 0
    assert main(["compare", *runs[::-1], "--gate", "2"]) == 0


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


def test_styles_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [record(item, item < 40, style="direct") for item in range(100)]
    lines += [record(item, 10 <= item < 90, style="cot") for item in range(100)]
    run = write_run(tmp_path / "a", lines, settings={**SETTINGS, "styles": ["direct", "cot"]})
    assert main(["compare", "--by", "style", str(run), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"][0]["rows"]
    assert (row["style"], len(row["lost"]), len(row["gained"])) == ("cot", 10, 50)
    assert main(["compare", "--by", "style", str(run)]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("task", "sort8"))]
    assert max(len(line.rstrip()) for line in table) <= 80


def test_variants_that_do_not_fit_beside_the_figures_have_a_table_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    variants = [(model, quant) for model in ("owner/model-0", "owner/model-1") for quant in ("none", "sparse-2of4")]

    def run(name: str, wrong: int) -> str:
        lines = [
            record(item, item >= wrong, task=task, model=model, quant=quant)
            for task in ("sort8_positive", "sort16_positive")
            for model, quant in variants
            for item in range(30)
        ]
        return str(write_run(tmp_path / name, lines))

    assert main(["compare", run("a", 2), run("b", 20)]) == 0
    text = capsys.readouterr().out.splitlines()
    rows = [line for line in text if line.startswith(("task", "sort")) and " (" not in line]
    assert len(rows) == len(variants) * 3
    assert max(len(line.rstrip()) for line in rows) <= 80
    assert [line for line in text if line.rstrip().endswith("b: owner/model-1 (sparse-2of4)")]


def test_by_style_takes_one_run_with_several_styles(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        (["--by", "style", str(runs[0])], "one style alone"),
        (["--by", "style", *map(str, runs)], "takes one run"),
        ([str(runs[0])], "two runs or more"),
    ):
        assert main(["compare", *arguments]) == 4
        assert said in capsys.readouterr().err


def stressed(item: int, right: bool, steady: bool, words: str = "") -> list[dict[str, object]]:
    """An item and two changed forms of it, one of them right where the item is not unless it is steady."""
    forms = [
        record(
            item,
            right if steady or form == "layout-1" else not right,
            role="stress",
            stress=form,
            messages=[{"role": "user", "content": f"{form}{words} {item}"}],
        )
        for form in ("layout-1", "order-1")
    ]
    return [record(item, right), *forms]


def test_consistency_of_stressed_runs_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steady before in 90 of 100, now in 60; of the last ten the forms were asked in other words."""
    before = [line for item in range(100) for line in stressed(item, True, item < 90)]
    now = [line for item in range(100) for line in stressed(item, True, item < 60, "!" if item >= 90 else "")]
    runs = [str(write_run(tmp_path / name, lines)) for name, lines in (("a", before), ("b", now))]
    assert main(["compare", *runs, "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"][0]["rows"]
    found = row["consistency"]
    assert (found["n"], found["before"], found["now"]) == (90, 1, pytest.approx(60 / 90, abs=1e-6))
    assert len(found["lost"]) == 30
    assert found["p"] < 1e-6
    for form in ("rich", "markdown"):
        assert main(["compare", *runs, "--format", form]) == 0
        assert "consistency under --stress 100.0% → 66.7% (-33.3 points" in " ".join(capsys.readouterr().out.split())
    plain = str(write_run(tmp_path / "c", [record(item, True) for item in range(100)]))
    assert main(["compare", runs[0], plain, "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"][0]["rows"]
    assert "consistency" not in row
