"""Thoughts: the template's switch, the bound in two requests, the room that thinkers get."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.identity import ItemRef
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.engines.openai_engine import OpenAIEngine
from pytest_thinkslm.engines.thinking import ENOUGH, ThinkingEngine, second
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.generating.ahead import Ahead
from pytest_thinkslm.generating.planner import Planner
from pytest_thinkslm.journal.journal import Journal, entry_key
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.thought import ThoughtRoom, check_thinking, thinks_by_default, thought_room
from pytest_thinkslm.runs.items import thought_of
from pytest_thinkslm.scoring.answers.region import final_region
from pytest_thinkslm.scoring.answers.thoughts import closing_mark, opening_mark, starts_thought
from pytest_thinkslm.settings.run_settings import build_settings

CLOSING = f"\n\n{ENOUGH}\n</think>\n\n"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
)
#: Opens the thought in the prompt unless it is switched off, as the templates of hybrid thinkers do.
OPENS = CHATML + (
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}"
    "{% else %}{{ '<think>\n' }}{% endif %}{% endif %}"
)
#: Leaves it to the model to open one (Qwen3).
LEAVES = CHATML + (
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}"
    "{% endif %}{% endif %}"
)
#: Thinks when asked to (Granite).
ASKED = CHATML + "{% if thinking %}{{ 'Think first. ' }}{% endif %}{% endif %}"
#: No switch, but thoughts are cut out of earlier turns (the first DeepSeek-R1 distillates).
CUTS = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}"
PLAIN = CHATML + "{% endif %}"


def ask(text: str = "?", thinking: str | None = "8", max_tokens: int = 20, seed: int | None = None) -> Request:
    sampling = Sampling(0.0 if seed is None else 0.7, 1.0, max_tokens, seed)
    return Request((Message("user", text),), sampling, label=f"item {text}", thinking=thinking)


def cut(text: str, tokens: int = 8, **more: Any) -> Output:
    return Output(text, finish_reason="length", prompt_tokens=5, output_tokens=tokens, latency=1.0, **more)


def answer(text: str, prompt_tokens: int = 30, **more: Any) -> Output:
    return Output(text, prompt_tokens=prompt_tokens, output_tokens=4, latency=0.5, **more)


class Scripted:
    """An engine whose futures the test resolves."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.futures: list[Future[Output]] = []
        self.closed = False
        self.broken = False

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        if self.broken:
            raise RuntimeError("no way")
        new: list[Future[Output]] = [Future() for _ in requests]
        self.asked += requests
        self.futures += new
        return new

    def fingerprint(self) -> Fingerprint:
        return Fingerprint({"engine": "scripted"})

    def measured(self) -> Mapping[str, object]:
        return {"device": "paper"}

    def close(self) -> None:
        self.closed = True
        for future in self.futures:
            future.cancel()


@pytest.fixture
def backend() -> Scripted:
    return Scripted()


@pytest.fixture
def thinking(backend: Scripted) -> ThinkingEngine:
    return ThinkingEngine(backend)


# -- what is asked second -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "prefix", "left", "closed"),
    [
        (Output("<think>a</think>4"), None, 0, False),
        (Output("<think>a"), None, 0, False),  # it stopped by itself: its thought is unfinished, and that is graded
        (cut("<think>\nabc"), f"<think>\nabc{CLOSING}", 20, True),
        (cut("<think>\nabc \ufffd"), f"<think>\nabc{CLOSING}", 20, True),
        (cut("<think>a</think>b<think>c"), f"<think>a</think>b<think>c{CLOSING}", 20, True),
        (cut("[THINK]abc"), f"[THINK]abc\n\n{ENOUGH}\n[/THINK]\n\n", 20, True),
        (cut("<think>ab</think>cd"), "<think>ab</think>cd", 20 - round(8 * 2 / 19), False),
        (cut("no thought at all"), "no thought at all", 12, False),
        (cut("<think>a</think>" + "b" * 984, tokens=25), None, 0, False),  # the answer has had its bound
        (cut("", reasoning="hm"), f"<think>\nhm{CLOSING}", 20, True),
        (cut("cd", reasoning="hm"), "<think>\nhm\n</think>\n\ncd", 16, False),
        (cut(""), None, 0, False),
        (
            dataclasses.replace(cut("<think>a</think>b b b b"), stopped="loop"),
            None,
            0,
            False,
        ),  # nothing new would come
    ],
)
def test_second_request(output: Output, prefix: str | None, left: int, closed: bool) -> None:
    found = second(ask(), output)
    if prefix is None:
        assert found is None
    else:
        assert found is not None
        assert (found.prefix, found.max_tokens, found.closed) == (prefix, left, closed)


