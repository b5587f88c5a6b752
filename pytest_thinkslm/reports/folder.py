"""The report folder of a run: checked, held against other runs, and freed of an earlier run's files."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError

#: What a run leaves in its folder: the only files of an earlier run that a new one takes away.
RUN_FILES = ("results.json", "items.jsonl", "summary.md", "report.html", "gates.xml", "junit.xml", "engine.log")

#: What a killed run may have left beside them.
_LEFTOVERS = (".items.*.jsonl", ".collected.json*", ".decided.json*", ".judge-spent-*", ".*.draft", ".writable-*")

#: Where an earlier run's files wait until this one has its first item, so that a failed start costs nothing.
_EARLIER = ".earlier"

#: Seconds between two signs of life of a run, and after how many without one it is taken for dead where its lock tells
#: nothing: on another machine, whose file system may keep locks to itself.
_BEAT, _DEAD = 15.0, 120.0

Say = Callable[[str], None]


class ReportFolder:
    """A folder that this run alone writes into, from ``take`` to ``release``.

    Args:
        path: the folder.
        asked: whether the user named it; of a default name that is taken another one is made.
    """

    def __init__(self, path: Path, *, asked: bool) -> None:
        self.path = path
        self._asked = asked
        self._descriptor: int | None = None
        self._end = threading.Event()
        self._earlier = False

    def take(self, say: Say) -> None:
        """Make the folder, write to it and read it back, lock it, and put an earlier run's files aside.

        Raises:
            UsageError: it cannot be written, or another run is writing there.
        """
        try:
            self._make()
            self._probe()
            self._lock()
            self._put_aside(say)
        except OSError as error:
            self.release()
            raise UsageError(
                f"--report-dir {self.path} cannot be written ({error.strerror or error}): choose another folder; "
                "nothing was generated"
            ) from None
        except UsageError:
            self.release()
            raise

    def begun(self) -> None:
        """This run has an item: what an earlier one left is gone from here on."""
        if self._earlier:
            self._earlier = False
            shutil.rmtree(self.path / _EARLIER, ignore_errors=True)

    def give_back(self) -> None:
        """Nothing was run: an earlier run's files are put back; a folder that holds nothing is removed."""
        with contextlib.suppress(OSError):
            if self._earlier:
                for path in (self.path / _EARLIER).iterdir():
                    if not (self.path / path.name).exists():
                        path.replace(self.path / path.name)
                self.begun()
        self.release()
        with contextlib.suppress(OSError):  # it holds files: the engine's log, or the user's
            self.path.rmdir()
            if not self._asked:
                self.path.parent.rmdir()

    def release(self) -> None:
        """Let other runs in."""
        self._end.set()
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # the folder, or the right to write there, has gone
                (self.path / _LOCK).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _make(self) -> None:
        if self._asked:
            self.path.mkdir(parents=True, exist_ok=True)
            return
        name, number = self.path.name, 1
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                self.path.mkdir()
                return
            except FileExistsError:
                number += 1
                self.path = self.path.with_name(f"{name}-{number}")

    def _probe(self) -> None:
        probe = self.path / f".writable-{os.getpid()}"
        content = secrets.token_bytes(4096)
        try:
            probe.write_bytes(content)
            if files.read_bytes(probe) != content:
                raise OSError(errno.EIO, "what is written there is not what is read back")
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def _lock(self) -> None:
        """``flock``, which ends with its process; its file says whose it is, and its time when that last lived."""
        path = self.path / _LOCK
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            held = _flock(descriptor)
            owner = _owner(descriptor)
            if held is False or (owner and _lives(owner, descriptor, path, locked=held is True)):
                os.close(descriptor)
                raise UsageError(
                    f"--report-dir {self.path} is in use: {_named(owner)} writes there; wait for its end, or choose "
                    "another folder; nothing was generated"
                )
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # its owner has removed it in this moment
        self._descriptor = descriptor
        mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(mine).encode(), 0)
        threading.Thread(target=self._beat, args=(descriptor,), name="thinkslm-folder", daemon=True).start()

    def _beat(self, descriptor: int) -> None:
        while not self._end.wait(_BEAT):
            with contextlib.suppress(OSError):
                os.utime(descriptor)

    def _put_aside(self, say: Say) -> None:
        for pattern in _LEFTOVERS:
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
        aside = self.path / _EARLIER
        found = [name for name in RUN_FILES if os.path.lexists(self.path / name)]
        if found:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(exist_ok=True)
            for name in found:
                (self.path / name).replace(aside / name)
            if "results.json" in found:
                say(f"{self.path} holds an earlier run ({', '.join(found)}): it is replaced once this one has an item")
        self._earlier = aside.is_dir()


_LOCK = ".lock"


def _flock(descriptor: int) -> bool | None:
    """Whether the lock was free, and is held now; None where the system or the file system has no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _owner(descriptor: int) -> dict[str, Any]:
    """Who wrote the lock's file; empty where that is not known."""
    try:
        value = files.parse_json(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError):
        return {}
    known = isinstance(value, dict) and isinstance(value.get("host"), str) and isinstance(value.get("pid"), int)
    return value if known else {}


def _lives(owner: dict[str, Any], descriptor: int, path: Path, *, locked: bool) -> bool:
    """Whether the run of a lock that was not held against this process is alive all the same."""
    here = owner["host"] == socket.gethostname()
    if here and locked:
        return False
    if here and not _is_process(owner["pid"]):
        return False
    clock = path.with_name(f".writable-{os.getpid()}")  # the file system's time, not this machine's
    clock.write_bytes(b"")
    try:
        return clock.stat().st_mtime - os.fstat(descriptor).st_mtime < _DEAD
    finally:
        clock.unlink(missing_ok=True)


def _is_process(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _named(owner: dict[str, Any]) -> str:
    if not owner:
        return "another run"
    since = f", since {owner['since']}" if isinstance(owner.get("since"), str) else ""
    return f"another run (process {owner['pid']} on {owner['host'][:80]!r}{since})"
