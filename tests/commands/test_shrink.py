"""``thinkslm shrink`` against a server that sorts up to two numbers and knows no third option."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from loopback_server import LoopbackServer

from pytest_thinkslm.__main__ import main


class Sorter(BaseHTTPRequestHandler):
    """Sorts lists of two, returns longer ones as they are."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": [{"id": "sorter", "object": "model"}]})

    def do_POST(self) -> None:
        Sorter.asked += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        numbers = [int(part) for part in re.findall(r"-?\d+", question.partition("[")[2].partition("]")[0])]
        answer = sorted(numbers) if len(numbers) < 3 else numbers
        text = f"\\boxed{{{', '.join(map(str, answer))}}}"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._reply({"id": "1", "object": "chat.completion", "model": "sorter", "choices": [choice],
                     "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}})  # fmt: skip

    def _reply(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    Sorter.asked = 0
    with LoopbackServer(Sorter) as found:
        yield found.url


def shrink(server: str, *more: str) -> int:
    return main(["shrink", "sort8_positive", *more, "--model", "sorter", "--engine", "openai", "--server-url", server])


def test_the_smallest_list_and_the_command_that_asks_it(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shrink(server) == 0
    said = capsys.readouterr().out
    small = re.search(r"^to: 3 numbers: ([\d, ]+)$", said, re.MULTILINE)
    assert small is not None
    assert set(small[1].split(", ")) == {"0", "1", "2"}
    assert "nothing smaller that was tried fails" in said
    again = re.search(r"^again: (.*)$", said, re.MULTILINE)
    assert again is not None
    before = Sorter.asked
    assert main(again[1].split()[1:]) == 0
    assert "from: 3 numbers: " + small[1] in capsys.readouterr().out
    assert Sorter.asked == before  # the journal has it


def test_it_is_the_same_each_time_and_keeps_its_budget(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for _ in range(2):
        assert shrink(server, "3", "--budget", "20", "--batch", "8", "--fresh") == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "the budget ended here" in said[0]
    assert "20 inputs asked" in said[0]


def test_what_is_right_is_not_shrunk(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shrink(server, "0", "--given=7,3") == 1
    assert "answered correctly" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["999"], "has items 0 to 99"),
        (["0", "--given=1,x"], "whole numbers"),
        (["0", "--keep=A"], "letters of the item's options"),
        (["0", "--forms=optons"], "did you mean"),
        (["0", "--forms=order-x"], "order-1"),
        (["0", "--budget=0"], "at least 1"),
        (["--run", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_said(server: str, capsys: pytest.CaptureFixture[str], more: list[str], said: str) -> None:
    assert shrink(server, *more) == 4
    assert said in capsys.readouterr().err


def test_recorded_outputs_cannot_answer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["shrink", "sort8_positive", "--model", "x.jsonl", "--engine", "replay"]) == 4
    assert "cannot answer new inputs" in capsys.readouterr().err
