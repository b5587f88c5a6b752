"""A journal, report folder or folder of temporary files that takes no more: nothing finished is thrown away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from replayed import items, results, sorted_answer
from small_disk import small_disk

Replay = Callable[..., pytest.RunResult]


def lines(text: str = "") -> list[dict[str, object]]:
    """All items of one task."""
    return [
        {"task": "sort8_positive", "item": index, "output": text + sorted_answer("sort8_positive", index)}
        for index in range(100)
    ]


def said(result: pytest.RunResult) -> str:
    text = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    return text


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two workers"])
def test_a_report_folder_that_is_filled_by_others(
    replay: Replay, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """The spool takes no line any more: nothing more is asked, and the report goes elsewhere with what there is."""
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    pytester.makepyfile(
        filler="""
        from pathlib import Path
        from pytest_thinkslm.runs.items import ItemSpool

        add = ItemSpool.add

        def filling(self, *arguments):
            if len(list(self.reported())) == 5:
                with (Path("report") / "filler").open("wb", buffering=0) as file:
                    try:
                        while file.write(bytes(4096)):
                            pass
                    except OSError:
                        pass
            return add(self, *arguments)

        ItemSpool.add = filling
        """
    )
    with small_disk(pytester.path / "report", 8 << 10):
        result = replay(lines("so " * 500), "-p", "filler", "--engine-args=latency=0.01", *workers)
        text = said(result)
        assert result.ret == 1
        assert "the report folder" in text
        assert "cannot be written (No space left on device); nothing more was asked" in text
        folders = [path for path in pytester.path.glob("report*") if (path / "results.json").exists()]
        assert len(folders) == 1
        found = items(folders[0])
        skipped = result.parseoutcomes().get("skipped", 0)
        assert len(found) > 5
        assert len(found) + skipped == 100, "every item is accounted for"
        if not workers:
            assert skipped
        assert results(folders[0])["selection"] == "partial"
        assert all(line["verdict"] == "correct" for line in found)


def test_a_report_that_can_be_written_nowhere_is_one_sentence(
    replay: Replay, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    pytester.makepyfile(
        nowhere="""
        from pytest_thinkslm.reports import recorder

        def fails(path, value):
            raise OSError(30, "Read-only file system")

        recorder.write_json = fails
        """
    )
    result = replay(lines(), "-p", "nowhere")
    assert result.ret == 1
    assert "ERROR: thinkslm: the report folder" in said(result)
    assert not (pytester.path / "report" / "results.json").exists()
    assert not (pytester.path / "report" / "items.jsonl").exists(), "half a report is none"


@pytest.mark.parametrize("kib", [16, 64, 256])
def test_a_report_folder_that_is_too_small_from_the_start(replay: Replay, pytester: pytest.Pytester, kib: int) -> None:
    with small_disk(pytester.path / "report", kib):
        result = replay(lines())
        assert result.ret == 4
        assert "are free: make room" in said(result)


def in_workers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A plugin module ``meddling`` that every process of the run imports; ``WORKER`` is its name, empty elsewhere."""
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    head = 'import os, shutil, signal\nWORKER = os.environ.get("PYTEST_XDIST_WORKER", "")\n'
    pytester.makepyfile(meddling=head + body)


def no_room_in(*workers: str) -> str:
    return f"if WORKER in {workers}:\n    shutil.disk_usage = lambda path: type('Usage', (), {{'free': 0}})\n"


