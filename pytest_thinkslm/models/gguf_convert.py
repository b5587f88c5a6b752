"""A Hugging Face checkpoint as a GGUF file that is not compressed, by the package ``gguf``; imports no torch.

Written are dense models of the llama, mistral and qwen families with a byte-level tokenizer whose splitting llama.cpp
knows by name: what is not known here would be a model of other prompts or other weights, and is an error. Names of
tensors and of metadata are llama.cpp's, as its ``convert_hf_to_gguf.py`` writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models.gguf_made import made_once
from pytest_thinkslm.models.hashes import folder_hashes

#: Counts up when what is made of the same checkpoint changes.
RECIPE = 1
#: Class of a config.json -> architecture of a GGUF file.
_ARCHITECTURES: Mapping[str, str] = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
#: How a text is split before its bytes are merged -> ``tokenizer.ggml.pre``.
_SPLITTERS: tuple[tuple[str, tuple[Mapping[str, object], ...]], ...] = (
    ("gpt-2", (_GPT2,)),
    ("smollm", ({"type": "Digits", "individual_digits": True}, _GPT2)),
    *(
        (
            name,
            (
                {"type": "Split", "pattern": {"Regex": _LETTERS + digits + _OTHERS}, "behavior": "Isolated"},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ),
        )
        for name, digits in (("llama-bpe", r"\p{N}{1,3}"), ("qwen2", r"\p{N}"))
    ),
)


class _Unknown(ValueError):
    """Something of a checkpoint that is not written here."""


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a Hugging Face checkpoint and no GGUF file."""
    there = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    return there and not any(folder.glob("*.gguf"))


def converted(folder: Path, name: str, progress: Callable[[str], None]) -> Path:
    """The checkpoint in ``folder`` as one GGUF file, in the types that it has; from the cache where it is there.

    Raises:
        ModelError: it is of a kind that is not written here (the message has llama.cpp's command), the package ``gguf``
            is not installed, or the disk is full.
    """
    content = hashlib.sha256(json.dumps(dict(folder_hashes(folder)), sort_keys=True).encode()).hexdigest()

    def write(made: Path) -> None:
        try:
            _write(folder, name, made)
        except (_Unknown, OSError, ValueError, KeyError, TypeError) as problem:
            why = str(problem) if isinstance(problem, _Unknown) else f"{type(problem).__name__}: {problem}"
            raise ModelError(
                f"--model {name} cannot be made a GGUF file here ({why}); llama.cpp makes one: "
                f"python convert_hf_to_gguf.py --outtype bf16 --outfile {Path(name).name}-bf16.gguf {folder}"
            ) from problem

    asked, doing = f"--model {name} is made a GGUF file", f"converting {name} to GGUF"
    return made_once(name, content, f"c{RECIPE}", asked, doing, write, progress)


