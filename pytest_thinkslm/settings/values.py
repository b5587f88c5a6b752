"""Values of options, from the command line or an ini file, as Python values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Option values by the option's name without dashes in front, as pytest and the ini file have them; None: not given.
RawOptions = Mapping[str, Any]


def split_list(value: object) -> tuple[str, ...]:
    """Comma-separated and repeated values as one tuple, blanks and empty entries dropped."""
    parts = [value] if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]
    return tuple(piece.strip() for part in parts for piece in str(part).split(",") if piece.strip())


def resolve_path(value: object) -> Path | None:
    """A path option's value, absolute."""
    return Path(str(value)).expanduser().absolute() if value else None
