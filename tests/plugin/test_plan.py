"""--plan, and the line that a run begins with: items, tokens, time and price, from one source."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_server import LoopbackServer

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import Variant
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.generating.plan import Load, loads, short, total, words
from pytest_thinkslm.models.prices import Price, price_of
from pytest_thinkslm.models.token_counts import counter, estimated
from pytest_thinkslm.runs.earlier import earlier


class Terse(BaseHTTPRequestHandler):
    """A server of the model m, which answers everything with one word of ten tokens."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "No."}}
        usage = {"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 19}
        self._reply({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})

    def _reply(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def request(text: str, task: str = "gsm8k", bound: int = 1024) -> Request:
    return Request((Message("user", text),), Sampling(max_tokens=bound), task=task, item="0000", style="direct")


def test_a_load_is_of_its_requests_within_their_limits() -> None:
    asked = [request("What is 1 + 1?")] * 300 + [request("Sort 3, 1, 2.", "sort8_mixed", 16)] * 10
    found = loads(asked)
    assert found["gsm8k|direct"] == Load(300, 300 * (estimated("What is 1 + 1?") + 6), 300 * 250)
    assert found["sort8_mixed|direct"].new_tokens == 10 * 16
    assert loads(asked, thinks=True)["gsm8k|direct"].new_tokens == 300 * 1024
    assert loads(asked, lengths={"gsm8k|direct": 40.0})["gsm8k|direct"].new_tokens == 300 * 40
    assert total(found.values()).requests == 310


@given(st.lists(st.sampled_from(["gsm8k", "math", "mine"]), max_size=200))
def test_every_request_is_counted_once(tasks: list[str]) -> None:
    assert total(loads([request("x", task) for task in tasks]).values()).requests == len(tasks)


@pytest.mark.parametrize(
    ("rate", "price", "said"),
    [
        (None, None, "about 99k prompt and 330k new tokens"),
        (324.0, None, "about 99k prompt and 330k new tokens, 17 min at 324 tokens/s"),
        (None, Price(0.4, 1.6), "about 99k prompt and 330k new tokens, 0.57 USD"),
        (None, Price(hour=2.0), "about 99k prompt and 330k new tokens"),
        (
            100.0,
            Price(hour=2.0, currency="EUR"),
            "about 99k prompt and 330k new tokens, 55 min at 100 tokens/s, 1.83 EUR",
        ),
    ],
)
def test_what_is_not_known_is_not_said(rate: float | None, price: Price | None, said: str) -> None:
    assert words(Load(1319, 99_000, 330_000), rate, price) == said


def test_numbers_are_short() -> None:
    assert [short(number) for number in (0, 9999, 10_400, 1_250_000)] == ["0", "9999", "10k", "1.2M"]


def test_prices_are_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(
        '[tool.thinkslm.prices]\ncurrency = "EUR"\n"gpt-*" = { input = 1, output = 2 }\n"*" = { hour = 3 }\n'
    )
    assert price_of("gpt-5", tmp_path) == Price(1, 2, 0, "EUR")
    assert price_of("qwen3-8b", tmp_path) == Price(hour=3, currency="EUR")
    for bad in (
        '"m" = 3',
        '"m" = { inputs = 1 }',
        '"m" = { input = "x" }',
        '"m" = { hour = -1 }',
        '"m" = { hour = nan }',
    ):
        file.write_text(f"[tool.thinkslm.prices]\n{bad}\n")
        with pytest.raises(UsageError, match=r"tool\.thinkslm\.prices"):
            price_of("m", tmp_path)
    file.write_text("[tool.thinkslm]\nprices = 3\n")
    with pytest.raises(UsageError, match="no table"):
        price_of("m", tmp_path)


def test_rates_and_lengths_come_from_the_newest_run_that_measured_them(tmp_path: Path) -> None:
    def run(name: str, measured: object, engine: str = "vllm") -> None:
        (tmp_path / name).mkdir()
        variants = [{"model": "m", "quant": "none", "engine": engine}]
        content = {"variants": variants, "measured": {"variants": {"m|none": measured}}}
        (tmp_path / name / "results.json").write_text(json.dumps(content))

    tasks = {"gsm8k|direct": {"generated": 10, "output_tokens": 2000}}
    run("a", {"generated": 10, "tokens_per_second": 50.0, "tasks": tasks})
    run("b", {"generated": 0, "tokens_per_second": None})
    run("c", {"generated": 90, "tokens_per_second": 9.0}, engine="transformers")
    run("d", [])
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "results.json").write_text("{")
    found = earlier(tmp_path, Variant("m"), "vllm")
    assert (found.rate, found.lengths) == (50.0, {"gsm8k|direct": 200.0})
    assert earlier(tmp_path / "nowhere", Variant("m"), "vllm").rate is None


def test_no_tokenizer_is_no_error(tmp_path: Path) -> None:
    assert counter(str(tmp_path)) is None
    (tmp_path / "tokenizer.json").write_text("{")
    assert counter(str(tmp_path)) is None
    assert counter("nobody/has-this") is None


def test_a_plan_says_all_of_it_and_asks_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml('[tool.thinkslm.prices]\n"m" = { input = 1, output = 2 }\n')
    command = ("--model=m", "--engine=openai", "--task=sort8_*", "--limit=10", "--server-url=http://127.0.0.1:9/v1")
    done = pytester.runpytest_subprocess(*command, "--plan", "-n2", timeout=120)
    assert done.ret == 0
    done.stdout.re_match_lines([r" *sort8_positive +direct +10 +\d+ +600 +– +0\.00 USD", r" *all +20 +\d+ +1200 .*"])
    assert "created" not in done.stdout.str()  # no workers
    assert not {"reports", ".thinkslm"} & {path.name for path in pytester.path.iterdir()}
    nothing = pytester.runpytest_subprocess(*command, "--plan", "-k", "nothing", timeout=120)
    assert nothing.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    pytester.makepyprojecttoml('[tool.thinkslm.prices]\n"m" = 3\n')
    assert pytester.runpytest_subprocess(*command, "--plan", timeout=120).ret == 4


def test_a_run_begins_with_what_it_will_take(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml('[tool.thinkslm.prices]\n"m" = { input = 100, output = 200 }\n')
    with LoopbackServer(Terse) as server:
        command = ("--model=m", "--engine=openai", "--task=sort8_mixed", "--limit=10", f"--server-url={server.url}")
        first = pytester.runpytest_subprocess(*command, "--report-dir=reports/a", timeout=120)
        assert first.ret == 0
        first.stdout.fnmatch_lines(["*10 to generate (about * prompt and 600 new tokens, 0.1? USD)"])
        again = pytester.runpytest_subprocess(*command, "--report-dir=reports/b", timeout=120)
        assert "to generate (" not in again.stdout.str()  # all of it is in the journal
        fresh = pytester.runpytest_subprocess(*command, "--report-dir=reports/c", "--fresh", timeout=120)
        fresh.stdout.re_match_lines([r".*10 to generate \(about .* new tokens, \d+ s at \d+ tokens/s, .* USD\)"])
