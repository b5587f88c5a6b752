"""Runs on data that is not, record for record, the pinned one: what is skipped, what stops, what every report says."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from replayed import items, results, without_measured

from pytest_thinkslm.tasks.registry import get

Replay = Callable[..., pytest.RunResult]

SIZE = 200
RECORDS = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(SIZE)]
OUTPUTS = [{"task": "gsm8k", "item": n, "output": f"\\boxed{{{2 * n}}}"} for n in range(SIZE)]

CONFTEST = """
import json
from dataclasses import replace
from pathlib import Path

from pytest_thinkslm.tasks import gsm8k, pins
from pytest_thinkslm.data import hub

here = Path(__file__).parent
pins.PINS_FOLDER = here / "pins"
own = gsm8k.TASKS["gsm8k"]
source = replace(own.source, files=(replace(own.source.files[0], records=200),))
gsm8k.TASKS["gsm8k"] = replace(own, count=200, source=source)


def fetch_rows(hub_id, config, split, revision):
    return [json.loads(line) for line in (here / "hub.jsonl").read_text().splitlines()]


hub.fetch_rows = fetch_rows
"""


@pytest.fixture
def hub(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, str]]], None]:
    """A function that lets the hub of the runs serve these GSM8K rows; 200 made-up records are pinned."""
    from pytest_thinkslm.tasks import pins

    pytester.makeconftest(CONFTEST)
    folder = pytester.mkdir("pins")
    build = get("gsm8k").build
    assert build is not None
    pins.write("gsm8k", "gsm8k_test", [build(record, 0) for record in RECORDS], {}, folder)

    def serve(rows: list[dict[str, str]]) -> None:
        (pytester.path / "hub.jsonl").write_text("\n".join(map(json.dumps, rows)))

    return serve


def regraded(*wrong: int) -> list[dict[str, str]]:
    return [{**record, "answer": "#### 7777"} if n in wrong else record for n, record in enumerate(RECORDS)]


# The conftest is loaded before the suite is collected only where it is named.
HERE = ("-p", "conftest", "--task=gsm8k")


def run(replay: Replay, *arguments: str) -> pytest.RunResult:
    return replay(OUTPUTS, *HERE, *arguments)


def test_unverified_items_are_skipped_and_every_report_says_so(
    replay: Replay, hub: Callable[..., None], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    hub(regraded(17, 33))
    done = run(replay, "-rs")
    done.assert_outcomes(passed=198, skipped=2)
    assert done.ret == 0
    said = "2 of 200 items were left out as unverified (0017: the record differs from its pin (gold); 0033: "
    terminal = " ".join(done.stdout.str().split())
    assert "gsm8k*" in terminal
    assert said in terminal
    assert "unverified: the record differs from its pin (gold)" in terminal
    report = pytester.path / "report"
    found = results(report)
    (row,) = found["results"]
    assert found["selection"] == "full"
    assert (row["n"], row["accuracy"]) == (198, 1.0)
    assert (row["data"]["pin"], row["data"]["unverified"]) == ("ok", ["0017", "0033"])
    assert any(note.startswith(said) for note in row["data"]["notes"])
    assert {record["item"] for record in items(report)}.isdisjoint({"0017", "0033"})
    assert said in (report / "summary.md").read_text()
    assert said in (report / "report.html").read_text()


def test_the_same_with_workers_and_as_a_baseline(
    replay: Replay, hub: Callable[..., None], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    hub(regraded(17))
    assert run(replay, "-n2").ret == 0
    report = pytester.path / "report"
    split = without_measured(report), (report / "items.jsonl").read_bytes()
    report.rename(pytester.path / "before")
    assert run(replay).ret == 0
    assert (without_measured(report), (report / "items.jsonl").read_bytes()) == split
    report.rename(pytester.path / "again")
    hub(RECORDS)
    compared = run(replay, "--baseline=before", "--gate=2")
    assert compared.ret == 0, compared.stdout.str()


@pytest.mark.parametrize(
    ("wrong", "arguments", "status", "said"),
    [
        ((1, 2, 3), (), 4, "of 200 pinned records 3 differ (items 0001, 0002, 0003); with at most 2 such records"),
        ((1,), ("--strict-data",), 4, "--strict-data lets no difference pass"),
        ((1,), ("--strict-data", "--accept-data"), 4, "give one of them"),
        ((1, 2, 3), ("--accept-data",), 0, "3 records differ"),
        ((1, 2, 3), ("-k", "0007 or 0008"), 0, "3 records that were not asked for differ from their pins"),
        ((1,), ("-k", "0001"), 4, "none of the 1 items asked for can be run"),
    ],
)
def test_what_stops_and_what_is_accepted(
    replay: Replay,
    hub: Callable[..., None],
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    wrong: tuple[int, ...],
    arguments: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    hub(regraded(*wrong))
    done = run(replay, "-q", *arguments)
    assert done.ret == status, done.stdout.str() + done.stderr.str()
    assert said in " ".join((done.stdout.str() + done.stderr.str()).split())
    assert "Traceback" not in done.stderr.str()


def test_a_shorter_set_is_partial_and_full_of_what_there_is(
    replay: Replay, hub: Callable[..., None], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    hub(RECORDS[:150])
    done = run(replay)
    assert done.ret == 0
    (row,) = results(pytester.path / "report")["results"]
    assert (row["n"], row["data"]["partial"]) == (150, "150 of 200 records")
    assert results(pytester.path / "report")["selection"] == "full"


def test_collecting_asks_no_hub(
    replay: Replay, hub: Callable[..., None], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    assert not (pytester.path / "hub.jsonl").exists(), "whoever asks the hub finds nothing there"
    done = run(replay, "--co", "-q")
    assert done.ret == 0
    assert "200 tests collected" in done.stdout.str()
    assert run(replay, "-q").ret == 4
