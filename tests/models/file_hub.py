"""A stand-in of the hub's HTTP interface on the loopback: repositories that are folders, and what was asked of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Self

from loopback_server import LoopbackServer

COMMIT = 40 * "c"


class FileHub(LoopbackServer):
    """Use as a context manager; ``endpoint`` is for HF_ENDPOINT, ``fetched`` has the files that were sent, in order."""

    def __init__(self, repositories: Mapping[str, Path]) -> None:
        self.fetched: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                path = self.path.partition("?")[0].removeprefix("/api/models").strip("/")
                name = next((one for one in repositories if path == one or path.startswith(f"{one}/")), None)
                if name is None:
                    self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                    return
                rest = path.removeprefix(name).strip("/")
                if not rest.startswith("resolve/"):
                    files = sorted(file for file in repositories[name].iterdir() if file.is_file())
                    key = "path" if rest.startswith("tree/") else "rfilename"
                    listed = [
                        {key: file.name, "size": file.stat().st_size, "type": "file", "oid": 40 * "d"} for file in files
                    ]
                    facts = {"id": name, "modelId": name, "sha": COMMIT, "siblings": listed}
                    self.reply(
                        200,
                        json.dumps(listed if key == "path" else facts).encode(),
                        {"Content-Type": "application/json"},
                    )
                    return
                file = repositories[name] / rest.split("/", 2)[2]
                if not file.is_file():
                    self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
                    return
                data = file.read_bytes()
                if self.command == "GET":
                    hub.fetched.append(file.name)
                tag = hashlib.sha256(data).hexdigest()
                self.reply(200, data, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

            do_HEAD = do_GET

            def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        super().__init__(Handler)
        self.endpoint = self.url.removesuffix("/v1")

    def __enter__(self) -> Self:
        super().__enter__()
        return self
