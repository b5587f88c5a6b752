"""The report folder: written to and read back, locked, freed of an earlier run's files, given back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.reports import folder as module
from pytest_thinkslm.reports.folder import ReportFolder

HOLDER = """
import sys, time
from pathlib import Path
from pytest_thinkslm.reports.folder import ReportFolder
folder = ReportFolder(Path(sys.argv[1]), asked=True)
folder.take(print)
print("held", flush=True)
time.sleep(60)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def taken(path: Path, *, asked: bool = True) -> ReportFolder:
    folder = ReportFolder(path, asked=asked)
    folder.take(lambda line: None)
    return folder


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="nothing was generated"):
        taken(tmp_path / "file" / "below")


def test_a_folder_in_use_is_refused_until_it_is_released(tmp_path: Path) -> None:
    first = taken(tmp_path / "run")
    with pytest.raises(UsageError, match=rf"in use: another run \(process {os.getpid()} on .*nothing was generated"):
        taken(tmp_path / "run")
    first.release()
    taken(tmp_path / "run").release()
    assert names(tmp_path / "run") == set()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"process {process.pid} on"):
            taken(tmp_path / "run")
        process.send_signal(signal.SIGKILL)
    taken(tmp_path / "run").release()


@pytest.mark.parametrize("age", [1.0, 3_600.0])
def test_without_locks_a_run_elsewhere_lives_as_long_as_it_gives_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    monkeypatch.setattr(module, "_flock", lambda descriptor: None)
    path = tmp_path / "run" / ".lock"
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    os.utime(path, (time.time() - age,) * 2)
    if age < 60:
        with pytest.raises(UsageError, match="process 1 on 'elsewhere'"):
            taken(path.parent)
    else:
        taken(path.parent).release()


def test_without_locks_a_dead_process_of_this_machine_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_flock", lambda descriptor: None)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    path = tmp_path / "run" / ".lock"
    path.parent.mkdir()
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": ended.pid}))
    taken(path.parent).release()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1, "pid": "x"}', "[" * 10_000])
def test_a_damaged_lock_hinders_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / ".lock").write_text(content)
    taken(tmp_path).release()


def test_an_earlier_run_is_gone_with_the_first_item_and_comes_back_without_one(tmp_path: Path) -> None:
    for name in ("results.json", "items.jsonl", "notes.txt", ".items.unsorted.jsonl"):
        (tmp_path / name).write_text("old")
    said: list[str] = []
    folder = ReportFolder(tmp_path, asked=True)
    folder.take(said.append)
    known = f"{tmp_path} holds an earlier run (results.json, items.jsonl)"
    assert said == [f"{known}: it is replaced once this one has an item"]
    assert names(tmp_path) == {"notes.txt", ".lock", ".earlier"}
    folder.give_back()
    assert names(tmp_path) == {"notes.txt", "results.json", "items.jsonl"}
    folder = taken(tmp_path)
    folder.begun()
    folder.release()
    assert names(tmp_path) == {"notes.txt"}, "what is not a run's is the user's"


def test_a_default_folder_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    folders = [taken(tmp_path / "reports" / "run", asked=False) for _ in range(3)]
    assert [folder.path.name for folder in folders] == ["run", "run-2", "run-3"]
    for folder in folders:
        folder.give_back()
    assert names(tmp_path) == set()
