"""Compression schemes by their keys (``--quant``), and what is known of a model's compression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_thinkslm.core.errors import UsageError, nearest

#: Whether an engine computes in the stored formats, or in wider numbers that it rounded as the scheme says.
Arithmetic = Literal["computed", "simulated"]
Source = Literal["original", "published", "local", "on-demand", "unknown"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a key of ``--quant`` stands for.

    Attributes:
        key: as typed after ``--quant``.
        title: for people.
        weight_bits: bits of a weight.
        activation_bits: bits of an activation; 16 where activations are left alone.
        floating: floating-point numbers of few bits (FP8, NVFP4) rather than integers.
        sparsity: share of weights that are zero.
        on_demand: whether ``thinkslm compress`` can make it.
        gguf: a type of GGUF files, which the llamacpp engine reads.
    """

    key: str
    title: str
    weight_bits: int
    activation_bits: int = 16
    floating: bool = False
    sparsity: float = 0.0
    on_demand: bool = False
    gguf: bool = False


#: Types of GGUF files, by bits, roughly: what a file really has is measured over its tensors. The letters at the end
#: say how many of the tensors are kept in more bits (small, medium, large).
_GGUF_TYPES: Mapping[int, tuple[str, ...]] = {
    8: ("q8_0",),
    6: ("q6_k",),
    5: ("q5_k_m", "q5_k_s", "q5_1", "q5_0"),
    4: ("q4_k_m", "q4_k_s", "q4_1", "q4_0", "iq4_nl", "iq4_xs", "mxfp4_moe"),
    3: ("q3_k_l", "q3_k_m", "q3_k_s", "iq3_m", "iq3_s", "iq3_xs", "iq3_xxs"),
    2: ("q2_k", "q2_k_s", "iq2_m", "iq2_s", "iq2_xs", "iq2_xxs", "tq2_0"),
    1: ("iq1_m", "iq1_s", "tq1_0"),
}
#: Those that are made on demand, by the quantizers of the package ``gguf``.
GGUF_ON_DEMAND = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")

SCHEMES: Mapping[str, Scheme] = {
    scheme.key: scheme
    for scheme in (
        Scheme("none", "not compressed", 16),
        Scheme("gptq8", "GPTQ, 8-bit weights", 8, on_demand=True),
        Scheme("gptq4", "GPTQ, 4-bit weights", 4, on_demand=True),
        Scheme("w8a8", "8-bit weights and activations", 8, 8, on_demand=True),
        Scheme("w8a8-smoothquant", "SmoothQuant, 8-bit weights and activations", 8, 8, on_demand=True),
        Scheme("w8a16", "8-bit weights", 8, on_demand=True),
        Scheme("w4a16", "4-bit weights", 4, on_demand=True),
        Scheme("fp8", "FP8 weights and activations, static scales", 8, 8, floating=True),
        Scheme("fp8-dynamic", "FP8 weights and activations, dynamic scales", 8, 8, floating=True, on_demand=True),
        Scheme("w4a8", "4-bit weights, 8-bit activations", 4, 8, on_demand=True),
        Scheme("awq4", "AWQ, 4-bit weights", 4, on_demand=True),
        Scheme("autoround4", "AutoRound, 4-bit weights", 4, on_demand=True),
        Scheme("nvfp4", "NVFP4, 4-bit floating-point weights and activations", 4, 4, floating=True, on_demand=True),
        Scheme("mxfp4", "MXFP4, 4-bit floating-point weights", 4),
        Scheme("sparse-2of4", "2:4 pruned, stored dense", 16, sparsity=0.5, on_demand=True),
        *(
            Scheme(key, f"GGUF {key.upper()}, about {bits}-bit weights", bits, gguf=True)
            for bits, keys in _GGUF_TYPES.items()
            for key in keys
        ),
    )
}


#: What people type that means one scheme alone.
_ALIASES: Mapping[str, str] = {
    "awq": "awq4",
    "awq-int4": "awq4",
    "autoround": "autoround4",
    "auto-round": "autoround4",
    "smoothquant": "w8a8-smoothquant",
    "gptq-int4": "gptq4",
    "gptq-int8": "gptq8",
    "int8-w8a8": "w8a8",
    "fp8-static": "fp8",
    "fp8-block": "fp8-dynamic",
    "2of4": "sparse-2of4",
    "2:4": "sparse-2of4",
}

_16_BIT = "the checkpoint as it is has 16-bit weights: leave --quant out, or give none"
_AS_STORED = (
    "cannot be asked for by name: a checkpoint that is stored so is taken as it is (--model with its hub id or folder, "
    "without --quant); "
)
_BITSANDBYTES = f"is bitsandbytes: it {_AS_STORED}4-bit weights on demand are w4a16 or gptq4, 8-bit ones w8a16"

