"""GGUF files quantized on demand by the package ``gguf``: Q8_0, Q5_1, Q5_0, Q4_1, Q4_0, of any architecture.

Every matrix is quantized but embeddings and output, which get at least Q8_0 (llama.cpp keeps them in more bits, too),
routers of mixtures of experts, and rows that are no multiple of a block; vectors stay as they are. What is made is kept
in the cache under the content that it was made from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models.gguf_header import Header
from pytest_thinkslm.models.gguf_made import made_once
from pytest_thinkslm.models.hashes import file_hash

#: Counts up when what is made of the same file changes.
RECIPE = 1
#: ``general.file_type`` by type (llama.h).
_FILE_TYPES = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9}
_KEPT = ("token_embd.weight", "output.weight")
_ROUTERS = ("ffn_gate_inp",)


def quantized(source: Header, name: str, quant: str, progress: Callable[[str], None]) -> Path:
    """The file of type ``quant`` made of ``source``, from the cache where it is there.

    Raises:
        ModelError: the package ``gguf`` is not installed, the source is split, or the disk is full.
    """
    if len(source.files) > 1:
        raise ModelError(
            f"--quant {quant}: {source.files[0].name} is split into {len(source.files)} files: join them first "
            "(llama-gguf-split --merge)"
        )

    def write(made: Path) -> None:
        try:
            _write(source, quant, made)
        except (OSError, ValueError, NotImplementedError) as problem:
            raise ModelError(f"--quant {quant}: {source.files[0]} cannot be quantized: {problem}") from problem

    content, kind = file_hash(source.files[0]), f"r{RECIPE}.{quant.upper()}"
    asked, doing = f"--quant {quant} is made", f"quantizing {source.files[0].name} to {quant}"
    return made_once(name, content, kind, asked, doing, write, progress)


def _write(source: Header, quant: str, target: Path) -> None:
    import gguf
    import numpy

    kinds = gguf.GGMLQuantizationType
    reader = gguf.GGUFReader(str(source.files[0]))
    writer = gguf.GGUFWriter(str(target), source.architecture)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    writer.add_file_type(_FILE_TYPES[quant])
    plans = [_kind_of(tensor, kinds[quant.upper()]) for tensor in reader.tensors]
    for tensor, kind in zip(reader.tensors, plans, strict=True):
        elements, width = gguf.GGML_QUANT_SIZES[kind]
        shape = [int(size) for size in reversed(tensor.shape)]
        size = int(tensor.n_elements) // elements * width
        writer.add_tensor_info(tensor.name, shape, numpy.dtype("float32"), size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in zip(reader.tensors, plans, strict=True):
        # A tensor at a time: the whole model in 32 bits would take its size many times.
        data = tensor.data
        if kind != tensor.tensor_type:
            data = gguf.quantize(gguf.dequantize(data, tensor.tensor_type), kind)
        writer.write_tensor_data(data)
    writer.close()


def _kind_of(tensor: Any, wanted: Any) -> Any:
    """The type that a tensor of the source gets, as ``gguf.GGMLQuantizationType`` has it."""
    import gguf

    if len(tensor.shape) < 2 or any(word in tensor.name for word in _ROUTERS):
        return tensor.tensor_type
    kind = gguf.GGMLQuantizationType.Q8_0 if tensor.name in _KEPT else wanted
    return tensor.tensor_type if int(tensor.shape[0]) % gguf.GGML_QUANT_SIZES[kind][0] else kind
