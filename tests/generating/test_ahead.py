from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import EngineError, JournalError, UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.generating.ahead import Ahead, Progress
from pytest_thinkslm.generating.space import journal_bytes
from pytest_thinkslm.journal.journal import Journal


class Scripted:
    """An engine whose futures the test resolves."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.futures: list[Future[Output]] = []

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        new: list[Future[Output]] = [Future() for _ in requests]
        self.asked += requests
        self.futures += new
        return new

    def fingerprint(self) -> Fingerprint:
        return Fingerprint({"engine": "scripted"})

    def measured(self) -> Mapping[str, object]:
        return {}

    def close(self) -> None:
        pass


def request(text: str, item: str = "0000") -> Request:
    return Request((Message("user", text),), Sampling(), task="gsm8k", item=item, style="direct")


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


@pytest.fixture
def ahead(engine: Scripted, tmp_path: Path) -> Iterator[Ahead]:
    made = Ahead(engine, Journal(tmp_path, engine.fingerprint()))
    yield made
    made.close()


def test_everything_missing_is_asked_at_once_and_equal_requests_once(engine: Scripted, ahead: Ahead) -> None:
    seen: list[tuple[int, int, int]] = []
    handles = ahead.submit(
        [request("a"), request("b"), request("a", "0007")],
        lambda progress: seen.append((progress.items, progress.journalled, progress.to_generate)),
    )
    assert [one.messages[0].content for one in engine.asked] == ["a", "b"]
    assert seen == [(3, 1, 2)]
    engine.futures[0].set_result(Output("A", output_tokens=4))
    engine.futures[1].set_result(Output("B", output_tokens=6))
    assert [ahead.result(handle).text for handle in handles] == ["A", "B", "A"]
    assert (ahead.progress.finished, ahead.progress.output_tokens) == (2, 10)


def test_what_a_test_has_seen_is_in_the_journal(engine: Scripted, ahead: Ahead, tmp_path: Path) -> None:
    (handle,) = ahead.submit([request("a")])
    engine.futures[0].set_result(Output("A"))
    ahead.result(handle)
    again = Ahead(Scripted(), Journal(tmp_path, engine.fingerprint()))
    (handle,) = again.submit([request("a")])
    assert again.result(handle).text == "A"
    assert again.progress.to_generate == 0


def test_what_a_context_had_no_room_for_is_asked_again_and_kept_for_rescoring(
    engine: Scripted, ahead: Ahead, tmp_path: Path
) -> None:
    (handle,) = ahead.submit([request("a")])
    engine.futures[0].set_result(Output("A", finish_reason="length", stopped="server"))
    ahead.result(handle)
    rescored = Ahead(None, Journal(tmp_path, engine.fingerprint()))
    (handle,) = rescored.submit([request("a")])
    assert rescored.result(handle).stopped == "server"
    other = Scripted()
    Ahead(other, Journal(tmp_path, engine.fingerprint())).submit([request("a")])
    assert len(other.asked) == 1


@pytest.mark.parametrize(
    ("output", "stopped"),
    [
        (Output("A", finish_reason="length", output_tokens=100), "context"),
        (Output("A", finish_reason="length", output_tokens=511), None),
        (Output("A", finish_reason="length", output_tokens=100, stopped="loop"), "loop"),
        (Output("A", finish_reason="length", output_tokens=100, thought_closed=True), None),
        (Output("A", finish_reason="length"), None),
        (Output("A", "hm " * 500, finish_reason="length", output_tokens=100), None),  # its thought was not counted
        (Output("A", output_tokens=100), None),
    ],
)
def test_what_was_cut_before_its_limit_had_no_room_in_the_context(
    engine: Scripted, ahead: Ahead, output: Output, stopped: str | None
) -> None:
    (handle,) = ahead.submit([replace(request("a"), sampling=Sampling(max_tokens=512))])
    engine.futures[0].set_result(output)
    assert ahead.result(handle).stopped == stopped


def test_failures_reach_the_item_alone_and_are_not_journalled(engine: Scripted, ahead: Ahead, tmp_path: Path) -> None:
    handles = ahead.submit([request("a"), request("b"), request("c")])
    engine.futures[0].set_exception(EngineError("too long"))
    engine.futures[1].set_exception(ValueError("odd"))
    engine.futures[2].set_result(Output("C"))
    with pytest.raises(EngineError, match="too long"):
        ahead.result(handles[0])
    with pytest.raises(EngineError, match="ValueError: odd"):
        ahead.result(handles[1])
    assert ahead.result(handles[2]).text == "C"
    assert len((next(tmp_path.rglob("*.jsonl"))).read_text().splitlines()) == 1


def test_cancelling_reaches_the_engine(engine: Scripted, ahead: Ahead) -> None:
    (handle,) = ahead.submit([request("a")])
    ahead.close()
    assert engine.futures[0].cancelled()
    with pytest.raises(EngineError, match="cancelled"):
        ahead.result(handle)


def test_rescoring_without_an_output_is_an_error(tmp_path: Path) -> None:
    ahead = Ahead(None, Journal(tmp_path, Fingerprint({})))
    (handle,) = ahead.submit([request("a")])
    with pytest.raises(EngineError, match="--rescore"):
        ahead.result(handle)


def test_waiting_ticks(engine: Scripted, ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_thinkslm.generating.ahead.TICK", 0.01)
    (handle,) = ahead.submit([request("a")])
    ticks: list[int] = []

    def tick(progress: Progress) -> None:
        ticks.append(progress.finished)
        if len(ticks) == 3:
            engine.futures[0].set_result(Output("A"))

    assert ahead.result(handle, tick).text == "A"
    assert ticks == [0, 0, 0]


def test_an_estimate_needs_some_outputs() -> None:
    progress = Progress(to_generate=1000)
    progress.clock.begin(1000, 0.0)
    assert progress.seconds_left(50.0) is None
    for number in range(99):
        progress.finish("a", 1, number + 1.0)
    assert progress.seconds_left(100.0) is None
    progress.finish("a", 1, 100.0)
    assert progress.seconds_left(100.0) == 900.0


def test_loading_is_in_no_rate() -> None:
    progress = Progress(to_generate=2)
    progress.clock.begin(2, 100.0)
    assert progress.tokens_per_second() is None
    progress.working(130.0)
    progress.working(135.0)
    progress.finish("a", 30, 132.0)
    progress.finish("b", 10, 134.0)
    assert (progress.seconds(), progress.loading, progress.generating_seconds()) == (34.0, 30.0, 4.0)
    assert progress.tokens_per_second() == 10.0
    assert {group: share.measured() for group, share in progress.shares.items()} == {
        "a": {"generated": 1, "output_tokens": 30},
        "b": {"generated": 1, "output_tokens": 10},
    }


def test_a_question_asked_later_sets_no_clock_back() -> None:
    progress = Progress()
    progress.clock.begin(1, 0.0)
    progress.finish("gsm8k|direct", 50, 5.0)
    progress.clock.begin(1, 1000.0)  # a test's own question, long after
    assert progress.tokens_per_second() == 10.0
    progress.finish("ask|direct", 50, 1005.0)
    assert (progress.seconds(), progress.tokens_per_second()) == (10.0, 10.0)


def test_the_engine_is_seen_at_work_while_a_test_waits(
    engine: Scripted, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_thinkslm.generating.ahead.TICK", 0.01)
    (handle,) = ahead.submit([request("a")])
    seen: list[float | None] = []

    def tick(progress: Progress) -> None:
        seen.append(progress.loading)
        if len(seen) == 2:
            engine.futures[0].set_running_or_notify_cancel()
        if len(seen) == 4:
            engine.futures[0].set_result(Output("A", output_tokens=1))

    ahead.result(handle, tick)
    assert seen[:2] == [None, None]
    assert seen[-1] is not None
    assert seen[-1] >= 0


def test_a_journal_that_takes_no_more_stops_the_asking_and_costs_no_output(
    engine: Scripted, ahead: Ahead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = ahead.submit([request(text) for text in "abcd"])
    first, second, *_ = engine.futures
    first.set_result(Output("kept"))
    assert second.set_running_or_notify_cancel()

    def full(*arguments: object) -> None:
        raise JournalError("the journal is full")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "put", full)
        second.set_result(Output("in memory"))
    assert [ahead.result(handle).text for handle in handles[:2]] == ["kept", "in memory"]
    assert ahead.stopped == "the journal is full"
    for handle in (*handles[2:], *ahead.submit([request("e")])):
        with pytest.raises(EngineError, match="the journal is full") as caught:
            ahead.result(handle)
        assert caught.value.kind == "not-asked"
    assert len(engine.asked) == 4
    assert ahead.unkept == 1
    ahead.close()
    assert ahead.unkept == 0, "there is room again at the end"
    again = Ahead(None, Journal(tmp_path, engine.fingerprint()))
    assert [again.result(handle).text for handle in again.submit([request("a"), request("b")])] == ["kept", "in memory"]


def test_less_room_than_the_outputs_will_take_is_said_before_anything_is_asked(
    engine: Scripted, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10_000}))
    with pytest.raises(UsageError, match=r"make room.*nothing was generated"):
        ahead.submit([request(str(number)) for number in range(500)])
    assert not engine.asked
    ahead.submit([request(str(number)) for number in range(5)])
    assert len(engine.asked) == 5


def test_no_room_for_what_is_asked_later_stops_the_asking_and_refuses_nothing(
    engine: Scripted, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = ahead.submit([request("first")])
    assert engine.futures[0].set_running_or_notify_cancel()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0}))
    (later,) = ahead.submit([request("later")])
    with pytest.raises(EngineError, match="make room") as caught:
        ahead.result(later)
    assert caught.value.kind == "not-asked"
    engine.futures[0].set_result(Output("finished"))
    assert ahead.result(first).text == "finished"
    assert "make room" in ahead.stopped
    assert "nothing was generated" not in ahead.stopped


@pytest.mark.parametrize(("beside", "stops"), [(0, False), (1, True)])
def test_the_other_processes_of_a_run_write_about_as_much_to_the_disk(
    engine: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: int, stops: bool
) -> None:
    asked = [request(str(number)) for number in range(10)]
    free = journal_bytes(asked) * 3 // 2
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free}))
    made = Ahead(engine, Journal(tmp_path, engine.fingerprint()), beside=beside)
    made.submit(asked)
    assert bool(made.stopped) is stops
    assert len(engine.asked) == (0 if stops else 10)


def test_what_nobody_needs_any_more_is_cancelled_and_can_be_asked_again(engine: Scripted, ahead: Ahead) -> None:
    running, queued = ahead.submit([request("a"), request("b")])
    engine.futures[0].set_running_or_notify_cancel()
    ahead.withdraw([running, queued])
    assert engine.futures[1].cancelled()
    assert not engine.futures[0].cancelled()
    (again,) = ahead.submit([request("b")])
    engine.futures[2].set_result(Output("late"))
    assert ahead.result(again).text == "late"


def test_what_is_in_flight_is_drained_into_the_journal(engine: Scripted, ahead: Ahead, tmp_path: Path) -> None:
    running, _ = ahead.submit([request("a"), request("b")])
    engine.futures[0].set_running_or_notify_cancel()
    timer = threading.Timer(0.05, lambda: engine.futures[0].set_result(Output("finished")))
    timer.start()
    ahead.close(drain=True)
    timer.join()
    assert engine.futures[1].cancelled()
    kept = Journal(tmp_path, engine.fingerprint())
    assert kept.get(request("a"), str(running)) == Output("finished")
