"""Several processes' progress as one: sums, and one line on the controller."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.identity import Variant
from pytest_thinkslm.generating.ahead import Progress
from pytest_thinkslm.plugin import team as team_progress
from pytest_thinkslm.plugin.progress import ProgressLine, Standing, add, describe, message, read
from pytest_thinkslm.plugin.team import TeamProgress, WorkerProgress

COUNTS = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)).map(
    lambda three: Standing(sum(three), three[0], three[1] + three[2], three[1])
)


WAITS, DONE = Standing(8, 0, 8, 0), Standing(8, 0, 8, 8, 90.0, 0.0)
FAST, SLOW = Standing(8, 0, 8, 4, 30.0, 5.0), Standing(8, 0, 8, 2, 20.0, 9.0)


@given(st.lists(COUNTS, max_size=6))
def test_counts_add_up(parts: list[Standing]) -> None:
    whole = add(parts)
    for name in ("items", "journalled", "to_generate", "done"):
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts)
    assert whole.finished == all(part.finished for part in parts)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([WAITS, WAITS], "0/16 outputs, loading the model or on the first outputs"),
        ([FAST, SLOW], "6/16 outputs, 50 tokens/s, about 9 s left"),
        # One that does not know yet may be the last.
        ([FAST, WAITS], "4/16 outputs, 30 tokens/s"),
        # A worker that is done makes nothing any more, and does not hold the others up.
        ([DONE, SLOW], "10/16 outputs, 20 tokens/s, about 9 s left"),
    ],
)
def test_pace_and_time_of_several(parts: list[Standing], text: str) -> None:
    assert describe(add(parts)) == text


def test_a_message_is_plain_and_comes_back_whole() -> None:
    progress = Progress(items=9, journalled=1, to_generate=8, finished=3, failed=1)
    sent = message("m", progress)
    assert all(value is None or isinstance(value, str | int | float) for value in sent.values())
    assert read(sent) == ("m", Standing(9, 1, 8, 4))


class Terminal:
    """What TeamProgress asks of a ProgressLine; and of pytest's reporter, so that a real one can be used."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.isatty = self.hasmarkup = False
        self.currentfspath = None

    def ensure_newline(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def write_line(self, text: str) -> None:
        self.written.append(text)


def team(verbose: int = 0, workers: int = 2) -> tuple[TeamProgress, ProgressLine, list[str]]:
    terminal = Terminal()
    plugins = {"terminalreporter": terminal}
    config = SimpleNamespace(
        option=SimpleNamespace(verbose=verbose), pluginmanager=SimpleNamespace(getplugin=plugins.get)
    )
    line = ProgressLine(cast("pytest.Config", config))
    line._due = 0.0
    return (
        TeamProgress(line, workers, lambda label, whole: line.say(f"{label}: {whole.items} outputs")),
        line,
        terminal.written,
    )


def sent(items: int, done: int, label: str = "m") -> dict[str, Any]:
    return message(label, Progress(items=items, to_generate=items, finished=done))


def report(one: TeamProgress) -> None:
    """A test's report passes through."""
    passing = one.pytest_runtest_logreport()
    next(passing)
    with pytest.raises(StopIteration):
        passing.send(None)


def test_a_variant_is_announced_once_when_all_workers_have_reached_it() -> None:
    one, _, written = team()
    one.receive(0, sent(5, 0))
    report(one)
    assert not written
    one.receive(1, sent(4, 0))
    report(one)
    report(one)
    one.stop()
    assert [line for line in written if "9 outputs" in line] == ["thinkslm: m: 9 outputs"]


def test_who_never_arrives_is_not_waited_for_at_the_end() -> None:
    one, _, written = team(workers=3)
    one.receive(0, sent(5, 5))
    one.stop()
    assert written == ["thinkslm: m: 5 outputs"]
    one.receive(1, sent(5, 1))
    assert one._ticker is not None
    assert not one._ticker.is_alive(), "nothing is started or said after the end"


def test_waiting_is_shown_in_one_line_of_all_once_it_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team_progress, "_LOOK", 0.01)
    one, line, written = team()
    one.receive(0, sent(5, 2))
    time.sleep(0.1)
    assert not written
    one.receive(1, sent(5, 1))
    one._say_what_is_due()
    line._due = 0.0
    until = time.monotonic() + 20
    while len(written) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    one.stop()
    assert written == ["thinkslm: m: 10 outputs", "thinkslm: 3/10 outputs"]


def test_a_quiet_run_shows_no_progress() -> None:
    one, line, written = team(verbose=-2)
    one.receive(0, sent(5, 2))
    one.receive(1, sent(5, 1))
    line._due = 0.0
    line.show(one._sum())
    one.stop()
    assert written == []


def test_the_sum_is_of_the_variants_at_work_now() -> None:
    one, _, _ = team()
    one.receive(0, sent(5, 5, "a"))
    one.receive(1, sent(5, 3, "a"))
    one.receive(0, sent(7, 0, "b"))
    assert (one._sum().done, one._sum().to_generate) == (8, 17)
    one.receive(1, sent(7, 1, "b"))
    assert (one._sum().done, one._sum().to_generate) == (1, 14)
    one.stop()


def test_a_worker_sends_now_and_then_and_survives_a_closed_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[Any] = []
    told: list[Callable[[str], None]] = []
    worker = WorkerProgress(SimpleNamespace(send=received.append, setcallback=told.append))
    assert worker.stopped == ""
    told[0]("the disk is full")
    assert worker.stopped == "the disk is full", "the controller wants nothing more to be asked"
    worker.settle()
    assert not received, "nothing is being generated"
    progress = Progress(items=3, to_generate=3)
    worker.announce(Variant("m", "none"), progress)
    progress.finished = 1
    worker.show(progress)
    assert len(received) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5)
    worker.settle()
    assert [one["done"] for one in received] == [0, 1]

    def closed(value: object) -> None:
        raise OSError("cannot send to a closed channel")

    worker._channel.send = closed
    monkeypatch.setattr(time, "monotonic", lambda: now + 50)
    worker.settle()
