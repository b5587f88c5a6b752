"""A scripted judge: an OpenAI-compatible server that grades by rule, or misbehaves as it is told, and keeps count.

``conduct`` says how it answers. ``honest``: right on every canary, and on an item by whether the reference occurs in
the candidate's text. ``wrong``: the opposite. ``prose``, ``echo`` (repeats a JSON object of the candidate's text),
``twice`` (prose first, then honest), ``malformed`` (a body that is no JSON), ``hang``, ``reset``, ``500``,
``no-schema`` (a 400 as long as a schema is asked for), ``chatty`` (an honest verdict amid prose), ``open`` (cannot
tell), ``gullible`` (always correct). A chat that is no question to a judge is answered as a model under test would.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback_server import LoopbackServer

from pytest_thinkslm.judging.canaries import CANARIES


class JudgeServer(LoopbackServer):
    """Use as a context manager; ``url`` is its address with ``/v1``."""

    def __init__(
        self, conduct: str = "honest", *, canaries: str = "honest", key: str = "", latency: float = 0.0
    ) -> None:
        self.conduct = conduct
        self.canaries = canaries
        self.key = key
        self.latency = latency
        self.bodies: list[dict[str, Any]] = []
        self.generated = 0
        self.about_items = 0
        self.at_once = self.most_at_once = 0
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        super().__init__(_handler(self))

    @property
    def requests(self) -> int:
        return len(self.bodies)


def parts(messages: list[Mapping[str, str]]) -> tuple[str, str, str]:
    """Before the candidate's text, the text, and after it; by the mark that the request announces."""
    user = messages[-1]["content"]
    announced = re.search(r"with the mark ([0-9a-f]{32}):\n", user)
    assert announced
    pieces = user.split(announced[1])
    assert len(pieces) == 4, "the mark stands in three places"
    return pieces[0] + pieces[1], pieces[2].strip("\n").removesuffix(">>>>>>>> "), pieces[3]


def _right(messages: list[Mapping[str, str]]) -> tuple[bool, bool]:
    """Whether the candidate is right, and whether it is a canary."""
    before, text, _ = parts(messages)
    for canary in CANARIES:
        if canary.problem in before and canary.question.shown == text.rstrip("\n"):
            return canary.verdict == "correct", True
    gold = re.search(r"Reference (?:answer|account of the error):\n(.*)", before)
    assert gold
    return gold[1] in text, False


def _handler(server: JudgeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.admitted():
                self.reply(200, {"object": "list", "data": [{"id": "judge-1", "object": "model", "owned_by": "me"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.admitted():
                return
            if "untrusted, between" not in body["messages"][-1]["content"]:
                with server.lock:
                    server.generated += 1
                self.say("I like turtles.")
                return
            right, canary = _right(body["messages"])
            _, text, after = parts(body["messages"])
            with server.lock:
                server.bodies.append(body)
                server.asked[text + after] += 1
                server.about_items += not canary
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            server.stopping.wait(server.latency)
            with server.lock:
                server.at_once -= 1
            self.act(server.canaries if canary else server.conduct, right, text, "could not be read" in after, body)

        def admitted(self) -> bool:
            said = self.headers.get("Authorization", "nothing")
            if not server.key or said == f"Bearer {server.key}":
                return True
            self.reply(401, {"error": {"message": f"Incorrect API key provided: {said}"}})
            return False

        def act(self, conduct: str, right: bool, text: str, again: bool, body: dict[str, Any]) -> None:
            if conduct == "no-schema" and "response_format" in body:
                self.reply(400, {"error": {"message": "response_format of type json_schema is not supported"}})
            elif conduct in ("hang", "reset"):
                if conduct == "hang":
                    server.stopping.wait(30)
                self.close_connection = True
            elif conduct == "500":
                self.reply(500, {"error": {"message": "planned"}})
            elif conduct == "malformed":
                self.reply(200, b'{"choices": [{"mess')
            else:
                self.say(_words(conduct, right, text, again))

        def say(self, text: str) -> None:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 400, "completion_tokens": 40}
            self.reply(200, {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})

        def reply(self, status: int, body: object) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _words(conduct: str, right: bool, text: str, again: bool) -> str:
    if conduct == "prose" or (conduct == "twice" and not again):
        return "I would say that this is correct, more or less."
    if conduct == "echo":
        found = re.search(r"\{[^{}]*\}", text)
        return found[0] if found else "nothing to repeat"
    if conduct == "open":
        verdict = "cannot-tell"
    elif conduct == "gullible":
        verdict = "correct"
    else:
        verdict = "correct" if right != (conduct == "wrong") else "incorrect"
    ruling = json.dumps({"answer": "as read", "reason": "by the scripted rule", "verdict": verdict})
    return f"My ruling is\n```json\n{ruling}\n```\nas you can see." if conduct == "chatty" else ruling
