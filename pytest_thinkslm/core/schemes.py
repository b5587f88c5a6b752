"""Compression schemes by their keys (``--quant``), and what is known of a model's compression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Source = Literal["original", "published", "local", "on-demand", "unknown"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a key of ``--quant`` stands for.

    Attributes:
        key: as typed after ``--quant``.
        title: for people.
        weight_bits: bits of a weight.
        activation_bits: bits of an activation; 16 where activations are left alone.
        floating: FP8 rather than integers.
        sparsity: share of weights that are zero.
        on_demand: whether ``thinkslm compress`` can make it.
    """

    key: str
    title: str
    weight_bits: int
    activation_bits: int = 16
    floating: bool = False
    sparsity: float = 0.0
    on_demand: bool = False


SCHEMES: Mapping[str, Scheme] = {
    scheme.key: scheme
    for scheme in (
        Scheme("none", "not compressed", 16),
        Scheme("gptq8", "GPTQ, 8-bit weights", 8, on_demand=True),
        Scheme("gptq4", "GPTQ, 4-bit weights", 4, on_demand=True),
        Scheme("w8a8", "8-bit weights and activations", 8, 8, on_demand=True),
        Scheme("w8a16", "8-bit weights", 8, on_demand=True),
        Scheme("w4a16", "4-bit weights", 4, on_demand=True),
        Scheme("fp8", "FP8 weights and activations, static scales", 8, 8, floating=True),
        Scheme("fp8-dynamic", "FP8 weights and activations, dynamic scales", 8, 8, floating=True, on_demand=True),
        Scheme("awq4", "AWQ, 4-bit weights", 4),
        Scheme("sparse-2of4", "2:4 pruned, stored dense", 16, sparsity=0.5, on_demand=True),
    )
}


@dataclass(frozen=True, slots=True)
class Compression:
    """How a model that was loaded (or is about to be) is compressed: the fixture ``compression``.

    Attributes:
        scheme: key of ``SCHEMES``; None where the checkpoint's own config fits none of them.
        bits: bits of a weight in the quantized layers; 16 or 32 where there are none, None where its config does not
            say.
        method: what wrote it, as its own config says (``gptq``, ``compressed-tensors``, ``fp8``, ``awq``); None: none.
        group_size: weights that share a scale; None: a channel or a tensor does, or nothing is quantized.
        activation_bits: bits of an activation.
        sparsity: share of zeros among the weights of the pruned layers, 0 where nothing is pruned.
        source: where the checkpoint came from.
        bytes: size of the checkpoint's files on disk; None where it is not on this disk.
        kernel: what computes the quantized layers, as the engine tells; None before loading or where it does not tell.
    """

    scheme: str | None
    bits: float | None
    method: str | None = None
    group_size: int | None = None
    activation_bits: int = 16
    sparsity: float = 0.0
    source: Source = "original"
    bytes: int | None = None
    kernel: str | None = None
