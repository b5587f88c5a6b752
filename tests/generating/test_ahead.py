from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.generating.ahead import Ahead, Progress
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
def ahead(engine: Scripted, tmp_path: Path) -> Ahead:
    return Ahead(engine, Journal(tmp_path, engine.fingerprint()))


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
    progress = Progress(items=1000, to_generate=1000)
    assert progress.seconds_left() is None
    progress.finished, progress.first_output = 100, progress.started
    assert progress.seconds_left() is not None
    assert replace(progress, finished=99).seconds_left() is None


def test_outputs_that_finish_together_share_the_time_before_them_by_their_tokens() -> None:
    progress = Progress(started=0.0)
    for group, tokens, now in (("a", 30, 10.0), ("b", 10, 10.0), ("a", 5, 12.0)):
        progress.finish(group, tokens, now)
    progress.settle()
    assert {group: span.seconds for group, span in progress.spans.items()} == {"a": 7.5 + 2.0, "b": 2.5}
    assert progress.seconds() == 12.0


def test_outputs_without_tokens_share_alike() -> None:
    progress = Progress(started=0.0)
    progress.finish("a", 0, 4.0)
    progress.finish("b", 0, 4.0)
    progress.settle()
    assert [span.seconds for span in progress.spans.values()] == [2.0, 2.0]
