"""A web server for one annotator on this machine: shows outputs, takes one key an answer, saves each at once.

What keeps others out: it listens on the loopback alone; every path begins with a secret that is drawn at its start
(compared in constant time), so that other users and pages of the browser cannot guess an address; the header ``Host``
has to be this server's, so that no other name that resolves to the loopback (DNS rebinding) is answered; nothing
allows another origin to read an answer. Texts of models are sent as JSON and shown as text; the content security policy
runs no script but the server's own.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from pytest_thinkslm.audit.labelling import Asked, Labelling
from pytest_thinkslm.audit.labels import LABELS
from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.reports.page.build import formula_script, formulas_source

LOOPBACK = "127.0.0.1"

#: Largest request that is read, in bytes: a note.
_LARGEST = 64 << 10

#: Seconds that a connection may be silent.
_PATIENCE = 30

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


class LabelServer(ThreadingHTTPServer):
    """Serves one label file until ``shutdown``.

    Args:
        labelling: the sitting; requests take turns at it.
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, labelling: Labelling, port: int = 0) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.token = secrets.token_urlsafe(32)
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}
        self._labelling = labelling
        self._turn = threading.Lock()
        self._pages = {
            name: (resources.files(__package__) / name).read_bytes() for name in ("label.html", "label.js", "label.css")
        }
        self._pages |= {"formulas.js": formulas_source().encode(), "katex.js": formula_script().encode()}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away; what else a request raised is shown as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Where the page is, with the secret."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    def page(self, name: str) -> bytes | None:
        """A file of the page; None where there is no such."""
        return self._pages.get(name or "label.html")

    def state(self) -> dict[str, object]:
        """How far the sitting is, and which output is next (``null``: all are done)."""
        with self._turn:
            labelling = self._labelling
            next_one = labelling.next(0)
            return {"name": labelling.sheet.path.name, **self._progress(), "next": next_one}

    def item(self, position: int) -> dict[str, object]:
        """One output as it is shown. Raises ``IndexError``."""
        with self._turn:
            return self._item(position)

    def take(self, position: int, said: Mapping[str, object]) -> dict[str, object]:
        """Take an answer (``label`` or ``reason``) or a ``note``, and say what is next.

        Raises:
            IndexError: there is no such output.
            ValueError: it is no answer.
            UsageError: it could not be saved.
        """
        with self._turn:
            labelling = self._labelling
            self._item(position)
            asked: Asked
            for asked in ("label", "reason"):
                word = next((label for label in LABELS if label == said.get(asked)), None)
                if word is not None and (asked == "label" or labelling.reason_counts(position)):
                    labelling.answer(position, word, asked)
                    break
            else:
                if not isinstance(note := said.get("note"), str):
                    raise ValueError("no answer")
                labelling.note(position, note)
                return {**self._progress(), "next": position}
            stays = asked == "label" and labelling.reason_counts(position)
            return {**self._progress(), "next": position if stays else labelling.next(position + 1)}

    def _progress(self) -> dict[str, object]:
        return {"outputs": len(self._labelling), "done": self._labelling.done}

    def _item(self, position: int) -> dict[str, object]:
        labelling = self._labelling
        if not 0 <= position < len(labelling):
            raise IndexError(position)
        sheet = labelling.sheet
        texts = {name: safe_text(sheet.text(position, name)) for name in ("task", "question", "gold", "output", "note")}
        return {
            "position": position,
            **texts,
            "label": sheet.label(position),
            "reason": sheet.reason(position),
            "asked": labelling.asked(position),
            "takes_reason": sheet.takes_reason(position),
        }


class _Handler(BaseHTTPRequestHandler):
    """One request: what is not asked for with the secret, under this server's name, is not found."""

    server: LabelServer
    server_version = "thinkslm"
    sys_version = ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        path = self._within()
        if path is None:
            return
        if path == "state":
            self._say(self.server.state)
        elif path.startswith("items/"):
            self._say(lambda: self.server.item(_number(path)))
        elif (page := self.server.page(path)) is not None:
            self._send(HTTPStatus.OK, page, _KINDS[(path or "label.html").rpartition(".")[2]])
        else:
            self._not_found()

    def do_POST(self) -> None:
        path = self._within()
        if path is None:
            return
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        length = self.headers.get("Content-Length", "")
        if kind != "application/json" or not length.isdecimal() or len(length) > 9 or int(length) > _LARGEST:
            self.close_connection = True
            self._send(HTTPStatus.BAD_REQUEST, b"", "text/plain")
            return
        body = self.rfile.read(int(length))
        if path == "end":
            self._send(HTTPStatus.OK, b"{}", "application/json")
            threading.Thread(target=self.server.shutdown, daemon=True).start()
        elif path.startswith("items/"):
            self._say(lambda: self.server.take(_number(path), _object(body)))
        else:
            self._not_found()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the addresses hold the secret."""

    def _within(self) -> str | None:
        """The path behind the secret; None where the request is not for us, and was answered so."""
        secret, slash, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        known = hmac.compare_digest(secret.encode("utf-8", "replace"), self.server.token.encode())
        hosts = self.headers.get_all("Host") or []
        origins = self.headers.get_all("Origin") or []
        ours = len(hosts) == 1 and hosts[0].lower() in self.server.hosts
        if known and slash and ours and all(origin.lower() == f"http://{hosts[0].lower()}" for origin in origins):
            return path
        self._not_found()
        return None

    def _not_found(self) -> None:
        self.close_connection = True
        self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")

    def _say(self, answer: Callable[[], Mapping[str, object]]) -> None:
        try:
            status, said = HTTPStatus.OK, dict(answer())
        except IndexError:
            self._not_found()
            return
        except ValueError as error:
            status, said = HTTPStatus.BAD_REQUEST, {"error": str(error)}
        except UsageError as error:
            status, said = HTTPStatus.CONFLICT, {"error": str(error)}
        self._send(status, json.dumps(said).encode("ascii"), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _number(path: str) -> int:
    digits = path.removeprefix("items/")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise IndexError(digits)
    return int(digits)


def _object(body: bytes) -> Mapping[str, object]:
    said = files.parse_json(body)
    if not isinstance(said, dict):
        raise ValueError("no answer")
    return said
