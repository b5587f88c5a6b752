"""What servers say in their own ways: refusals, finish reasons, contents, limits, loading, certificates, proxies."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from loopback_server import LoopbackServer

from pytest_thinkslm.core.errors import EngineError, ModelError, UsageError
from pytest_thinkslm.core.finish import broken_off, finish_reason
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.core.redaction import redacted
from pytest_thinkslm.engines import openai_client
from pytest_thinkslm.engines.openai_client import ChatClient
from pytest_thinkslm.engines.openai_engine import OpenAIEngine
from pytest_thinkslm.engines.openai_wire import NO_KEY, Chat, Dialect, Endpoint, Failure, read_error, read_reply

CHAT = Chat((Message("user", "?"),), Sampling(0.7, 1.0, 200, 7))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        *((word, "stop") for word in ("stop", "eos", "eos_token", "end_turn", "COMPLETE", "tool_calls")),
        *((word, "length") for word in ("length", "max_tokens", "MAX_TOKENS", "model_length", "limit", "maxTokens")),
        ("FinishReason.MAX_TOKENS", "length"),
        (["stop"], "stop"),
        *((word, "unknown") for word in (None, "", "content_filter", 3, ["stop", "length"], {}, "steps")),
    ],
)
def test_one_table_of_finish_reasons(said: object, reason: str) -> None:
    assert finish_reason(said) == reason


def test_without_a_known_reason_the_tokens_tell() -> None:
    assert finish_reason(None, 200, 200) == "length"
    assert finish_reason(None, 199, 200) == "unknown"
    assert finish_reason("stop", 200, 200) == "stop"
    assert broken_off("abort")
    assert broken_off("insufficient_system_resource")
    assert not broken_off("stop")


# Refusals: message, whether a parameter of the request may go, and which.
REFUSALS = [
    ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead. | "
     "max_tokens | unsupported_parameter", "max_tokens"),
    ("Unrecognized request argument supplied: max_tokens", "max_tokens"),
    ("Unknown field: max_tokens", "max_tokens"),
    ("max_tokens is not supported", "max_tokens"),
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192] | invalid_request_error", None),
    ("Invalid parameter: max_tokens must be at most 4096", None),
    ("max_tokens=4096 is not supported by this model", None),
    ("max_tokens: 4096 > 2048, which is the maximum allowed number of output tokens", None),
    ("max_tokens is too large: 9000. This model supports at most 4096 completion tokens | max_tokens | invalid_value",
     None),
    ('[{"type": "less_than_equal", "loc": ["body", "max_tokens"], "msg": "Input should be less than or equal to 100"}]',
     None),
    ("'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum context length is 512 tokens",
     None),
    ("Unrecognized request argument supplied: seed", "seed"),
    ('[{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]', "seed"),
    ("Invalid value for 'seed': must be less than 2147483647", None),
    ("Unsupported parameter: 'frequency_penalty' is not supported with this model.", "frequency_penalty"),
    ("presence_penalty must be between 0.1 and 2", "presence_penalty"),
    ("property 'n' is unsupported | n | unsupported_parameter", "n"),
    ("`temperature` and `top_p` cannot both be specified for this model", "top_p"),
    ("Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
     None),
    ("top_k must be at least 1", "top_k"),
    ("an invalid number n of steps", None),
    ("seed: Extra inputs are not permitted", "seed"),
    ("seed is not supported by this backend", "seed"),
    ("max_tokens 4096 is not supported by this model", None),
    ("the context length of 8192 is exceeded", None),
]  # fmt: skip


@pytest.mark.parametrize(("refusal", "goes"), REFUSALS)
def test_a_refused_value_is_no_unknown_parameter(refusal: str, goes: str | None) -> None:
    body = Dialect().body("m", CHAT)
    narrower = Dialect().without(refusal, body)
    lost = set(body) - set(narrower.body("m", CHAT)) if narrower is not None else set()
    assert lost == ({"top_k", "min_p", "repetition_penalty"} if goes == "top_k" else {goes} - {None})


def test_only_a_parameter_at_its_default_is_left_out() -> None:
    chat = Chat(CHAT.messages, Sampling(0.7, 0.9, 200, 7))
    body = Dialect().body("m", chat)
    assert Dialect().without("`temperature` and `top_p` cannot both be specified", body) is None
    narrower = Dialect().without("`temperature` and `top_p` cannot both be specified", Dialect().body("m", CHAT))
    assert narrower is not None
    assert narrower.refused == ["top_p"]
    assert narrower.body("m", chat)["top_p"] == 0.9, "asked for in a later request, it is sent"


@given(st.text(max_size=80))
def test_narrowing_ends(text: str) -> None:
    dialect: Dialect | None = Dialect()
    for _ in range(12):
        assert dialect is not None
        dialect = dialect.without(f"unsupported {text} max_tokens seed top_k n temperature", dialect.body("m", CHAT))
        if dialect is None:
            return
    raise AssertionError("a refusal was answered for ever")


def reply(content: object = "42", finish: object = "stop", tokens: object = 5, **message: object) -> bytes:
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": tokens}}).encode()


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize(
    ("data", "text", "reasoning"),
    [
        (reply("42"), "42", None),
        (reply([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]), "42", None),
        (reply([THINKING, {"type": "text", "text": "42"}]), "42", "hm"),
        (reply([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, "42"]), "42", "hm"),
        (reply([{"type": "output_text", "text": "42"}, {"type": "image_url", "image_url": {}}]), "42", None),
        (reply([]), "", None),
        (reply("42", reasoning_content="", reasoning="hm"), "42", "hm"),
        (reply("42", thinking="hm"), "42", "hm"),
        (reply("42", reasoning_content=[{"type": "text", "text": "hm"}]), "42", "hm"),
        (reply(None, refusal="No."), "No.", None),
        (reply([{"type": "refusal", "refusal": "No."}]), "No.", None),
        (reply([{"type": "text", "text": {"value": "42", "annotations": []}}]), "42", None),
        (reply([{"type": None, "text": "42"}]), "42", None),
        (reply([{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "42"}]), "42", None),
        (reply("42", error={"message": "of no weight"}), "42", None),
    ],
)
def test_text_and_thought_of_a_reply(data: bytes, text: str, reasoning: str | None) -> None:
    output = read_reply(data)
    assert isinstance(output, Output), output
    assert (output.text, output.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (reply(7), "refused"),
        (reply([[[[[[["deep"]]]]]]]), "refused"),
        (reply("half", finish="abort"), "server"),
        (reply("long", tokens=4096), "overrun"),
        (reply("long", tokens=202), "overrun"),
        (reply("long", tokens="4096"), "overrun"),
        (reply("long", tokens=4096.0), "overrun"),
        (reply({"parts": ["42"]}), "refused"),
        (b'{"error": {"message": "m", "code": "400"}, "choices": [{"message": {"content": ""}}]}', "refused"),
        (b'{"choices": [{"error": {"message": "m", "code": 502}, "message": {"content": null}}]}', "server"),
        (b'{"object": "error", "message": "m", "type": "BadRequestError", "code": 400}', "refused"),
        (b'{"detail": "m"}', "malformed"),
        (b"m is no JSON", "malformed"),
    ],
)
def test_replies_that_are_no_output(data: bytes, kind: str) -> None:
    failure = read_reply(data, limit=200)
    assert isinstance(failure, Failure)
    assert failure.kind == kind


@pytest.mark.parametrize(
    ("data", "stopped"),
    [
        (reply("a b c", finish="length", tokens=120), "server"),
        (reply(None, finish="length", tokens=120, reasoning_content="hm " * 100), "server"),
        (reply("a b c", finish="length", tokens=200), None),
        (reply("a b c", finish="length", tokens=196), None),
        (reply("a b c", finish="stop", tokens=120), None),
        (reply("a b c", finish="length", tokens=None), None),
        # The thought's tokens are not among those that are counted.
        (reply(None, finish="length", tokens=3, reasoning_content="hm " * 200), None),
    ],
)
def test_what_the_server_cut_before_the_limit_has_no_room_in_its_context(data: bytes, stopped: str | None) -> None:
    output = read_reply(data, limit=200)
    assert isinstance(output, Output)
    assert output.stopped == stopped


def test_the_token_that_ends_the_turn_may_be_counted() -> None:
    assert isinstance(read_reply(reply(tokens=201), limit=200), Output)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Loading model", "loading"),
        ("Model org/m is currently loading", "loading"),
        ("the server is starting up", "loading"),
        ("service not ready", "loading"),
        ("the server is overloaded", "server"),
        ("no healthy upstream", "server"),
    ],
)
def test_a_503_that_says_loading(said: str, kind: str) -> None:
    assert read_error(503, json.dumps({"error": {"message": said}}).encode(), {}).kind == kind


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "127.0.0.9", "localhost", "a.localhost", "[::ffff:127.0.0.1]"])
def test_this_machine_needs_no_proxy(host: str) -> None:
    assert Endpoint.parse(f"http://{host}:8000/v1", {}).loopback
    assert not Endpoint.parse("http://10.0.0.1:8000/v1", {}).loopback


@pytest.mark.parametrize("key", ["sk-\u00e9", "sk-\u201ca\u201d", "sk-a\nb"])
def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY, which holds a character") as raised:
        Endpoint.parse("http://127.0.0.1/v1", {"OPENAI_API_KEY": key})
    assert key not in str(raised.value)


class Slow(LoopbackServer):
    """Says 503 "Loading model" for some seconds, on its list of models or on its chat."""

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds, self.what, self.asked, self.first = seconds, what, 0, 0.0
        super().__init__(_slow(self))


def _slow(server: Slow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.answer("list", {"data": [{"id": "tiny"}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer("chat", json.loads(reply()))

        def answer(self, what: str, body: object) -> None:
            server.asked += 1
            server.first = server.first or time.monotonic()
            loading = what == server.what and time.monotonic() - server.first < server.seconds
            data = json.dumps({"error": {"message": "Loading model"}} if loading else body).encode()
            self.send_response(503 if loading else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def ask(url: str, said: list[str] | None = None, **args: str) -> Output | BaseException:
    lines = said if said is not None else []
    engine = OpenAIEngine("tiny", server_url=url, engine_args={"retries": "0", **args}, say=lines.append)
    try:
        if said is not None:
            engine.fingerprint()
        future = engine.submit([Request(CHAT.messages, CHAT.sampling, label="a label")])[0]
        return future.exception(timeout=60) or future.result()
    finally:
        engine.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_client, "LOADING_PAUSE", 0.1)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("what", ["list", "chat"])
def test_a_server_that_loads_is_waited_for(quick: None, what: str) -> None:
    said: list[str] = []
    with Slow(2.5, what) as server:
        answer = ask(server.url, said)
    assert isinstance(answer, Output), answer
    assert server.asked < 60, "it is not asked all the time"
    assert any("still loading its model" in line for line in said) == (what == "list")


@pytest.mark.parametrize("what", ["list", "chat"])
def test_loading_has_a_bound_of_its_own(quick: None, what: str) -> None:
    with Slow(60, what) as server:
        answer = ask(server.url, loading="0.3")
    assert isinstance(answer, EngineError)
    assert "Loading model" in str(answer)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("openssl makes no certificate here")
    return folder / "c.pem", folder / "k.pem"


@pytest.mark.parametrize("how", ["environment", "argument", "not at all"])
def test_certificates_on_this_machine(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, quick: None, how: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if how == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Slow(0, "chat") as server:
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        answer = ask(url, ca=str(certificate[0])) if how == "argument" else ask(url)
    assert isinstance(answer, EngineError if how == "not at all" else Output), answer


def test_a_file_without_certificates(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    os.mkfifo(tmp_path / "pipe.pem")
    for file in (tmp_path / "empty.pem", tmp_path / "absent.pem", tmp_path / "pipe.pem", tmp_path):
        with pytest.raises(UsageError, match=rf"--engine-args ca={file}: no certificates"):
            OpenAIEngine("tiny", server_url="https://127.0.0.1:9", engine_args={"ca": str(file)})


def test_a_server_without_tls_needs_no_certificates(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    engine = OpenAIEngine("tiny", server_url="http://example.invalid:9/v1")
    with pytest.raises(ModelError, match="connection failed"):
        engine.fingerprint()
    engine.close()


@pytest.mark.parametrize("name", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_an_id_that_no_header_can_carry(monkeypatch: pytest.MonkeyPatch, quick: None, name: str) -> None:
    monkeypatch.setenv(name, "org\u00e9")
    engine = OpenAIEngine("tiny", server_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match=f"{name} holds a character"):
        engine.fingerprint()
    engine.close()


@pytest.mark.parametrize(
    ("proxy", "says"), [("socks5://127.0.0.1:9", "socksio"), ("gopher://user:secret@127.0.0.1:9", "as http://HOST")]
)
def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, quick: None, proxy: str, says: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    engine = OpenAIEngine("tiny", server_url="http://example.invalid/v1")
    with pytest.raises(ModelError, match=says) as raised:
        engine.fingerprint()
    engine.close()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "key", "secrets"),
    [
        ("http://me:p%40ss-9@h/v1", "sk-key", ["sk-key", "p@ss-9", "p%40ss-9", "bWU6cEBzcy05"]),
        ("http://tok%40en@h/v1", "", ["tok@en", "tok%40en", "dG9rQGVuOg=="]),
        ("http://h/v1", "sk-key", ["sk-key"]),
    ],
)
def test_a_client_makes_its_secrets_known(url: str, key: str, secrets: list[str]) -> None:
    client = ChatClient(url, "tiny", environ={"OPENAI_API_KEY": key})
    for secret in secrets:
        assert redacted(f"a {secret} b {secret}") == "a [secret] b [secret]"
        assert secret not in repr(client.endpoint)


def test_without_a_key_nothing_is_taken_out() -> None:
    text = f"a text, me, {NO_KEY}"
    for url in ("http://me:x1@h/v1", "http://h/v1"):
        ChatClient(url, "tiny", environ={})
        assert redacted(text) == text
