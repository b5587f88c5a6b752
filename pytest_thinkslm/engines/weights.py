"""A checkpoint's weights against those of the model that its config names: the list that transformers' loader makes.

A weight that the files lack is drawn at random, one that the model has no place for is left out, and the outputs are
those of another model, with an accuracy like any. So each of them is an error, except what cannot change an output:
buffers that the model computes itself, heads and towers that generating text does not use, biases of zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_thinkslm.core import weight_files
from pytest_thinkslm.core.configs import text_config
from pytest_thinkslm.core.errors import EngineError, ModelError
from pytest_thinkslm.engines.compat_transformers import replaced

#: Classes that list a checkpoint's weights: language models, then those with other inputs, which vLLM serves as well.
_CLASSES = ("AutoModelForCausalLM", "AutoModelForImageTextToText")
#: Rows of an embedding that are compared at its beginning, its middle and its end.
_ROWS = 64
#: Names that a message gives in full, of each kind.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Weights:
    """What a loader found: names that the files lack, that the model lacks, and (with shapes) that do not fit."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Weights:
        """From transformers' loading info (``output_loading_info=True``)."""
        return cls(
            tuple(sorted(map(str, info.get("missing_keys") or ()))),
            tuple(sorted(map(str, info.get("unexpected_keys") or ()))),
            tuple(sorted(_mismatch(entry) for entry in info.get("mismatched_keys") or ())),
        )


def check(found: Weights, folder: Path, config: Mapping[str, object], display: str) -> None:
    """Raises EngineError that names the weights where the list has any that change what the model says."""
    unexpected = [name for name in found.unexpected if not _without_effect(name, config)]
    if unexpected:
        zeros = _zero_biases(folder, [name for name in unexpected if name.endswith("bias")])
        unexpected = [name for name in unexpected if name not in zeros]
    parts = [
        (found.missing, "the checkpoint lacks weights that its config asks for"),
        (found.mismatched, "weights have other shapes than its config asks for"),
        (unexpected, "the checkpoint has weights that its config has no place for"),
    ]
    wrong = [f"{what}: {_several(names)}" for names, what in parts if names]
    if wrong:
        raise EngineError(
            f"{display}: {'; '.join(wrong)}. It would answer with other weights than its own, so it is not run: fetch "
            "it again, or save it again with model.save_pretrained of the class that config.json names"
        )


def check_files(folder: Path, config: Mapping[str, object], display: str, *, trust_remote_code: bool) -> bool:
    """Check a checkpoint before its weights are loaded; whether transformers could tell.

    transformers lists names and shapes on the meta device, from the files' headers alone; a model or a quantization
    that it does not know, it cannot list.

    Raises:
        EngineError: files are cut short, or weights are missing, unexpected, of other shapes or not tied as said.
    """
    try:
        for file in weight_files.weight_files(folder):
            weight_files.check_whole(file)
    except ModelError as problem:
        raise EngineError(f"{display}: {problem}") from None
    if _tied(config) and (own := _own_output_layer(folder)):
        raise EngineError(
            f"{display}: config.json has tie_word_embeddings, but {own} differs from the embedding. Some engines would "
            "take the one, some the other: save it again with model.save_pretrained, with tie_word_embeddings as it is"
        )
    try:
        info = _listed(folder, trust_remote_code)
    except Exception:  # any error of the library: it is said where the model is truly loaded, if it matters there
        return False
    check(Weights.of(info), folder, config, display)
    return True


def _listed(folder: Path, trust_remote_code: bool) -> Mapping[str, Any]:
    import transformers
    from transformers.integrations import accelerate

    with (
        # What is missing would be initialised, which needs floats; and accelerate is asked for but not used here.
        replaced(transformers.PreTrainedModel, "initialize_weights", lambda self: None),
        replaced(accelerate, "is_accelerate_available", lambda *_: True),
        quiet(),
    ):
        problem: Exception = ValueError("no class")
        for name in _CLASSES:
            try:
                _, info = getattr(transformers, name).from_pretrained(
                    folder,
                    device_map={"": "meta"},
                    use_safetensors=True,
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    trust_remote_code=trust_remote_code,
                    local_files_only=True,
                )
            except Exception as error:  # the architecture may be one of the next class's
                problem = error
            else:
                return dict(info)
        raise problem


