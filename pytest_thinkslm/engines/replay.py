"""The replay engine: recorded outputs from a JSONL file, made by this suite or by any other tool.

A line is ``{"task", "item", "style"?, "repeat"?, "model"?, "quant"?, "output", "finish_reason"?}``. A line
without style or repeat stands for any; lines without model belong to a model named like the file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, overload

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import EngineError, UsageError, nearest
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.finish import finish_reason
from pytest_thinkslm.core.identity import Variant
from pytest_thinkslm.core.records import Output, Request

_Key = tuple[int, str, int, str | None, int | None]


@dataclass(slots=True)
class ReplayFile:
    """Where each recorded output stands in the file; the outputs themselves stay on disk.

    ``problems`` are the lines that could not be used, each with its number.
    """

    path: Path
    variants: list[Variant] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    offsets: dict[_Key, int] = field(default_factory=dict)
    clashes: dict[_Key, str] = field(default_factory=dict)

    def find(self, variant: int, request: Request) -> tuple[int | None, str]:
        """Offset of the line for a request (None where there is none) and what is wrong with it."""
        index = int(request.item)
        for style in (request.style, None):
            for repeat in (request.repeat, None):
                key = (variant, request.task, index, style, repeat)
                if key in self.clashes:
                    return None, self.clashes[key]
                if key in self.offsets:
                    return self.offsets[key], ""
        return None, f"{self.path.name} has no output for it"


def read_replay_file(path: Path, item_counts: Callable[[str], int | None]) -> ReplayFile:
    """Index a file of recorded outputs.

    Args:
        path: the JSONL file.
        item_counts: number of items of a task, None where the task is unknown.

    Raises:
        UsageError: the file cannot be read or has no usable line.
    """
    result = ReplayFile(path)
    variants: dict[Variant, int] = {}
    unnamed = Variant(path.name.split(".")[0] or "replay")
    first: dict[_Key, tuple[int, int]] = {}
    try:
        offset = 0
        for number, line in files.read_lines(path):
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            parsed = _parse(line, item_counts)
            if isinstance(parsed, str):
                result.problems.append(f"line {number}: {parsed}")
                continue
            model, quant, task, item, style, repeat, digest = parsed
            variant = Variant(model or unnamed.model, quant or "none")
            key = (variants.setdefault(variant, len(variants)), task, item, style, repeat)
            if key in result.offsets:
                result.problems.append(
                    f"line {number}: {task} {item:04d} is there twice (first in line {first[key][0]})"
                )
                if digest != first[key][1]:
                    result.clashes[key] = f"two different outputs, in lines {first[key][0]} and {number}"
                continue
            result.offsets[key], first[key] = start, (number, digest)
            if task not in result.tasks:
                result.tasks.append(task)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--model {path}: the file of recorded outputs cannot be read ({why}); "
            "--engine replay takes a JSONL file with the fields task, item and output"
        ) from None
    if not result.offsets:
        hint = f"; {result.problems[0]}" if result.problems else ", it is empty"
        raise UsageError(f"--model {path}: no recorded output in it{hint}. Each line needs task, item and output")
    result.variants = list(variants)
    return result


class ReplayEngine:
    """Hands out recorded outputs; a true engine, so that the whole suite runs in seconds.

    Args:
        file: the indexed file.
        variant: position of the variant in ``file.variants``.
        latency: simulated seconds an output, one after another (``--engine-args latency=0.01``).
    """

    def __init__(self, file: ReplayFile, variant: int, latency: float = 0.0) -> None:
        self._file = file
        self._variant = variant
        self._latency = latency
        self._handle = file.path.open("rb")

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Futures that are made when looked at, so that recorded texts stay on disk until then."""
        return _LazyFutures([self._file.find(self._variant, request) for request in requests], self._read)

    def fingerprint(self) -> Fingerprint:
        """The file's name and size (replayed outputs are not journalled)."""
        return Fingerprint({"engine": "replay", "file": self._file.path.name, "bytes": self._file.path.stat().st_size})

    def measured(self) -> Mapping[str, object]:
        """Nothing is measured on replayed outputs."""
        return {}

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def _read(self, offset: int) -> Output:
        if self._latency:
            time.sleep(self._latency)
        self._handle.seek(offset)
        try:
            entry = files.parse_json(self._handle.readline())
            text = entry["output"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{self._file.path.name} was changed while it was read ({error})") from None
        return Output(
            text=text,
            finish_reason=finish_reason(entry.get("finish_reason", "stop")),
            prompt_tokens=_count(entry.get("prompt_tokens")),
            output_tokens=_count(entry.get("output_tokens")),
            stopped="loop" if entry.get("stopped") == "loop" else None,
        )


class _LazyFutures(Sequence["Future[Output]"]):
    def __init__(self, places: list[tuple[int | None, str]], read: Callable[[int], Output]) -> None:
        self._places = places
        self._read = read

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Future[Output]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Future[Output]]: ...
    def __getitem__(self, index: int | slice) -> Future[Output] | Sequence[Future[Output]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        offset, problem = self._places[index]
        future: Future[Output] = Future()
        if offset is None:
            future.set_exception(EngineError(problem))
        else:
            try:
                future.set_result(self._read(offset))
            except EngineError as error:
                future.set_exception(error)
        return future


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _parse(
    line: bytes, item_counts: Callable[[str], int | None]
) -> str | tuple[str | None, str | None, str, int, str | None, int | None, int]:
    """The key parts of one line and a hash of its output, or what is wrong with it."""
    try:
        entry = files.parse_json(line)
    except ValueError as error:
        return f"not JSON ({error})"
    if not isinstance(entry, dict):
        return "not a JSON object"
    for name in ("task", "item", "output"):
        if name not in entry:
            return f"the field {name!r} is missing"
    task, output = entry["task"], entry["output"]
    if not isinstance(output, str):
        return "'output' is no text"
    count = item_counts(task) if isinstance(task, str) else None
    if count is None:
        return f"unknown task {task!r}"
    try:
        item = int(entry["item"]) if not isinstance(entry["item"], bool | float) else -1
    except (TypeError, ValueError):
        item = -1
    if not 0 <= item < count:
        return f"unknown item {entry['item']!r} of {task} (its items are 0 to {count - 1})"
    repeat = entry.get("repeat")
    if repeat is not None and (not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 1):
        return f"'repeat' is {repeat!r}: repeats are counted from 1"
    style, model, quant = entry.get("style"), entry.get("model"), entry.get("quant")
    for name, value in (("style", style), ("model", model), ("quant", quant)):
        if value is not None and not isinstance(value, str):
            return f"{name!r} is no text"
    from pytest_thinkslm.tasks.prompts import STYLES

    if style is not None and style not in STYLES:
        return f"unknown style {style!r}: {nearest(style, STYLES)}"
    return (
        cast("str | None", model),
        cast("str | None", quant),
        sys.intern(cast("str", task)),
        item,
        cast("str | None", style),
        repeat,
        hash(output),
    )
