"""What is to be made of what, and whether it can be: everything that is known before a process is started."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.schemes import SCHEMES, Scheme
from pytest_thinkslm.models import marker
from pytest_thinkslm.models.compression import weights
from pytest_thinkslm.models.compression.recipes import CompressionError, Recipe, group_size, recipe
from pytest_thinkslm.models.resolve import ResolvedModel

_GB = 1e9
#: Memory in bytes that Python, torch and llm-compressor take beside a model, calibrating (measured).
_BASE_MEMORY = 1.0 * _GB
#: Resident memory a byte of weights: the model itself, and layers in both forms while they are packed and saved.
_MEMORY_FACTOR = 1.5
#: The disk that is asked for, as a multiple of what is expected.
_DISK_FACTOR = 1.05


@dataclass(frozen=True, slots=True)
class Plan:
    """A compression that can be started.

    Attributes:
        source: the uncompressed checkpoint.
        scheme: key of ``SCHEMES``.
        recipe: how it is made.
        group: weights that share a scale; None where a channel does.
        layers: the weights that it is about.
        seed: of the choice of calibration samples.
    """

    source: ResolvedModel
    scheme: str
    recipe: Recipe
    group: int | None
    layers: Sequence[weights.Matrix]
    seed: int

    @property
    def label(self) -> str:
        """What messages begin with."""
        return f"compressing {self.source.display.partition(' (')[0]} to {self.scheme}"

    @property
    def facts(self) -> Scheme:
        """What the scheme stands for."""
        return SCHEMES[self.scheme]

    @property
    def out_bytes(self) -> float:
        """Expected size of the result: weights at their bits, a 16-bit scale a group, everything else as it was."""
        stored = weights.stored_bytes(self.layers)
        # Weights of fewer bits than their activations are stored in bytes.
        weight_bits = 8 if self.facts.weight_bits < self.facts.activation_bits < 16 else self.facts.weight_bits
        bits = weight_bits + (16 / self.group if self.group else 0)
        packed = sum(one.size for one in self.layers) * bits / 8
        return self.source.disk_bytes - stored + (packed if self.facts.weight_bits < 16 else stored)

    @property
    def memory_bytes(self) -> float:
        """Expected peak memory: the weights, and for calibration a matrix of columns squared a layer of one block."""
        blocks = max(1, len({match[0] for one in self.layers if (match := re.search(r"\.\d+\.", one.name))}))
        curvature = sum(one.columns**2 for one in self.layers) * 4 / blocks if self.recipe.calibrated else 0
        return _BASE_MEMORY + _MEMORY_FACTOR * self.source.disk_bytes + curvature


def planned(source: ResolvedModel, scheme: str, seed: int) -> Plan:
    """Check the request.

    Raises:
        UsageError: a scheme that is unknown or cannot be made.
        CompressionError: the model is compressed already, has nothing to compress, or no group size fits.
    """
    how = recipe(scheme)
    mark = marker.read(source.path)
    if source.quantization or mark is not None:
        method = mark.scheme if mark else str((source.quantization or {}).get("quant_method", "quantized"))
        raise CompressionError(
            f"{source.display} is compressed already ({method}), so it cannot be compressed to {scheme}; give the "
            "uncompressed checkpoint, or leave --quant out"
        )
    layers = weights.linear(source.path)
    if not layers:
        raise CompressionError(f"{source.display} has no linear layers that could be compressed to {scheme}")
    group = group_size(scheme, {one.name: one.columns for one in layers}, source.display)
    return Plan(source, scheme, how, group, layers, seed)


def check_room(plan: Plan, disk: Path) -> None:
    """Raises CompressionError, with figures, where disk or memory do not suffice."""
    from pytest_thinkslm.machine.memory import free_memory

    free, wanted = shutil.disk_usage(disk).free, plan.out_bytes * _DISK_FACTOR
    if free < wanted:
        raise CompressionError(
            f"{plan.label} needs about {wanted / _GB:.2f} GB on disk; {disk} has {free / _GB:.2f} GB free. Make room, "
            "or set THINKSLM_CACHE (with 'thinkslm compress': --out) to a folder on a larger disk"
        )
    memory = free_memory()
    if memory < plan.memory_bytes:
        raise CompressionError(
            f"{plan.label} needs about {plan.memory_bytes / _GB:.2f} GB of memory; {memory / _GB:.2f} GB are free. "
            "Compress it on a larger machine with 'thinkslm compress', and give the folder that it writes to --model"
        )
