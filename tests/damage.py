"""Damage to files, drawn from a seed: bytes of any file, values and keys of JSON, cells of CSV, and what is no file."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: What takes the place of a value.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3.5, -0.5, 10**30, 1e308, "", "x", "0", "correct", "m", "\ud800", "\x1b[31m\u202e"),
    *("nan", [], {}, [1], ["a"], [None], [[]], {"a": 1}, {"": None}, [{}], "9" * 400),
)

#: Texts that take the place of a whole file or line.
TEXTS = (
    *(
        b"",
        b"\n",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe{",
        b"\x00",
    ),
    *(b'{"schema_version": 2}', b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b"\xef\xbb\xbf{}", b"\xc3("),
)


def damage(path: Path, draw: random.Random, *, kinds: bool = True) -> str:
    """Damage one file in one way, which may be that it is a file no more (``kinds``); says how."""
    ways = _WAYS_JSON if path.suffix in (".json", ".jsonl") else _WAYS
    name, way = draw.choice(ways if kinds else ways[1:])
    way(path, draw)
    return f"{path.name}: {name}"


def _no_file(path: Path, draw: random.Random) -> None:
    path.unlink()
    kind = draw.randrange(5)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.symlink_to(path.with_name("nowhere"))
    elif kind == 3:
        path.symlink_to("/dev/zero")


def _whole(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.choice(TEXTS))


def _bytes(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 3, 20))):
        place = draw.randrange(len(content))
        match draw.randrange(3):
            case 0:
                content[place] = draw.randrange(256)
            case 1:
                del content[place : place + draw.choice((1, 5, 100))]
            case _:
                content[place:place] = draw.randbytes(3)
        if not content:
            break
    path.write_bytes(content)


def _cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def _lines(path: Path, draw: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    place = draw.randrange(len(lines))
    match draw.randrange(4):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, lines[draw.randrange(len(lines))])
        case 2:
            lines[place] = draw.choice(TEXTS) + b"\n"
        case _:
            draw.shuffle(lines)
    path.write_bytes(b"".join(lines))


def _values(path: Path, draw: random.Random) -> None:
    """Replace, remove or add values, once or a few times; in the same way in every line, now and then."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    values = [json.loads(line) for line in lines]
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        seed, which = draw.random(), draw.choice((draw.randrange(len(values)), None))
        for place, value in enumerate(values):
            if which in (place, None):
                values[place] = _changed(value, random.Random(seed))
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def _changed(value: Any, draw: random.Random) -> Any:
    places: list[tuple[Any, Any]] = []
    _walk(value, places)
    if not places:
        return copy.deepcopy(draw.choice(VALUES))
    within, key = draw.choice(places)
    match draw.randrange(4):
        case 0:
            del within[key]
        case 1 if isinstance(within, dict):
            within[draw.choice(("", "x", "model", "void"))] = copy.deepcopy(within[key])
        case 1:
            within.append(copy.deepcopy(within[key]))
        case _:
            within[key] = copy.deepcopy(draw.choice(VALUES))
    return value


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        places.append((value, key))
        _walk(part, places)


Way = Callable[[Path, random.Random], None]
_WAYS: tuple[tuple[str, Way], ...] = (
    *(("no file", _no_file), ("another text", _whole), ("bytes", _bytes), ("cut", _cut), ("lines", _lines)),
)
_WAYS_JSON = (*_WAYS, *([("values", _values)] * 12))