@contextmanager
def quiet() -> Iterator[None]:
    """Show no progress bars: compressed-tensors draws its own, which transformers' setting does not reach."""
    from tqdm import tqdm

    original = tqdm.__init__

    def silent(bar: Any, *given: Any, **named: Any) -> None:
        original(bar, *given, **{**named, "disable": True})

    with replaced(tqdm, "__init__", silent):
        yield


#: Buffers that models compute and old checkpoints store; scales of a cache that is kept in 16 bits here.
_COMPUTED = re.compile(
    r"rotary_emb\.inv_freq$|(^|\.)position_ids$|(^|\.)(attn|attention)\.(masked_)?bias$|"
    r"(attn|attention|[kv]_proj)\.([kqv]|prob|output)_(scale|zero_point)$|(^|\.)num_batches_tracked$"
)
#: Layers that predict tokens further ahead, for speculative decoding.
_AHEAD = re.compile(r"(^|\.)(mtp|nextn)(_\w+)?\.|(^|\.)(eh_proj|enorm|hnorm)\.")
#: A part's name that says which other kind of input it reads or makes, and the configs that announce one.
_MODALITY = re.compile(r"(^|[._])(vision|visual|vit|image|video|audio|speech|mm|multi_?modal|talker|token2wav)([._]|$)")
_ANNOUNCES = re.compile(r"^(vision|visual|image|video|audio|speech|talker|token2wav|mm|vit)_?\w*config$|^embd_layer$")


def _without_effect(name: str, config: Mapping[str, object]) -> bool:
    """Whether a weight that the model has no place for does nothing for text that is generated token by token."""
    if _COMPUTED.search(name) or _AHEAD.search(name):
        return True
    inner = text_config(config)
    layers, ahead = inner.get("num_hidden_layers"), inner.get("num_nextn_predict_layers")
    layer = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
    if layer and isinstance(layers, int) and isinstance(ahead, int) and layers <= int(layer[1]) < layers + ahead:
        return True
    if name in ("lm_head.weight", "model.lm_head.weight") and _tied(config):
        return True
    return bool(_MODALITY.search(name)) and any(_ANNOUNCES.search(key) for key in config)


def _tied(config: Mapping[str, object]) -> bool:
    inner = text_config(config)
    return bool(config.get("tie_word_embeddings", inner.get("tie_word_embeddings")))


def _own_output_layer(folder: Path) -> str:
    """The name of an output layer that is another matrix than the embedding, by some of its rows; empty without one."""
    from safetensors import safe_open

    found: dict[str, list[tuple[str, list[int], list[Any]]]] = {"embedding": [], "output": []}
    for file in weight_files.weight_files(folder):
        with safe_open(file, framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118 (it is no dict)
                kind = "output" if name.endswith("lm_head.weight") else "embedding"
                if kind == "output" or name.endswith(("embed_tokens.weight", "wte.weight")):
                    rows = stream.get_slice(name)
                    shape = list(rows.get_shape())
                    parts = [rows[at : at + _ROWS] for at in (0, shape[0] // 2, max(0, shape[0] - _ROWS))]
                    found[kind].append((name, shape, parts))
    if [len(one) for one in found.values()] != [1, 1]:
        return ""
    (_, shape, ours), (name, other, theirs) = found["embedding"][0], found["output"][0]
    same = shape == other and all(bool((mine == its).all()) for mine, its in zip(ours, theirs, strict=True))
    return "" if same else name


def _zero_biases(folder: Path, names: Iterable[str]) -> set[str]:
    """Those of the tensors that are zero throughout: GPTQ writes such biases for layers that have none."""
    wanted = set(names)
    zeros: set[str] = set()
    if not wanted:
        return zeros
    from safetensors import safe_open

    for file in weight_files.weight_files(folder):
        with safe_open(file, framework="pt") as stream:
            zeros |= {name for name in wanted.intersection(stream.keys()) if not bool(stream.get_tensor(name).any())}
    return zeros


def _mismatch(entry: Any) -> str:
    if isinstance(entry, tuple | list) and len(entry) == 3:
        name, stored, wanted = entry
        return f"{name} ({_shape(stored)} instead of {_shape(wanted)})"
    return str(entry)


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _several(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
