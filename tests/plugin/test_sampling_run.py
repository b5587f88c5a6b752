"""``--system``, ``--sampling model`` and the further sampling parameters in whole runs."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from replayed import items, results

from pytest_thinkslm.models.cache import cache_root
from pytest_thinkslm.models.embedded import prepared_folder

CACHE = str(cache_root())
SMALL = ("--task=sort8_positive", "--limit=2", "--max-tokens=6", "--engine=transformers")


@pytest.fixture
def careful(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of the embedded model whose generation_config.json asks for sampling; as ``--model`` takes it."""
    monkeypatch.setenv("THINKSLM_CACHE", CACHE)
    folder = pytester.mkdir("careful")
    for path in prepared_folder(print).iterdir():
        if path.name != "generation_config.json":
            (folder / path.name).symlink_to(path)
    asked = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05}
    (folder / "generation_config.json").write_text(json.dumps(asked))
    return "--model=./careful"


def run(pytester: pytest.Pytester, *arguments: str, report: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(f"--report-dir={report}", *SMALL, *arguments, timeout=400)


def check_schema(folder: Path) -> None:
    text = resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text()
    jsonschema.validate(results(folder), json.loads(text))


@pytest.mark.model
def test_as_the_model_asks_with_a_system_message(pytester: pytest.Pytester, careful: str) -> None:
    arguments = (careful, "--sampling=model", "--min-p=0.05", "--system=Answer with a list.", "--repeats=2")
    assert run(pytester, *arguments, report="first").ret == 0
    folder = pytester.path / "first"
    settings, (variant,) = results(folder)["settings"], results(folder)["variants"]
    asked = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.05, "presence_penalty": 0.0}
    asked["repetition_penalty"] = 1.05
    assert variant["sampling"] == asked
    assert {name: settings[name] for name in asked} == asked
    assert (settings["sampling"], settings["system"]) == ("model", "Answer with a list.")
    assert settings["sampling_given"] == ["min_p"]
    for line in items(folder):
        assert line["messages"][0] == {"role": "system", "content": "Answer with a list."}
        assert [turn["role"] for turn in line["messages"]] == ["system", "user"]
    check_schema(folder)
    page = (folder / "report.html").read_text()
    for words in (
        "temperature 0.6, top-p 0.95, top-k 20, min-p 0.05",
        "repetition-penalty 1.05",
        "Answer with a list.",
    ):
        assert words in page

    # The journal has it under these parameters and no others.
    again = run(pytester, *arguments, "--rescore", "-n2", report="again")
    assert again.ret == 0
    assert (pytester.path / "again" / "items.jsonl").read_bytes() == (folder / "items.jsonl").read_bytes()
    other = run(pytester, *arguments, "--top-k=19", "--rescore", report="other")
    other.assert_outcomes(errors=4)

    # A baseline with another system message or other parameters is none.
    for changed, says in (("--system=Sort.", "*system (baseline: Answer with a list.; this run: Sort.)*"),
                          ("--top-k=19", "*top_k (baseline: 20; this run: 19)*"),
                          ("--presence-penalty=1", "*presence_penalty (baseline: 0.0; this run: 1.0)*")):  # fmt: skip
        refused = run(pytester, *arguments, changed, "--baseline=first", report="refused")
        assert refused.ret == 4
        refused.stderr.fnmatch_lines([says])
    by_hand = ("--temperature=0.6", "--top-p=0.95", "--top-k=20", "--min-p=0.05", "--system=Answer with a list.")
    refused = run(pytester, careful, *by_hand, "--repeats=2", "--baseline=first", report="refused")
    refused.stderr.fnmatch_lines(["*repetition_penalty (baseline: 1.05; this run: 1.0)*"])


@pytest.mark.model
def test_a_users_own_question(pytester: pytest.Pytester, careful: str) -> None:
    pytester.makepyfile(
        test_own="""
        def test_ask(slm):
            greedy = slm.ask("Name a colour.", max_tokens=5)
            assert slm.ask("Name a colour.", max_tokens=5, temperature=5.0, top_k=1).text == greedy.text
            own = [{"role": "system", "content": "a"}, {"role": "user", "content": "Name a colour."}]
            assert slm.ask(own, max_tokens=5).prompt_tokens < greedy.prompt_tokens - 8, "the run's is longer"
        """
    )
    system = "--system=Answer in one word, and think of what people see every day."
    found = pytester.runpytest_subprocess("--report-dir=own", "--engine=transformers", careful, system, "test_own.py")
    found.assert_outcomes(passed=1)


@pytest.mark.model
def test_what_cannot_be_had_is_said_at_once(pytester: pytest.Pytester, careful: str) -> None:
    folder = pytester.path / "careful"
    (folder / "generation_config.json").write_text("{}")
    nothing = run(pytester, careful, "--sampling=model", report="none")
    assert nothing.ret == 4
    nothing.stderr.fnmatch_lines(["*says nothing about sampling in generation_config.json*"])
    template = folder / "chat_template.jinja"
    text = template.read_text()
    template.unlink()
    template.write_text("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + text)
    refused = run(pytester, careful, "--system=Be brief.", report="none")
    assert refused.ret == 4
    refused.stderr.fnmatch_lines(
        ["*--system: careful (local folder) has a chat template that refuses a system message*"]
    )
    assert not (pytester.path / "none").exists()


@pytest.mark.model
def test_greedy_thinking_is_warned_of_once(pytester: pytest.Pytester, careful: str) -> None:
    template = pytester.path / "careful" / "chat_template.jinja"
    text = template.read_text()
    template.unlink()
    template.write_text(text + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}")
    warned = run(pytester, careful, "-n2", report="warned").stdout.str()
    assert warned.count("is decoded greedily") == 1
    assert "--temperature 0.6 --top-p 0.95 --top-k 20 --repetition-penalty 1.05" in warned
    assert "decoded greedily" not in run(pytester, careful, "--sampling=model", report="quiet").stdout.str()
    shutil.rmtree(pytester.path / "careful")


def test_replay_has_no_checkpoint_to_ask(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("out.jsonl").write_text('{"task": "sort8_positive", "item": 0, "output": "1"}\n')
    found = pytester.runpytest_subprocess("--engine=replay", "--model=out.jsonl", "--sampling=model", timeout=100)
    assert found.ret == 4
    found.stderr.fnmatch_lines(["*--sampling model: no checkpoint is here*"])
