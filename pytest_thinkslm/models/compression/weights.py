"""The matrices of a checkpoint, from its safetensors files alone: sizes, columns, zeros. Imports no torch."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.errors import ModelError

#: Not compressed: tables of tokens and positions, the output layer, routers of experts.
_LEFT_ALONE = re.compile(r"lm_head|embed|wte\b|wpe\b|output_layer|router|gate\.weight$|norm|(^|\.)ln_")
#: What reading a file that is none can raise.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error, MemoryError, OverflowError)
#: A float is zero when all its bits but the sign are.
_UNSIGNED = {"F64": "<u8", "F32": "<u4", "BF16": "<u2", "F16": "<u2"}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A tensor of a checkpoint: where it lies in ``file``, in bytes; ``dtype`` as safetensors calls it."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        return self.shape[-1]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Zeros among weights: their share, and the share of groups of four in a row that have at least two."""

    zeros: float
    two_of_four: float


def tensors(folder: Path) -> Sequence[Matrix]:
    """Every tensor of a checkpoint folder. Raises ModelError for a damaged file."""
    return [one for file in sorted(folder.glob("*.safetensors")) for one in _header(file)]


def linear(folder: Path) -> Sequence[Matrix]:
    """The weights of the linear layers that compression is for: no embeddings, no output layer."""
    return [
        one
        for one in tensors(folder)
        if one.name.endswith(".weight") and len(one.shape) == 2 and not _LEFT_ALONE.search(one.name)
    ]


def sparsity(matrices: Iterable[Matrix]) -> Sparsity:
    """Count the zeros of dense floating-point matrices; -0.0 is a zero. (0, 0) where there are none."""
    import numpy

    zeros = groups = pairs = count = 0
    for one in matrices:
        kind = _UNSIGNED.get(one.dtype)
        if kind is None:
            continue
        bits = numpy.memmap(one.file, dtype=kind, mode="r", offset=one.begin, shape=(one.size,))
        sign = bits.dtype.type(1 << (8 * bits.itemsize - 1))
        empty = (bits | sign) == sign
        zeros += int(empty.sum())
        count += one.size
        if one.columns % 4 == 0:  # otherwise a group of four would reach over the end of a row
            fours = empty.reshape(-1, 4).sum(axis=1)
            groups += fours.size
            pairs += int((fours >= 2).sum())
    return Sparsity(zeros / count if count else 0.0, pairs / groups if groups else 0.0)


def stored_bytes(matrices: Iterable[Matrix]) -> int:
    """Bytes that the matrices take in their files."""
    return sum(one.end - one.begin for one in matrices)


def _header(file: Path) -> list[Matrix]:
    """The header of a safetensors file: its length in 8 bytes, then JSON; offsets count from its end."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            entries: Mapping[str, Any] = json.loads(stream.read(length))
        return [
            Matrix(
                name,
                file,
                str(entry["dtype"]),
                tuple(entry["shape"]),
                8 + length + entry["data_offsets"][0],
                8 + length + entry["data_offsets"][1],
            )
            for name, entry in entries.items()
            if name != "__metadata__"
        ]
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
        MemoryError,
        OverflowError,
    ) as problem:
        raise ModelError(
            f"{file} is no safetensors file ({type(problem).__name__}); get the checkpoint again"
        ) from None
