"""Values of options, from the command line or an ini file, as Python values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.errors import UsageError

#: Option values by the option's name without dashes in front, as pytest and the ini file have them; None: not given.
RawOptions = Mapping[str, Any]


def split_list(value: object) -> tuple[str, ...]:
    """Comma-separated and repeated values as one tuple, blanks and empty entries dropped."""
    parts = [value] if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]
    return tuple(piece.strip() for part in parts for piece in str(part).split(",") if piece.strip())


def resolve_path(value: object, option: str) -> Path | None:
    """A path option's value, absolute; whether anything is there is for its user to see.

    Raises:
        UsageError: no path can be so (a user that there is not, too long, a loop of links).
    """
    return checked_path(str(value), option).absolute() if value else None


def checked_path(text: str, option: str) -> Path:
    """What stands for a path, or may, with ``~`` resolved where it begins with one.

    What is returned can be asked whether it exists: that raises for a name that is too long. Raises ``UsageError``.
    """
    try:
        path = Path(text).expanduser()
        path.absolute()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        shown = text if len(text) <= 80 else f"{text[:60]}...{text[-15:]}"
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UsageError(f"--{option} {shown}: no path can be so ({why})") from None
    return path