def test_one_worker_without_room_does_not_undo_what_another_has_begun(
    replay: Replay, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_workers(pytester, monkeypatch, no_room_in("gw1"))
    result = replay(lines(), "-p", "meddling", "-n2")
    text = said(result)
    assert result.ret == 1
    assert "--journal-dir; nothing more was asked, and the report has what was finished" in text
    found = items(pytester.path / "report")
    assert found
    assert all(line["verdict"] == "correct" for line in found)
    assert len(found) + result.parseoutcomes()["skipped"] == 100
    assert results(pytester.path / "report")["selection"] == "partial"


def test_no_worker_has_room(replay: Replay, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    in_workers(pytester, monkeypatch, no_room_in("gw0", "gw1"))
    result = replay(lines(), "-p", "meddling", "-n2")
    assert result.ret == 4
    assert "make room, or choose another place with --report-dir and --journal-dir; nothing was generated" in said(
        result
    )
    assert not (pytester.path / "report" / "results.json").exists()


def test_a_worker_that_takes_over_and_cannot_start_costs_its_own_items_alone(
    replay: Replay, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_workers(
        pytester,
        monkeypatch,
        """
from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.generating.run import Run

def cannot_start(self, refs, mine):
    raise ModelError("the server has gone")

if WORKER == "gw2":
    Run.start = cannot_start

def pytest_runtest_call(item):
    if WORKER == "gw0" and "0010" in item.name:
        os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    result = replay(lines(), "-p", "meddling", "-n2")
    said(result)
    assert result.ret == 1
    found = items(pytester.path / "report")
    assert len(found) == 100, "every item is accounted for"
    verdicts = {line["item"]: line["verdict"] for line in found}
    assert verdicts["0010"] == "error"
    assert sum(verdict == "correct" for verdict in verdicts.values()) >= 50


@pytest.mark.parametrize("kib", [4, 32, 1024])
def test_temporary_files_have_no_room(
    replay: Replay, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, kib: int
) -> None:
    with small_disk(pytester.path / "temporary", kib):
        monkeypatch.setenv("TMPDIR", str(pytester.path / "temporary"))
        result = replay(lines())
        said(result)
        assert result.ret == 0
        assert len(items(pytester.path / "report")) == 100


def test_sigterm_ends_with_a_report_and_a_sentence(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(lines())
    (pytester.path / "outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines()))
    command = [sys.executable, "-m", "pytest", "--model=outputs.jsonl", "--engine=replay", "--report-dir=report"]
    spool = pytester.path / "report" / ".items.unsorted.jsonl"
    with subprocess.Popen(
        [*command, "--engine-args=latency=0.1"], cwd=pytester.path, stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and not (spool.exists() and spool.stat().st_size):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=120)
    assert process.returncode == 2, text
    assert "thinkslm: ended by SIGTERM: the report has what was finished" in text
    assert 0 < len(items(pytester.path / "report")) < 100
    assert results(pytester.path / "report")["selection"] == "partial"


def test_a_sigterm_that_breaks_a_lock_ends_the_same(replay: Replay, pytester: pytest.Pytester) -> None:
    # What a signal does to ``queue.get`` between two steps of letting its lock go.
    pytester.makeconftest(
        """
        import os, signal, time

        def pytest_runtestloop():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            except KeyboardInterrupt:
                raise RuntimeError("release unlocked lock")
        """
    )
    result = replay(lines())
    assert result.ret == 2
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_two_runs_do_not_share_a_folder(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(lines())
    command = [sys.executable, "-m", "pytest", "--model=outputs.jsonl", "--engine=replay", "--report-dir=report"]
    slow = subprocess.Popen(
        [*command, "--engine-args=latency=0.2"], cwd=pytester.path, stdout=subprocess.PIPE, text=True
    )
    try:
        while slow.poll() is None and not (pytester.path / "report" / ".lock").exists():
            time.sleep(0.02)
        result = replay(lines())
        assert result.ret == 4
        assert f"in use: another run (process {slow.pid} on" in said(result)
    finally:
        slow.kill()
        slow.communicate()
    assert not (pytester.path / "report" / "results.json").exists(), "a killed run leaves nothing of an earlier one"
    assert replay(lines()).ret == 0
    assert len(items(pytester.path / "report")) == 100


def test_a_failed_start_leaves_an_earlier_run_as_it_was(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(lines())
    before = (pytester.path / "report" / "items.jsonl").read_bytes()
    result = replay([{"task": "gsm8k", "item": 0, "output": "1"}], "--data-dir=.")
    assert result.ret == 4
    assert (pytester.path / "report" / "items.jsonl").read_bytes() == before
    assert not list((pytester.path / "report").glob(".*"))
