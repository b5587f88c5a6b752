"""Where fetched and derived files are kept, and how they get there whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.core.files import expanded


def cache_root() -> Path:
    """``$THINKSLM_CACHE``, else ``$XDG_CACHE_HOME/thinkslm``, else ``~/.cache/thinkslm`` (not created).

    Raises ModelError where the user of this process has no home folder (a container's user without a name).
    """
    own = os.environ.get("THINKSLM_CACHE")
    if own:
        return expanded(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    caches = Path(shared) if shared else expanded("~/.cache")
    if caches.parts[:1] == ("~",):
        raise ModelError("there is no home folder to keep a cache in: set THINKSLM_CACHE to a writable folder")
    return caches / "thinkslm"


def cache_folder(name: str) -> Path:
    """A folder of the cache, created; ModelError where that is impossible."""
    folder = cache_root() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ModelError(
            f"cannot write the cache folder {folder}: {problem.strerror}; set THINKSLM_CACHE to a writable folder"
        ) from problem
    return folder


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file so that a reader sees the old content or the new, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