def test_a_server_s_text_without_marks_is_a_thought() -> None:
    found = second(ask(), cut("abc"), unmarked_is_thought=True)
    assert found is not None
    assert (found.prefix, found.closed) == (f"<think>\nabc{CLOSING}", True)
    found = second(ask(), cut("abc</think>d"), unmarked_is_thought=True)
    assert found is not None
    assert (found.prefix, found.closed) == ("<think>\nabc</think>d", False)


@given(
    st.text(max_size=60), st.sampled_from(["", "<think>", "</think>", "[THINK]"]), st.text(max_size=60), st.booleans()
)
def test_after_the_second_request_no_thought_is_open(before: str, mark: str, behind: str, server: bool) -> None:
    found = second(ask(), cut(before + mark + behind), unmarked_is_thought=server)
    if found is not None:
        assert closing_mark(found.prefix) is None
        assert 0 < found.max_tokens <= 20
        assert not found.closed or not final_region(Output(found.prefix)).text.strip()


@pytest.mark.parametrize(
    ("text", "closing", "opening", "starts"),
    [
        ("<think>\n", "</think>", "<think>\n", True),
        ("a <THINK>", "</THINK>", "<THINK>", True),
        ("<think>a</think>", None, "", True),
        ("a</think>b", None, "", False),
        ("<|channel|>analysis x", "<|end|><|start|>assistant<|channel|>final<|message|>", "", True),
        ("◁think▷", "◁/think▷", "◁think▷", True),
        ("plain", None, "", False),
    ],
)
def test_marks(text: str, closing: str | None, opening: str, starts: bool) -> None:
    assert (closing_mark(text), opening_mark(text), starts_thought(text)) == (closing, opening, starts)


# -- the wrapper --------------------------------------------------------------------------------------------


def test_a_thought_that_ends_takes_one_request(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask()])
    assert backend.asked == [dataclasses.replace(ask(), sampling=Sampling(max_tokens=8))]
    done = Output("<think>a</think>4", prompt_tokens=5, output_tokens=6)
    backend.futures[0].set_result(done)
    assert future.result(timeout=1) == done
    assert len(backend.asked) == 1


def test_a_thought_at_its_bound_is_closed(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask(seed=(1 << 63) - 1)])
    backend.futures[0].set_result(cut("<think>\nabc"))
    follow = backend.asked[1]
    assert not future.done()
    assert follow.prefix == f"<think>\nabc{CLOSING}"
    assert follow.messages == ask().messages
    assert follow.sampling.max_tokens == 20
    assert follow.sampling.seed == 0, "noise of its own, 63 bits"
    assert follow.thinking == "8", "the switch stays on"
    backend.futures[1].set_result(answer("The answer is 4.", finish_reason="length"))
    whole = future.result(timeout=1)
    assert whole == Output(
        f"<think>\nabc{CLOSING}The answer is 4.",
        finish_reason="length",
        prompt_tokens=5,
        output_tokens=12,
        latency=1.5,
        thought_closed=True,
    )
    assert final_region(whole).text.strip() == "The answer is 4."
    assert thought_of(whole) == "closed"


def test_an_answer_cut_by_the_thought_s_bound_goes_on(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask()])
    backend.futures[0].set_result(cut("<think>ab</think>The ans"))
    assert backend.asked[1].prefix == "<think>ab</think>The ans"
    backend.futures[1].set_result(answer("wer is 4."))
    whole = future.result(timeout=1)
    assert (whole.text, whole.finish_reason) == ("<think>ab</think>The answer is 4.", "stop")
    assert not whole.thought_closed
    assert thought_of(whole) == "ended"


