"""Small GGUF files of the tests' own."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>"
FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_0": 2, "q4_k_m": 15}


def write(path: Path, kind: str = "f16", template: str | None = TEMPLATE, **more: str | int) -> Path:
    """A llama with one layer: a matrix of 64 x 128, an embedding of 96 x 64, a norm; of a stated type."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_token_list([f"t{number}" for number in range(93)] + ["<|end|>", "<think>", "</s>"])
    writer.add_token_types([1] * 93 + [3, 4, 3])
    writer.add_eos_token_id(95)
    if template is not None:
        writer.add_chat_template(template)
    for name, value in more.items():
        name = name.replace("__", ".")
        writer.add_string(name, value) if isinstance(value, str) else writer.add_uint16(name, value)
    stored = {"f16": gguf.GGMLQuantizationType.F16, "q4_k_m": gguf.GGMLQuantizationType.Q8_0}
    wanted = stored.get(kind) or gguf.GGMLQuantizationType[kind.upper()]
    random = numpy.random.default_rng(0)
    for name, shape in {"token_embd.weight": (96, 64), "blk.0.attn_q.weight": (64, 128)}.items():
        data = gguf.quantize(random.normal(size=shape).astype("float32"), wanted)
        writer.add_tensor(name, data, raw_dtype=wanted)
    writer.add_tensor("blk.0.attn_norm.weight", numpy.ones(64, "float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
