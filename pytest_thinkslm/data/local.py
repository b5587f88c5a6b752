"""Local data files: JSON lines, plain or gzip-compressed, with every way they can be wrong named."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.task import File, Task

SUFFIXES = (".jsonl", ".jsonl.gz")


def find_file(task: Task, data_dir: Path) -> tuple[File, Path] | None:
    """The task's file in a folder: the first of its names that is there, plain before compressed."""
    assert task.source is not None
    for file in task.source.files:
        for suffix in SUFFIXES:
            path = data_dir / f"{file.stem}{suffix}"
            if path.is_file():
                return file, path
    return None


def count_records(task: Task, path: Path) -> int | None:
    """Number of records of a local file: pinned where its byte size is (nothing is opened then), else counted.

    None for a file that cannot be read to its end: the error comes when its data is read.
    """
    header = pins.header(task.key)
    if header is not None and header.sizes.get(path.name) == path.stat().st_size:
        return header.records
    try:
        content = _content(path)
    except (OSError, EOFError, zlib.error):
        return None
    return sum(1 for line in content.split(b"\n") if line.strip())


class PinnedLines(Sequence[dict[str, object]]):
    """The records of a file whose content is the pinned one: each is parsed when it is looked at."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._starts = array("q", (line.start() for line in re.finditer(rb"[^\n]+", content)))

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> dict[str, object]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[dict[str, object]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, object] | Sequence[dict[str, object]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        start = self._starts[index]
        end = self._content.find(b"\n", start)
        record: dict[str, object] = json.loads(self._content[start : end if end >= 0 else None])
        return record


def read_jsonl(path: Path, asked_by: str) -> list[tuple[int, dict[str, object]]]:
    """The records of a file as ``(line number, record)``, from line 1.

    Raises ``DataError``, with ``asked_by`` in front, for a file that cannot be read, is empty, cut, or not JSON lines.
    """
    return parse_jsonl(content_of(path, asked_by), path, asked_by)


def content_of(path: Path, asked_by: str) -> bytes:
    """The bytes of a file, uncompressed. Raises ``DataError`` for one that cannot be read to its end."""
    try:
        return _content(path)
    except gzip.BadGzipFile as error:
        raise DataError(
            f"{asked_by}: {path} is not a gzip file ({error}); get it again, or rename it if it is plain"
        ) from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{asked_by}: {path} is cut or damaged ({error}); get it again") from error
    except OSError as error:
        raise DataError(f"{asked_by}: {path} cannot be read: {error.strerror or error}") from error


def parse_jsonl(content: bytes, path: Path, asked_by: str) -> list[tuple[int, dict[str, object]]]:
    """``read_jsonl`` of the content of ``path``."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")  # not splitlines: texts may hold U+2028
    last = len(lines)
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == last:
                raise DataError(
                    f"{asked_by}: {path} is cut: its last line, {number}, is half a record; get it again"
                ) from error
            raise DataError(f"{asked_by}: {path}, line {number} is not JSON ({error}); get the file again") from error
        if not isinstance(record, dict):
            raise DataError(f"{asked_by}: {path}, line {number} is a {type(record).__name__}, not a record of fields")
        records.append((number, record))
    if not records:
        raise DataError(f"{asked_by}: {path} is empty; get it again")
    return records


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content
