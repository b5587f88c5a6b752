"""Bad input: a message that says what was asked, what is wrong and what to do; never a traceback."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable

import pytest
from replayed import FOUR, four_sorts, items, results, sorted_answer

Replay = Callable[..., pytest.RunResult]


def said(result: pytest.RunResult) -> str:
    text = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    return text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task=gsm8"], "unknown task 'gsm8': did you mean 'gsm8k'"),
        (["--task=sort9_*"], "unknown task 'sort9_*'"),
        (["--style=cott"], "--style 'cott' is unknown: did you mean 'cot'"),
        (["--engine=transformer"], "--engine 'transformer' is unknown: did you mean 'transformers'"),
        (["--incorrect=ignore"], "--incorrect 'ignore' is unknown"),
        (["--repeats=3"], "--repeats 3 at temperature 0"),
        (["--limit=0"], "--limit 0 is out of range: at least 1"),
        (["--limit=ten"], "--limit 'ten' is no whole number"),
        (["--max-tokens=-5"], "--max-tokens -5 is out of range"),
        (["--temperature=hot"], "--temperature 'hot' is no number"),
        (["--temperature=-1"], "--temperature -1 is out of range"),
        (["--top-p=0"], "--top-p 0 is out of range"),
        (["--seed=-1"], "--seed -1 is out of range"),
        (["--fresh", "--rescore"], "give one of them"),
        (["--data-dir=nowhere"], "is no folder"),
        (["--engine-args=speed"], "expected NAME=VALUE"),
        (["--engine-args=speed=9"], "'speed' is unknown"),
        (["--task=sort8_positive", "--style=5shot", "--task=mr_gsm"], "mr_gsm"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_names_what_is_wrong(replay: Replay, arguments: list[str], message: str) -> None:
    result = replay(four_sorts(), *arguments)
    assert result.ret == 4
    assert message in said(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=embeded"], "unknown model 'embeded': did you mean 'embedded'"),
        (["--model=embedded", "--quant=gptq5"], "--quant 'gptq5' is unknown"),
        (["--model=nowhere.jsonl", "--engine=replay"], "cannot be read"),
    ],
    ids=["model", "quant", "replay file"],
)
def test_an_unknown_model_or_quant(pytester: pytest.Pytester, arguments: list[str], message: str) -> None:
    result = pytester.runpytest_subprocess("--task=sort8_positive", *arguments, timeout=180)
    assert result.ret == 4
    assert message in said(result)
    assert not (pytester.path / "reports").exists() or not list((pytester.path / "reports").iterdir())


def test_an_ini_value_of_the_wrong_type(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nslm_limit = many\n")
    result = replay(four_sorts())
    assert result.ret == 4
    pytests_own = "ini value slm_limit: invalid literal for int() with base 10: 'many'"
    assert ("--limit 'many' is no whole number" if pytest.version_tuple >= (9, 2) else pytests_own) in said(result)


def test_ini_values_are_typed_and_the_command_line_wins(replay: Replay, pytester: pytest.Pytester) -> None:
    (pytester.path / "pytest.toml").write_text(
        '[pytest]\nslm_limit = 3\nslm_task = ["sort8_positive", "sort8_mixed"]\nslm_style = ["direct"]\n'
        "slm_temperature = 0\nslm_accept_data = false\n"
    )
    replay(four_sorts(), "--limit=2")
    settings = results(pytester.path / "report")["settings"]
    assert settings["limit"] == 2
    assert settings["tasks"] == ["sort8_positive", "sort8_mixed"]
    assert settings["accept_data"] is False


def test_an_unwritable_report_folder_is_said_before_anything_is_generated(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    (pytester.path / "file").write_text("")
    result = replay(four_sorts(), *FOUR, "--report-dir=file/below")
    assert result.ret == 4
    text = said(result)
    assert "cannot be written" in text
    assert "nothing was generated" in text
    assert "collected" not in text


@pytest.mark.parametrize("place", ["outputs.jsonl/x.xml", "/dev/full"])
def test_a_junit_file_that_cannot_be_written(replay: Replay, pytester: pytest.Pytester, place: str) -> None:
    result = replay(four_sorts(), *FOUR, f"--junitxml={place}")
    assert result.ret == 1
    assert f"{place.rpartition('/')[2]} was not written (" in said(result)
    assert len(items(pytester.path / "report")) == 4


def test_neither_a_junit_file_nor_an_item(replay: Replay) -> None:
    result = replay(four_sorts(), *FOUR, "--deselect=test_sorting.py", "--junitxml=outputs.jsonl/x.xml")
    assert result.ret == 5
    assert "x.xml was not written (" in said(result)


def test_a_report_folder_without_permission(replay: Replay, pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("closed")
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    assert replay(four_sorts(), *FOUR, "--report-dir=closed/report").ret == 4


def test_replay_lines_that_cannot_be_used_are_named_by_number(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = [
        *four_sorts(),
        "{not json",
        {"task": "sort8_positive", "item": 100, "output": "x"},
        {"task": "sort9", "item": 0, "output": "x"},
        {"task": "sort8_positive", "output": "x"},
        {"task": "sort8_positive", "item": 0, "output": "something else"},
        {"task": "sort8_positive", "item": 4, "output": 7},
        "[]",
        {"task": "sort8_positive", "item": 5, "output": "x", "repeat": 0},
        {"task": "sort8_positive", "item": 5, "output": "x", "style": "cott"},
    ]
    result = replay(lines, *FOUR)
    problems = results(pytester.path / "report")["problems"]
    numbers = [int(problem.split("line ")[1].split(":")[0]) for problem in problems]
    assert numbers == list(range(5, 14))
    assert "unknown item 100 of sort8_positive (its items are 0 to 99)" in problems[1]
    assert "line 5" in said(result)
    by_item = {line["item"]: line for line in items(pytester.path / "report")}
    assert by_item["0000"]["verdict"] == "error"
    assert "two different outputs, in lines 1 and 9" in by_item["0000"]["reason"]
    assert result.ret == 1


def test_a_repeated_line_with_the_same_output_is_no_harm(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay([*four_sorts(), four_sorts()[0]], *FOUR)
    assert result.ret == 0
    assert len(results(pytester.path / "report")["problems"]) == 1


def test_an_empty_replay_file(replay: Replay) -> None:
    result = replay([])
    assert result.ret == 4
    assert "no recorded output in it" in said(result)


HOSTILE = "a\x00b\ud800c\x1b[31mred\x1b[0m\u202e\x9f\r\ufffe]]> <b>&amp; \U0010ffff"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two workers"])
def test_hostile_text_breaks_neither_run_nor_junit(
    replay: Replay, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    import xml.etree.ElementTree as ElementTree

    lines = four_sorts()
    lines[1]["output"] = HOSTILE + "\\boxed{1, 2}"
    lines[2]["output"] = HOSTILE
    encoded = [json.dumps(line) for line in lines]
    result = replay(encoded, *FOUR, *workers)
    assert result.ret == 0
    said(result)
    ElementTree.parse(pytester.path / "report" / "junit.xml")
    output = items(pytester.path / "report")[2]["output"]
    assert "\\x00" in output
    assert "\\ud800" in output
    assert "\\x1b[31m" in output
    output.encode("utf-8")


def test_data_errors_are_usage_errors_in_one_process_and_with_workers(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    data = pytester.mkdir("data")
    (data / "gsm8k_test.jsonl").write_text('{"question": "One?", "answer": "#### 1"}\n')
    lines = [{"task": "gsm8k", "item": 0, "output": sorted_answer("sort8_positive", 0)}]
    for workers in ((), ("-n2",)):
        result = replay(lines, "--data-dir=data", *workers)
        assert result.ret == 4
        assert "--accept-data" in said(result)


@pytest.mark.parametrize("gates", [(), ("--min-accuracy=sort8_positive=99",)], ids=["plain", "gates"])
def test_a_hostile_name_is_shown_and_not_sent(
    replay: Replay, pytester: pytest.Pytester, gates: tuple[str, ...]
) -> None:
    name = "evil\x1b[31m\u202e\u200f\x9b|<b>`"
    lines = [{**line, "model": model, "quant": name} for line in four_sorts() for model in (name, "other")]
    result = replay(lines, *FOUR, *gates)
    commands = (["compare", "report", "report"], ["leaderboard", "report"], ["audit", "report"])
    shown = [result, *(pytester.run(sys.executable, "-m", "pytest_thinkslm", *command) for command in commands)]
    texts = {str(number): result.stdout.str() + result.stderr.str() for number, result in enumerate(shown)}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in pytester.path.rglob("*.md")}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in pytester.path.rglob("*.html")}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in pytester.path.rglob("*.xml")}
    assert {"0", "summary.md", "report.html", "leaderboard.html", "junit.xml"} <= texts.keys()
    for place, text in texts.items():
        assert "Traceback" not in text, place
        found = [ascii(sign) for sign in ("\x1b[31m", "\u202e", "\u200f", "\x9b") if sign in text]
        assert not found, f"{place}: {found}"
