"""``--rescore`` where the checkpoint or the server has gone: the journal says all that scoring needs."""

from __future__ import annotations

import json
import shutil
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback_server import LoopbackServer
from replayed import items, results

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import tiny_checkpoints

SMALL = ("--task=sort8_positive", "--limit=2", "--max-tokens=8")

#: What no rescored run may import.
BLOCKED = 'import sys\nfor name in ("torch", "transformers", "tokenizers"):\n    sys.modules[name] = None\n'


def run(pytester: pytest.Pytester, report: str, *arguments: str) -> pytest.RunResult:
    result = pytester.runpytest_subprocess(*SMALL, f"--report-dir={report}", *arguments, timeout=300)
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, outside of pytester: it takes back what was imported, and torch bears no second import."""
    pytest.importorskip("torch")
    folder = tiny_checkpoints.random_llama(tmp_path_factory.mktemp("made") / "tiny", hidden=32)
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.5, "top_k": 7, "do_sample": True}))
    return folder


@pytest.mark.parametrize(("engine", "sampled"), [("transformers", ()), ("auto", ("--sampling=model",))])
def test_a_checkpoint_that_has_gone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, made: Path, engine: str, sampled: tuple[str, ...]
) -> None:
    folder = shutil.copytree(made, pytester.path / "models" / "tiny")
    (pytester.path / "blocked.py").write_text(BLOCKED)
    first = run(pytester, "first", "--model=models/tiny", "--engine=transformers", *sampled)
    assert first.ret == 0
    shutil.rmtree(folder.parent)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    again = run(
        pytester, "again", "--model=models/tiny", f"--engine={engine}", "--rescore", "-p", "blocked", "-n2", *sampled
    )
    assert again.ret == 0
    again.stdout.fnmatch_lines(["*tiny (local folder) is not here: it is scored by what the journal has of it, of 2*"])
    assert _bytes(pytester.path / "again") == _bytes(pytester.path / "first")
    one, two = (results(pytester.path / name)["variants"][0] for name in ("first", "again"))
    assert {name for name in one if one[name] != two[name]} == {"note"}
    other = run(pytester, "other", "--model=models/tinier", "--rescore")
    assert other.ret == 4


class _Server(BaseHTTPRequestHandler):
    """Lists a model named ``tiny`` and answers every chat alike."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send({"data": [{"id": "tiny", "max_model_len": 2048}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send({"choices": [{"message": {"content": "\\boxed{1, 2}"}, "finish_reason": "stop"}]})

    def _send(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_a_server_that_has_gone(pytester: pytest.Pytester) -> None:
    with LoopbackServer(_Server) as server:
        model = ("--engine=openai", "--model=tiny", f"--server-url={server.url}")
        assert run(pytester, "first", *model).ret == 0
    again = run(pytester, "again", *model, "--rescore", "--quant=none")  # the same variant
    assert again.ret == 0
    assert "it is scored by what the journal has of it" in " ".join(again.stdout.str().split())
    assert _bytes(pytester.path / "again") == _bytes(pytester.path / "first")
    assert len(items(pytester.path / "again")) == 2
    assert run(pytester, "anew", *model).ret == 4, "what is asked anew needs the server"
    elsewhere = run(pytester, "elsewhere", *model[:2], "--server-url=http://127.0.0.1:9", "--rescore")
    assert elsewhere.ret == 4, "another server's model of this name is another model"


def _bytes(report: Path) -> bytes:
    return (report / "items.jsonl").read_bytes()
