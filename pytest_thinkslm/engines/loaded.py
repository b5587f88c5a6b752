"""What was loaded, read from the modules of the model themselves and held against what the checkpoint says.

``torch`` modules of any library are read by what they hold: a layer's stored bits are those of its weight tensor over
its rows and columns; its group size is its columns over the scales of a row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.schemes import Arithmetic, Compression

#: Names of a layer's weights and scales in torch, compressed-tensors, GPTQ and AWQ, HQQ, AQLM, FP8.
_WEIGHTS = ("weight_packed", "qweight", "W_q", "codes", "weight")
_SCALES = ("weight_scale", "scales", "weight_scale_inv")
#: What an item's error says where a model's logits are NaN or infinite, after so many new tokens.
NOT_FINITE = (
    "the model's logits are not finite (NaN or infinity) after {} new tokens: its weights are damaged, or its dtype or "
    "kernel overflows here (--engine-args dtype=float32 tells which)"
)
#: Bits of a weight that is not quantized.
_DENSE = (16, 32, 64)
#: Types of stored weights of few bits, and elements from which on a tensor is no scale or index of one.
_FEW_BITS = frozenset({"int8", "uint8", "int16", "uint16", "int32", "uint32", "float8_e4m3fn", "float8_e5m2"})
_WEIGHTY = 1024
#: Layers whose zeros are counted: spread over the model, few enough to take no time.
_SAMPLED = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer as loaded. ``bits`` are stored bits of a weight; ``dtype`` that of the tensor that stores them.

    Where bytes hold weights of fewer bits, ``bits`` are those that the weights take up.
    """

    bits: float
    group_size: int | None
    activation_bits: int
    kernel: str
    dtype: str
    arithmetic: Arithmetic = "computed"


def of_model(model: Any, expected: Compression, display: str) -> Mapping[str, object]:
    """Facts of a model that transformers loaded, before its first forward pass: the ``loaded`` of results.json.

    Args:
        model: the ``torch.nn.Module``.
        expected: what the checkpoint's files say.
        display: the model's name in messages.

    Returns:
        ``scheme`` (the checkpoint's, where the layers agree with it, else None), ``bits``, ``group_size``,
        ``activation_bits``, ``kernel``, ``dtype`` and, where it is compressed, ``arithmetic`` of the most frequent kind
        of compressed layer (of all layers where none is), ``sparsity`` (share of zeros in a few dense layers, None
        where none is dense), ``quantized_layers``, ``linear_layers``.

    Raises:
        EngineError: the checkpoint is compressed and the loaded weights are not.
    """
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    modules = [module for module in model.modules() if module is not output and getattr(module, "in_features", None)]
    layers = [layer for module in modules if (layer := _layer(module)) is not None]
    dense = [module.weight for module in modules if _is_dense(getattr(module, "weight", None))]
    zeros = share_of_zeros(dense)
    elsewhere = expected.method is not None and (_carries(model, expected.method) or _dequantized(model))
    return summary(layers, expected, zeros, display, elsewhere=elsewhere)


def _carries(model: Any, method: str) -> bool:
    """Whether a model has anything of a quantization method outside of plain layers: modules or tensors of its classes
    (``HQQLinear``, torchao's tensors, gpt-oss's ``Mxfp4...Experts``), or weights that are stored in few bits."""
    letters = re.sub(r"[^a-z0-9]", "", method.lower())
    for module in model.modules():
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        for held in (module, *tensors):
            kind = re.sub(r"[^a-z0-9]", "", f"{type(held).__module__}{type(held).__name__}".lower())
            if letters and letters in kind:
                return True
        for tensor in tensors:
            if tensor.numel() >= _WEIGHTY and str(tensor.dtype).removeprefix("torch.") in _FEW_BITS:
                return True
    return False


def _dequantized(model: Any) -> bool:
    """Whether transformers turned the weights back into 16 bits, each with its quantized value (MXFP4, FP8)."""
    config = getattr(getattr(model, "hf_quantizer", None), "quantization_config", None)
    return getattr(config, "dequantize", False) is True


def decompress(model: Any) -> None:
    """Make compressed-tensors unpack its weights now, where it would do so at the first forward pass."""
    compressor = getattr(getattr(model, "hf_quantizer", None), "compressor", None)
    if compressor is not None and hasattr(model, "ct_decompress_hook"):
        compressor.decompress_model(model)


