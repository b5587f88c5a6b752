"""``pytest_thinkslm_results``: what other tools are told of a run.

The documented examples run against the real tools where they are installed, else against stand-ins that take any call.
"""

import importlib.util
import shutil
from pathlib import Path

import pytest
from replayed import FOUR, four_sorts

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "fixtures" / "results_hooks"

TELLS = """
import json

def pytest_thinkslm_results(config, results, report_dir):
    with open("told.jsonl", "a") as told:
        told.write(json.dumps([results["results"][0]["accuracy"], (report_dir / "results.json").exists()]) + "\\n")
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_it_is_called_once_when_the_files_are_written(pytester, replay, workers):
    pytester.makeconftest(TELLS)
    assert replay(four_sorts(), *FOUR, *workers).ret == 0
    assert (pytester.path / "told.jsonl").read_text() == "[0.25, true]\n"


def test_what_it_raises_fails_the_run_in_one_line(pytester, replay):
    pytester.makeconftest("def pytest_thinkslm_results(results):\n    raise OSError('no network')\n")
    result = replay(four_sorts(), *FOUR)
    assert result.ret == 1
    hook = "pytest_thinkslm_results of */conftest.py"
    result.stdout.fnmatch_lines([f"ERROR: thinkslm: {hook} raised OSError: no network (conftest.py:2)*"])
    assert "Traceback" not in result.stdout.str()
    assert (pytester.path / "report" / "results.json").exists()


def test_a_conftest_may_have_it_in_a_run_without_a_model(pytester):
    pytester.makeconftest(TELLS)
    pytester.makepyfile("def test_ok(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert not (pytester.path / "told.jsonl").exists()


STAND_IN = """
import contextlib, json

class _Any:
    def __init__(self, name): self._name = name
    def __getattr__(self, name): return _Any(f"{self._name}.{name}")
    def __setitem__(self, key, value): self(key, value)
    def __enter__(self): return self
    def __exit__(self, *error): return None
    def __call__(self, *args, **kwargs):
        with open("calls.txt", "a") as calls:
            calls.write(f"{self._name} {args} {kwargs}\\n")
        return self

def __getattr__(name):
    return _Any(name)
"""


@pytest.mark.parametrize("tool", ["mlflow", "wandb"])
def test_the_examples_run(pytester, replay, monkeypatch, tool):
    example = EXAMPLES / f"to_{tool}.py"
    shutil.copy(example, pytester.path / "conftest.py")
    real = importlib.util.find_spec(tool) is not None
    if not real:
        pytester.makepyfile(**{tool: STAND_IN})
        pytester.syspathinsert()
        monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setenv("WANDB_MODE", "offline")
    result = replay(four_sorts(), *FOUR)
    assert result.ret == 0, result.stdout.str()
    if not real:
        calls = (pytester.path / "calls.txt").read_text()
        assert "sort8_positive" in calls
        assert "0.25" in calls


@pytest.mark.parametrize("tool", ["mlflow", "wandb"])
def test_the_page_shows_the_examples(tool):
    source = (EXAMPLES / f"to_{tool}.py").read_text(encoding="utf-8")
    assert source in (ROOT / "docs" / "offline.md").read_text(encoding="utf-8")
