"""SHA-256 of model files, remembered by size and modification time, so that a second start takes milliseconds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pytest_thinkslm.models.cache import cache_folder, write_atomically

#: Real path -> [size in bytes, modification time in nanoseconds, SHA-256 in hex].
_Memory = dict[str, tuple[int, int, str]]


def folder_hashes(folder: Path) -> Mapping[str, str]:
    """SHA-256 (hex) of every file below ``folder``, keyed by its relative path; hidden files are left out.

    Symbolic links are followed (a hub snapshot is made of them). A file is read again only when its real
    path, size or modification time changed.
    """
    files = sorted(path for path in _walk(folder) if path.is_file())
    return dict(zip((path.relative_to(folder).as_posix() for path in files), _hashes(folder, files), strict=True))


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of one file, remembered as in ``folder_hashes``."""
    return _hashes(path, [path])[0]


def _walk(folder: Path) -> Iterable[Path]:
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _hashes(key: Path, files: list[Path]) -> list[str]:
    memory_file = cache_folder("hashes") / f"{hashlib.sha256(os.fsencode(os.path.realpath(key))).hexdigest()[:32]}.json"
    memory = _read(memory_file)

    def look_up(path: Path) -> tuple[str, tuple[int, int, str]]:
        real = os.path.realpath(path)
        stat = os.stat(real)
        known = memory.get(real)
        if known is not None and known[:2] == (stat.st_size, stat.st_mtime_ns):
            return real, known
        with open(real, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return real, (stat.st_size, stat.st_mtime_ns, digest)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # hashing releases the GIL
        found = list(pool.map(look_up, files))
    fresh: _Memory = dict(found)
    if fresh != memory:
        write_atomically(memory_file, json.dumps(fresh, indent=0, sort_keys=True))
    return [entry[2] for _, entry in found]


def _read(path: Path) -> _Memory:
    """The remembered hashes; a missing or damaged file means that everything is hashed again."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return {str(real): (int(size), int(when), str(digest)) for real, (size, when, digest) in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