def summary(
    layers: Sequence[Layer], expected: Compression, zeros: float | None, display: str, *, elsewhere: bool = False
) -> Mapping[str, object]:
    """The ``loaded`` of results.json from an engine's layers; see ``of_model``.

    ``elsewhere``: what is quantized are not these layers (experts, say), so that their being dense is no fault.
    """
    quantized = [layer for layer in layers if layer.bits < 16]
    if (expected.bits is None or expected.bits < 16) and layers and not quantized and not elsewhere:
        says = "quantized" if expected.bits is None else f"{expected.bits:g}-bit"
        raise EngineError(
            f"{display}: its config says {says} weights ({expected.method}), but the engine loaded "
            f"{layers[0].bits:g}-bit weights in all of its {len(layers)} linear layers: it ignored the quantization, "
            "and outputs would be of another model. Use another engine (--engine), or install what reads this format"
        )
    if expected.scheme == "sparse-2of4" and zeros is not None and zeros < 0.45:
        raise EngineError(
            f"{display}: it is said to be 2:4 pruned, but only {zeros:.1%} of the loaded weights are zero; the files "
            "are those of another model"
        )
    common = Counter(quantized or layers).most_common(1)
    if not common:
        return {"scheme": None, "sparsity": zeros, "quantized_layers": 0, "linear_layers": 0}
    kind = common[0][0]
    agree = (
        kind.bits == expected.bits and kind.group_size == expected.group_size if quantized else expected.bits in _DENSE
    )
    return {
        "scheme": expected.scheme if agree else None,
        "bits": kind.bits,
        "group_size": kind.group_size,
        "activation_bits": kind.activation_bits,
        "kernel": kind.kernel,
        **({"arithmetic": kind.arithmetic} if quantized else {}),
        "dtype": kind.dtype,
        "sparsity": zeros,
        "quantized_layers": len(quantized),
        "linear_layers": len(layers),
    }


def share_of_zeros(weights: Sequence[Any]) -> float | None:
    """Share of zeros in a few of the tensors, spread over the list; None for an empty one."""
    if not weights:
        return None
    step = max(1, len(weights) // _SAMPLED)
    sample = weights[::step][:_SAMPLED]
    zeros = sum(int((weight == 0).sum()) for weight in sample)
    return round(zeros / sum(int(weight.numel()) for weight in sample), 4)


def _layer(module: Any) -> Layer | None:
    weight = _first(module, _WEIGHTS)
    if weight is None:
        return None
    rows, columns = int(module.out_features), int(module.in_features)
    bits = round(8 * _stored(weight) / (rows * columns), 2)
    dtype = str(weight.dtype).removeprefix("torch.")
    quantized = bits < 16
    scheme = getattr(module, "quantization_scheme", None)
    if dtype == "int8":
        bits = min(bits, _taken_up(weight, getattr(getattr(scheme, "weights", None), "num_bits", 8)))
    inputs = getattr(scheme, "input_activations", None)
    activations = int(inputs.num_bits) if inputs is not None else 16
    return Layer(
        bits,
        _group_size(_first(module, _SCALES), rows, columns) if quantized else None,
        activations if quantized else max(16, round(bits)),
        _kernel(module, scheme, activations) if quantized else type(module).__name__,
        dtype,
        "simulated" if quantized and scheme is not None else "computed",
    )


def _taken_up(weight: Any, said: int) -> float:
    """The bits that signed integers in bytes are said to have, where they have no more."""
    reach = 1 << (said - 1)
    return float(said) if said < 8 and -reach <= int(weight.min()) and int(weight.max()) < reach else 8.0


def _stored(tensor: Any) -> int:
    """Bytes that hold a tensor; one of a library's own class (torchao, quanto) looks like floats and holds others."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        return int(tensor.element_size() * tensor.numel())
    return max(_stored(getattr(tensor, name)) for name in flatten()[0])


def _kernel(module: Any, scheme: Any, activations: int) -> str:
    """What computes the layer: its class, and for compressed-tensors what transformers makes of it."""
    name = type(module).__name__
    if scheme is None:
        return name
    rounded = f", activations rounded to {activations} bits" if activations < 16 else ""
    layout = getattr(getattr(scheme, "format", None), "value", "compressed")
    return f"{name} on weights decompressed from {layout} when loaded{rounded}"


def _group_size(scale: Any, rows: int, columns: int) -> int | None:
    """Columns that share a scale; None where a whole row or more does."""
    if scale is None or scale.numel() <= rows:
        return None
    return columns * rows // int(scale.numel())


def _first(module: Any, names: Iterable[str]) -> Any:
    """The first tensor by these names that is there and holds anything."""
    found = (getattr(module, name, None) for name in names)
    return next((one for one in found if one is not None and hasattr(one, "element_size") and one.numel()), None)


def _is_dense(weight: Any) -> bool:
    return (
        weight is not None
        and hasattr(weight, "is_floating_point")
        and bool(weight.numel() and weight.is_floating_point() and weight.element_size() >= 2)
    )
