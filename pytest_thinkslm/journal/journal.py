"""The journal: every output is kept the moment the engine finishes it, keyed by content.

Layout: ``<root>/<engine fingerprint>/<task>/<host>-<pid>-<random>.jsonl`` and a ``manifest.json`` that says
what the fingerprint stands for. Append-only JSON lines, flushed one by one; one file a process and task,
so no locks are needed, on network file systems neither. A torn last line is ignored; the newest entry of
a key wins.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, get_args

from pytest_thinkslm.core.errors import ThinkSLMError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import FinishReason, Output, Request, Sampling


def entry_key(request: Request) -> str:
    """The content key of a request: SHA-256 over messages, every sampling parameter, repeat, thinking and prefix."""
    sampling = request.sampling
    content = [
        [[message.role, message.content] for message in request.messages],
        [sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed],
        request.repeat,
        request.thinking,
        # Absent from the keys of journals that know of none.
        *([request.prefix] if request.prefix else []),
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
    """

    def __init__(self, root: Path, fingerprint: Fingerprint, *, read: bool = True) -> None:
        self._folder = root / fingerprint.digest
        self._fingerprint = fingerprint
        self._read = read
        self._known: dict[str, dict[str, Output]] = {}
        self._files: dict[str, TextIO] = {}
        self._lock = threading.Lock()
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"

    def get(self, request: Request, key: str) -> Output | None:
        """The kept output for this request, or None."""
        if not self._read:
            return None
        known = self._known.get(request.task)
        if known is None:
            known = self._known[request.task] = _load(self._folder / request.task)
        return known.get(key)

    def put(self, request: Request, key: str, output: Output) -> None:
        """Append one finished output and flush it. Thread-safe."""
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
        with self._lock:
            file = self._files.get(request.task) or self._open(request.task)
            file.write(line)
            file.flush()

    def forget(self) -> None:
        """Drop the looked-up outputs from memory (they are read again when needed)."""
        self._known.clear()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def _open(self, task: str) -> TextIO:
        folder = self._folder / task
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_manifest()
            file = (folder / self._name).open("a", encoding="utf-8")
        except OSError as error:
            raise ThinkSLMError(
                f"the journal {folder} cannot be written ({error.strerror or error}): "
                "choose another folder with --journal-dir"
            ) from None
        self._files[task] = file
        return file

    def _write_manifest(self) -> None:
        target = self._folder / "manifest.json"
        if not target.exists():
            draft = self._folder / f".manifest-{self._name}"
            draft.write_text(
                json.dumps(dict(self._fingerprint.facts), indent=2, sort_keys=True) + "\n", encoding="utf-8"
            )
            draft.replace(target)


def _load(folder: Path) -> dict[str, Output]:
    """All complete entries of a task's files, the newest of each key."""
    newest: dict[str, float] = {}
    outputs: dict[str, Output] = {}
    for entry in _entries(folder):
        key, written = entry["key"], entry.get("time") or 0.0
        if written >= newest.get(key, -1.0):
            newest[key] = written
            outputs[key] = Output(
                text=entry["output"],
                reasoning=entry.get("reasoning"),
                finish_reason=_finish_reason(entry.get("finish_reason")),
                prompt_tokens=entry.get("prompt_tokens"),
                output_tokens=entry.get("output_tokens"),
                latency=entry.get("latency"),
                thought_closed=bool(entry.get("thought_closed")),
                stopped="loop" if entry.get("stopped") == "loop" else None,
            )
    return outputs


def _entries(folder: Path) -> Iterator[dict[str, Any]]:
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn by a kill: the output is asked for again
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # a line that a crash of the file system left behind
                if isinstance(entry, dict) and _is_entry(entry):
                    yield entry


def _finish_reason(name: str | None) -> FinishReason:
    return next((reason for reason in get_args(FinishReason) if reason == name), "unknown")


#: JSON types of an entry's fields, where they are there.
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "time": (int, float),
    "reasoning": str,
    "finish_reason": str,
    "prompt_tokens": int,
    "output_tokens": int,
    "latency": (int, float),
}


def _is_entry(entry: dict[str, Any]) -> bool:
    """Whether a line is one that ``put`` writes: what is not is asked for again."""
    if not (isinstance(entry.get("key"), str) and isinstance(entry.get("output"), str)):
        return False
    return all(isinstance(entry[name], kind) for name, kind in _FIELDS.items() if entry.get(name) is not None)