@pytest.mark.parametrize(
    ("first", "last", "text", "reasoning"),
    [
        (cut("", reasoning="hm"), answer("4"), "4", f"hm\n\n{ENOUGH}"),
        (cut("", reasoning="hm"), answer("", reasoning="4"), "4", f"hm\n\n{ENOUGH}"),
        (cut("", reasoning="hm"), answer("4", reasoning="so"), "4", f"hm\n\n{ENOUGH}\n\nso"),
        (cut("It is", reasoning="hm"), answer(" 4"), "It is 4", "hm"),
        (cut("<think>a"), answer("", reasoning="4"), f"<think>a{CLOSING}4", None),
        (cut("<think>a"), answer("4", reasoning="b"), f"<think>a{CLOSING}<think>\nb\n</think>\n\n4", None),
    ],
)
def test_a_server_may_separate_the_thought(
    backend: Scripted, thinking: ThinkingEngine, first: Output, last: Output, text: str, reasoning: str | None
) -> None:
    (future,) = thinking.submit([ask()])
    backend.futures[0].set_result(first)
    backend.futures[1].set_result(last)
    whole = future.result(timeout=1)
    assert (whole.text, whole.reasoning) == (text, reasoning)
    assert "4" in final_region(whole).text


def test_unknown_counts_stay_unknown(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask()])
    backend.futures[0].set_result(Output("<think>a", finish_reason="length"))
    backend.futures[1].set_result(answer("4"))
    whole = future.result(timeout=1)
    assert (whole.prompt_tokens, whole.output_tokens, whole.latency) == (None, None, None)


@pytest.mark.parametrize(
    "request_", [ask(thinking=None), ask(thinking="on"), ask(thinking="off"), dataclasses.replace(ask(), prefix="So")]
)
def test_other_requests_pass_through(backend: Scripted, thinking: ThinkingEngine, request_: Request) -> None:
    (future,) = thinking.submit([request_])
    assert backend.asked == [request_]
    assert future is backend.futures[0]


def test_the_second_is_submitted_at_once_and_nothing_blocks(backend: Scripted, thinking: ThinkingEngine) -> None:
    before = threading.active_count()
    futures = thinking.submit([ask(str(number)) for number in range(50)])
    backend.futures[7].set_result(cut("<think>abc"))
    assert [request.label for request in backend.asked[50:]] == ["item 7"], "while 49 others are still thinking"
    backend.futures[50].set_result(answer("7"))
    assert futures[7].result(timeout=1).text.endswith("7")
    assert not any(future.done() for number, future in enumerate(futures) if number != 7)
    assert threading.active_count() == before


def test_the_order_of_futures_is_that_of_requests(backend: Scripted, thinking: ThinkingEngine) -> None:
    rng = random.Random(5)
    requests = [ask(str(number), thinking=rng.choice(["8", None])) for number in range(60)]
    futures = thinking.submit(requests)
    waiting = list(range(60))
    owner = list(range(60))  # of each of the backend's futures
    while waiting:
        at = waiting.pop(rng.randrange(len(waiting)))
        request = backend.asked[at]
        if at < 60 and request.thinking and rng.random() < 0.5:
            backend.futures[at].set_result(cut(f"<think>{owner[at]}"))
            waiting.append(len(backend.futures) - 1)
            owner.append(owner[at])
        else:
            backend.futures[at].set_result(answer(f"answer {request.messages[0].content}"))
    for number, future in enumerate(futures):
        assert future.result(timeout=1).text.endswith(f"answer {number}")


def test_cancelled_before_it_started(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask()])
    assert future.cancel()
    assert backend.futures[0].cancelled()
    assert wait([future], timeout=1).done == {future}
    assert future.cancel(), "as often as one likes"
    with pytest.raises(CancelledError):
        future.result(timeout=1)


