"""``--thinking`` in whole runs: on, off, a bound, and what cannot be had."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from replayed import items, results, sorted_answer

from pytest_thinkslm.engines.thinking import ENOUGH
from pytest_thinkslm.models.cache import cache_root
from pytest_thinkslm.models.embedded import prepared_folder

CACHE = str(cache_root())
SMALL = ("--task=sort8_positive", "--limit=2")

#: Opens the thought in the prompt unless it is switched off. The embedded model was never taught to end one.
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}"
    "{% else %}{{ '<think>\n' }}{% endif %}{% endif %}"
)


@pytest.fixture
def thinker(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of the embedded model with a template that thinks; as ``--model`` takes it."""
    monkeypatch.setenv("THINKSLM_CACHE", CACHE)
    folder = pytester.mkdir("thinker")
    for path in prepared_folder(print).iterdir():
        if path.name != "chat_template.jinja":
            (folder / path.name).symlink_to(path)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return "--model=./thinker"


def run(pytester: pytest.Pytester, *arguments: str, report: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(f"--report-dir={report}", "--engine=transformers", *arguments, timeout=400)


def check_schema(folder: Path) -> None:
    text = resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text()
    jsonschema.validate(results(folder), json.loads(text))


@pytest.mark.model
def test_a_bound_closes_the_thought_and_is_journalled(pytester: pytest.Pytester, thinker: str) -> None:
    bounded = (thinker, *SMALL, "--thinking=6", "--max-tokens=8")
    first = run(pytester, *bounded, report="first")
    assert first.ret == 0
    first.stdout.fnmatch_lines(["*thoughts: 100.0% of outputs, 0.0% unfinished, 100.0% closed at the bound*"])
    folder = pytester.path / "first"
    for line in items(folder):
        assert line["thought"] == "closed"
        assert line["output"].startswith("<think>\n")
        assert f"\n\n{ENOUGH}\n</think>\n\n" in line["output"]
        assert 6 < line["output_tokens"] <= 14
        assert line["verdict"] != "error"
        assert line["failure"] != "unfinished-thought"
    (row,) = results(folder)["results"]
    assert (row["thought_rate"], row["closed_thought_rate"], row["unfinished_thought_rate"]) == (1, 1, 0)
    assert "100.0% closed at the bound" in (folder / "summary.md").read_text()
    check_schema(folder)

    # Both requests are one entry of the journal, and workers and a rescoring make the same one.
    again = run(pytester, *bounded, "--rescore", "-n2", report="again")
    assert again.ret == 0
    assert (pytester.path / "again" / "items.jsonl").read_bytes() == (folder / "items.jsonl").read_bytes()
    entries = [path.read_text().splitlines() for path in (pytester.path / ".thinkslm").rglob("*.jsonl")]
    assert sum(map(len, entries)) == 2
    other = run(pytester, thinker, *SMALL, "--thinking=7", "--max-tokens=8", "--rescore", report="other")
    other.assert_outcomes(errors=2)


@pytest.mark.model
def test_on_and_off(pytester: pytest.Pytester, thinker: str) -> None:
    on = run(pytester, thinker, *SMALL, "--thinking=on", "--max-tokens=6", report="on")
    assert on.ret == 0
    on.stdout.fnmatch_lines(["*thoughts: 100.0% of outputs, 100.0% unfinished*"])
    for line in items(pytester.path / "on"):
        assert (line["thought"], line["verdict"], line["failure"]) == ("unfinished", "truncated", "unfinished-thought")
    off = run(pytester, thinker, *SMALL, "--thinking=off", "--max-tokens=6", report="off")
    assert off.ret == 0
    assert "thoughts:" not in off.stdout.str()
    assert all("thought" not in line for line in items(pytester.path / "off"))
    assert "thought_rate" not in results(pytester.path / "off")["results"][0]
    for folder in ("on", "off"):
        check_schema(pytester.path / folder)


@pytest.mark.model
def test_a_users_own_question_follows_the_run(pytester: pytest.Pytester, thinker: str) -> None:
    pytester.makepyfile(
        test_own="""
        def test_ask(slm):
            output = slm.ask("Say hello.", max_tokens=5)
            assert output.thought_closed
            assert "</think>" in output.text
        """
    )
    run(pytester, thinker, "--thinking=4", "test_own.py", report="report").assert_outcomes(passed=1)


@pytest.mark.model
@pytest.mark.parametrize(
    ("template", "thinking", "says"),
    [
        ("own", "on", "--thinking on: SmolLM2-135M-Instruct*without a switch for thinking: leave --thinking out"),
        ("own", "64", "--thinking 64:*neither a switch for thinking nor a thought"),
        ("none", "off", "--thinking off: thinker (local folder) has no chat template (a base model)"),
        ("new", "maybe", "--thinking 'maybe': give on, off, low, medium, high, or the most tokens"),
    ],
)
def test_what_the_model_cannot_do_is_said_at_once(
    pytester: pytest.Pytester, thinker: str, template: str, thinking: str, says: str
) -> None:
    if template == "none":
        (pytester.path / "thinker" / "chat_template.jinja").unlink()
    model = "--model=embedded" if template == "own" else thinker
    result = run(pytester, model, *SMALL, f"--thinking={thinking}", report="report")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{says}*"])
    assert "Traceback" not in result.stderr.str()
    assert not (pytester.path / "report").exists()
    assert not list(pytester.path.glob(".thinkslm/journal/*"))


def test_recorded_outputs_are_scored_as_they_are(pytester: pytest.Pytester) -> None:
    right = sorted_answer("sort8_positive", 0)
    lines = [
        {"item": 0, "output": f"<think>hm</think>{right}"},
        {"item": 1, "output": f"<think>hm {right}", "finish_reason": "length"},
        {"item": 2, "output": "no thought"},
    ]
    text = "".join(json.dumps({"task": "sort8_positive", **line}) + "\n" for line in lines)
    (pytester.path / "outputs.jsonl").write_text(text)
    select = ("-k", "0000 or 0001 or 0002")
    for folder, more in (("plain", ()), ("bounded", ("--thinking=64",))):
        result = pytester.runpytest_subprocess(
            "--model=outputs.jsonl", "--engine=replay", f"--report-dir={folder}", *select, *more, timeout=120
        )
        assert result.ret == 0
        (row,) = results(pytester.path / folder)["results"]
        rates = (row["thought_rate"], row["unfinished_thought_rate"], row["closed_thought_rate"])
        assert rates == (0.666667, 0.333333, 0)
    first, second = ((pytester.path / folder / "items.jsonl").read_bytes() for folder in ("plain", "bounded"))
    assert first == second
    assert [line.get("thought") for line in items(pytester.path / "plain")] == ["ended", "unfinished", None]
    assert [line["verdict"] for line in items(pytester.path / "plain")] == ["correct", "truncated", "unparsed"]


def test_rates_are_stated_where_thinking_was_asked_for_in_vain(pytester: pytest.Pytester) -> None:
    line = {"task": "sort8_positive", "item": 0, "output": "nothing"}
    (pytester.path / "outputs.jsonl").write_text(json.dumps(line) + "\n")
    for thinking, rate in (("on", 0), ("off", None)):
        shutil.rmtree(pytester.path / "report", ignore_errors=True)
        pytester.runpytest_subprocess(
            "--model=outputs.jsonl",
            "--engine=replay",
            "--report-dir=report",
            f"--thinking={thinking}",
            "-k0000",
            timeout=120,
        )
        assert results(pytester.path / "report")["results"][0].get("unfinished_thought_rate") == rate
