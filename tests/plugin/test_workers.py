"""xdist: a worker that dies in mid-run, and what is reported of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from replayed import Line, items, sorted_answer

Replay = Callable[..., pytest.RunResult]

KILLER = """
import os
import signal
from pathlib import Path

from pytest_thinkslm import reasoning_task, verify

@reasoning_task("sort8_positive")
def test_sort8_positive(case, slm):
    died = Path(__file__).parent / f"died-{case.item}"
    if case.item in ITEMS and (ALWAYS or not died.exists()):
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    verify(case, slm(case))
"""


def lines() -> list[Line]:
    return [
        {"task": "sort8_positive", "item": index, "output": sorted_answer("sort8_positive", index)}
        for index in range(100)
    ]


def killer(items: set[str], always: bool) -> str:
    return KILLER.replace("ITEMS", repr(items)).replace("ALWAYS", repr(always))


def test_an_item_that_kills_its_worker_once_is_tried_again(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=killer({"0003", "0060"}, always=False))
    result = replay(lines(), "test_own.py", "-n2")
    assert result.ret == 0
    result.assert_outcomes(passed=100)
    assert [line["verdict"] for line in items(pytester.path / "report")] == ["correct"] * 100


def test_an_item_that_kills_its_worker_twice_is_an_error(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=killer({"0003", "0099"}, always=True))
    result = replay(lines(), "test_own.py", "-n2")
    assert result.ret == 1
    verdicts = {line["item"]: line["verdict"] for line in items(pytester.path / "report")}
    assert len(verdicts) == 100
    assert {item for item, verdict in verdicts.items() if verdict == "error"} == {"0003", "0099"}
    reason = next(line["reason"] for line in items(pytester.path / "report") if line["item"] == "0003")
    assert "crashed while running" in reason


def test_auto_is_one_worker_without_a_gpu(replay: Replay) -> None:
    result = replay(lines(), "-n", "auto")
    assert result.ret == 0
    assert "1 worker [100 items]" in result.stdout.str()