def test_cancelled_while_the_thought_runs(backend: Scripted, thinking: ThinkingEngine) -> None:
    complete, open_ended = thinking.submit([ask("a"), ask("b")])
    for future in backend.futures:
        assert future.set_running_or_notify_cancel()
    assert complete.running()
    assert not complete.cancel()
    assert not open_ended.cancel()
    backend.futures[0].set_result(Output("<think>a</think>4"))
    backend.futures[1].set_result(cut("<think>b"))
    assert complete.result(timeout=1).text == "<think>a</think>4", "what is finished is kept"
    assert open_ended.cancelled()
    assert len(backend.asked) == 2, "no second request for what nobody wants"


def test_cancelled_while_the_second_waits_or_runs(backend: Scripted, thinking: ThinkingEngine) -> None:
    waiting, running = thinking.submit([ask("a"), ask("b")])
    for future in backend.futures[:2]:
        future.set_result(cut("<think>a"))
    assert backend.futures[3].set_running_or_notify_cancel()
    assert waiting.cancel()
    assert backend.futures[2].cancelled()
    assert not running.cancel()
    backend.futures[3].set_result(answer("4"))
    assert running.result(timeout=1).text.endswith("4")


def test_a_cancel_that_meets_the_second_submission(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask()])
    submit = backend.submit

    def cancel_meanwhile(requests: Sequence[Request]) -> Sequence[Future[Output]]:
        assert not future.cancel()
        return submit(requests)

    backend.submit = cancel_meanwhile  # type: ignore[method-assign]
    backend.futures[0].set_result(cut("<think>a"))
    assert backend.futures[1].cancelled()
    assert future.cancelled()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (EngineError("boom"), "item ?: in the second request, after the thought's bound: boom"),
        (EngineError("item ?: boom"), "item ?: in the second request, after the thought's bound: boom"),
        (ValueError("boom"), "item ?: in the second request, after the thought's bound: ValueError: boom"),
    ],
)
def test_a_failing_second_request(backend: Scripted, thinking: ThinkingEngine, error: Exception, says: str) -> None:
    (future,) = thinking.submit([ask()])
    backend.futures[0].set_result(cut("<think>a"))
    backend.futures[1].set_exception(error)
    with pytest.raises(EngineError) as caught:
        future.result(timeout=1)
    assert str(caught.value) == says


def test_a_failing_first_request_and_a_backend_that_raises(backend: Scripted, thinking: ThinkingEngine) -> None:
    first, other = thinking.submit([ask("a"), ask("b")])
    backend.futures[0].set_exception(EngineError("boom"))
    with pytest.raises(EngineError, match=r"^item a: boom$"):
        first.result(timeout=1)
    backend.broken = True
    backend.futures[1].set_result(cut("<think>a"))
    with pytest.raises(EngineError, match="item b: RuntimeError: no way"):
        other.result(timeout=1)


def test_a_backend_that_drops_the_prefix_is_found_out(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask()])
    backend.futures[0].set_result(cut("<think>a"))
    backend.futures[1].set_result(answer("4", prompt_tokens=5))
    with pytest.raises(EngineError, match="no longer than the first"):
        future.result(timeout=1)


def test_close_measured_and_fingerprint_are_the_backend_s(backend: Scripted, thinking: ThinkingEngine) -> None:
    (future,) = thinking.submit([ask()])
    assert thinking.fingerprint() == backend.fingerprint()
    assert thinking.measured() == {"device": "paper"}
    thinking.close()
    assert backend.closed
    assert future.cancelled()


def test_what_is_journalled_is_the_whole(backend: Scripted, thinking: ThinkingEngine, tmp_path: Path) -> None:
    journal = Journal(tmp_path, thinking.fingerprint())
    ahead = Ahead(thinking, journal)
    handle = ahead.submit([ask()])[0]
    backend.futures[0].set_result(cut("<think>a"))
    backend.futures[1].set_result(answer("4"))
    whole = ahead.result(handle)
    journal.close()
    assert whole.thought_closed
    (again,) = Ahead(None, Journal(tmp_path, thinking.fingerprint())).submit([ask()])
    assert again == handle
    assert Journal(tmp_path, thinking.fingerprint()).get(ask(), entry_key(ask())) == whole
    assert Journal(tmp_path, thinking.fingerprint()).get(ask(thinking="9"), entry_key(ask(thinking="9"))) is None


