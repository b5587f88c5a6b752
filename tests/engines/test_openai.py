"""The openai engine against a server that fails in every way a server can."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from faulty_server import FaultyServer

from pytest_thinkslm.core.errors import EngineError, ModelError, UsageError
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines import openai_client
from pytest_thinkslm.engines.openai_client import ChatClient
from pytest_thinkslm.engines.openai_engine import OpenAIEngine
from pytest_thinkslm.engines.openai_wire import Chat, Dialect, Endpoint, Failure, read_error, read_models, read_reply

CANARY = "sk-canary-5f1e77"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_client, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as faulty:
        yield faulty


def ask(text: str, seed: int | None = None) -> Request:
    sampling = Sampling(temperature=0.0 if seed is None else 0.7, max_tokens=16, seed=seed)
    return Request((Message("user", text),), sampling, label=text)


def run(server: FaultyServer, texts: list[str], **args: str) -> list[Output | EngineError]:
    engine = OpenAIEngine("tiny", server_url=server.url, engine_args={"timeout": "1", **args})
    try:
        return [result(future) for future in engine.submit([ask(text) for text in texts])]
    finally:
        engine.close()


def result(future: Future[Output]) -> Output | EngineError:
    error = future.exception(timeout=30)
    assert error is None or isinstance(error, EngineError), error
    return error or future.result()


@pytest.mark.parametrize(
    "plan", ["429", "500", "502", "503", "hang", "reset", "malformed", "half", "drip", "empty", "wrapped", "408"]
)
def test_a_fault_is_tried_again(server: FaultyServer, plan: str) -> None:
    (output,) = run(server, [f"item 1: {plan} ok"])
    assert isinstance(output, Output)
    assert output.text == f"answer to item 1: {plan} ok"
    assert (output.finish_reason, output.prompt_tokens, output.output_tokens) == ("stop", 3, 5)
    assert server.attempts[f"item 1: {plan} ok"] == 2
    assert server.answers[f"item 1: {plan} ok"] == 1


@pytest.mark.parametrize(
    ("plan", "says", "attempts"),
    [
        ("500", "500: planned 500 (after 3 attempts)", 3),
        ("reset", "connection failed", 3),
        ("hang", "no answer in 1 s", 3),
        ("malformed", "no JSON", 3),
        ("half", "connection failed", 3),
        ("context", "maximum context length is 8", 1),
        ("401", "401", 1),
        ("400", "400: planned 400", 1),
        ("501", "501", 1),
    ],
)
def test_a_lasting_fault_is_that_items_error(server: FaultyServer, plan: str, says: str, attempts: int) -> None:
    text = f"bad: {plan}"
    good = [f"good {number}: ok" for number in range(4)]
    outputs = run(server, [*good, text, *good], retries="2", timeout="1", concurrency="1")
    assert [isinstance(output, Output) for output in outputs] == [True] * 4 + [False] + [True] * 4
    assert says in str(outputs[4])
    assert str(outputs[4]).startswith("bad: ")
    assert server.attempts[text] == attempts


def test_every_request_is_answered_once(server: FaultyServer) -> None:
    faults = [
        "ok",
        "429 ok",
        "500 ok",
        "reset ok",
        "malformed ok",
        "half ok",
        "429 500 reset ok",
        "hang ok",
        "500",
        "context",
    ]
    texts = [f"item {number}: {faults[number % len(faults)]}" for number in range(200)]
    outputs = run(server, texts, retries="3", timeout="0.5", concurrency="40")
    assert len(outputs) == 200
    for text, output in zip(texts, outputs, strict=True):
        if text.endswith("ok"):
            assert isinstance(output, Output), output
            assert output.text == f"answer to {text}"
            assert server.answers[text] == 1
            assert server.attempts[text] == len(text.split(": ")[1].split())
        else:
            assert isinstance(output, EngineError)
            assert server.answers[text] == 0
    assert sum(server.answers.values()) == sum(text.endswith("ok") for text in texts)


def test_concurrency_is_bounded_and_used(server: FaultyServer) -> None:
    server.latency = 0.02
    run(server, [f"item {number}: ok" for number in range(60)], concurrency="6")
    assert server.most == 6


def test_a_batching_server_gets_more_slots() -> None:
    with FaultyServer(models=({"id": "tiny", "owned_by": "vllm"},), latency=0.3) as server:
        run(server, [f"item {number}: ok" for number in range(80)], timeout="20")
        assert server.most > 32


def test_429_halves_the_slots_and_waits(server: FaultyServer) -> None:
    server.retry_after = "0.4"
    server.latency = 0.05
    client = ChatClient(server.url, "tiny", concurrency=8)
    texts = [f"item {number}: 429 ok" for number in range(8)] + [f"item {number}: ok" for number in range(8, 40)]
    futures = client.submit([Chat((Message("user", text),), Sampling(), text) for text in texts])
    assert all(future.result(timeout=30) for future in futures)
    assert client.counters.least_slots == 4, "one wave of eight 429s halves once"
    last_refusal = max(server.busy_at)
    after = [begun for begun in server.begun_at if begun > last_refusal + 0.01]
    assert min(after) - min(server.busy_at) >= 0.39, "nothing is sent before Retry-After has passed"
    assert 4 < client._slots <= 8, "and grow back"
    client.close()


def test_a_retry_after_of_a_day_is_not_waited_for(server: FaultyServer) -> None:
    server.retry_after = "86400"
    (output,) = run(server, ["item: 429"])
    assert "429" in str(output)


def test_waiting_out_a_busy_server_has_its_own_allowance(server: FaultyServer) -> None:
    server.retry_after = "0.01"
    (output,) = run(server, ["item: 429 429 429 429 429 429 ok"], retries="2")
    assert isinstance(output, Output)


def test_reasoning_and_length(server: FaultyServer) -> None:
    thought, cut = run(server, ["a: reasoning", "b: long"])
    assert isinstance(thought, Output)
    assert isinstance(cut, Output)
    assert (thought.text, thought.reasoning) == ("", "hmm")
    assert cut.finish_reason == "length"


def test_every_sampling_parameter_is_sent(server: FaultyServer) -> None:
    engine = OpenAIEngine("tiny", server_url=server.url)
    for future in engine.submit([ask("greedy: ok"), ask("sampled: ok", seed=7)]):
        future.result(timeout=30)
    engine.close()
    greedy, sampled = sorted(server.bodies, key=lambda body: body["temperature"])
    common = {
        "top_p": 1.0,
        "max_tokens": 16,
        "n": 1,
        "stream": False,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }
    common |= {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "model": "tiny"}
    assert greedy == {**common, "temperature": 0.0, "messages": [{"role": "user", "content": "greedy: ok"}]}
    assert sampled == {
        **common,
        "temperature": 0.7,
        "seed": 7,
        "messages": [{"role": "user", "content": "sampled: ok"}],
    }


@pytest.mark.parametrize(
    ("thinking", "switches"),
    [
        (None, None),
        ("on", {"enable_thinking": True, "thinking": True}),
        ("off", {"enable_thinking": False, "thinking": False}),
        ("high", {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}),
        ("512", {"enable_thinking": True, "thinking": True, "thinking_budget": 512}),
    ],
)
def test_thinking_goes_to_the_template(server: FaultyServer, thinking: str | None, switches: Any) -> None:
    engine = OpenAIEngine("tiny", server_url=server.url)
    engine.submit([dataclasses.replace(ask("x: ok"), thinking=thinking)])[0].result(timeout=30)
    engine.close()
    assert server.bodies[0].get("chat_template_kwargs") == switches
    assert server.bodies[0].get("reasoning_effort") == ("high" if thinking == "high" else None)


@pytest.mark.parametrize("name", ["seed", "top_k", "max_tokens"])
def test_a_refused_parameter_is_left_out_once(server: FaultyServer, name: str) -> None:
    engine = OpenAIEngine("tiny", server_url=server.url, engine_args={"concurrency": "1"})
    futures = engine.submit([ask(f"item {number}: no-{name}", seed=3) for number in range(5)])
    assert all(future.result(timeout=30).text for future in futures)
    refused: Any = engine.measured()["refused_parameters"]
    engine.close()
    assert name in refused
    assert len(server.bodies) == 6, "asked once, then never sent again"
    assert "max_completion_tokens" in server.bodies[-1] or name != "max_tokens"


def test_a_prompt_that_talks_of_seeds_is_no_refusal() -> None:
    assert Dialect().without("context length exceeded by the prompt about seed") is None
    narrow = Dialect().without("Unrecognized request argument supplied: top_k")
    assert narrow is not None
    assert narrow.without("Unrecognized request argument supplied: top_k") is None


@pytest.mark.parametrize(
    ("model", "says"),
    [("tini", "did you mean 'tiny'"), ("TINY-model", "'tiny'"), ("gpt", "valid: tiny"), ("iny", "'tiny'")],
)
def test_unknown_model(server: FaultyServer, model: str, says: str) -> None:
    engine = OpenAIEngine(model, server_url=server.url)
    with pytest.raises(ModelError, match=says):
        engine.fingerprint()
    (future,) = engine.submit([ask("x: ok")])
    assert says in str(result(future))
    engine.close()
    assert not server.bodies


def test_a_server_without_a_list_is_asked_all_the_same() -> None:
    with FaultyServer(list_status=404) as server:
        (output,) = run(server, ["x: ok"])
        assert isinstance(output, Output)


def test_model_check_off(server: FaultyServer) -> None:
    engine = OpenAIEngine("unlisted", server_url=server.url, engine_args={"model_check": "off"})
    assert engine.submit([ask("x: ok")])[0].result(timeout=30).text
    engine.close()


def test_unreachable_server_is_one_clear_error_for_all() -> None:
    engine = OpenAIEngine("tiny", server_url="http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/v1 cannot be used: connection failed"):
        engine.fingerprint()
    errors = [result(future) for future in engine.submit([ask(f"{number}: ok") for number in range(500)])]
    assert all("--server-url" in str(error) for error in errors)
    engine.close()


def test_a_server_that_dies_ends_the_queue() -> None:
    with FaultyServer(latency=0.02) as server:
        engine = OpenAIEngine(
            "tiny", server_url=server.url, engine_args={"concurrency": "4", "retries": "2", "timeout": "1"}
        )
        futures = engine.submit([ask(f"item {number}: ok") for number in range(2000)])
        wait(futures[:20], timeout=30)
    outputs = [result(future) for future in futures]
    engine.close()
    assert all(isinstance(output, Output) for output in outputs[:20])
    assert isinstance(outputs[-1], EngineError)
    assert "is gone" in str(outputs[-1])


def test_cancelled_futures_are_never_sent(server: FaultyServer) -> None:
    server.latency = 0.05
    engine = OpenAIEngine("tiny", server_url=server.url, engine_args={"concurrency": "2"})
    futures = engine.submit([ask(f"item {number}: ok") for number in range(20)])
    futures[0].result(timeout=30)
    cancelled = {number for number, future in enumerate(futures) if future.cancel()}
    wait(futures, timeout=30)
    engine.close()
    assert len(cancelled) >= 14
    assert not cancelled & {int(body["messages"][0]["content"].split()[1][:-1]) for body in server.bodies}
    assert sum(server.answers.values()) == 20 - len(cancelled)


def test_close_ends_everything(server: FaultyServer) -> None:
    engine = OpenAIEngine("tiny", server_url=server.url, engine_args={"concurrency": "2", "timeout": "60"})
    futures = engine.submit([ask("stuck: hang"), *(ask(f"item {number}: hang") for number in range(9))])
    while len(server.bodies) < 2:
        time.sleep(0.01)
    engine.close()
    engine.close()
    done, pending = wait(futures, timeout=10)
    assert not pending
    assert sum(future.cancelled() for future in done) == 8
    assert all("closed" in str(future.exception()) for future in done if not future.cancelled())
    assert not [thread for thread in threading.enumerate() if thread.name == "openai-client"]
    assert "closed" in str(result(engine.submit([ask("late: ok")])[0]))


def test_text_that_cannot_be_sent_is_that_items_error(server: FaultyServer) -> None:
    bad, good = run(server, ["surrogate \ud800: ok", "fine: ok"])
    assert isinstance(good, Output)
    assert isinstance(bad, EngineError | Output)


@pytest.mark.parametrize("in_url", [False, True])
def test_the_key_is_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], in_url: bool
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    log = io.StringIO()
    seen: list[str] = []
    # A right key and faults; then a wrong key, which the server repeats in its error.
    for right in (True, False):
        with FaultyServer(key=CANARY if right and not in_url else None) as server:
            url = server.url.replace("http://", f"http://someone:{CANARY}@") if in_url else server.url
            if not right:
                server.key = "other"
            engine = OpenAIEngine("tiny", server_url=url, engine_args={"timeout": "1", "retries": "1"}, log=log)
            futures = engine.submit([ask(f"{word}: {word}") for word in ("ok", "429", "reset", "malformed", "401")])
            seen += [repr(engine), repr(engine._client), repr(engine._client.endpoint), str(engine.measured())]
            for future in futures:
                error = future.exception(timeout=30)
                seen += [repr(future)]
                if error is not None:
                    seen += traceback.format_exception(error)
            try:
                seen.append(json.dumps(engine.fingerprint().facts))
            except ModelError as error:
                seen += traceback.format_exception(error)
            seen.append(json.dumps(engine.measured()))
            engine.close()
            sent = {headers["authorization"] for headers in server.headers}
            assert not right or sent
            assert in_url or not right or sent == {f"Bearer {CANARY}"}
    seen += [log.getvalue(), caplog.text, *capfd.readouterr()]
    with pytest.raises(UsageError) as refused:
        OpenAIEngine("tiny", server_url="http://127.0.0.1/v1?key=" + CANARY)
    seen.append(str(refused.value))
    with pytest.raises(UsageError) as refused:
        OpenAIEngine("tiny", server_url="http://127.0.0.1", engine_args={"api_key": CANARY})
    seen.append(str(refused.value))
    text = "\n".join(seen)
    assert "again in" in text
    assert "401" in text
    assert CANARY not in text
    if in_url:
        import base64

        assert base64.b64encode(f"someone:{CANARY}".encode()).decode() not in text


def test_loopback_without_a_key_sends_none_and_no_proxy(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (output,) = run(server, ["x: ok"])
    assert isinstance(output, Output)
    assert server.headers[0]["authorization"] == "Bearer none"


def test_fingerprint_survives_a_move_where_the_server_names_its_checkpoint() -> None:
    line = {"id": "m", "owned_by": "vllm", "root": "org/model", "max_model_len": 2048, "created": 1}
    digests = []
    for created in (1, 2):
        with FaultyServer(models=({**line, "created": created},)) as server:
            engine = OpenAIEngine("m", server_url=server.url)
            digests.append(engine.fingerprint())
            engine.close()
    assert digests[0].digest == digests[1].digest
    assert digests[0].facts["root"] == "org/model"
    assert "server" not in digests[0].facts


def test_fingerprint_of_a_bare_id_holds_the_address(server: FaultyServer) -> None:
    engine = OpenAIEngine("tiny", server_url=server.url.replace("://", "://user:word@"))
    facts = engine.fingerprint().facts
    engine.close()
    assert facts["server"] == server.url
    assert "torch" not in sys.modules or facts


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"concurency": "3"}, "did you mean 'concurrency'"),
        ({"concurrency": "0"}, "from 1 to 1000"),
        ({"retries": "many"}, "from 0 to 1000"),
        ({"timeout": "nan"}, "seconds"),
        ({"model_check": "maybe"}, "on or off"),
    ],
)
def test_engine_args_are_checked(args: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        OpenAIEngine("m", server_url="http://127.0.0.1:1", engine_args=args)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("https://h/openai/v1/chat/completions", "https://h/openai/v1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("http://a:b@h:1/x", "http://h:1/x"),
    ],
)
def test_addresses(url: str, clean: str) -> None:
    assert Endpoint.parse(url, {}).url == clean


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "http://", "http://h:99999", "http://h/v1?a=b", ""])
def test_bad_addresses(url: str) -> None:
    with pytest.raises(UsageError):
        Endpoint.parse(url, {})


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], wait: float | None) -> None:
    assert read_error(429, b"", headers, now=10.0).retry_after == wait


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["choices", "message", "content", "error", "usage", "data", "id", "code"]), inner
            )
        ),
    ).map(lambda body: json.dumps(body).encode())
)
def test_no_body_raises(data: bytes) -> None:
    assert isinstance(read_reply(data), Output | Failure)
    assert isinstance(read_error(500, data, {}), Failure)
    models = read_models(data)
    assert models is None or all(isinstance(line.id, str) for line in models)


def test_a_tower_of_brackets_is_a_failure() -> None:
    assert isinstance(read_reply(b"[" * 200_000), Failure)
