"""Files: read where they are what they should be, written whole or not at all.

Every file that a command reads comes through ``open_file``: what is no regular file (a folder, a pipe that would hang,
a device) is an ``OSError`` with its reason, and what is in it a ``ValueError`` that says what is wrong and where.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pytest_thinkslm.core.redaction import redacted

#: Most bytes of a file that is read whole, and of one line of a file that is read line by line.
WHOLE, LINE = 256 << 20, 64 << 20

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a named pipe"),
    (stat.S_ISSOCK, "it is a socket"),
)


def expanded(path: str | Path) -> Path:
    """A path as it is typed, with the home folder in place of a ``~``; of a user that there is not it stays."""
    return Path(os.path.expanduser(path))


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises ``OSError``, for one of another kind, too; never waits for a pipe."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "it is a device")
        raise OSError(errno.EINVAL, kind, str(path))
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises ``OSError``, and ``ValueError`` where it is too large to be read whole."""
    with open_file(path) as file:
        content = file.read(WHOLE + 1)
    if len(content) > WHOLE:
        raise ValueError(f"it has more than {WHOLE >> 20} MiB")
    return content


def read_text(path: Path) -> str:
    """A UTF-8 file's text, without a byte order mark. Raises as ``read_bytes``; ``ValueError`` names the line."""
    return _decoded(read_bytes(path))


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, each with its number from 1 and with its end.

    Raises ``OSError``, and ``ValueError`` for a line that is too long to be one.
    """
    with open_file(path) as file:
        number = 0
        while line := file.readline(LINE):
            number += 1
            if len(line) == LINE:
                raise ValueError(f"line {number} has more than {LINE >> 20} MiB")
            yield number, line


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises ``OSError``, and ``ValueError`` that says what is wrong and in which line."""
    return parse_json(read_bytes(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file. Raises likewise."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_json(content: str | bytes) -> Any:
    """The value of a JSON text; NaN and Infinity are none. Raises ``ValueError`` that says what is wrong and where."""
    text = content if isinstance(content, str) else _decoded(content)
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise ValueError(f"{error.msg} at {place}") from None


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is no UTF-8 text") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, without known secrets: readers see the old file or the new one. Raises ``OSError``."""
    write_file(
        path, lambda draft: draft.write_text(redacted(text), encoding="utf-8", newline="", errors="backslashreplace")
    )


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in ASCII, likewise."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def check_place(path: Path) -> None:
    """Raise ``OSError`` where a file would take the place of a folder, a pipe or a device, as root may."""
    if not path.name or (path.exists() and not path.is_file()):
        mode = os.stat(path).st_mode
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "it is a device")
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, kind, str(path))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` make a file beside the path and put it in its place; after an error nothing is left of it."""
    check_place(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        write(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
