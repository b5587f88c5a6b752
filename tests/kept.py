"""Results that are kept whole: what a function gives for its cases, one case a line of a JSON Lines file.

A test that asks for one field of a result sees nothing of the others. Here all of it counts. What is kept was read
when it was taken in; a change of it is a change of behaviour that has to be meant: `KEPT=write` writes what is given
now, and the difference of the file is what to read. A new case is a new line without a result: ``["name", [...]]``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """A result as JSON has it: records and tuples as what they hold, bytes and fractions as text, sets in order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else json.dumps(plain(key)): plain(part) for key, part in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > 1_000:  # as long as a page
            return hashlib.sha256(f"{value.numerator:x}/{value.denominator:x}".encode()).hexdigest()
        return f"{value.numerator}/{value.denominator}"
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else str(value)
    return [plain(part) for part in value]


def same(found: Any, kept: Any) -> bool:
    """Equal but for the last digits of a float, which another release of a library may give otherwise."""
    if isinstance(found, float) and isinstance(kept, int | float) and not isinstance(kept, bool):
        return math.isclose(found, kept, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(found, dict) and isinstance(kept, dict):
        return list(found) == list(kept) and all(same(found[name], kept[name]) for name in found)
    if isinstance(found, list) and isinstance(kept, list):
        return len(found) == len(kept) and all(map(same, found, kept))
    return type(found) is type(kept) and bool(found == kept)


def names(path: Path) -> list[str]:
    """The functions that a file has cases of."""
    return list(dict.fromkeys(json.loads(line)[0] for line in path.read_text(encoding="utf-8").splitlines()))


def differences(path: Path, functions: Mapping[str, Callable[..., Any]], name: str) -> list[str]:
    """The cases of ``name`` in which its function gives something else than what is kept; none where all is well."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [(line, plain(functions[name](*line[1]))) for line in lines if line[0] == name]
    if os.environ.get("KEPT") == "write":
        fresh = iter(found)
        write(path, [[*line[:2], next(fresh)[1]] if line[0] == name else line for line in lines])
        return []
    return [
        f"{line[0]}{line[1]!r} gives {now!r}, not {line[2:]!r}"
        for line, now in found
        if len(line) < 3 or not same(now, line[2])
    ]


def write(path: Path, lines: Sequence[Sequence[Any]]) -> None:
    """Write a file of cases."""
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
