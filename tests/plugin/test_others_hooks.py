"""Hooks in a user's conftest that raise: the run goes on, says which hook it was and where, and fails."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from replayed import four_sorts, items, results

Replay = Callable[..., pytest.RunResult]

OWN = """
from pytest_thinkslm import reasoning_task, verify

@reasoning_task("sort8_positive")
def test_own(case, slm):
    verify(case, slm(case))
"""

WRAPPER = """
import pytest

@pytest.hookimpl({kind}=True)
def pytest_runtest_makereport(item, call):
    {before}
    outcome = yield
    {after}
    return outcome
"""


def hook(signature: str) -> str:
    return f"def {signature}:\n    raise KeyError('broken here')\n"


def run(replay: Replay, pytester: pytest.Pytester, conftest: str, *arguments: str) -> tuple[pytest.RunResult, str]:
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_own=OWN)
    result = replay(four_sorts(), "--task=sort8_positive", "--recorded-only", "test_own.py", *arguments)
    said = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert "Traceback" not in said
    return result, said


@pytest.mark.parametrize(
    ("conftest", "name"),
    [
        (hook("pytest_runtest_logreport(report)"), "pytest_runtest_logreport"),
        (hook("pytest_runtest_protocol(item)"), "pytest_runtest_protocol"),
        (hook("pytest_report_teststatus(report)"), "pytest_report_teststatus"),
        (WRAPPER.format(kind="wrapper", before="1 / 0", after=""), "pytest_runtest_makereport"),
        (WRAPPER.format(kind="wrapper", before="", after="1 / 0"), "pytest_runtest_makereport"),
        (WRAPPER.format(kind="hookwrapper", before="", after="1 / 0"), "pytest_runtest_makereport"),
        (WRAPPER.format(kind="wrapper", before="", after="yield"), "pytest_runtest_makereport"),
        (WRAPPER.format(kind="hookwrapper", before="", after="yield"), "pytest_runtest_makereport"),
    ],
)
def test_while_items_run(replay: Replay, pytester: pytest.Pytester, conftest: str, name: str) -> None:
    result, said = run(replay, pytester, conftest)
    assert result.ret == 1
    assert "INTERNALERROR" not in said
    (problem,) = results(pytester.path / "report")["problems"]
    assert name in problem
    assert "(conftest.py:" in problem
    assert any(f"raised {what}" in problem for what in ("KeyError: 'broken here'", "ZeroDivisionError", "RuntimeError"))
    verdicts = [line["verdict"] for line in items(pytester.path / "report")]
    assert verdicts == ["correct", "incorrect", "unparsed", "truncated"]


@pytest.mark.parametrize(
    "signature",
    [
        "pytest_sessionfinish(session)",
        "pytest_terminal_summary(terminalreporter)",
        "pytest_thinkslm_results(config)",
    ],
)
def test_when_all_items_are_done(replay: Replay, pytester: pytest.Pytester, signature: str) -> None:
    result, said = run(replay, pytester, hook(signature), "--incorrect=xfail")
    assert result.ret == 1
    name = signature.partition("(")[0]
    assert f"ERROR: thinkslm: {name} of " in said
    assert "raised KeyError: 'broken here' (conftest.py:2)" in said
    assert items(pytester.path / "report")
    assert not list((pytester.path / "report").glob(".*"))


@pytest.mark.parametrize("name", ["pytest_sessionfinish(session)", "pytest_thinkslm_results(config)"])
def test_without_a_terminal_it_fails_the_run_too(replay: Replay, pytester: pytest.Pytester, name: str) -> None:
    result, _ = run(replay, pytester, hook(name), "--incorrect=xfail", "-p", "no:terminal")
    assert result.ret == 1


def test_in_workers(replay: Replay, pytester: pytest.Pytester) -> None:
    wrapper = WRAPPER.format(kind="wrapper", before="", after="1 / 0")
    result, said = run(replay, pytester, wrapper, "-n2")
    assert result.ret == 1
    assert "INTERNALERROR" not in said
    (problem,) = results(pytester.path / "report")["problems"]
    assert "pytest_runtest_makereport of " in problem
    assert items(pytester.path / "report")


def test_at_the_end_of_workers(replay: Replay, pytester: pytest.Pytester) -> None:
    """The conftest of a folder below is loaded by the workers alone."""
    below = pytester.mkdir("below")
    (below / "conftest.py").write_text(hook("pytest_sessionfinish(session)"))
    (below / "test_own.py").write_text(OWN)
    result = replay(four_sorts(), "--task=sort8_positive", "--recorded-only", "--incorrect=xfail", "below", "-n1")
    assert result.ret == 1
    (problem,) = results(pytester.path / "report")["problems"]
    assert "pytest_sessionfinish of below/conftest.py raised KeyError: 'broken here'" in problem


def test_set_up_is_the_items_own_error(replay: Replay, pytester: pytest.Pytester) -> None:
    conftest = "def pytest_runtest_setup(item):\n    if item.name.endswith('0001]'):\n        raise KeyError('no')\n"
    result, _ = run(replay, pytester, conftest)
    assert result.ret == 1
    verdicts = {line["item"]: line["verdict"] for line in items(pytester.path / "report")}
    assert verdicts.pop("0001") == "error"
    assert "error" not in verdicts.values()


def test_a_run_that_pytest_ends_keeps_what_was_finished(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest_thinkslm.plugin.others_hooks as others\n"
        "others._GUARDED = frozenset()\n"
        "def pytest_runtest_logstart(nodeid):\n"
        "    if nodeid.endswith('0002]'):\n"
        "        raise KeyError('broken here')\n"
    )
    pytester.makepyfile(test_own=OWN)
    result = replay(four_sorts(), "--task=sort8_positive", "--recorded-only", "test_own.py")
    assert result.ret == 3
    found = results(pytester.path / "report")
    assert found["selection"] == "partial"
    assert "pytest ended the run before it was through: KeyError: 'broken here' (conftest.py:5)" in found["problems"]
    assert len(items(pytester.path / "report")) == 2
    assert "the report has what was finished" in " ".join(result.stdout.str().split())


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two workers"])
@pytest.mark.parametrize("arguments", [("-k", "zzz"), ("nosuch.py",)])
def test_a_run_of_nothing_leaves_an_earlier_one(
    replay: Replay, pytester: pytest.Pytester, arguments: tuple[str, ...], workers: tuple[str, ...]
) -> None:
    replay(four_sorts(), "--recorded-only")
    before = json.dumps(results(pytester.path / "report"))
    result = replay(four_sorts(), "--recorded-only", *arguments, *workers)
    assert result.ret in (4, 5)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert "cannot be read" not in result.stdout.str()
    assert json.dumps(results(pytester.path / "report")) == before
