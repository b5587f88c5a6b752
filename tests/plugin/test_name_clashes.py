"""Another plugin or a conftest owns ``--model``: ours yields it and says so, whatever loads first."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from replayed import FOUR, four_sorts

OTHER = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--model", action="store", default="theirs", help="the other plugin's")

@pytest.fixture
def other_model(request):
    return request.config.getoption("--model")
"""

TEST = """
def test_other(other_model):
    assert other_model == "sedan"
"""


@pytest.fixture
def theirs(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> list[str]:
    """Arguments that load the other plugin in one of three orders."""
    order = request.param
    pytester.makepyfile(test_other=TEST)
    (pytester.path / "outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in four_sorts()))
    if order == "conftest":
        pytester.makeconftest(OTHER)
        return []
    pytester.makepyfile(otherplugin=OTHER)
    if order == "theirs first":  # -p on the command line loads before entry points
        return ["-p", "otherplugin"]
    # ours first: both named, ours before theirs, and no entry points
    return ["-p", "pytest_thinkslm.plugin", "-p", "otherplugin"]


ORDERS = pytest.mark.parametrize("theirs", ["ours first", "theirs first", "conftest"], indirect=True)


def run(pytester: pytest.Pytester, theirs: list[str], *arguments: str) -> pytest.RunResult:
    if theirs[:2] == ["-p", "pytest_thinkslm.plugin"]:
        theirs = [*theirs, "--disable-plugin-autoload"]
    return pytester.runpytest_subprocess(*theirs, *arguments, timeout=180)


@ORDERS
def test_the_short_name_is_theirs(pytester: pytest.Pytester, theirs: list[str]) -> None:
    result = run(pytester, theirs, "--model=sedan", "test_other.py")
    result.assert_outcomes(passed=1)
    assert "thinkslm:" not in result.stdout.str()


@ORDERS
def test_the_prefixed_name_is_ours(pytester: pytest.Pytester, theirs: list[str]) -> None:
    result = run(pytester, theirs, "--slm-model=outputs.jsonl", "--engine=replay", *FOUR)
    assert result.ret == 0
    assert "1 passed" in result.stdout.str()


@ORDERS
def test_help_says_who_owns_the_name(pytester: pytest.Pytester, theirs: list[str]) -> None:
    text = " ".join(run(pytester, theirs, "--help").stdout.str().split())
    assert "the other plugin's" in text
    assert "--model belongs to another plugin here: use --slm-model" in text
    assert "--quant=Q,..., --slm-quant=Q,..." in text


def test_a_conftest_below_the_start_folder_may_own_it_too(pytester: pytest.Pytester) -> None:
    below = pytester.mkdir("below")
    (below / "conftest.py").write_text(OTHER.replace('== "sedan"', "is not None"))
    (below / "test_below.py").write_text("def test_below(other_model):\n    assert other_model == 'theirs'\n")
    (pytester.path / "outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in four_sorts()))
    result = pytester.runpytest_subprocess(
        "--model=outputs.jsonl", "--engine=replay", *FOUR[:1], "-k", "test_below", ".", timeout=180
    )
    result.assert_outcomes(passed=1)


def test_an_unrelated_suite_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_light():
            heavy = {"torch", "transformers", "vllm", "datasets", "pandas", "numpy", "openai", "scipy", "rich"}
            assert not heavy & set(sys.modules)
            ours = sorted(name for name in sys.modules if name.startswith("pytest_thinkslm"))
            assert ours == [
                "pytest_thinkslm",
                "pytest_thinkslm.core",
                "pytest_thinkslm.core.errors",
                "pytest_thinkslm.plugin",
                "pytest_thinkslm.plugin.compat_pytest",
                "pytest_thinkslm.plugin.fixtures",
                "pytest_thinkslm.plugin.options",
                "pytest_thinkslm.settings",
                "pytest_thinkslm.settings.values",
            ]
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:anyio", timeout=180)
    result.assert_outcomes(passed=1)
    assert "thinkslm" not in result.stdout.str().replace("thinkslm-", "")


def test_the_plugin_can_be_turned_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing():\n    pass\n")
    result = pytester.runpytest_subprocess("-p", "no:thinkslm", "--model=x", timeout=180)
    assert result.ret == 4
    assert "unrecognized arguments: --model=x" in result.stderr.str()


def test_without_a_model_reasoning_tests_are_skipped_one_line_a_task(pytester: pytest.Pytester) -> None:
    from pytest_thinkslm.plugin import suite_path

    result = pytester.runpytest_subprocess(str(suite_path()), "-rs", timeout=180)
    result.assert_outcomes(skipped=17)
    assert "needs a model: pytest --model embedded" in result.stdout.str()


def test_an_ini_file_is_found_although_an_options_value_is_a_path_elsewhere(
    pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere: Path = tmp_path_factory.mktemp("elsewhere")
    outputs = elsewhere / "outputs.jsonl"
    outputs.write_text("".join(json.dumps(line) + "\n" for line in four_sorts()))
    pytester.makeini("[pytest]\nslm_task = sort8_positive\nslm_limit = 2\naddopts = --strict-markers\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--model",
        str(outputs),
        "--engine",
        "replay",
        "--data-dir",
        str(elsewhere),
    ]
    result = pytester.run(*command, timeout=180)
    assert "collected 2 items" in result.stdout.str()
    assert f"rootdir: {pytester.path}" in result.stdout.str()
    assert "configfile: tox.ini" in result.stdout.str()


def test_an_option_whose_value_may_be_left_out_does_not_take_the_suites_path(
    replay: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = replay(four_sorts(), *FOUR, "--debug")
    assert result.ret == 0
    assert (pytester.path / "pytestdebug.log").is_file()
    assert len((pytester.path / "report" / "items.jsonl").read_text().splitlines()) == 4
