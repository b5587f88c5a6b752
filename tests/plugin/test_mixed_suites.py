"""The benchmark beside a user's own tests and code: neither keeps the other from running, and no failure is a flood."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from replayed import four_sorts, items, results

Replay = Callable[..., pytest.RunResult]


def outputs(pytester: pytest.Pytester, lines: list[dict[str, object]]) -> None:
    import json

    (pytester.path / "outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    "ini",
    [
        "slm_model = outputs.jsonl\nslm_engine = replay\nslm_report_dir = report\nslm_limit = 2\n",
        "addopts = --model=outputs.jsonl --engine=replay --report-dir=report --limit=2\n",
    ],
    ids=["values", "addopts"],
)
@pytest.mark.parametrize("testpaths", ["testpaths = tests\n", ""], ids=["testpaths", "none"])
def test_a_model_in_an_ini_file_keeps_no_test_from_running(pytester: pytest.Pytester, ini: str, testpaths: str) -> None:
    outputs(pytester, [{**line, "item": index} for index, line in enumerate(four_sorts() * 25)])
    pytester.makeini(f"[pytest]\n{testpaths}{ini}")
    pytester.mkdir("tests").joinpath("test_unit.py").write_text("def test_unit(): assert 0, 'mine'\n")
    result = pytester.runpytest_subprocess(timeout=120)
    assert result.ret == 1
    assert "mine" in result.stdout.str()
    assert len(items(pytester.path / "report")) == 2


def test_a_flood_of_errors_is_ten_lines_and_a_count(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay(four_sorts(), "--task=sort8_positive")
    assert result.ret == 1
    said = result.stdout.str()
    assert said.count("has no output for it") <= 10
    assert "... and 86 more error: see items.jsonl" in said
    assert "96 errors" in said
    assert sum(item["verdict"] == "error" for item in items(pytester.path / "report")) == 96
    loud = replay(four_sorts(), "--task=sort8_positive", "-v")
    assert loud.stdout.str().count("has no output for it") >= 96


CODE = """
from pytest_thinkslm import Case, Task, reasoning_task, register, verify

def case(seed, index): return Case("{key}", index, "number", "1 + 1?", "2")
def broken(*given): raise RuntimeError("mine")

register(Task(key="{key}", title="T", kind="number", count=2, {how}))
def whole(seed, index): return Case("whole", index, "number", "1?", "1")
register(Task(key="whole", title="W", kind="number", count=2, generate=whole))
"""

TESTS = """
from pytest_thinkslm import reasoning_task, verify

@reasoning_task("torn")
def test_torn(case, slm): verify(case, slm(case))

@reasoning_task("whole")
def test_whole(case, slm): verify(case, slm(case))
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
@pytest.mark.parametrize(
    ("how", "torn", "says"),
    [
        ("generate=case, metrics=broken", "correct", "the task's metrics raised RuntimeError: mine (conftest.py:4)"),
        ("generate=broken", "error", "the task's own code raised RuntimeError: mine (conftest.py:4)"),
        ("generate=case, read=broken", "error", "RuntimeError: mine"),
        ("generate=case, compare=broken", "error", "RuntimeError: mine"),
    ],
    ids=["metrics", "generate", "reader", "comparison"],
)
def test_a_users_code_that_raises_costs_its_task(
    pytester: pytest.Pytester, replay: Replay, how: str, torn: str, says: str, workers: tuple[str, ...]
) -> None:
    pytester.makeconftest(CODE.replace("{key}", "torn").replace("{how}", how))
    pytester.makepyfile(test_own=TESTS)
    lines = [{"task": task, "item": item, "output": f"\\boxed{{{gold}}}"} for task, gold in (("torn", 2), ("whole", 1))
             for item in range(2)]  # fmt: skip
    result = replay(lines, "test_own.py", *workers)
    assert result.ret == 1
    said = " ".join(result.stdout.str().split())
    assert "INTERNALERROR" not in said
    assert says in said
    assert {(item["task"], item["verdict"]) for item in items(pytester.path / "report")} == {
        ("torn", torn),
        ("whole", "correct"),
    }
    rows = {row["task"]: row for row in results(pytester.path / "report")["results"]}
    assert rows["whole"]["accuracy"] == 1


SLOW_ENGINE = """
import time
from pytest_thinkslm import engine_from, register_engine

def slow(prompts):
    time.sleep(1.5)
    return ["\\\\boxed{1}" for _ in prompts]

register_engine("slow", engine_from(slow, batch_size=1))
"""
WAITING = """
import time, pytest

def test_asking(slm): assert slm.ask("one").text == slm.ask("two").text
def test_afterwards(slm): slm.ask("three"); time.sleep(1.5)
@pytest.mark.timeout(1, func_only=True)
def test_with_an_own_limit(slm): slm.ask("four")
"""


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_waiting_for_the_engine_is_no_time_of_a_test(pytester: pytest.Pytester, method: str) -> None:
    pytest.importorskip("pytest_timeout")
    pytester.makeini(f"[pytest]\ntimeout = 1\ntimeout_method = {method}\n")
    pytester.makeconftest(SLOW_ENGINE)
    pytester.makepyfile(test_waiting=WAITING)
    # The method "thread" ends the process: there no test may take too long.
    ours = ["-k", "not afterwards"] if method == "thread" else []
    result = pytester.runpytest_subprocess(
        *("--engine=slow", "--model=m", "--task=sort8_positive", "--limit=2", "--report-dir=report", "."), *ours,
        timeout=120,
    )  # fmt: skip
    result.assert_outcomes(passed=2, failed=0 if ours else 1)
    assert ours or "FAILED test_waiting.py::test_afterwards - Failed: Timeout" in result.stdout.str()
    assert all(item["verdict"] == "incorrect" for item in items(pytester.path / "report"))


INTERRUPTED = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    for item in session.items[:2]:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    try:
        raise KeyboardInterrupt
    finally:
        raise RuntimeError("release unlocked lock")
"""


def test_an_interrupt_in_the_midst_of_a_lock_is_one(pytester: pytest.Pytester, replay: Replay) -> None:
    pytester.makeconftest(INTERRUPTED)
    result = replay(four_sorts(), "--task=sort8_positive", "--limit=3")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "INTERNALERROR" not in result.stdout.str()
    assert len(items(pytester.path / "report")) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--task=gsm8",),
        ("--task=gsm8k", "--data-dir=data"),
        ("--baseline=nowhere", "--gate=2"),
        ("--engine=transformers", "--model=nowhere/x"),
        ("--engine=openai", "--server-url=http://127.0.0.1:9", "--engine-args=retries=0"),
    ],
)
def test_a_failed_start_leaves_nothing_behind(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    outputs(pytester, four_sorts())
    (pytester.mkdir("data") / "gsm8k_test.jsonl").write_text("{")
    result = pytester.runpytest_subprocess(
        "--model=outputs.jsonl", "--engine=replay", "-p", "no:cacheprovider", *arguments, timeout=120
    )
    assert result.ret == 4
    left = {path.name for path in pytester.path.iterdir() if not path.name.startswith("runpytest-")}
    assert left - {"stdout", "stderr"} == {"outputs.jsonl", "data"}
