"""Canaries: keys and passwords that a run knows, said back by a hostile server in every form, are nowhere after it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from loopback_server import LoopbackServer
from replayed import four_sorts, items

KEY = 'sk-canary/"1+2&x'
JUDGE_KEY = "sk-judge-canary-77"
PASSWORD = "pass/canary 9"
TOKEN = "hf_canaryToken01"
PROXY_PASSWORD = "proxy-canary-3"

_BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SECRETS = (KEY, JUDGE_KEY, PASSWORD, TOKEN, PROXY_PASSWORD)


def forms(secret: str) -> list[str]:
    return [
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        html.escape(secret),
        base64.b64encode(secret.encode()).decode().rstrip("="),
    ]


#: What must be nowhere, and what the server says: every secret in every form.
FORMS = [*(form for secret in SECRETS for form in forms(secret)), _BASIC]
#: Where no address with a password was given.
OF_ENVIRONMENT = [form for secret in SECRETS if secret != PASSWORD for form in forms(secret)]
SAID = " | ".join(form for secret in SECRETS for form in forms(secret) if "\\\\" not in form) + f" | {_BASIC}"


class _Echo(BaseHTTPRequestHandler):
    """Lists a model named ``tiny``; answers every chat, or refuses it, with all that it should not know."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": "tiny", "root": f"tiny {SAID}"}, {"id": "strict"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] == "strict":
            self._send(400, {"error": {"message": f"no such key: {SAID} {self.headers['Authorization']}"}})
            return
        message = {"content": f"{SAID} \\boxed{{1, 2}}", "reasoning_content": f"I was told {SAID}"}
        self._send(200, {"choices": [{"message": message, "finish_reason": "stop"}]})

    def _send(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that this process and those that it starts know of secrets."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("THINKSLM_JUDGE_API_KEY", JUDGE_KEY)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HTTP_PROXY", f"http://p:{PROXY_PASSWORD}@127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def run(pytester: pytest.Pytester, keys: None) -> Callable[..., pytest.RunResult]:
    def started(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("--task=sort8_positive", "--limit=2", *arguments, timeout=400)

    return started


def leaks(folder: Path, *texts: str, known: Sequence[str] = FORMS) -> Iterator[str]:
    """Where a form of a secret stands: in a file under the folder, or in one of the texts."""
    places = {str(path.relative_to(folder)): unpacked(path) for path in folder.rglob("*") if path.is_file()}
    places |= {f"text {number}": text.encode("utf-8", "surrogateescape") for number, text in enumerate(texts)}
    for place, content in places.items():
        for form in known:
            if form.encode() in content:
                yield f"{place}: {form}"


def unpacked(path: Path) -> bytes:
    """A file's bytes, with those that a page or a table holds compressed."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return content + str(pyarrow.parquet.read_table(path).to_pylist()).encode()
    packed = re.findall(rb'octet-stream" id="[^"]*">([^<]*)<', content) if path.suffix == ".html" else []
    return content + b"".join(zlib.decompress(base64.b64decode(each)) for each in packed)


def said(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def test_a_server_that_says_everything_back(run: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    with LoopbackServer(_Echo) as server:
        url = server.url.replace("http://", f"http://me:{quote(PASSWORD, safe='')}@")
        result = run(
            "--engine=openai", "--model=tiny", f"--server-url={url}", "--report-dir=report",
            "--judge=tiny", f"--judge-url={url}", "--judge-policy=all", "-v",
        )  # fmt: skip
        refused = run("--engine=openai", "--model=strict", f"--server-url={url}", "--report-dir=refused")
    assert [item["verdict"] for item in items(pytester.path / "report")] == ["incorrect", "incorrect"]
    assert "[secret]" in items(pytester.path / "report")[0]["output"]
    assert "[secret]" in said(refused)
    commands = (["compare", "report", "report"], ["leaderboard", "report"], ["audit", "report"], ["compare", url, url])
    others = [pytester.run(sys.executable, "-m", "pytest_thinkslm", *command) for command in commands]
    assert [other.ret for other in others] == [0, 0, 0, 4]
    assert not list(leaks(pytester.path, said(result), said(refused), *map(said, others)))
    assert list(pytester.path.glob(".thinkslm/journal/*/*/*.jsonl"))


def test_recorded_outputs_and_a_users_own_test(run: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    lines = [{**line, "output": f"{SAID} {line['output']}"} for line in four_sorts()]
    lines = [{**line, "item": index} for index, line in enumerate(lines * 25)]
    source = pytester.path.parent / f"{pytester.path.name}-outputs.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = pytester.path.parent / f"{pytester.path.name}-test_own.py"
    own.write_text(
        "import os\ndef test_own():\n    key = os.environ['OPENAI_API_KEY']\n    print(key)\n    assert not key\n"
    )
    result = run("--engine=replay", f"--model={source}", "--report-dir=report", str(own), "--showlocals")
    assert result.ret == 1
    assert "[secret]" in result.stdout.str()
    result_of_suite = run("--engine=replay", f"--model={source}", "--report-dir=suite", "-n2")
    assert "[secret]" in items(pytester.path / "suite")[0]["output"]
    assert not list(leaks(pytester.path, said(result), said(result_of_suite), known=OF_ENVIRONMENT))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--engine=openai", "--model=tiny", "--server-url=http://u:PW@[h"),
        ("--engine=openai", "--model=tiny", "--server-url=http://u:PW@127.0.0.1:9/v1", "--engine-args=retries=0"),
        ("--model=tiny", "--server-url=http://u:PW@h"),
        ("--model=tiny", "--judge-url=http://u:PW@h"),
        ("--engine=replay", "--model=http://u:PW@h"),
        ("--engine=openai", "--model=tiny", "--server-url=u:PW@h/v1"),
    ],
)
def test_a_password_of_two_letters_in_a_bad_command(
    run: Callable[..., pytest.RunResult], arguments: tuple[str]
) -> None:
    result = run(*arguments)
    assert result.ret == 4
    assert "PW" not in said(result)


def test_a_key_of_one_character_hides_nothing(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    result = run("--task=gsm8", "--engine=replay", "--model=none.jsonl")
    assert "unknown task 'gsm8': did you mean 'gsm8k'" in said(result)
    assert os.environ["OPENAI_API_KEY"] == "k"
