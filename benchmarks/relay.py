"""A relay in front of an OpenAI-compatible service that notes each request and each reply, for drills with faults."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Ledger:
    """What passed: different requests, attempts at them, requests with a reply, replies that did not come whole or
    were no 200, by status, and attempts at what had been answered."""

    distinct: int
    attempts: int
    replied: int
    broken: int
    twice: int
    statuses: dict[str, int]


@dataclass
class Relay:
    """Passes requests on and notes them, each by a digest of its body."""

    upstream: int
    attempts: Counter[str] = field(default_factory=Counter)
    replied: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    flying: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def answered(self) -> int:
        with self.lock:
            return len(self.replied)

    def begin_fault(self) -> int:
        with self.lock:
            return self.flying

    def ledger(self) -> Ledger:
        with self.lock:
            broken = sum(self.statuses.values())
            attempts = self.attempts.total()
            return Ledger(len(self.attempts), attempts, len(self.replied), broken, self.twice, dict(self.statuses))

    def asked(self, key: str) -> None:
        with self.lock:
            self.flying += 1
            self.twice += key in self.replied
            self.attempts[key] += 1

    def ended(self, key: str, status: str) -> None:
        with self.lock:
            self.flying -= 1
            (self.replied if status == "200" else self.statuses)[key if status == "200" else status] += 1


@contextlib.contextmanager
def relay(upstream: int) -> Iterator[Relay]:
    noted = Relay(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.pass_on(None)

        def do_POST(self) -> None:
            self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def pass_on(self, body: bytes | None) -> None:
            key = hashlib.sha256(body).hexdigest() if body else ""
            if key:
                noted.asked(key)
            status = "connection lost"
            try:
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", noted.upstream, timeout=900)) as there:
                    there.request(self.command, self.path, body, {"Content-Type": "application/json"})
                    reply = there.getresponse()
                    data = reply.read()
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                status = str(reply.status)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
            finally:
                if key:
                    noted.ended(key, status)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    noted.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield noted
    finally:
        server.shutdown()
        server.server_close()
