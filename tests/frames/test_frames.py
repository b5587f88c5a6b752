"""``pytest_thinkslm.frames``: a run as tidy frames whose naive figures are the report's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from plugin.replayed import FOUR, four_sorts, results, sorted_answer
from recorded_runs import record, write_run

from pytest_thinkslm import frames
from pytest_thinkslm.core.errors import UsageError

pytest.importorskip("pandas", reason="the extra frames is not installed")
BY = ["run", "variant", "task", "test", "style"]


@pytest.fixture
def recorded(pytester: pytest.Pytester) -> Path:
    """Two variants and two repeats of four sorting items."""
    lines = [
        {**line, "model": "org/m", "quant": quant, "repeat": repeat}
        for quant in ("none", "w8a8")
        for repeat in (1, 2)
        for line in four_sorts()
    ]
    lines[0]["output"] = "none"
    lines[5]["output"] = sorted_answer("sort8_positive", 1)
    path = pytester.path / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--engine=replay", "--repeats=2", "--temperature=0.7", "--report-dir=a", *FOUR[:1])
    run = pytester.runpytest_subprocess(f"--model={path}", *options, "-k", FOUR[2])
    assert run.ret in (0, 1), run.outlines
    return pytester.path / "a"


def test_a_naive_groupby_gives_the_report(recorded: Path) -> None:
    naive = frames.items(recorded).groupby(BY).correct.mean()
    reported = frames.results(recorded).set_index(BY)
    assert len(reported) == len(results(recorded)["results"]) == len(naive)
    assert naive.to_dict() == reported.accuracy.astype(float).to_dict()
    assert reported.accuracy.astype(float).tolist() == [row["accuracy"] for row in results(recorded)["results"]]


def test_columns_and_dtypes_are_those_documented(recorded: Path, tmp_path: Path) -> None:
    import pandas

    frame = frames.items(recorded, text=True)
    assert list(frame)[: len(frames.ITEM_COLUMNS)] == list(frames.ITEM_COLUMNS)
    assert set(frame.role) == {"item"}
    assert str(frame.output_tokens.dtype) == "Int64"
    assert frame.output_tokens.isna().all()  # recorded without
    assert (frame.groupby([*BY, "item"]).weight.sum() == 1).all()
    frame.to_parquet(tmp_path / "items.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "items.parquet"), frame)


def test_a_tasks_own_figures_are_columns_and_either_file_of_a_run_names_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", [record(0, True), record(1, False)])
    whole = json.loads((folder / "results.json").read_text())
    figure = {"value": 0.25, "n": 2, "ci95": [0.1, 0.4]}
    whole["results"][0]["metrics"] = {
        "by_level": {"1": figure},
        "pdr": figure,
        "macro": {"mr_score": {**figure, "value": 0.5}, "mcc": {"value": None, "undefined": "one class"}},
        "plain": 3,
    }
    (folder / "results.json").write_text(json.dumps(whole))
    found = frames.results(folder / "items.jsonl").filter(like="metric_")
    assert found.to_dict("records") == [{"metric_macro.mr_score": 0.5, "metric_pdr": 0.25, "metric_plain": 3.0}]


def test_an_empty_frame_has_its_columns() -> None:
    assert list(frames.items([])) == list(frames.ITEM_COLUMNS)
    assert list(frames.results([])) == list(frames.RESULT_COLUMNS)


def test_lost_and_gained_are_those_of_compare(pytester: pytest.Pytester) -> None:
    right = [
        {"task": "sort8_positive", "item": item, "output": sorted_answer("sort8_positive", item)} for item in (0, 1)
    ]
    wrong = [{**right[0], "output": "\\boxed{1, 2, 3}"}, right[1]]
    for name, lines in (("one", right), ("two", wrong)):
        (pytester.path / name).with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        select = ("--task=sort8_positive", "-k", "direct-0000 or direct-0001", f"--report-dir=runs/{name}")
        pytester.runpytest_subprocess(f"--model={name}.jsonl", "--engine=replay", *select)
    before, now = pytester.path / "runs/one", pytester.path / "runs/two"
    (row,) = frames.lost(before, now).to_dict("records")
    assert (row["change"], row["item"], row["score_before"], row["score_now"]) == ("lost", "0000", 1.0, 0.0)
    assert row["verdict_now"] == "incorrect"
    assert row["answer_now"] == "1, 2, 3"
    (back,) = frames.lost(now, before).to_dict("records")
    assert back["change"] == "gained"
    both = frames.items([before, now])
    assert list(dict.fromkeys(both.run)) == ["one", "two"]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        frames.items(tmp_path)


def test_the_package_does_not_load_pandas() -> None:
    code = "import sys, pytest_thinkslm.frames; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_notebook_of_the_docs_runs(pytester: pytest.Pytester) -> None:
    """Its cells, in order, in a process of their own (pandas is loaded once a process)."""
    pytest.importorskip("matplotlib")
    for name, wrong in (("before", 3), ("now", 1)):
        lines = [
            {
                "task": "sort8_positive",
                "item": item,
                "output": sorted_answer("sort8_positive", item) if item % wrong else "1",
            }
            for item in range(6)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        pytester.runpytest_subprocess(
            f"--model={name}.jsonl", "--engine=replay", "-k", "000 and not 0006 and not 0007 and not 0008 and not 0009",
            "--task=sort8_positive", f"--report-dir=reports/{name}",
        )  # fmt: skip
    notebook = json.loads((Path(__file__).parents[2] / "docs" / "two-runs.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    Path("cells.py").write_text("import matplotlib\nmatplotlib.use('Agg')\n" + "\n".join(cells))
    ended = subprocess.run([sys.executable, "-W", "error", "cells.py"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