def _write(folder: Path, name: str, target: Path) -> None:
    import gguf
    import numpy

    config, tokenizer = _read(folder / "config.json"), _read(folder / "tokenizer.json")
    architecture = _architecture(config)
    writer = gguf.GGUFWriter(str(target), architecture)
    writer.add_name(Path(name).name)
    _add_shape(writer, config)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitter(tokenizer))
    tokens, types = _tokens(tokenizer, int(config["vocab_size"]))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    gguf.SpecialVocab(folder, load_merges=True, n_vocab=len(tokens)).add_to_gguf(writer, quiet=True)

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], int(config["num_hidden_layers"]))
    stored = [
        (own, key, tensor)
        for key, tensor in _tensors(folder)
        if (own := _name_of(key, names, bool(config.get("tie_word_embeddings")))) is not None
    ]
    plain = {"F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16}
    writer.add_file_type(plain.get(max(stored, key=lambda one: one[2].size)[2].dtype, gguf.LlamaFileType.MOSTLY_BF16))
    for own, _, tensor in stored:
        kind = gguf.GGMLQuantizationType["F32" if len(tensor.shape) < 2 else tensor.dtype]
        size = tensor.size // _BYTES[tensor.dtype] * (4 if kind == gguf.GGMLQuantizationType.F32 else 2)
        writer.add_tensor_info(own, tensor.shape, numpy.dtype("float32"), size, raw_dtype=kind)
    factors = _rope_factors(config)
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, key, tensor in stored:
        writer.write_tensor_data(_data(tensor, _heads_of(key, config) if architecture == "llama" else None))
    if factors is not None:
        writer.write_tensor_data(factors)
    writer.close()


def _architecture(config: Mapping[str, Any]) -> str:
    (kind,) = config.get("architectures") or [None]
    if kind not in _ARCHITECTURES:
        raise _Unknown(f"its architecture is {kind}; known are {', '.join(_ARCHITECTURES)}")
    if "quantization_config" in config:
        raise _Unknown("it is compressed itself")
    if config.get("hidden_act", "silu") != "silu":
        raise _Unknown(f"its activation is {config['hidden_act']}")
    windowed = config.get("use_sliding_window", kind == "MistralForCausalLM")
    if windowed and config.get("sliding_window") is not None:
        raise _Unknown("it attends to a window")
    return _ARCHITECTURES[kind]


def _add_shape(writer: Any, config: Mapping[str, Any]) -> None:
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    of_a_head = int(config.get("head_dim") or hidden // heads)
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(hidden)
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(of_a_head)
    writer.add_value_length(of_a_head)
    writer.add_rope_dimension_count(of_a_head)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta", 10_000.0)))
    writer.add_vocab_size(int(config["vocab_size"]))


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """``rope_parameters`` (transformers 5), or what older configs say in two places."""
    found = config.get("rope_parameters") or {**(config.get("rope_scaling") or {})}
    theta = {"rope_theta": config["rope_theta"]} if config.get("rope_theta") is not None else {}
    rope: dict[str, Any] = {**theta, **found}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3") or float(rope.get("partial_rotary_factor", 1.0)) != 1.0:
        raise _Unknown(f"its positions are scaled by {kind}")
    return {**rope, "rope_type": kind}


def _rope_factors(config: Mapping[str, Any]) -> Any:
    """What Llama 3.1's scaling divides each frequency by; None without it (``_compute_llama3_parameters``)."""
    import numpy

    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    width = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    waves = 2 * numpy.pi * float(rope["rope_theta"]) ** (numpy.arange(0, width, 2) / width)
    factor, low, high = float(rope["factor"]), float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    smooth = (float(rope["original_max_position_embeddings"]) / waves - low) / (high - low)
    return (1 / ((1 - smooth.clip(0, 1)) / factor + smooth.clip(0, 1))).astype("float32")


def _splitter(tokenizer: Mapping[str, Any]) -> str:
    """``tokenizer.ggml.pre`` of a tokenizer.json."""
    model = tokenizer["model"]
    if model["type"] != "BPE" or (tokenizer.get("normalizer") or {"type": "NFC"})["type"] != "NFC":
        raise _Unknown("its tokenizer is no byte-level BPE")
    steps = tokenizer["pre_tokenizer"]
    given = steps["pretokenizers"] if steps["type"] == "Sequence" else [steps]
    for name, known in _SPLITTERS:
        same = len(given) == len(known) and all(
            all(one.get(key) == value for key, value in wanted.items())
            for one, wanted in zip(given, known, strict=True)
        )
        if same and bool(model.get("ignore_merges")) == (name == "llama-bpe"):
            return name
    raise _Unknown("its tokenizer splits texts as none does that is known here")


def _tokens(tokenizer: Mapping[str, Any], count: int) -> tuple[list[str], list[int]]:
    """Texts and types of ``count`` tokens; those that the tokenizer does not have are fillers."""
    found = {int(number): (text, _NORMAL) for text, number in tokenizer["model"]["vocab"].items()}
    for one in tokenizer.get("added_tokens", ()):
        found[int(one["id"])] = (one["content"], _CONTROL if one["special"] else _USER_DEFINED)
    if max(found) >= count:
        raise _Unknown(f"its tokenizer has more tokens than the {count} of its config")
    listed = [found.get(number, (f"[PAD{number}]", _UNUSED)) for number in range(count)]
    return [text for text, _ in listed], [kind for _, kind in listed]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of a safetensors file: type, shape, and where its bytes are."""

    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    size: int


_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def _tensors(folder: Path) -> Iterator[tuple[str, _Tensor]]:
    import gguf.utility

    for file in sorted(folder.glob("*.safetensors")):
        for key, found in gguf.utility.SafetensorsLocal(file).tensors.items():
            if found.dtype not in _BYTES:
                raise _Unknown(f"{key} is stored as {found.dtype}")
            place = found.data_range
            yield key, _Tensor(found.dtype, found.shape, file, place.offset, place.size)


def _name_of(key: str, names: Any, tied: bool) -> str | None:
    """llama.cpp's name of a tensor; None for those that it does not store."""
    if key.endswith("rotary_emb.inv_freq") or (tied and key == "lm_head.weight"):
        return None
    name = names.get_name(key, try_suffixes=(".weight", ".bias"))
    if name is None:
        raise _Unknown(f"llama.cpp has no name for its tensor {key}")
    return str(name)


def _heads_of(key: str, config: Mapping[str, Any]) -> int | None:
    """Heads of a query or key projection, whose rows llama.cpp orders otherwise; None for other tensors."""
    heads = int(config["num_attention_heads"])
    if ".q_proj." in key:
        return heads
    return int(config.get("num_key_value_heads") or heads) if ".k_proj." in key else None


def _data(tensor: _Tensor, heads: int | None) -> Any:
    """The bytes of a tensor; vectors in 32 bits, as llama.cpp computes with them."""
    import numpy

    kept = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor.dtype]
    data = numpy.memmap(tensor.file, kept, "r", tensor.offset, tensor.shape)
    if heads is not None:  # halves of a head's dimensions next to each other, for its rotation of pairs
        split = data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:])
        data = split.swapaxes(1, 2).reshape(tensor.shape)  # type: ignore[assignment]
    if len(tensor.shape) > 1:
        return data
    if tensor.dtype == "BF16":
        return (data.astype("<u4") << 16).view("<f4")
    return data.astype("<f4")


def _read(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise _Unknown(f"{file.name} is no JSON object")
    return found
