"""The records of ``--preset tour``: four of each task that has records, written for it, beside this module."""

from __future__ import annotations

import hashlib
from pathlib import Path

#: In the form of ``--data-dir``.
FOLDER = Path(__file__).parent / "tour"
RECORDS = 4


def is_tour(folder: Path | None) -> bool:
    """Whether a task is read from the tour's records, which no pin knows."""
    return folder == FOLDER


def digest(source: str) -> str:
    """What stands for the pins of a file of the tour, so that no true run is compared with it."""
    return "tour-" + hashlib.sha256((FOLDER / source).read_bytes()).hexdigest()[:27]
