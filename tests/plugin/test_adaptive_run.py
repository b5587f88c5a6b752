"""Runs that end when they are decided: replayed, on a server, on two workers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from loopback_server import LoopbackServer
from replayed import Line, items, results, sorted_answer, without_measured

import pytest_thinkslm.runs
from pytest_thinkslm.core.identity import shuffled

Replay = Callable[..., pytest.RunResult]
TASKS = ("sort8_positive", "sort8_mixed")
SCHEMA = json.loads((Path(pytest_thinkslm.runs.__file__).parent / "results.schema.json").read_text())


def outputs(wrong: Collection[int] = (), tasks: Collection[str] = TASKS, **fields: object) -> list[Line]:
    """All items of the tasks, right but for those that are ``wrong`` in the first task."""
    return [
        {
            "task": task,
            "item": item,
            "output": "\\boxed{3, 1, 2}" if item in wrong and task == TASKS[0] else sorted_answer(task, item),
            "output_tokens": 10,
            **fields,
        }
        for task in tasks
        for item in range(100)
    ]


def adaptive(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = results(folder)["adaptive"]
    return value


@pytest.fixture
def baseline(replay: Replay) -> str:
    assert replay(outputs(), "--report-dir=base").ret == 0
    return "--baseline=base"


def test_a_shown_drop_ends_the_run_the_same_on_two_workers(
    replay: Replay, baseline: str, pytester: pytest.Pytester
) -> None:
    candidate = outputs(range(0, 100, 2))
    one = replay(candidate, baseline, "--gate=2", "--adaptive")
    two = replay(candidate, baseline, "--gate=2", "--adaptive", "-n2", "--report-dir=two")
    report, beside = pytester.path / "report", pytester.path / "two"
    assert (one.ret, two.ret) == (1, 1)
    assert (report / "items.jsonl").read_bytes() == (beside / "items.jsonl").read_bytes()
    assert without_measured(report) == without_measured(beside)

    found = results(report)
    jsonschema.validate(found, SCHEMA)
    assert found["selection"] == "adaptive"
    block = found["adaptive"]
    assert block["decided"] is True
    assert block["decider"] == "sort8_positive"
    assert block["items"] == len(items(report)) < 120
    assert (block["of"], block["tokens"]) == (200, 10 * block["items"])
    assert block["tokens_left"] == 10 * (200 - block["items"])
    first, second = found["gates"]
    assert (first["state"], first["fields"]["items"]) == ("failed", block["groups"][0]["items"])
    assert (second["state"], second["fails"]) == ("not evaluated", False)
    assert "sort8_positive decided the run" in second["sentence"]
    right = sum(row["correct"] for row in found["results"])
    one.assert_outcomes(passed=right, failed=1, skipped=200 - block["items"] + 1)  # the other gate, too
    text = one.stdout.str()
    assert f"adaptive: ended after {block['items']} of 200 items, decided by sort8_positive" in text
    assert block["sentence"] in (report / "summary.md").read_text()
    assert not list(report.glob(".decided*"))


def test_only_a_prefix_of_a_fixed_random_order_is_asked(
    replay: Replay, baseline: str, pytester: pytest.Pytester
) -> None:
    assert replay(outputs(), baseline, "--gate=5", "--adaptive").ret == 0
    numbers = [int(line["item"]) for line in items(pytester.path / "report") if line["task"] == TASKS[0]]
    assert 10 <= len(numbers) < 100
    assert sorted(numbers) == sorted(shuffled(TASKS[0], range(100), 0)[: len(numbers)])
    assert max(numbers) > len(numbers) + 10, "not the first ones of the file"


def test_nothing_lost_passes_early_and_is_a_baseline(replay: Replay, baseline: str, pytester: pytest.Pytester) -> None:
    assert replay(outputs(), baseline, "--gate=5", "--adaptive", "--report-dir=short").ret == 0
    short = pytester.path / "short"
    assert results(short)["selection"] == "adaptive"
    assert adaptive(short)["decider"] is None
    again = replay(outputs(), "--baseline=short", "--gate=5", "--adaptive", "--report-dir=shorter")
    assert again.ret == 0
    assert len(items(pytester.path / "shorter")) <= len(items(short))
    assert {(line["task"], line["item"]) for line in items(pytester.path / "shorter")} <= {
        (line["task"], line["item"]) for line in items(short)
    }
    full = replay(outputs(range(100)), "--baseline=short", "--gate=5", "--report-dir=full")
    assert full.ret == 1
    assert results(pytester.path / "full")["baseline"]["selection"] == "adaptive"


def test_where_all_items_are_needed_the_run_is_a_full_one(replay: Replay, pytester: pytest.Pytester) -> None:
    few = [line for line in outputs() if line["item"] in range(100)]
    assert replay(few, "--limit=8", "--report-dir=base").ret == 0
    assert replay(few, "--baseline=base", "--gate=2", "--adaptive", "--limit=8").ret == 0
    assert results(pytester.path / "report")["selection"] == "limit"
    assert "all 16 items were needed" in adaptive(pytester.path / "report")["sentence"]


@pytest.mark.parametrize(
    ("lost", "margin", "status"), [(range(0), "20", 0), (range(0, 100, 3), "20", 1)], ids=["nothing", "a third"]
)
def test_non_inferiority(
    replay: Replay, baseline: str, pytester: pytest.Pytester, lost: range, margin: str, status: int
) -> None:
    result = replay(outputs(lost), baseline, f"--gate={margin}", "--gate-mode=noninferiority", "--adaptive")
    assert result.ret == status
    report = pytester.path / "report"
    assert adaptive(report)["decided"] is True
    states = {group["task"]: group["state"] for group in adaptive(report)["groups"]}
    assert states[TASKS[0]] == ("shown" if status == 0 else "given up")


def test_the_first_variant_is_the_baseline_of_the_others(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = outputs(model="m", quant="none") + outputs(range(0, 100, 2), model="m", quant="q4")
    result = replay(lines, "--gate=2", "--adaptive")
    assert result.ret == 1
    groups = {(group["quant"], group["task"]): group["items"] for group in adaptive(pytester.path / "report")["groups"]}
    assert groups["none", TASKS[0]] == groups["none", TASKS[1]] == 100
    assert groups["q4", TASKS[0]] < 100
    assert [gate["quant"] for gate in results(pytester.path / "report")["gates"]] == ["q4", "q4"]
    alone = replay(outputs(), "--gate=2", "--adaptive")
    assert alone.ret == 4
    assert "--gate 2 needs a baseline" in alone.stderr.str()


def test_a_run_that_is_interrupted_before_its_first_outcome_ends_as_one(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(stop="def pytest_runtest_setup(item):\n    raise KeyboardInterrupt\n")
    lines = outputs(model="m", quant="none") + outputs(model="m", quant="q4")
    result = replay(lines, "--gate=2", "--adaptive", "-p", "stop")
    assert result.ret == 2
    assert "IndexError" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize(
    ("lost", "decision", "status"), [(range(0), "GO", 0), (range(0, 100, 2), "NO-GO", 1)], ids=["nothing", "half"]
)
def test_a_certificate_ends_the_run_the_same_on_two_workers(
    replay: Replay, baseline: str, pytester: pytest.Pytester, lost: range, decision: str, status: int
) -> None:
    candidate = outputs(lost)
    assert replay(candidate, baseline, "--certify=10", "--adaptive").ret == status
    assert replay(candidate, baseline, "--certify=10", "--adaptive", "-n2", "--report-dir=two").ret == status
    report = pytester.path / "report"
    found = results(report)
    jsonschema.validate(found, SCHEMA)
    assert (found["certificate"]["decision"], found["selection"]) == (decision, "adaptive")
    assert found["adaptive"]["items"] == len(items(report)) < 200
    assert f"decided by the certificate: {decision}" in found["adaptive"]["sentence"]
    assert without_measured(report) == without_measured(pytester.path / "two")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--adaptive",), "add --gate MARGIN or --certify MARGIN"),
        (("--adaptive", "--gate=2", "--baseline=paper"), "--adaptive cannot be used with --baseline paper"),
        (("--adaptive", "--gate=2", "--certify=2", "--baseline=x"), "by --gate or by --certify: give one of them"),
    ],
)
def test_nonsense_is_refused(replay: Replay, arguments: tuple[str, ...], said: str) -> None:
    result = replay(outputs()[:4], *arguments)
    assert result.ret == 4
    assert said in " ".join(result.stderr.str().split())


class _Wrong(BaseHTTPRequestHandler):
    """Answers every chat with a wrong list."""

    protocol_version = "HTTP/1.1"
    asked = 0
    lock = threading.Lock()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "served", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            type(self).asked += 1
        message = {"role": "assistant", "content": "\\boxed{3, 1, 2}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
        self._send({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage, "model": "served"})

    def _send(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_server_is_asked_no_further_than_a_window_beyond_the_prefix(
    replay: Replay, baseline: str, pytester: pytest.Pytester
) -> None:
    _Wrong.asked = 0
    with LoopbackServer(_Wrong) as server:
        result = pytester.runpytest_subprocess(
            "--model=served", "--engine=openai", f"--server-url={server.url}", f"--task={','.join(TASKS)}", baseline,
            "--gate=2", "--adaptive", "--report-dir=report", "--journal-dir=journal", timeout=180,
        )  # fmt: skip
    assert result.ret == 1
    block = adaptive(pytester.path / "report")
    assert block["decided"] is True
    assert block["tokens"] == 7 * block["items"]
    journalled = [
        line for file in (pytester.path / "journal").rglob("*.jsonl") for line in file.read_text().splitlines()
    ]
    # 16 items beyond the one at its turn; what was answered is kept, needed or not.
    assert block["items"] <= len(journalled) <= _Wrong.asked <= block["items"] + 17
