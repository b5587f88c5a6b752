"""xdist: distributions that the user chose, workers that die early, and the progress of all workers."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

import pytest
from replayed import Line, items, results, sorted_answer

Replay = Callable[..., pytest.RunResult]

KILLER = """
import os
import signal

from pytest_thinkslm import reasoning_task, verify

@reasoning_task("sort8_positive")
def test_sort8_positive(case, slm):
    if case.item == "0013":
        os.kill(os.getpid(), signal.SIGKILL)
    verify(case, slm(case))
"""

DIES_AT_START = """
import os
import signal
from pathlib import Path

def pytest_configure(config):
    mark = Path(__file__).parent / "died"
    if hasattr(config, "workerinput") and WHERE == "configure" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

def pytest_collection_finish(session):
    mark = Path(__file__).parent / "died"
    if hasattr(session.config, "workerinput") and WHERE == "collection" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""

STARVES = "starves the engine"


@functools.cache
def lines() -> list[Line]:
    return [
        {"task": "sort8_positive", "item": index, "output": sorted_answer("sort8_positive", index)}
        for index in range(100)
    ]


def verdicts(pytester: pytest.Pytester) -> Counter[str]:
    reported = items(pytester.path / "report")
    assert len({line["item"] for line in reported}) == len(reported), "nothing is reported twice"
    return Counter(line["verdict"] for line in reported)


def test_a_worker_killed_under_the_users_own_distribution(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=KILLER)
    result = replay(lines(), "test_own.py", "-n2", "--dist=load")
    assert result.ret == 1
    assert verdicts(pytester) == {"correct": 99, "error": 1}
    assert not results(pytester.path / "report")["problems"]


@pytest.mark.parametrize("where", ["configure", "collection"])
def test_a_worker_that_dies_before_it_has_items_is_replaced(
    replay: Replay, pytester: pytest.Pytester, where: str
) -> None:
    pytester.makeconftest(DIES_AT_START.replace("WHERE", repr(where)))
    result = replay(lines(), "-n2")
    assert (pytester.path / "died").exists()
    assert result.ret == 0
    assert verdicts(pytester) == {"correct": 100}


@pytest.mark.parametrize("way", ["argument", "short", "addopts", "environment"])
def test_a_starving_distribution_is_named(
    replay: Replay, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    arguments = ["--engine-args=latency=0.002", "-n2"]
    if way == "argument":
        arguments.append("--dist=worksteal")
    elif way == "short":
        arguments.append("-d")
    elif way == "addopts":
        pytester.makeini("[pytest]\naddopts = --dist load")
    else:
        monkeypatch.setenv("PYTEST_ADDOPTS", "--dist loadfile")
    result = replay(lines(), *arguments)
    assert result.ret == 0
    (warning,) = [line for line in result.outlines if STARVES in line]
    mode = {"argument": "worksteal", "environment": "loadfile"}.get(way, "load")
    assert warning.startswith(f"thinkslm: --dist {mode} is taken as given")
    assert verdicts(pytester) == {"correct": 100}


@pytest.mark.parametrize(
    "arguments", [("-n2", "--engine-args=latency=0.002"), ("--dist=load",), ("-n2", "--dist=load")], ids=" ".join
)
def test_where_nothing_starves_nothing_is_said(replay: Replay, arguments: tuple[str, ...]) -> None:
    """Static shards; no workers at all; recorded outputs, which are there at once."""
    result = replay(lines(), *arguments)
    assert result.ret == 0
    assert STARVES not in result.stdout.str()


def test_workers_are_announced_in_one_line(replay: Replay) -> None:
    said = [line for line in replay(lines(), "-n2").outlines if line.startswith("thinkslm:") and "outputs" in line]
    assert said == ["thinkslm: outputs+none on replay: 100 outputs"]
    quiet = replay(lines(), "-n2", "-qq").stdout.str()
    assert "on replay" not in quiet
