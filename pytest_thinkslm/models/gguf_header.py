"""A GGUF file as its own header describes it: metadata and tensors. No library, no torch; the weights are not read.

Source: the specification of the format (github.com/ggml-org/ggml, docs/gguf.md), versions 2 and 3, little endian.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core import files
from pytest_thinkslm.core.configs import Config
from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.core.schemes import SCHEMES, Compression
from pytest_thinkslm.models import chat_templates

#: Number of a tensor's type -> its name, elements of a block, bytes of a block (ggml.h).
_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 9: ("q8_1", 32, 36), 10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144), 13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66), 17: ("iq2_xs", 256, 74), 18: ("iq3_xxs", 256, 98), 19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18), 21: ("iq3_s", 256, 110), 22: ("iq2_s", 256, 82), 23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1), 25: ("i16", 1, 2), 26: ("i32", 1, 4), 27: ("i64", 1, 8), 28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56), 30: ("bf16", 1, 2), 34: ("tq1_0", 256, 54), 35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17), 40: ("nvfp4", 64, 36),
}  # fmt: skip
#: ``general.file_type`` -> key of ``SCHEMES`` (llama.h, ``llama_ftype``).
_FILE_TYPES: Mapping[int, str] = {
    0: "none", 1: "none", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s",
    12: "q3_k_m", 13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 19: "iq2_xxs",
    20: "iq2_xs", 21: "q2_k_s", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 27: "iq3_m",
    28: "iq2_s", 29: "iq2_m", 30: "iq4_xs", 31: "iq1_m", 32: "none", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4_moe",
}  # fmt: skip
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
#: Types of tokens in ``tokenizer.ggml.token_type``.
_CONTROL, _USER_DEFINED = 3, 4
#: Weights that are not compressed; GGUF keeps vectors (norms, biases) in them in any case.
PLAIN = frozenset({"f32", "f16", "bf16", "f64"})

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a GGUF file: ``shape`` fastest dimension first, ``bytes`` as stored."""

    name: str
    kind: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        found = 1
        for size in self.shape:
            found *= size
        return found


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF model says of itself; ``files`` are its parts in order, one where it is not split."""

    files: tuple[Path, ...]
    metadata: Mapping[str, object]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """E.g. ``"llama"``."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def bytes(self) -> int:
        """Size of all its files on disk."""
        return sum(file.stat().st_size for file in self.files)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits over weights, of all tensors, norms and embeddings included."""
        weights = sum(tensor.elements for tensor in self.tensors)
        return round(8 * sum(tensor.bytes for tensor in self.tensors) / weights, 3) if weights else 0.0

    @property
    def types(self) -> Mapping[str, int]:
        """Tensors by type, most weights first."""
        weights: Counter[str] = Counter()
        for tensor in self.tensors:
            weights[tensor.kind] += tensor.elements
        counts = Counter(tensor.kind for tensor in self.tensors)
        return {kind: counts[kind] for kind, _ in weights.most_common()}

    @property
    def scheme(self) -> str | None:
        """Key of ``SCHEMES``: the type that the file states, else the one of its matrices; None: it has no key."""
        stated = self.metadata.get("general.file_type")
        if isinstance(stated, int) and stated in _FILE_TYPES:
            return _FILE_TYPES[stated]
        kinds = {tensor.kind for tensor in self.tensors if len(tensor.shape) > 1}
        if kinds and kinds <= PLAIN:
            return "none"
        return next(iter(kinds)) if len(kinds) == 1 and kinds <= set(SCHEMES) else None

    @property
    def compression(self) -> Compression:
        """Bits are those per weight over all tensors."""
        bits = self.bits_per_weight
        return Compression(self.scheme, bits, method=None if self.scheme == "none" else "gguf", bytes=self.bytes)

    @property
    def context(self) -> int | None:
        """Longest sequence in tokens, None where the file does not say."""
        return self._number("context_length")

    @property
    def chat_template(self) -> str | None:
        """The default chat template; None where the file has none."""
        found = self.metadata.get("tokenizer.chat_template")
        return found if isinstance(found, str) and found.strip() else None

    @property
    def imatrix(self) -> str | None:
        """The importance matrix that its quantizer used, as the file notes it; None: none is noted."""
        found = self.metadata.get("quantize.imatrix.file")
        return str(found) if found else None

    @property
    def config(self) -> Config:
        """The header in the words of a config.json, as far as memory and reports need them."""
        heads, kv_heads = self._number("attention.head_count"), self._number("attention.head_count_kv")
        found: dict[str, object] = {
            "model_type": self.architecture,
            "num_hidden_layers": self._number("block_count"),
            "hidden_size": self._number("embedding_length"),
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads or heads,
            "head_dim": self._number("attention.key_length"),
            "max_position_embeddings": self.context,
        }
        if self.scheme != "none":
            quantization = {"quant_method": "gguf", "scheme": self.scheme, "bits": self.bits_per_weight}
            found["quantization_config"] = quantization | {"types": self.types, "imatrix": self.imatrix}
        return {name: value for name, value in found.items() if value is not None}

    def token(self, name: str) -> tuple[int, str] | None:
        """Id and text of a special token (``bos``, ``eos``, ``padding``, ``unknown``); None where there is none."""
        number = self.metadata.get(f"tokenizer.ggml.{name}_token_id")
        tokens = self._list("tokens")
        return (number, str(tokens[number])) if isinstance(number, int) and 0 <= number < len(tokens) else None

    @property
    def special_tokens(self) -> Mapping[str, bool]:
        """Tokens with a meaning of their own -> whether they are hidden in texts (control tokens)."""
        kinds = self._list("token_type")
        return {
            str(token): kind == _CONTROL
            for token, kind in zip(self._list("tokens"), kinds, strict=False)
            if kind in (_CONTROL, _USER_DEFINED)
        }

    def _list(self, name: str) -> Sequence[object]:
        found = self.metadata.get(f"tokenizer.ggml.{name}")
        return found if isinstance(found, list) else ()

    def _number(self, name: str) -> int | None:
        found = self.metadata.get(f"{self.architecture}.{name}")
        if isinstance(found, list):  # by layer
            found = max((one for one in found if isinstance(one, int)), default=None)
        return found if isinstance(found, int) and found > 0 else None


def read(path: Path, name: str) -> Header:
    """The header of a GGUF model, all parts of a split one.

    Args:
        path: the file, or any part.
        name: what the user typed, for messages.

    Raises:
        ModelError: no GGUF, a damaged or cut one, a part that is missing, a chat template that cannot be used.
    """
    files = parts_of(path)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(
            f"--model {name}: {path.parent} lacks {len(missing)} of {len(files)} parts: {', '.join(missing[:3])}"
        )
    metadata: dict[str, object] = {}
    tensors: list[Tensor] = []
    for file in files:
        try:
            more, held = _read_file(file)
        except (struct.error, IndexError, KeyError, ValueError, OSError) as problem:
            raise ModelError(f"--model {name}: {file} {_what_it_is(file, problem)}") from None
        metadata = {**more, **metadata}
        tensors += held
    found = Header(files, metadata, tuple(tensors))
    template = found.chat_template
    if template is not None and (problem_there := chat_templates.problem_of(template)):
        raise ModelError(f"--model {name}: the chat template in {files[0]} cannot be used: {problem_there}")
    return found


def parts_of(path: Path) -> tuple[Path, ...]:
    """The files of a model of which ``path`` is one; itself where it is not split."""
    found = _PART.search(path.name)
    if found is None:
        return (path,)
    stem, count = path.name[: found.start()], int(found[2])
    return tuple(path.with_name(f"{stem}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1))


def _what_it_is(file: Path, problem: Exception) -> str:
    if isinstance(problem, OSError):
        return f"cannot be read: {problem.strerror or problem}"
    with files.open_file(file) as stream:
        if stream.read(23) == b"version https://git-lfs":
            return "is a Git LFS pointer, not the content: run 'git lfs pull' there, or fetch it with 'hf download'"
    return f"is no GGUF file that can be read, or a part of one ({problem}): fetch it again"


def _read_file(file: Path) -> tuple[dict[str, object], list[Tensor]]:
    with files.open_file(file) as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        size = len(content)
        if size < 24:
            raise ValueError(f"{size} bytes")
        if content[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        at = _Reader(content)
        at.position = 4
        version = at.scalar("<I")
        if version not in (2, 3):
            raise ValueError(f"version {version}")
        count, pairs = int(at.scalar("<Q")), int(at.scalar("<Q"))
        metadata = {}
        for _ in range(pairs):
            key = at.text()
            metadata[key] = at.value(int(at.scalar("<I")))
        tensors, end = [], 0
        for _ in range(count):
            name = at.text()
            shape = tuple(int(at.scalar("<Q")) for _ in range(int(at.scalar("<I"))))
            kind, offset = int(at.scalar("<I")), int(at.scalar("<Q"))
            if kind not in _TYPES:
                raise ValueError(f"tensor {name} has the unknown type {kind}")
            label, block, width = _TYPES[kind]
            tensor = Tensor(name, label, shape, 0)
            stored = tensor.elements // block * width
            tensors.append(Tensor(name, label, shape, stored))
            end = max(end, offset + stored)
        alignment = metadata.get("general.alignment")
        align = alignment if isinstance(alignment, int) and alignment > 0 else 32
        begin = -(-at.position // align) * align
        if tensors and begin + end > size:
            raise ValueError(f"it is cut: {size} of {begin + end} bytes")
        return metadata, tensors


class _Reader:
    """Values one after another; whatever does not fit into the file is an error."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.position = content, 0

    def scalar(self, form: str) -> int | float | bool:
        width = struct.calcsize(form)
        (found,) = struct.unpack_from(form, self.content, self.position)
        self.position += width
        return found  # type: ignore[no-any-return]

    def text(self) -> str:
        length = int(self.scalar("<Q"))
        end = self.position + length
        if end > len(self.content):
            raise ValueError(f"a text of {length} bytes beyond its end")
        found = self.content[self.position : end].decode("utf-8", "replace")
        self.position = end
        return found

    def value(self, kind: int, depth: int = 0) -> object:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind])
        inner, length = int(self.scalar("<I")), int(self.scalar("<Q"))
        if length > len(self.content) or depth > 4:
            raise ValueError(f"a list of {length} values")
        if inner in _SCALARS:
            form = f"<{length}{_SCALARS[inner][1]}"
            found = list(struct.unpack_from(form, self.content, self.position))
            self.position += struct.calcsize(form)
            return found
        return [self.value(inner, depth + 1) for _ in range(length)]
