"""What makes each scheme: llm-compressor's modifiers, as data for the job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_thinkslm.core.errors import ModelError, UsageError, nearest
from pytest_thinkslm.core.schemes import SCHEMES

#: Weights that share a scale, most wanted first: larger groups are smaller on disk and have more kernels.
GROUP_SIZES = (128, 64, 32)
#: Counts up when a scheme's recipe changes, so that an older compressed checkpoint is not taken for a newer one.
RECIPES = 1
#: Layers that stay as they are.
_IGNORED = ["re:.*lm_head", "re:.*router", "re:.*mlp.gate$", "re:.*block_sparse_moe.gate$"]


_Modifiers = Callable[[int | None], list[list[Any]]]


class CompressionError(ModelError):
    """A checkpoint cannot be compressed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a scheme is made.

    Attributes:
        method: the algorithm, as reports name it.
        title: what a progress line says.
        calibrated: whether it looks at activations, and so needs texts.
        grouped: whether weights share scales in groups, whose size has to divide the columns.
        modifiers: llm-compressor's modifiers, for a group size.
    """

    method: str
    title: str
    calibrated: bool
    grouped: bool
    modifiers: _Modifiers


def recipe(scheme: str) -> Recipe:
    """The recipe of a key of ``SCHEMES``. Raises UsageError: unknown, or not made on demand."""
    found = _RECIPES.get(scheme)
    if found is not None:
        return found
    if scheme in SCHEMES:
        why = (
            "there is nothing to do"
            if scheme == "none"
            else "it is not made on demand; name a checkpoint that has it (--model with a hub id or a local folder)"
        )
        raise UsageError(f"--quant {scheme} ({SCHEMES[scheme].title}): {why}. On demand: {', '.join(_RECIPES)}")
    raise UsageError(f"--quant {scheme!r} is unknown: {nearest(scheme, _RECIPES)}")


def on_demand() -> Sequence[str]:
    """Keys of the schemes that can be made."""
    return tuple(_RECIPES)


def group_size(scheme: str, columns: Mapping[str, int], display: str) -> int | None:
    """The largest group size that divides the columns of every layer; None for a scheme without groups.

    Args:
        scheme: key of ``SCHEMES``.
        columns: name of a layer's weight -> number of its columns.
        display: the model's name in messages.

    Raises:
        CompressionError: none does.
    """
    if not recipe(scheme).grouped:
        return None
    for size in GROUP_SIZES:
        if all(count % size == 0 for count in columns.values()):
            return size
    smallest = GROUP_SIZES[-1]
    name, count = next((name, count) for name, count in columns.items() if count % smallest)
    raise CompressionError(
        f"{display} cannot be compressed to {scheme}: weights share a scale in groups of {_list(GROUP_SIZES)}, and "
        f"none of these divides the {count} columns of {name}. Schemes without groups: "
        f"{_list([key for key, one in _RECIPES.items() if not one.grouped])}"
    )


def _list(values: Iterable[object]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}" if most else last


def _grouped(modifier: str, bits: int, activation_bits: int = 16, **arguments: Any) -> _Modifiers:
    def modifiers(group: int | None) -> list[list[Any]]:
        weights = {"num_bits": bits, "type": "int", "symmetric": True, "strategy": "group", "group_size": group}
        layers: dict[str, Any] = {"targets": ["Linear"], "weights": weights}
        if activation_bits < 16:
            scaled = {"type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
            layers["input_activations"] = {"num_bits": activation_bits, **scaled}
        return [[modifier, {"config_groups": {"group_0": layers}, "ignore": _IGNORED, **arguments}]]

    return modifiers


def _preset(name: str) -> _Modifiers:
    return lambda group: [["QuantizationModifier", {"targets": "Linear", "scheme": name, "ignore": _IGNORED}]]


def _after(first: str, then: _Modifiers, **arguments: Any) -> _Modifiers:
    """A modifier that changes weights for the one that rounds them."""
    return lambda group: [[first, arguments], *then(group)]


def _two_of_four(group: int | None) -> list[list[Any]]:
    # Named layers of the decoder: the modifier's own default would prune the output layer, too.
    arguments = {"sparsity": 0.5, "mask_structure": "2:4", "targets": ["Linear"], "ignore": _IGNORED}
    return [["SparseGPTModifier", arguments]]


_ROUNDED, _GPTQ = "QuantizationModifier", "GPTQModifier"
#: AutoRound's authors take 200 steps a block; on a CPU a step of a small model takes a second.
_STEPS = 20
_RECIPES: Mapping[str, Recipe] = {
    "gptq8": Recipe("gptq", "GPTQ, 8-bit weights", True, True, _grouped(_GPTQ, 8)),
    "gptq4": Recipe("gptq", "GPTQ, 4-bit weights", True, True, _grouped(_GPTQ, 4)),
    "awq4": Recipe("awq", "AWQ, 4-bit weights", True, True, _after("AWQModifier", _grouped(_ROUNDED, 4))),
    "autoround4": Recipe(
        "autoround", "AutoRound, 4-bit weights", True, True,
        _grouped("AutoRoundModifier", 4, iters=_STEPS, enable_torch_compile=False),
    ),
    "w8a8": Recipe("round-to-nearest", "rounding weights to 8 bits", False, False, _preset("W8A8")),
    "w8a8-smoothquant": Recipe(
        "smoothquant", "SmoothQuant, 8-bit weights", True, False,
        _after("SmoothQuantModifier", _preset("W8A8"), smoothing_strength=0.8),
    ),
    "w8a16": Recipe("round-to-nearest", "rounding weights to 8 bits", False, True, _grouped(_ROUNDED, 8)),
    "w4a16": Recipe("round-to-nearest", "rounding weights to 4 bits", False, True, _grouped(_ROUNDED, 4)),
    "w4a8": Recipe("round-to-nearest", "rounding weights to 4 bits", False, True, _grouped(_ROUNDED, 4, 8)),
    "nvfp4": Recipe("round-to-nearest", "rounding weights to NVFP4", True, False, _preset("NVFP4")),
    "fp8-dynamic": Recipe("round-to-nearest", "rounding weights to FP8", False, False, _preset("FP8_DYNAMIC")),
    "sparse-2of4": Recipe("sparsegpt", "pruning (SparseGPT, 2:4)", True, False, _two_of_four),
}  # fmt: skip
