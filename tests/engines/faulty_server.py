"""A small OpenAI-compatible server that misbehaves as it is told, and counts what it was asked and what it answered.

The last message of a chat says what its successive attempts meet: ``"item 7: 429 500 ok"``. Words: ``ok``,
``reasoning``, ``long`` (finish reason length), ``hang``, ``reset``, ``half`` (a body cut off), ``drip`` (a body that
never ends), ``malformed``, ``empty`` (no choices), ``wrapped`` (an error in a 200), ``context`` (a 400), ``no-NAME``
(a 400 as long as the body has the parameter NAME), or a status.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback_server import LoopbackServer


class FaultyServer(LoopbackServer):
    """Use as a context manager; ``url`` is its address with ``/v1``."""

    def __init__(
        self,
        *,
        key: str | None = None,
        models: tuple[Mapping[str, Any], ...] = ({"id": "tiny", "object": "model", "owned_by": "me"},),
        list_status: int = 200,
        retry_after: str = "0.05",
        latency: float = 0.0,
    ) -> None:
        self.key = key
        self.models = models
        self.list_status = list_status
        self.retry_after = retry_after
        self.latency = latency
        self.attempts: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.busy_at: list[float] = []
        self.begun_at: list[float] = []
        self.now = self.most = 0
        self.lock = threading.Lock()
        super().__init__(_handler(self))


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def setup(self) -> None:
            super().setup()
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def do_GET(self) -> None:
            if not self.admitted():
                return
            if server.list_status == 200:
                self.reply(200, {"object": "list", "data": list(server.models)})
            else:
                self.reply(server.list_status, {"error": {"message": "no list here"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if server.stopping.is_set():
                self.act("reset", "", body)
                return
            if not self.admitted():
                return
            prompt = body["messages"][-1]["content"]
            with server.lock:
                number = server.attempts[prompt]
                server.attempts[prompt] += 1
                server.bodies.append(body)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.begun_at.append(time.monotonic())
                server.now += 1
                server.most = max(server.most, server.now)
            try:
                time.sleep(server.latency)
                plan = prompt.split(": ")[-1].split()
                self.act(plan[min(number, len(plan) - 1)], prompt, body)
            finally:
                with server.lock:
                    server.now -= 1

        def admitted(self) -> bool:
            if server.key is None or self.headers.get("Authorization") == f"Bearer {server.key}":
                return True
            said = self.headers.get("Authorization", "nothing")
            self.reply(401, {"error": {"message": f"Incorrect API key provided: {said}", "code": "invalid_api_key"}})
            return False

        def act(self, word: str, prompt: str, body: dict[str, Any]) -> None:
            good = _completion(f"answer to {prompt}", body)
            if word.startswith("no-"):
                name = word.removeprefix("no-")
                word = "ok" if name not in body else "refusal"
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                if word == "refusal":
                    self.reply(400, {"error": {"message": message, "param": name}})
                    return
            if word in ("ok", "reasoning", "long"):
                choice = good["choices"][0]
                if word == "reasoning":
                    choice["message"] = {"role": "assistant", "content": None, "reasoning_content": "hmm"}
                if word == "long":
                    choice["finish_reason"] = "length"
                with server.lock:
                    server.answers[prompt] += 1
                self.reply(200, good)
            elif word == "hang":
                server.stopping.wait(20)
                self.close_connection = True
            elif word == "reset":
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.request.close()
                self.close_connection = True
            elif word in ("half", "drip"):
                data = json.dumps(good).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if word == "half":
                    self.wfile.write(data[: len(data) // 2])
                else:
                    for position in range(len(data)):
                        self.wfile.write(data[position : position + 1])
                        self.wfile.flush()
                        if server.stopping.wait(0.05):
                            break
                self.close_connection = True
            elif word == "malformed":
                self.reply(200, b'{"choices": [{"mess')
            elif word == "empty":
                self.reply(200, {"choices": []})
            elif word == "wrapped":
                self.reply(200, {"error": {"message": "upstream is down", "code": 502}})
            elif word == "context":
                self.reply(400, {"error": {"message": "This model's maximum context length is 8 tokens."}})
            else:
                with server.lock:
                    if word in ("429", "503"):
                        server.busy_at.append(time.monotonic())
                self.reply(int(word), {"error": {"message": f"planned {word}"}})

        def reply(self, status: int, body: object) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status in (429, 503):
                self.send_header("Retry-After", server.retry_after)
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _completion(text: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }
