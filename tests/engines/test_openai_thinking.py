"""``--thinking`` on a server: sent, and confirmed before anything is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.engines.openai_engine import OpenAIEngine
from pytest_thinkslm.models.rendering import rendered
from pytest_thinkslm.scoring.answers.region import final_region
from pytest_thinkslm.settings.run_settings import build_settings

TEMPLATES = Path(__file__).parents[2] / "fixtures" / "templates"
VALUES = ("on", "off", "low", "medium", "high", "64")


class Renders:
    """A server with a chat template. ``shows``: the path at which it shows prompts; None: it counts tokens only."""

    def __init__(self, template: str, shows: str | None, *, obeys: bool = True, says: str = "Twelve.") -> None:
        self.template, self.shows, self.obeys, self.says = template, shows, obeys, says
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.reply(200, {"object": "list", "data": [{"id": "tiny"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.reply(*outer.answer(self.path, body))

            def reply(self, status: int, content: object) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path: str, body: Mapping[str, Any]) -> tuple[int, object]:
        given: dict[str, Any] = {}
        if self.obeys:
            given = {name: body[name] for name in ("reasoning_effort",) if name in body}
            given |= body.get("chat_template_kwargs") or {}
        prompt = rendered(self.template, body["messages"], given)
        if path == "/tokenize" and self.shows == path and prompt is not None:
            return 200, {"tokens": [ord(letter) for letter in prompt], "count": len(prompt)}
        if path == "/apply-template" and self.shows == path and prompt is not None:
            return 200, {"prompt": prompt}
        if path != "/v1/chat/completions":
            return 404, {"error": {"message": "Not Found"}}
        self.bodies.append(dict(body))
        if prompt is None:
            return 400, {"error": {"message": "the template refuses it"}}
        reads = self.obeys and "reasoning_effort" in self.template
        if reads and body.get("reasoning_effort") not in (None, "low", "medium", "high"):
            return 400, {"error": {"message": "reasoning_effort: none of low, medium and high"}}
        return 200, {
            "choices": [{"message": {"role": "assistant", "content": self.says}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": len(prompt.split()), "completion_tokens": 3},
        }


@pytest.fixture
def serve() -> Iterator[Callable[..., Renders]]:
    made: list[Renders] = []

    def start(family: str, shows: str | None, **more: Any) -> Renders:
        made.append(Renders((TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8"), shows, **more))
        return made[-1]

    yield start
    for server in made:
        server.http.shutdown()
        server.http.server_close()


def taken_by(server: Renders) -> dict[str, str]:
    """By value: empty where the server confirms it, else what is said."""
    engine = OpenAIEngine("tiny", server_url=server.url, engine_args={"retries": "0"})
    found = {}
    try:
        for value in VALUES:
            try:
                engine.confirm(value)
                found[value] = ""
            except UsageError as error:
                found[value] = str(error)
    finally:
        engine.close()
    return found


@pytest.mark.parametrize("shows", ["/tokenize", "/apply-template", None])
@pytest.mark.parametrize(
    ("family", "values"),
    [
        ("qwen3", {"on", "off", "64"}),
        ("granite-3.3", {"on", "off", "64"}),
        ("gpt-oss", {"low", "medium", "high"}),
        ("hunyuan-3", {"low", "high"}),
        ("llama-3.1", set()),
        ("nemotron-nano-v2", set()),  # a command in a message is for the user to give (--system)
    ],
)
def test_a_value_that_the_server_does(
    serve: Callable[..., Renders], shows: str | None, family: str, values: set[str]
) -> None:
    found = taken_by(serve(family, shows))
    assert {value for value, said in found.items() if not said} == values
    for said in filter(None, found.values()):
        assert "leave --thinking out" in said
        if "on" in values:
            assert "it takes --thinking on, off" in said


@pytest.mark.parametrize("shows", ["/tokenize", "/apply-template", None])
def test_a_server_that_ignores_it(serve: Callable[..., Renders], shows: str | None) -> None:
    found = taken_by(serve("qwen3", shows, obeys=False))
    assert all(found.values())
    assert all("does not do it" in said for said in found.values())


def test_a_model_that_always_thinks(serve: Callable[..., Renders]) -> None:
    found = taken_by(serve("deepseek-r1", None, says="<think>\nThree cats, each"))
    assert {value for value, said in found.items() if not said} == {"on", "64"}
    assert "it takes --thinking on; or" in found["off"]


def test_a_run_asks_before_it_begins(serve: Callable[..., Renders]) -> None:
    server = serve("llama-3.1", "/tokenize")
    settings = build_settings({"model": "tiny", "engine": "openai", "server-url": server.url, "thinking": "off"})
    assert settings is not None
    factory = EngineFactory(settings, lambda line: None)
    with pytest.raises(UsageError, match="--thinking off: the server"):
        factory.build(0, None)
    factory.fingerprint(0)
    assert all(body["max_tokens"] <= 32 for body in server.bodies), "nothing of the run"


def test_a_cut_thought_without_a_mark_is_one(serve: Callable[..., Renders]) -> None:
    server = serve("qwen3.5", "/tokenize", says="Three cats have 12 legs, so 12")
    for thinking, unfinished in (("on", True), ("off", False)):
        raw = {"model": "tiny", "engine": "openai", "server-url": server.url, "thinking": thinking}
        settings = build_settings(raw)
        assert settings is not None
        engine = EngineFactory(settings, lambda line: None).build(0, None)
        from test_thinking import ask

        (future,) = engine.submit([ask(thinking=thinking)])
        assert final_region(future.result(timeout=30)).unfinished is unfinished
        engine.close()
