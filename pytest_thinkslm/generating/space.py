"""Room on the disks: what a run is going to write, held against what is free, before anything is generated."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Request

#: Of the limit of new tokens what an output takes by rule, and the bytes of a token as JSON. A limit is set so that
#: nearly no output reaches it; the median is about a quarter of it.
_SHARE, _BYTES = 0.25, 4

#: Bytes of an entry of the journal, and of a line of items.jsonl, beside their texts.
_ENTRY, _LINE = 400, 900

#: A report has each line twice while it is being put in order, and once more, compressed, in its page.
_COPIES = 2.3

#: Bytes of the files that do not grow with the items.
_FIXED = 1 << 20


def journal_bytes(requests: Iterable[Request]) -> int:
    """What the journal of these requests takes, about."""
    return sum(_ENTRY + _output(request) for request in requests)


def report_bytes(groups: Iterable[tuple[Request, int]]) -> int:
    """What the report takes, about; of each group one request stands for all.

    Args:
        groups: a request, and how many there are like it.
    """
    lines = sum((_LINE + _output(request) + _prompt(request)) * count for request, count in groups)
    return _FIXED + int(lines * _COPIES)


def check_space(needs: Mapping[Path, int]) -> None:
    """See that the file systems have room. Folders on one file system share it.

    Raises:
        UsageError: one has less than what is needed; says how much.
    """
    wanted: dict[int, list[Path]] = {}
    for folder in needs:
        there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), None)
        if there is not None:
            wanted.setdefault(there.stat().st_dev, []).append(folder)
    for folders in wanted.values():
        need = sum(needs[folder] for folder in folders)
        there = next(place for place in (folders[0], *folders[0].absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free
        if free < need:
            raise UsageError(
                f"{' and '.join(map(str, folders))}: this run is going to write about {_size(need)} there, and "
                f"{_size(free)} are free: make room, or choose another place with --report-dir and --journal-dir"
            )


def _output(request: Request) -> int:
    return int(request.sampling.max_tokens * _SHARE * _BYTES)


def _prompt(request: Request) -> int:
    return sum(len(message.content) for message in request.messages)


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
