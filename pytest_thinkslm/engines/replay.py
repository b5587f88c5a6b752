"""The replay engine: recorded outputs from a JSONL file, made by this suite or by any other tool.

A line is ``{"task", "item", "style"?, "repeat"?, "model"?, "quant"?, "output", "finish_reason"?, "reasoning"?}``. A
line without style or repeat stands for any; lines without model belong to a model named like the file. A line with a
``custom_id`` is the result of a batch (``batch_files.py``).
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import EngineError, UsageError, nearest
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.finish import finish_reason
from pytest_thinkslm.core.identity import ItemRef, Variant
from pytest_thinkslm.core.records import Output, Request, stopped
from pytest_thinkslm.engines.batch_files import plain_entry

#: Variant, task, style, repeat (None where a line stands for any), and the changed form of the item.
_Group = tuple[int, str, str | None, int | None, str]


@dataclass(slots=True)
class ReplayFile:
    """Where each recorded output stands in the file; the outputs themselves stay on disk.

    ``problems`` are the lines that could not be used, each with its number. ``offsets`` has, by group, the place of
    each item's line, -1 where there is none: eight bytes an item, since a sweep of many models has millions of them.
    """

    path: Path
    variants: list[Variant] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    offsets: dict[_Group, array[int]] = field(default_factory=dict)
    clashes: dict[tuple[_Group, int], str] = field(default_factory=dict)

    def find(
        self, variant: int, task: str, item: int, style: str, repeat: int, stress: str = ""
    ) -> tuple[int | None, str]:
        """Offset of an item's line (None where there is none) and what is wrong with it."""
        for group in _groups(variant, task, style, repeat, stress):
            offset = _at(self.offsets.get(group), item)
            if offset >= 0:
                clash = self.clashes.get((group, item), "")
                return (None, clash) if clash else (offset, "")
        return None, f"{self.path.name} has no output for it"

    def has(self, variant: int, task: str, item: int, style: str, repeat: int, stress: str = "") -> bool:
        """Whether anything is recorded of an item, usable or not."""
        return any(_at(self.offsets.get(group), item) >= 0 for group in _groups(variant, task, style, repeat, stress))

    def items(self, variant: int, task: str) -> set[int]:
        """The items of a task of which anything is recorded, in any style and repeat."""
        of_task = (places for group, places in self.offsets.items() if group[:2] == (variant, task))
        return {item for places in of_task for item, offset in enumerate(places) if offset >= 0}


def read_replay_file(path: Path, item_counts: Callable[[str], int | None]) -> ReplayFile:
    """Index a file of recorded outputs.

    Args:
        path: the JSONL file.
        item_counts: number of items of a task, None where the task is unknown.

    Raises:
        UsageError: the file cannot be read or has no usable line.
    """
    from pytest_thinkslm.tasks.prompts import STYLES

    result = ReplayFile(path)
    variants: dict[tuple[str | None, str | None], int] = {}
    unnamed = path.name.split(".")[0] or "replay"
    tasks: dict[str, None] = {}
    starts = array("q")
    try:
        with files.open_file(path) as again:
            offset = 0
            for number, line in files.read_lines(path):
                starts.append(offset)
                start, offset = offset, offset + len(line)
                if line.isspace():
                    continue
                parsed = _parse(line, item_counts, STYLES)
                if isinstance(parsed, str):
                    result.problems.append(f"line {number}: {parsed}")
                    continue
                names, task, item, style, repeat, stress, output = parsed
                position = variants.get(names)
                if position is None:
                    variant = Variant(names[0] or unnamed, names[1] or "none")
                    if variant not in result.variants:
                        result.variants.append(variant)
                    position = variants[names] = result.variants.index(variant)
                group = (position, task, style, repeat, stress)
                offsets = result.offsets.setdefault(group, array("q"))
                if item >= len(offsets):
                    offsets.extend([-1] * (item + 1 - len(offsets)))
                first = offsets[item]
                if first >= 0:
                    earlier = bisect_left(starts, first) + 1
                    result.problems.append(f"line {number}: {task} {item:04d} is there twice (first in line {earlier})")
                    again.seek(first)
                    known = plain_entry(_loads(again.readline()))
                    if isinstance(known, str) or known["output"] != output:
                        result.clashes[group, item] = f"two different outputs, in lines {earlier} and {number}"
                    continue
                offsets[item] = start
                tasks[task] = None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--model {path}: the file of recorded outputs cannot be read ({why}); "
            "--engine replay takes a JSONL file with the fields task, item and output"
        ) from None
    if not result.offsets:
        hint = f"; {result.problems[0]}" if result.problems else ", it is empty"
        raise UsageError(f"--model {path}: no recorded output in it{hint}. Each line needs task, item and output")
    result.tasks = list(tasks)
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
        return RecordedFutures([self._place(request) for request in requests], self._read)

    def fingerprint(self) -> Fingerprint:
        """The file's name and size (replayed outputs are not journalled)."""
        return Fingerprint({"engine": "replay", "file": self._file.path.name, "bytes": self._file.path.stat().st_size})

    def measured(self) -> Mapping[str, object]:
        """Nothing is measured on replayed outputs."""
        return {}

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def _place(self, request: Request) -> tuple[int | None, str]:
        item = int(request.item)
        return self._file.find(self._variant, request.task, item, request.style, request.repeat, form_of(request))

    def _read(self, offset: int) -> Output:
        if self._latency:
            time.sleep(self._latency)
        self._handle.seek(offset)
        try:
            entry = plain_entry(_loads(self._handle.readline()))
        except (OSError, ValueError) as error:
            raise EngineError(f"{self._file.path.name} was changed while it was read ({error})") from None
        if isinstance(entry, str):  # such lines are in no index
            raise EngineError(f"{self._file.path.name} was changed while it was read ({entry})")
        if "error" in entry:
            raise EngineError(str(entry["error"]))
        reasoning = entry.get("reasoning")
        return Output(
            text=str(entry["output"]),
            reasoning=reasoning if isinstance(reasoning, str) else None,
            finish_reason=finish_reason(entry.get("finish_reason", "stop")),
            prompt_tokens=_count(entry.get("prompt_tokens")),
            output_tokens=_count(entry.get("output_tokens")),
            stopped=stopped(entry.get("stopped")),
        )


