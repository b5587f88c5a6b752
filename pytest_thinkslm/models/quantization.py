"""How a checkpoint is compressed, from what its files say of themselves; imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_thinkslm.core.configs import Config
from pytest_thinkslm.core.schemes import SCHEMES, Compression, Source
from pytest_thinkslm.models import marker

#: MXFP4 has 32.
_NVFP4_GROUP = 16
_BITS_OF_DTYPE = {"float32": 32, "float64": 64}


def of_checkpoint(
    folder: Path,
    config: Config,
    quantization: Config | None,
    *,
    source: Source = "original",
    disk_bytes: int | None = None,
) -> Compression:
    """The compression of a checkpoint folder: its quantization config, and the marker of a compression on demand.

    The marker tells what no config does: which algorithm made the weights, and that a dense checkpoint is pruned.

    Args:
        folder: the checkpoint.
        config: content of its config.json.
        quantization: the quantization config in it, None without one.
        source: where the checkpoint came from; ``"on-demand"`` overrides it where the marker says so.
        disk_bytes: size of its files, None where they are not on this disk.

    Raises:
        ModelError: the marker is damaged.
    """
    found = describe(quantization, dtype_bits=dtype_bits(config))
    mark = marker.read(folder)
    if mark is not None:
        found = replace(found, scheme=mark.scheme, method=mark.method, sparsity=mark.sparsity)
        source = "on-demand"
    return replace(found, source=source, bytes=disk_bytes)


def describe(config: Config | None, *, dtype_bits: int = 16) -> Compression:
    """What a ``quantization_config`` says: GPTQ, compressed-tensors, AutoFP8, AWQ; others by name.

    Args:
        config: as in config.json; None or empty where there is none.
        dtype_bits: bits of a weight that is not quantized.

    Returns:
        ``scheme`` is None where the config fits no key of ``SCHEMES``, or says other things of some layers than of the
        rest; ``bits`` is then the smallest number. It is None where the config does not say.
    """
    if not config:
        return Compression("none", dtype_bits, activation_bits=dtype_bits)
    method = str(config.get("quant_method") or _unnamed(config))
    read = _READERS.get(method, _unknown)
    found = _with_exceptions(read(config, dtype_bits), config)
    return replace(found, method=method)


def _unnamed(config: Config) -> str:
    """The method of a config that names none, as transformers tells it."""
    if config.get("load_in_4bit") or config.get("load_in_8bit"):
        return "bitsandbytes"
    return "compressed-tensors" if "config_groups" in config else "unknown"


def dtype_bits(config: Config) -> int:
    """Bits of an unquantized weight, from config.json's ``dtype`` (16 where it does not say)."""
    inner = config.get("text_config")
    dtype = config.get("dtype") or config.get("torch_dtype")
    if dtype is None and isinstance(inner, Mapping):
        dtype = inner.get("dtype") or inner.get("torch_dtype")
    return _BITS_OF_DTYPE.get(str(dtype).removeprefix("torch."), 16)


def _integers(prefix: str) -> Callable[[Config, int], Compression]:
    """GPTQ and AWQ: integers with a scale a group of weights; -1 is a group a column."""

    def read(config: Config, dtype_bits: int) -> Compression:
        bits = _stated(config.get("bits") or config.get("w_bit"))
        size = int(_number(config.get("group_size") or config.get("q_group_size"), -1))
        scheme = None if bits is None else _known(f"{prefix}{bits:g}")
        return Compression(scheme, bits, group_size=size if size > 0 else None)

    return read


def _fp8(config: Config, dtype_bits: int) -> Compression:
    """AutoFP8; without static scales activations are scaled as they come."""
    static = config.get("activation_scheme") == "static"
    return Compression("fp8" if static else "fp8-dynamic", 8, activation_bits=8)


def _bitsandbytes(config: Config, dtype_bits: int) -> Compression:
    # Old ones say neither.
    return Compression(None, 4 if config.get("load_in_4bit") else 8 if config.get("load_in_8bit") else None)


def _mxfp4(config: Config, dtype_bits: int) -> Compression:
    """Four-bit floating-point weights with a shared exponent for each 32 of them (OCP Microscaling)."""
    return Compression("mxfp4", 4, group_size=32)


def _unknown(config: Config, dtype_bits: int) -> Compression:
    """A method that is not known here: its bits are those that it states, never those of the dtype."""
    return Compression(None, _stated(config.get("bits")))