def test_keys_of_journals_that_are_there_stay() -> None:
    plain = ask(thinking=None)
    assert entry_key(plain) == "86f636e665a2953636a066b4d6c2ac708e7f7d75"
    assert (
        len({entry_key(one) for one in (plain, ask(), ask(thinking="on"), dataclasses.replace(plain, prefix="a"))}) == 4
    )


# -- templates and limits -----------------------------------------------------------------------------------


def model(template: str | None, context: int | None = None) -> ResolvedModel:
    return ResolvedModel("m", "folder", Path("m"), "M", {}, 0, chat_template=template, context=context)


@pytest.mark.parametrize(
    ("template", "thinks"),
    [
        (OPENS, True),
        (LEAVES, True),
        (ASKED, False),
        (CUTS, True),
        (PLAIN, False),
        (CHATML + "{{ '<think>\n' }}{% endif %}", True),
        ("{% if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif %}"
         "{{ '/think' if enable_thinking else '/no_think' }}{{ messages[0].content }}", True),
        ("{{ bos_token + messages[0].content }}{% generation %}{% endgeneration %}{{ strftime_now('%d') }}", False),
        ("{{ raise_exception('tools only') }}", False),
        ("{{ raise_exception('tools only') }}{% if enable_thinking %}{% endif %}", True),
        ("{{ messages", False),
    ],
)  # fmt: skip
def test_thinks_by_default(template: str, thinks: bool) -> None:
    assert thinks_by_default(template) is thinks


@pytest.mark.parametrize(
    ("template", "thinking", "says"),
    [
        (None, None, None),
        (PLAIN, None, None),
        (LEAVES, "on", None),
        (LEAVES, "off", None),
        (LEAVES, "64", None),
        (CUTS, "64", None),
        (CUTS, "on", None),
        (CUTS, "off", "thinks always"),
        (CUTS, "high", "without levels of effort"),
        (PLAIN, "on", "without a switch"),
        (PLAIN, "off", "without a switch"),
        (PLAIN, "64", "neither a switch for thinking nor a thought"),
        (None, "on", "base model"),
        (None, "off", "base model"),
        (None, "64", "base model"),
    ],
)
def test_what_cannot_be_had_is_said_before_generating(template: str | None, thinking: str | None, says: str) -> None:
    if says is None:
        check_thinking(model(template), thinking)
    else:
        with pytest.raises(UsageError, match=says) as caught:
            check_thinking(model(template), thinking)
        assert f"--thinking {thinking}: M" in str(caught.value)
        assert "leave" in str(caught.value)


@pytest.mark.parametrize(
    ("template", "thinking", "thinks"),
    [
        (LEAVES, None, True),
        (LEAVES, "on", True),
        (LEAVES, "off", False),
        (LEAVES, "64", False),  # it has a bound of its own
        (ASKED, None, False),
        (ASKED, "on", True),
        (None, None, False),
    ],
)
def test_who_gets_room_for_a_thought(template: str | None, thinking: str | None, thinks: bool) -> None:
    assert thought_room(model(template, 999), thinking) == ThoughtRoom(thinks, 999)


