"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from pytest_thinkslm.core.redaction import redacted


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, without known secrets: readers see the old file or the new one. Raises ``OSError``."""
    write_file(
        path, lambda draft: draft.write_text(redacted(text), encoding="utf-8", newline="", errors="backslashreplace")
    )


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in ASCII, likewise."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` make a file beside the path and put it in its place; after an error nothing is left of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        write(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
