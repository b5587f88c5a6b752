"""The safetensors files of a checkpoint, read from their headers alone: which tensors, how large, whether whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import ModelError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
#: A header is JSON of some hundred bytes a tensor; safetensors itself refuses longer ones.
_LONGEST_HEADER = 100_000_000
#: How a Git LFS pointer begins, and the size in bytes that it never reaches.
_POINTER, _POINTER_SIZE = b"version https://git-lfs", 1024


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as its file's header has it. ``bytes`` is its stored size."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


#: What an entry of a header raises that is none.
_DAMAGE = (ValueError, LookupError, TypeError, ArithmeticError)


def weight_files(folder: Path) -> list[Path]:
    """The files that loaders read: those of the index where there is one (some folders carry a second copy)."""
    shards = index_of(folder)
    if shards is not None:
        return [folder / name for name in sorted(set(shards.values()))]
    single = folder / SINGLE
    return [single] if single.is_file() else sorted(folder.glob("*.safetensors"))


def index_of(folder: Path) -> Mapping[str, str] | None:
    """Tensor -> file, from the index; None without one. Raises ModelError for one that is damaged."""
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        shards = files.read_json(path)["weight_map"]
        return {str(name): str(file) for name, file in shards.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ModelError(f"cannot read {path}: {type(problem).__name__}: {problem}") from problem


def tensors(file: Path) -> Mapping[str, Tensor]:
    """Name -> tensor of one file. Raises ModelError for a file that is no safetensors file."""
    _, header = _header(file)
    try:
        return {
            name: Tensor(
                str(entry["dtype"]),
                tuple(int(extent) for extent in entry["shape"]),
                int(entry["data_offsets"][1]) - int(entry["data_offsets"][0]),
            )
            for name, entry in header.items()
        }
    except _DAMAGE as problem:
        raise ModelError(f"cannot read the header of {file}: {problem!r}") from problem


def check_whole(file: Path) -> None:
    """Raises ModelError for a file that ends before the tensors that its header names (a fetch that was cut off)."""
    begin, header = _header(file)
    try:
        end = begin + max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except _DAMAGE as problem:
        raise ModelError(f"cannot read the header of {file}: {problem!r}; fetch the file again") from problem
    if file.stat().st_size < end:
        raise ModelError(
            f"{file} is cut short: it has {file.stat().st_size} of the {end} bytes that its header tells; fetch it "
            "again"
        )


def _header(file: Path) -> tuple[int, Mapping[str, Any]]:
    """Where the tensors' bytes begin, and the entries: a file begins with the length of its JSON header."""
    try:
        with files.open_file(file) as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > min(_LONGEST_HEADER, file.stat().st_size):
                raise ValueError("it is no safetensors file, or a damaged one")
            header = json.loads(stream.read(length))
        return 8 + length, {name: entry for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, AttributeError, RecursionError) as problem:
        raise ModelError(f"cannot read the header of {file}: {problem}; fetch the file again") from problem


def pointers(folder: Path) -> Iterator[Path]:
    """Files of a checkpoint folder that are Git LFS pointers: a few lines in place of the content."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.stat().st_size < _POINTER_SIZE:
            with files.open_file(path) as stream:
                if stream.read(len(_POINTER)) == _POINTER:
                    yield path
