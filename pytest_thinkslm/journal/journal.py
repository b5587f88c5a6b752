"""The journal: every output is kept the moment the engine finishes it, keyed by content.

Layout: ``<root>/<engine fingerprint>/<task>/<host>-<pid>-<random>.jsonl`` and a ``manifest.json`` that says
what the fingerprint stands for. Append-only JSON lines, written one by one; one file a process and task,
so no locks are needed, on network file systems neither. A torn last line is ignored, what else cannot be read costs
that entry; the newest entry of a key wins.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict, get_args

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import JournalError
from pytest_thinkslm.core.files import write_text
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import FinishReason, Output, Request, Sampling, stopped
from pytest_thinkslm.core.shapes import misfit


def entry_key(request: Request) -> str:
    """The content key of a request: SHA-256 over messages, sampling, repeat, thinking, prefix, noise and budget."""
    sampling = request.sampling
    content = [
        [[message.role, message.content] for message in request.messages],
        [sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed],
        request.repeat,
        request.thinking,
        # Absent from the keys of journals that know of none.
        *([request.prefix] if request.prefix else []),
        *([["noise", request.noise]] if request.noise else []),
        *([["budget", request.budget]] if request.budget else []),
        *([further] if (further := _further(sampling)) else []),
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()[:40]


def _further(sampling: Sampling) -> list[list[object]]:
    """The parameters that are not at their defaults, of those that came later."""
    names = ("top_k", "min_p", "presence_penalty", "repetition_penalty")
    default = Sampling()
    return [[name, getattr(sampling, name)] for name in names if getattr(sampling, name) != getattr(default, name)]


class Journal:
    """Outputs of one engine fingerprint on disk.

    Args:
        root: the journal folder, shared by all engines and processes.
        fingerprint: what the outputs depend on beside the request.
        read: False for ``--fresh``: nothing is looked up, everything is still written.

    Attributes:
        passed_over: what could not be read, each with its file and line: those outputs are asked for again.
    """

    def __init__(self, root: Path, fingerprint: Fingerprint, *, read: bool = True) -> None:
        self.root = root
        self.passed_over: list[str] = []
        self._folder = root / fingerprint.digest
        self._fingerprint = fingerprint
        self._read = read
        self._known: dict[str, dict[str, Output]] = {}
        self._files: dict[str, _Appended] = {}
        self._checked = False
        self._lock = threading.Lock()
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"

    def get(self, request: Request, key: str) -> Output | None:
        """The kept output for this request, or None."""
        if not self._read:
            return None
        known = self._known.get(request.task)
        if known is None:
            known = self._known[request.task] = _load(self._folder / request.task, self.passed_over)
        return known.get(key)

    def check(self) -> None:
        """Write to the journal and read it back, once, before anything is generated.

        Raises:
            JournalError: that cannot be done.
        """
        if self._checked:
            return
        probe = self._folder / f".probe-{self._name}"
        content = secrets.token_bytes(4096)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                probe.write_bytes(content)
                if files.read_bytes(probe) != content:
                    raise OSError(errno.EIO, "what is written there is not what is read back")
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None
        self._checked = True

    def put(self, request: Request, key: str, output: Output) -> None:
        """Append one finished output. Thread-safe. Raises ``JournalError``; then nothing of it is left on the disk."""
        entry = {
            "key": key,
            "item": request.item,
            "style": request.style,
            "repeat": request.repeat,
            "output": output.text,
            "reasoning": output.reasoning,
            "finish_reason": output.finish_reason,
            "thought_closed": output.thought_closed or None,
            "stopped": output.stopped,
            "prompt_tokens": output.prompt_tokens,
            "output_tokens": output.output_tokens,
            "latency": None if output.latency is None else round(output.latency, 4),
            "time": time.time(),
        }
        line = json.dumps({name: value for name, value in entry.items() if value is not None}) + "\n"
        try:
            with self._lock:
                file = self._files.get(request.task)
                if file is None or not file.there():
                    file = self._open(request.task)
                file.append(line.encode("ascii"))
        except OSError as error:
            raise self._unwritable(error) from None

    def forget(self) -> None:
        """Drop the looked-up outputs from memory (they are read again when needed)."""
        self._known.clear()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def _unwritable(self, error: OSError) -> JournalError:
        return JournalError(
            f"the journal {self.root} cannot be written ({error.strerror or error}): "
            "choose another folder with --journal-dir"
        )

    def _open(self, task: str) -> _Appended:
        if (gone := self._files.pop(task, None)) is not None:
            gone.close()
        folder = self._folder / task
        folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "manifest.json").exists():
            write_text(
                self._folder / "manifest.json",
                json.dumps(dict(self._fingerprint.facts), indent=2, sort_keys=True) + "\n",
            )
        file = self._files[task] = _Appended(folder / self._name)
        return file


class _Appended:
    """A file that lines are added to, each whole or not at all. Unbuffered: what is written survives the process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._size = os.fstat(self._descriptor).st_size

    def there(self) -> bool:
        """Whether the file still has a name: what is added to one that was removed is lost."""
        return os.fstat(self._descriptor).st_nlink > 0

    def append(self, line: bytes) -> None:
        """Add a line; raises ``OSError`` and takes back what was written of it."""
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a network file system says here what it could not write
            os.close(self._descriptor)


def _load(folder: Path, passed_over: list[str]) -> dict[str, Output]:
    """All complete entries of a task, the newest of each key; what cannot be read is added to ``passed_over``."""
    newest: dict[str, float] = {}
    outputs: dict[str, Output] = {}
    for entry in _entries(folder, passed_over):
        key, written = entry["key"], entry.get("time") or 0.0
        if written >= newest.get(key, -math.inf):
            newest[key] = written
            outputs[key] = Output(
                text=entry["output"],
                reasoning=entry.get("reasoning"),
                finish_reason=_finish_reason(entry.get("finish_reason")),
                prompt_tokens=entry.get("prompt_tokens"),
                output_tokens=entry.get("output_tokens"),
                latency=entry.get("latency"),
                thought_closed=bool(entry.get("thought_closed")),
                stopped=stopped(entry.get("stopped")),
            )
    return outputs


def _entries(folder: Path, passed_over: list[str]) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        try:
            for number, line in files.read_lines(path):
                if not line.endswith(b"\n"):
                    break  # torn by a kill: the output is asked for again
                try:
                    entry = files.parse_json(line)
                    if wrong := misfit(entry, _Entry):
                        raise ValueError(wrong.strip())
                except ValueError as error:
                    passed_over.append(f"{folder.name}/{path.name}, line {number}: {error}")
                else:
                    yield entry
        except (OSError, ValueError) as error:
            passed_over.append(f"{folder.name}/{path.name}: {getattr(error, 'strerror', None) or error}")


class _Entry(TypedDict):
    """What ``put`` writes, as far as it is read."""

    key: str
    output: str
    time: NotRequired[float | None]
    reasoning: NotRequired[str | None]
    finish_reason: NotRequired[str | None]
    prompt_tokens: NotRequired[int | None]
    output_tokens: NotRequired[int | None]
    latency: NotRequired[float | None]


def _finish_reason(name: str | None) -> FinishReason:
    return next((reason for reason in get_args(FinishReason) if reason == name), "unknown")
