"""A lock between processes that says why one waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_EVERY = 10.0


@contextmanager
def held(path: Path, progress: Callable[[str], None], waiting: str) -> Iterator[None]:
    """Hold the lock file; while another process has it, say ``waiting`` and for how long every ten seconds."""
    import filelock

    lock = filelock.FileLock(path)
    begun = time.monotonic()
    seconds = 0.5
    while True:
        try:
            lock.acquire(timeout=seconds)
            break
        except filelock.Timeout:
            waited = time.monotonic() - begun
            progress(waiting if waited < _EVERY else f"{waiting}, {waited:.0f} s")
            seconds = _EVERY
    try:
        yield
    finally:
        lock.release()


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock file."""
    import filelock

    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    lock.release()
    return True