@pytest.mark.parametrize(
    ("options", "thinks", "limit", "thinking"),
    [
        ({}, False, 512, None),
        ({}, True, 512 + 8192, None),
        ({"thinking": "on"}, True, 512 + 8192, "on"),
        ({"thinking": "64"}, False, 512, "64"),
        ({"max-tokens": "99"}, True, 99, None),
    ],
)
def test_the_planner_s_requests(options: dict[str, str], thinks: bool, limit: int, thinking: str | None) -> None:
    settings = build_settings({"model": "embedded", **options})
    assert settings is not None
    rooms: list[int] = []

    def room(variant: int) -> ThoughtRoom:
        rooms.append(variant)
        return ThoughtRoom(thinks, None)

    refs = [ItemRef(2, "sort8_positive", "direct", index) for index in range(3)]
    planner = Planner(settings, refs, room)
    for ref in refs:
        request = planner.request(ref)
        assert (request.sampling.max_tokens, request.thinking) == (limit, thinking)
    assert rooms == [2] * ("max-tokens" not in options), "asked once a variant"
    assert Planner(settings, refs).request(refs[0]).sampling.max_tokens == int(options.get("max-tokens", 512))


# -- the real engine ----------------------------------------------------------------------------------------


@pytest.fixture
def opens(embedded_model: ResolvedModel) -> ResolvedModel:
    return dataclasses.replace(embedded_model, chat_template=OPENS)


def answers(engine: Any, requests: Sequence[Request]) -> list[Output]:
    return [future.result(timeout=300) for future in engine.submit(requests)]


@pytest.mark.model
def test_prompts_of_both_settings_and_of_a_prefix(loaded: Any, opens: ResolvedModel) -> None:
    from pytest_thinkslm.models.template import render

    def text(ids: Sequence[int]) -> str:
        return str(loaded.tokenizer.decode(ids))

    on = render(loaded.tokenizer, [Message("user", "Hi")], opens, "on")
    off = render(loaded.tokenizer, [Message("user", "Hi")], opens, "off")
    assert text(on).endswith("<|im_start|>assistant\n<think>\n")
    assert text(off).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert render(loaded.tokenizer, [Message("user", "Hi")], opens) == on
    closed = render(loaded.tokenizer, [Message("user", "Hi")], opens, "8", f"<think>\nOne{CLOSING}")
    assert closed[: len(on)] == on
    assert text(closed).endswith(f"<|im_start|>assistant\n<think>\nOne{CLOSING}"), "the mark is not repeated"
    for prefix, says in (("<think>\n\nOne", "\nOne"), ("<think> One", "One"), ("One", "One")):
        turn = render(loaded.tokenizer, [Message("user", "Hi")], opens, "8", prefix)
        assert text(turn) == text(on) + says
    leaves = dataclasses.replace(opens, chat_template=LEAVES)
    assert text(render(loaded.tokenizer, [Message("user", "Hi")], leaves, "8", "<think>One")).endswith(
        "<|im_start|>assistant\n<think>One"
    )
    bare = dataclasses.replace(opens, chat_template=None)
    assert text(render(loaded.tokenizer, [Message("user", "Hi")], bare, None, " One")).endswith("\nAnswer: One")


@pytest.mark.model
def test_on_off_and_bounded(
    engine_on: Callable[..., TransformersEngine], opens: ResolvedModel, embedded_model: ResolvedModel
) -> None:
    backend = engine_on(opens)
    questions = ["What is 2 + 2?", "Name a colour."]
    on = answers(backend, [ask(question, "on", 6) for question in questions])
    off = answers(backend, [ask(question, "off", 6) for question in questions])
    for output in on:
        assert output.text.startswith("<think>\n"), "what the template opened is there to see"
        assert final_region(output).unfinished
        assert thought_of(output) == "unfinished"
        assert output.output_tokens == 6
    for output in off:
        assert thought_of(output) is None
    bounded = answers(ThinkingEngine(backend), [ask(question, "6", 5) for question in questions])
    for output, thought in zip(bounded, on, strict=True):
        assert output.text.startswith(thought.text.rstrip() + CLOSING), "the same six tokens, then the end"
        assert output.thought_closed
        assert not final_region(output).unfinished
        assert final_region(output).text
        assert 6 < (output.output_tokens or 0) <= 11
        assert output.prompt_tokens == thought.prompt_tokens
    # A prompt of its own continues the same way as the one that was rendered at once.
    by_hand = Request(
        ask(questions[0]).messages, Sampling(max_tokens=5), thinking="on", prefix=on[0].text.rstrip() + CLOSING
    )
    (rest,) = answers(backend, [by_hand])
    assert on[0].text.rstrip() + CLOSING + rest.text == bounded[0].text