#: What people type that means several schemes, or none that can be had: what to type instead.
_ANSWERS: Mapping[str, str] = {
    "int4": "does not say how: w4a16 is 4-bit weights, gptq4 the same by GPTQ, awq4 the same by AWQ",
    "int8": "does not say what of: w8a8 is 8-bit weights and activations, w8a16 weights alone, gptq8 the same by GPTQ",
    "gptq": "does not say how many bits: gptq4 or gptq8",
    "fp4": "does not say which: nvfp4 is made on demand, mxfp4 is published for some models; bitsandbytes' fp4 "
    f"{_AS_STORED}4-bit integer weights on demand are w4a16 or gptq4",
    "hqq": f"{_AS_STORED}4-bit weights on demand are w4a16 or gptq4, 8-bit ones w8a16",
    **dict.fromkeys(("nf4", "bnb", "bnb4", "bnb8", "bnb-4bit", "bnb-8bit", "bitsandbytes"), _BITSANDBYTES),
    **dict.fromkeys(("4bit", "4-bit"), "does not say how: w4a16, gptq4 or awq4"),
    **dict.fromkeys(("8bit", "8-bit"), "does not say how: w8a8, w8a16, gptq8 or fp8-dynamic"),
    **dict.fromkeys(("bf16", "fp16", "f16", "float16", "bfloat16", "16bit", "w16a16"), f"is no compression: {_16_BIT}"),
}

#: What looks like a type of GGUF files.
_GGUF = re.compile(r"gguf|(?:ud-)?i?q[1-8](?:-[a-z0-9]+)*|tq[12]-0", re.IGNORECASE)
_NO_TYPE = (
    "is no type of GGUF files that has a name here: "
    + ", ".join(key for keys in _GGUF_TYPES.values() for key in keys)
    + "; a file of another kind is given itself (--model FILE.gguf, or --model owner/name:TYPE)"
)


def named(text: str, option: str = "--quant") -> str:
    """The key of ``SCHEMES`` that a name means: a key, in any case, or what people call one.

    Raises:
        UsageError: it means several schemes, or none; says what to type.
    """
    key = text.strip().lower().replace("_", "-")
    if "kv-" in key:
        raise UsageError(
            f"{option} {text}: the cache of keys and values is compressed by the engine as it runs, in no checkpoint: "
            f"pytest --quant takes it, here give {option} {key.partition('+')[0] if '+' in key else 'none'}"
        )
    if key in SCHEMES:
        return key
    if (of_gguf := key.replace("-", "_")) in SCHEMES:
        return of_gguf
    if key in _ALIASES:
        return _ALIASES[key]
    answer = _ANSWERS.get(key) or (_NO_TYPE if _GGUF.fullmatch(key) else "")
    raise UsageError(
        f"{option} {text} {answer}" if answer else f"{option} {text!r} is unknown: {nearest(key, SCHEMES)}"
    )


#: What stands behind the weights' scheme where the cache of keys and values is compressed, too (``w8a8+kv-fp8``):
#: engine -> its own word for it.
KV_CACHES: Mapping[str, Mapping[str, str]] = {
    "kv-fp8": {"vllm": "fp8"},
    "kv-fp8-e5m2": {"vllm": "fp8_e5m2"},
    **{f"kv-{kind}": {"llamacpp": kind} for kind in ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")},
}


def variant_named(text: str) -> str:
    """The key of a variant: that of its scheme, and behind a ``+`` that of its cache where one is named.

    A cache alone is that of the checkpoint as it is: ``kv-fp8`` is ``none+kv-fp8``.

    Raises:
        UsageError: as ``named`` does; or the cache is unknown.
    """
    weights, _, cache = text.strip().rpartition("+")
    key = cache.strip().lower()
    caches = {key: key for key in KV_CACHES} | {key.replace("_", "-"): key for key in KV_CACHES}
    found = caches.get(key.replace("_", "-"))
    if found is not None:
        return f"{named(weights) if weights else 'none'}+{found}"
    if weights or key.startswith("kv-"):
        raise UsageError(f"--quant {text!r}: the cache {key!r} is unknown: {nearest(key, KV_CACHES)}")
    if "kv-" in key.replace("_", "-"):
        raise UsageError(f"--quant {text!r}: a cache stands behind a +, as in w8a8+kv-fp8")
    return named(text)


def parts_of(quant: str) -> tuple[str, str | None]:
    """The scheme of a variant's weights, and the key of its cache (None: as the engine has it)."""
    weights, plus, cache = quant.rpartition("+")
    return (weights, cache) if plus and cache in KV_CACHES else (quant, None)


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
