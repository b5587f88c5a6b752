"""The files of a run, their schema, and that workers change nothing in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from replayed import FOUR, four_sorts, items, results, sorted_answer, without_measured
from statsmodels.stats.proportion import proportion_confint

from pytest_thinkslm.tasks.registry import all_tasks

Replay = Callable[..., pytest.RunResult]


def schema() -> dict[str, object]:
    value: dict[str, object] = json.loads(
        resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text()
    )
    return value


def sorting_lines() -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for task in ("sort8_positive", "sort8_mixed", "sort16_positive"):
        for index in range(100):
            wrong = index % 3 == 0
            output = "\\boxed{3, 1, 2}" if wrong else sorted_answer(task, index)
            lines.append({"task": task, "item": index, "output": output})
    return lines


def test_results_fit_the_shipped_schema(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(four_sorts(), *FOUR)
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(results(pytester.path / "report"), schema())
    broken = results(pytester.path / "report")
    broken["results"][0]["accuracy"] = 25.0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema())


def test_two_workers_write_byte_equal_files(replay: Replay, pytester: pytest.Pytester) -> None:
    folder = pytester.path / "report"
    replay(sorting_lines(), "--junitxml=one.xml")
    one = (folder / "items.jsonl").read_bytes()
    one_results = json.dumps(without_measured(folder))
    result = replay(sorting_lines(), "-n2", "--junitxml=two.xml")
    assert result.ret == 0
    assert (folder / "items.jsonl").read_bytes() == one
    assert json.dumps(without_measured(folder)) == one_results
    assert "198 passed" in result.stdout.str()
    assert "102 incorrect" in result.stdout.str()


def test_another_distribution_is_respected(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(sorting_lines())
    one = (pytester.path / "report" / "items.jsonl").read_bytes()
    result = replay(sorting_lines(), "-n2", "--dist=loadscope")
    assert result.ret == 0
    assert (pytester.path / "report" / "items.jsonl").read_bytes() == one


def test_one_model_in_two_files_is_refused_with_a_way_out(pytester: pytest.Pytester) -> None:
    for folder in ("a", "b"):
        pytester.mkdir(folder).joinpath("same.jsonl").write_text(json.dumps(four_sorts()[0]) + "\n")
    result = pytester.runpytest_subprocess("--model=a/same.jsonl,b/same.jsonl", "--engine=replay", timeout=180)
    assert result.ret == 4
    assert "same (none) is in more than one file: rename one" in result.stderr.str()


def test_without_a_selection_the_files_tasks_are_run(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(sorting_lines())
    report = results(pytester.path / "report")
    assert [row["task"] for row in report["results"]] == ["sort8_positive", "sort8_mixed", "sort16_positive"]
    assert report["selection"] == "full"


def test_figures_are_counted_right(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(sorting_lines(), "--task=sort8_mixed")
    row = results(pytester.path / "report")["results"][0]
    assert (row["n"], row["correct"], row["accuracy"]) == (100, 66, 0.66)
    assert row["ci95"] == pytest.approx(proportion_confint(66, 100, method="wilson"), abs=1e-6)
    assert row["incorrect_rate"] == 0.34


def test_a_limit_is_named_and_a_larger_one_contains_it(replay: Replay, pytester: pytest.Pytester) -> None:
    folder = pytester.path / "report"
    seen: list[set[str]] = []
    for limit in (5, 20):
        replay(sorting_lines(), "--task=sort8_mixed", f"--limit={limit}")
        assert results(folder)["selection"] == "limit"
        seen.append({line["item"] for line in items(folder)})
    assert seen[0] < seen[1]
    assert [len(found) for found in seen] == [5, 20]


def test_summary_md_has_the_table(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(four_sorts(), *FOUR)
    text = (pytester.path / "report" / "summary.md").read_text()
    assert "| sort8_positive | direct | 4 | 25.0% | 4.6–69.9 | 25.0% | 25.0% | 0.0% |" in text


def test_task_selection_k_and_node_ids_are_pytests_own(replay: Replay, pytester: pytest.Pytester) -> None:
    def count(*arguments: str) -> int:
        replay(sorting_lines(), *arguments)
        return len(items(pytester.path / "report"))

    assert count("--task=sort8_*") == 200
    assert count("-k", "sort8_mixed") == 100
    assert count("-k", "sort8_mixed and 0017") == 1


def test_collecting_loads_no_model_and_makes_no_report(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(
        "--model=embedded", "--collect-only", "-q", "--task=sort8_positive", timeout=60
    )
    assert "test_sort8_positive[direct-0099]" in result.stdout.str()
    assert not (pytester.path / "reports").exists()
    assert not (pytester.path / ".thinkslm").exists()


def test_no_catalogue_of_tests_is_ambiguous_under_k() -> None:
    """``-k gsm8k`` means GSM8K: no other task key contains it."""
    keys = list(all_tasks())
    assert [key for key in keys if "gsm8k" in key] == ["gsm8k"]


def test_repeats_are_numbered_in_ids_and_items(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = [{**line, "repeat": repeat} for line in four_sorts() for repeat in (1, 2)]
    result = replay(lines, *FOUR, "--repeats=2", "--temperature=0.7", "-v")
    assert "test_sort8_positive[direct-0000-r1]" in result.stdout.str()
    assert "test_sort8_positive[direct-0000-r2]" in result.stdout.str()
    assert [line["repeat"] for line in items(pytester.path / "report")] == [1, 2] * 4


def test_the_checkout_and_another_folder_write_equal_items(
    replay: Replay, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    from pytest_thinkslm.plugin import suite_path

    replay(four_sorts(), *FOUR)
    one = (pytester.path / "report" / "items.jsonl").read_bytes()
    replay(four_sorts(), str(suite_path()), *FOUR)
    assert (pytester.path / "report" / "items.jsonl").read_bytes() == one


def test_the_suite_loads_the_folders_own_conftest_but_not_its_tests(replay: Replay, pytester: pytest.Pytester) -> None:
    """``pytest --model`` in a project runs the installed suite, whatever ``testpaths`` says."""
    pytester.makeini("[pytest]\ntestpaths = tests\n")
    pytester.makeconftest("def pytest_report_header():\n    return 'own conftest loaded'\n")
    tests = pytester.mkdir("tests")
    (tests / "conftest.py").write_text("raise ImportError('not for this run')\n")
    (tests / "test_own.py").write_text("def test_own():\n    assert False\n")
    result = replay(four_sorts(), *FOUR)
    assert result.ret == 0
    assert "own conftest loaded" in result.stdout.str()
    assert "1 passed" in result.stdout.str()
