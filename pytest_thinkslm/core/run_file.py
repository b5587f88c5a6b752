"""``results.json`` as a file: whether it is one, and of a version that is read here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_thinkslm.core import files
from pytest_thinkslm.core.text import safe_values

#: Raised with each change that makes older readers wrong.
SCHEMA_VERSION = 1


def read_results_file(path: Path) -> dict[str, Any]:
    """The content of ``results.json``, its texts safe to print.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, or of another version; says so with the file's name.
    """
    try:
        value = files.read_json(path)
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON ({error})") from None
    version = value.get("schema_version") if isinstance(value, dict) else None
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    if not isinstance(value, dict) or not (newer or {"settings", "results", "selection"} <= set(value)):
        raise ValueError(f"{path.name} is no results.json of this suite")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        shown = version if isinstance(version, int) else "of no number"
        raise ValueError(
            f"{path.name} has schema version {shown}, this version reads {SCHEMA_VERSION}; "
            + ("update pytest-thinkslm, or make the run again" if newer else "make the run again")
        )
    try:
        safe: dict[str, Any] = safe_values(value)
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None
    return safe
