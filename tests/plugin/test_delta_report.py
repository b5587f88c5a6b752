"""Several variants in one run: the delta report in the terminal, results.json and summary.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from replayed import Line, items, results, sorted_answer, without_measured

from pytest_thinkslm.statistics import compare_paired

Replay = Callable[..., pytest.RunResult]
TASKS = ("sort8_positive", "sort16_mixed")
MODEL = "Qwen/Qwen2.5-7B-Instruct"
DATA = Path(__file__).parents[2] / "fixtures" / "data"
WRONG = {"none": range(10), "w8a8": range(5, 14), "gptq4": range(60)}


def lines(quants: tuple[str, ...] = ("none", "w8a8", "gptq4"), **fields: object) -> list[Line]:
    return [
        {
            "task": task,
            "item": item,
            "model": MODEL,
            "quant": quant,
            "output": "I like turtles." if item in WRONG[quant] else sorted_answer(task, item),
            **fields,
        }
        for quant in quants
        for task in TASKS
        for item in range(100)
    ]


def test_the_report_is_in_every_place_and_the_same_on_two_workers(replay: Replay, pytester: pytest.Pytester) -> None:
    report = pytester.path / "report"
    seen = []
    for workers in ((), ("-n2",)):
        result = replay(lines(), *workers)
        assert result.ret == 0
        seen.append((without_measured(report), (report / "items.jsonl").read_bytes()))
    assert seen[0] == seen[1]
    value = results(report)
    schema = json.loads(resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text())
    jsonschema.validate(value, schema)
    rows = {(row["quant"], row["task"]): row for row in value["deltas"]}
    assert set(rows) == {(quant, task) for quant in ("w8a8", "gptq4") for task in TASKS}
    assert all(row["against"] == {"model": MODEL, "quant": "none"} for row in rows.values())
    row = rows["gptq4", "sort16_mixed"]
    scores = [
        {
            i["item"]: [float(i["verdict"] == "correct")]
            for i in items(report)
            if (i["quant"], i["task"]) == (quant, TASKS[1])
        }
        for quant in ("none", "gptq4")
    ]
    expected = compare_paired(scores[0], scores[1])
    assert (row["n"], row["difference"]) == (100, pytest.approx(expected.difference))
    assert row["ci95"] == pytest.approx(expected.interval, abs=1e-6)
    assert row["p"] == pytest.approx(expected.change.p, rel=1e-5)
    assert row["p"] < row["p_corrected"] <= 4 * row["p"] * 1.00001
    assert row["lost"] == [f"{item:04d}" for item in range(10, 60)]
    assert row["rates"]["unparsed"] == {"before": 0.1, "now": 0.6}
    assert row["failures"] == {"no-final-answer": {"before": 10, "now": 60}}
    assert row["examples"][0]["now"] == {"verdict": "unparsed", "answer": None, "ending": "I like turtles."}
    assert rows["w8a8", "sort8_positive"]["gained"] == ["0000", "0001", "0002", "0003", "0004"]
    text = " ".join(result.stdout.str().split())
    assert f"{MODEL}: gptq4 against none" in text
    assert re.search(r"sort16_mixed 100 90\.0% 40\.0% -50\.0 -\d\d\.\d to -\d\d\.\d 50 0 < 0\.0001 44%", text)
    assert "unparsed 10.0% → 60.0%; failures no-final-answer 10 → 60" in text
    assert "lost sort16_mixed (direct) 0010: correct “" in text
    summary = (report / "summary.md").read_text()
    assert "gptq4 against none" in summary
    assert "<details><summary>sort16_mixed (direct): 50 lost, 0 gained</summary>" in summary


def test_the_paper_stands_beside_what_it_has(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay(lines(("none",)))
    assert result.ret == 0
    rows = results(pytester.path / "report")["reference"]
    assert [(row["task"], row["paper"], row["accuracy"], row["n"]) for row in rows] == [
        ("sort8_positive", 0.9433, 0.9, 100),
        ("sort16_mixed", 0.47, 0.9, 100),
    ]
    assert "beside the paper" in result.stdout.str()
    assert "## Beside the paper" in (pytester.path / "report" / "summary.md").read_text()


def test_one_variant_of_a_model_that_the_paper_lacks_has_neither(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay([{**line, "model": "m"} for line in lines(("none",))])
    value = results(pytester.path / "report")
    assert not {"deltas", "reference"} & set(value)
    assert "deltas" not in value["measured"]
    assert " against " not in result.stdout.str()
    assert "beside the paper" not in result.stdout.str()


def test_variants_of_two_models_and_a_task_that_only_one_was_asked(replay: Replay, pytester: pytest.Pytester) -> None:
    other = [{**line, "model": "b"} for line in lines(("none",)) if line["task"] == TASKS[0]]
    result = replay([*lines(("none",)), *other], "-k", "not (b+none and sort16)")
    rows = results(pytester.path / "report")["deltas"]
    assert [(row["model"], row["task"], row["n"]) for row in rows] == [("b", TASKS[0], 100), ("b", TASKS[1], 0)]
    assert rows[1]["note"] == "not compared: b (none) has no outcome of it"
    assert f"b, none against {MODEL}, none" in result.stdout.str()


def test_lengths_are_paired_and_shown(replay: Replay, pytester: pytest.Pytester) -> None:
    """Three halves of the tokens for as many right answers."""
    by_quant = [{**line, "output_tokens": 150 if line["quant"] == "w8a8" else 100} for line in lines(("none", "w8a8"))]
    result = replay(by_quant)
    assert result.ret == 0
    report = pytester.path / "report"
    for row in results(report)["deltas"]:
        assert (row["lengths"]["ratio"], row["lengths"]["median_ratio_ci95"]) == (1.5, [1.5, 1.5])
        assert row["lengths"]["tokens_per_solved"]["now"] == pytest.approx(150 * 100 / 91, abs=1e-5)
        assert "reached" not in row["lengths"]
    said = "tokens 100 → 150 (x1.50, 95% 1.50 to 1.50); tokens per solved item 111 → 165"
    for text in (str(result.stdout), (report / "summary.md").read_text(), (report / "report.html").read_text()):
        assert said in re.sub(r"\s+", " ", text)


def test_lost_items_say_where_they_broke(replay: Replay, pytester: pytest.Pytester) -> None:
    by_quant = [
        {
            "task": "gsm8k",
            "item": 0,
            "model": "m",
            "quant": quant,
            "output": f"2 + 2 = {value}. The answer is {value}",
        }
        for quant, value in (("none", "25"), ("w8a8", "5"))
    ]
    result = replay(by_quant, f"--data-dir={DATA}", "--accept-data", "--recorded-only")
    assert result.ret == 0
    (row,) = results(pytester.path / "report")["deltas"]
    assert row["breaks"] == {
        "lost": {"equation": 1},
        "gained": {},
        "steps": [{"item": "0000", "kind": "equation", "text": "2 + 2 = 5"}],
    }
    assert "lost by equation 1 (“2 + 2 = 5” in 0000)" in str(result.stdout)
