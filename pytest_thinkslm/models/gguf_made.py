"""GGUF files that are made here, each once and kept in the cache under the content that it was made of."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models.cache import cache_folder


def made_once(
    name: str,
    content: str,
    kind: str,
    asked: str,
    doing: str,
    write: Callable[[Path], None],
    progress: Callable[[str], None],
) -> Path:
    """The file that ``write`` makes of this content (SHA-256 in hex), from the cache where it is there.

    ``kind`` says what is made, and by which recipe; ``asked`` who asked for it, where the package is missing; ``doing``
    what begins.

    Raises:
        ModelError: the package ``gguf`` is not installed, or what ``write`` raises.
    """
    import filelock

    target = cache_folder("gguf") / f"{Path(name).name}-{content[:12]}-{kind}.gguf"
    if target.is_file():  # renamed into place when complete
        return target
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{asked} by the package gguf: pip install 'pytest-thinkslm[llamacpp]'")
    with filelock.FileLock(target.with_suffix(".lock")):
        if not target.is_file():
            progress(f"{doing} (once)")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="make-") as folder:
                made = Path(folder) / "made.gguf"
                write(made)
                os.replace(made, target)
            progress(f"made {target}")
    return target