def form_of(asked: Request | ItemRef) -> str:
    """As what an output is recorded beside the item's own: a changed form of it, a further run, a forced answer."""
    if isinstance(asked, Request) and asked.budget:
        return f"budget-{asked.budget}"
    return asked.stress or (f"noise-{asked.noise}" if asked.noise else "")


def _groups(variant: int, task: str, style: str, repeat: int, stress: str) -> Iterator[_Group]:
    """The groups that an item's output may stand in, the closest first."""
    return ((variant, task, own, each, stress) for own in (style, None) for each in (repeat, None))


def _at(places: array[int] | None, item: int) -> int:
    return -1 if places is None or item >= len(places) else places[item]


class RecordedFutures(Sequence["Future[Output]"]):
    """The outputs of requests, each read from the file when it is looked at; ``output`` needs no future for that."""

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
        future: Future[Output] = Future()
        try:
            future.set_result(self.output(index))
        except EngineError as error:
            future.set_exception(error)
        return future

    def output(self, index: int) -> Output:
        """One output, read now. Raises ``EngineError``."""
        offset, problem = self._places[index]
        if offset is None:
            raise EngineError(problem)
        return self._read(offset)


def _loads(line: bytes) -> Any:
    """A line's JSON; its encoding is only guessed where it does not begin as UTF-8 does."""
    if line.startswith(b"{"):
        return files.parse_json(line.decode("utf-8", "surrogatepass"))
    try:
        return json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _parse(
    line: bytes, item_counts: Callable[[str], int | None], styles: Sequence[str]
) -> str | tuple[tuple[str | None, str | None], str, int, str | None, int | None, str, str]:
    """Model and quant, the other parts of the key and the output of one line, or what is wrong with it."""
    try:
        entry = _loads(line)
    except ValueError as error:
        return f"not JSON ({error})"
    if not isinstance(entry, dict):
        return "not a JSON object"
    entry = plain_entry(entry)
    if isinstance(entry, str):
        return entry
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
    style, model, quant, stress = (entry.get(name) for name in ("style", "model", "quant", "stress"))
    for name, value in (("style", style), ("model", model), ("quant", quant), ("stress", stress)):
        if value is not None and not isinstance(value, str):
            return f"{name!r} is no text"
    for name, counted in (("noise", "further runs are counted from 1"), ("budget", "it is a number of tokens")):
        number = entry.get(name)
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            return f"{name!r} is {number!r}: {counted}"
        stress = stress or (f"{name}-{number}" if number else "")
    if style is not None and style not in styles:
        return f"unknown style {style!r}: {nearest(style, styles)}"
    return (model, quant), sys.intern(task), item, style, repeat, sys.intern(stress or ""), output
