"""The file in a compressed checkpoint that says how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_thinkslm.core.errors import ModelError

FILE = "thinkslm_compression.json"


@dataclass(frozen=True, slots=True)
class Marker:
    """How a checkpoint was compressed; the same for the same weights (no times, no paths).

    Attributes:
        scheme: key of ``SCHEMES``.
        method: the algorithm: ``gptq``, ``round-to-nearest``, ``sparsegpt``.
        seed: of the choice of calibration samples.
        group_size: weights that share a scale, None where a channel does.
        sparsity: share of zeros in the layers that were to be compressed, counted in the weights.
        pattern: share of their groups of four weights with at least two zeros.
        calibration: source, samples, tokens and SHA-256 of the texts; None where none is needed.
        source: identity of the uncompressed checkpoint.
        recipe: llm-compressor's modifiers.
        versions: of the packages that did it.
    """

    scheme: str
    method: str
    seed: int
    group_size: int | None
    sparsity: float
    pattern: float
    calibration: Mapping[str, object] | None
    source: Mapping[str, object]
    recipe: object
    versions: Mapping[str, str]


def write(folder: Path, marker: Marker) -> None:
    """Write the marker into a checkpoint folder."""
    (folder / FILE).write_text(json.dumps(asdict(marker), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read(folder: Path) -> Marker | None:
    """The marker of a folder; None where there is none. Raises ModelError for a damaged one."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return Marker(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise ModelError(f"{path} is damaged ({problem}); delete it, or compress the model again") from problem