#: Where methods keep what they do otherwise in some layers: GPTQModel, AutoRound, Quark, ModelOpt, torchao.
_EXCEPTIONS = ("dynamic", "extra_config", "layer_quant_config", "quantized_layers", "module_fqn_to_config")
#: Modules that hardly any method quantizes, by parts of their names.
_OUTSIDE = re.compile(
    r"lm_head|embed|vis(?:ion|ual)|audio|multi_modal|router|\bgate\b|shared_expert_gate|mtp|norm|conv", re.IGNORECASE
)


#: Schemes of which every layer of a model is, but those outside; others (gpt-oss's MXFP4) are of experts alone.
_WHOLE = frozenset({"gptq4", "gptq8", "awq4"})


def _with_exceptions(found: Compression, config: Config) -> Compression:
    """The compression with what the config says of single layers (``"-:pattern"`` of GPTQModel: left out)."""
    kept = config.get("modules_to_not_convert") if found.scheme in _WHOLE else None  # AWQ's and AutoAWQ's "-:"
    bits, differs = found.bits, any(not _OUTSIDE.search(str(one)) for one in kept) if isinstance(kept, list) else False
    for name in _EXCEPTIONS:
        for pattern, rule in _mapping(config.get(name)).items():
            own = _stated(_mapping(rule).get("bits"))
            size = _mapping(rule).get("group_size")
            left_out = rule is False or str(pattern).startswith("-:") or (own is not None and own >= 16)
            if left_out:
                differs = differs or not _OUTSIDE.search(str(pattern))
            elif own is not None and own != found.bits:
                differs, bits = True, min(own, own if bits is None else bits)
            elif isinstance(size, int) and size != (found.group_size or -1):
                differs = True
    return replace(found, scheme=None, bits=bits) if differs else found


def _compressed_tensors(config: Config, dtype_bits: int) -> Compression:
    """One scheme for each group of layers; 2:4 pruning, with or without quantization, in ``sparsity_config``."""
    sparsity = _sparsity(config.get("sparsity_config"))
    groups = config.get("config_groups")
    if groups and not (isinstance(groups, Mapping) and all(isinstance(group, Mapping) for group in groups.values())):
        return Compression(None, None, sparsity=sparsity)
    found = [_group(group) for group in _mapping(groups).values()]
    quantized = [one for one in found if one is not None]
    if not quantized:
        return Compression("sparse-2of4" if sparsity == 0.5 else "none", dtype_bits, sparsity=sparsity)
    first = min(quantized, key=lambda one: one.bits or 0.0)
    if sparsity or any(one != first for one in quantized):
        first = replace(first, scheme=None)
    return replace(first, sparsity=sparsity)


def _group(group: object) -> Compression | None:
    weights, inputs = (_mapping(_mapping(group).get(name)) for name in ("weights", "input_activations"))
    if not weights:
        return None
    bits = _stated(weights.get("num_bits", 8))
    floating = weights.get("type") == "float"
    activation_bits = int(_number(inputs.get("num_bits"), 16)) if inputs else 16
    size = weights.get("group_size")
    static = not inputs.get("dynamic")
    matching = [
        scheme.key
        for scheme in SCHEMES.values()
        if (scheme.weight_bits, scheme.activation_bits, scheme.floating) == (bits, activation_bits, floating)
        if scheme.key.startswith(("w", "fp8", "nvfp4")) and scheme.key != ("fp8-dynamic" if static else "fp8")
        if scheme.key != "nvfp4" or size == _NVFP4_GROUP
    ]
    return Compression(
        matching[0] if matching else None,
        bits,
        group_size=size if isinstance(size, int) and size > 0 else None,
        activation_bits=activation_bits,
    )


def _sparsity(config: object) -> float:
    pruning = _mapping(config)
    if pruning.get("sparsity_structure") == "2:4" or "24" in str(pruning.get("format", "")):
        return 0.5
    share = pruning.get("global_sparsity")
    return round(float(share), 4) if isinstance(share, int | float) and pruning.get("format") != "dense" else 0.0


_READERS: Mapping[str, Callable[[Config, int], Compression]] = {
    "gptq": _integers("gptq"),
    "awq": _integers("awq"),
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "compressed-tensors": _compressed_tensors,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
}


def _known(key: str) -> str | None:
    return key if key in SCHEMES else None


def _mapping(value: object) -> Config:
    return value if isinstance(value, Mapping) else {}


def _stated(value: object) -> float | None:
    """A number of bits, None where there is none; some write it as text."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _number(value: object, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