# -- servers ------------------------------------------------------------------------------------------------


class ThinkingServer:
    """Chat completions from a function of the request's body; remembers the bodies."""

    def __init__(self, reply: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]) -> None:
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.send(200, {"object": "list", "data": [{"id": "tiny", "max_model_len": 2048}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                self.send(*reply(body))

            def send(self, status: int, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[..., ThinkingServer]]:
    made: list[ThinkingServer] = []

    def start(reply: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]) -> ThinkingServer:
        made.append(ThinkingServer(reply))
        return made[-1]

    yield start
    for server in made:
        server.http.shutdown()
        server.http.server_close()


def completion(prompt_tokens: int, finish: str, **message: str | None) -> tuple[int, dict[str, Any]]:
    return 200, {
        "choices": [{"message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 8},
    }


def bounded_by(server: ThinkingServer) -> Output | EngineError:
    engine = ThinkingEngine(
        OpenAIEngine("tiny", server_url=server.url, engine_args={"retries": "0"}), unmarked_is_thought=True
    )
    try:
        return engine.submit([ask("4?")])[0].result(timeout=30)
    except EngineError as error:
        return error
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("message", "prefix"),
    [
        ({"content": "<think>\nhm"}, f"<think>\nhm{CLOSING}"),
        ({"content": "hm"}, f"<think>\nhm{CLOSING}"),
        ({"content": None, "reasoning_content": "hm"}, f"<think>\nhm{CLOSING}"),
        ({"content": None, "reasoning": "hm\n"}, f"<think>\nhm{CLOSING}"),
        ({"content": "It", "reasoning": "hm\n"}, "<think>\nhm\n</think>\n\nIt"),
    ],
)
def test_on_the_wire(serve: Callable[..., ThinkingServer], message: dict[str, str | None], prefix: str) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "continue_final_message" in body:
            return completion(40, "stop", content=" is 4.")
        return completion(5, "length", **message)

    server = serve(reply)
    output = bounded_by(server)
    assert isinstance(output, Output)
    first, last = server.bodies
    assert first["messages"] == [{"role": "user", "content": "4?"}]
    assert first["max_tokens"] == 8
    assert not {"continue_final_message", "add_generation_prompt"} & set(first)
    assert last["messages"] == [{"role": "user", "content": "4?"}, {"role": "assistant", "content": prefix}]
    assert (last["continue_final_message"], last["add_generation_prompt"]) == (True, False)
    assert last["chat_template_kwargs"] == first["chat_template_kwargs"]
    assert final_region(output).text.strip().endswith("is 4.")
    assert output.output_tokens == 16


def test_a_server_that_cannot_continue_a_turn(serve: Callable[..., ThinkingServer]) -> None:
    def refuses(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "continue_final_message" in body:
            return 400, {"error": {"message": "Unrecognized request argument supplied: continue_final_message"}}
        return completion(5, "length", content="<think>hm")

    error = bounded_by(serve(refuses))
    assert isinstance(error, EngineError)
    assert "continue_final_message" in str(error)
    assert str(error).startswith("item 4?: in the second request")


def test_the_factory_wraps_where_a_thought_may_be_unseen(serve: Callable[..., ThinkingServer]) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if len(body["messages"]) > 1:
            return completion(9, "stop", content="4")
        on = body.get("chat_template_kwargs", {}).get("enable_thinking", True)
        return completion(5 if on else 7, "length", content="hm")

    server = serve(reply)
    digests = set()
    for thinking, kind, room in (
        (None, OpenAIEngine, ThoughtRoom(False, 1024)),  # half of the server's context: the other is the prompt's
        ("on", ThinkingEngine, ThoughtRoom(True, 1024)),
        ("off", ThinkingEngine, ThoughtRoom(False, 1024)),
        ("8", ThinkingEngine, ThoughtRoom(False, 1024)),
    ):
        raw = {"model": "tiny", "engine": "openai", "server-url": server.url, "thinking": thinking}
        settings = build_settings(raw)
        assert settings is not None
        factory = EngineFactory(settings, lambda line: None)
        engine = factory.build(0, None)
        assert isinstance(engine, kind)
        if thinking == "8":
            assert engine.submit([ask()])[0].result(timeout=30).thought_closed, "a server's text without marks"
        engine.close()
        digests.add(factory.fingerprint(0).digest)
        assert factory.thought_room(0) == room
    assert len(digests) == 1, "the bound is part of the requests, not of the engine"


# -- a real vLLM --------------------------------------------------------------------------------------------


def post(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    import urllib.request

    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        content: dict[str, Any] = json.loads(reply.read())
    return content


needs_vllm = [
    pytest.mark.vllm,
    pytest.mark.model,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no module vllm in this environment"),
    pytest.mark.timeout(600),
]


class TestRealVLLM:
    pytestmark = needs_vllm

    def test_in_process(self, opens: ResolvedModel) -> None:
        from pytest_thinkslm.engines.vllm_engine import VLLMEngine

        backend = VLLMEngine(opens, engine_args={"max_num_seqs": "8"})
        try:
            self.check(backend, ThinkingEngine(backend))
        finally:
            backend.close()

    def test_served(self, opens: ResolvedModel, tmp_path: Path) -> None:
        """``vllm serve`` continues the assistant's turn that it is sent, and puts nothing between."""
        (tmp_path / "template.jinja").write_text(OPENS)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(opens.path)]
        command += ["--port", str(port), "--host", "127.0.0.1", "--served-model-name", "tiny", "--enforce-eager"]
        command += ["--max-num-seqs", "8", "--max-model-len", "2048", "--dtype", "bfloat16"]
        command += ["--chat-template", str(tmp_path / "template.jinja")]
        environ = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
        url = f"http://127.0.0.1:{port}"
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
            try:
                end = time.monotonic() + 400
                while time.monotonic() < end and process.poll() is None:
                    try:
                        socket.create_connection(("127.0.0.1", port), 1).close()
                        break
                    except OSError:
                        time.sleep(0.5)
                backend = OpenAIEngine("tiny", server_url=url)
                try:
                    for value in ("on", "off", "8"):
                        backend.confirm(value)
                    with pytest.raises(UsageError, match="it takes --thinking on, off; or leave"):
                        backend.confirm("high")
                    self.check(backend, ThinkingEngine(backend, unmarked_is_thought=True))
                finally:
                    backend.close()
                # The second prompt, as the server itself renders it.
                turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": f"<think>\nhm{CLOSING}"}]
                body = {"model": "tiny", "messages": turns, "continue_final_message": True}
                found = post(f"{url}/tokenize", {**body, "add_generation_prompt": False})
                text = post(f"{url}/detokenize", {"model": "tiny", "tokens": found["tokens"]})["prompt"]
                assert text.endswith(f"<|im_start|>assistant\n<think>\nhm{CLOSING}")
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def check(self, backend: Any, bounded: ThinkingEngine) -> None:
        thoughts = answers(backend, [ask("What is 2 + 2?", "on", 6), ask("Name a colour.", "on", 6)])
        outputs = answers(bounded, [ask("What is 2 + 2?", "6", 5), ask("Name a colour.", "6", 5)])
        for thought, output in zip(thoughts, outputs, strict=True):
            said = thought.text.removeprefix("<think>\n")
            assert output.text.split()[: len(said.split()) + 1] == ["<think>", *said.split()]
            assert CLOSING in output.text
            assert output.thought_closed
            assert final_region(output).text.strip()
            assert 6 < (output.output_tokens or 0) <= 11
            assert output.prompt_tokens == thought.prompt_tokens
        (off,) = answers(backend, [ask("What is 2 + 2?", "off", 6)])
        assert thought_of(off) is None
        assert off.prompt_tokens is not None
        assert thoughts[0].prompt_tokens is not None
        assert off.prompt_tokens > thoughts[0].prompt_tokens, "the empty thought is in the prompt"
