"""What a checkpoint folder says of itself, read from its JSON files alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core import files, weight_files
from pytest_thinkslm.core.configs import Config, text_config
from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models import chat_templates

_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
    "*.tiktoken",
)
_TOKENIZER_JSON = ("tokenizer.json", "vocab.json", "special_tokens_map.json", "added_tokens.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Contents of a checkpoint folder; see ``resolve.ResolvedModel`` for the meaning of the fields."""

    config: Config
    disk_bytes: int
    quantization: Config | None
    chat_template: str | None
    context: int | None


def read(folder: Path, name: str) -> Checkpoint:
    """Read the folder of model ``name``; ModelError says what it lacks. Weights must be safetensors."""
    if pointers := list(weight_files.pointers(folder)):
        raise ModelError(
            f"--model {name}: {_several(path.name for path in pointers)} in {folder} "
            f"{'is a Git LFS pointer' if len(pointers) == 1 else 'are Git LFS pointers'}, not the content: run "
            "'git lfs pull' there, or fetch the repository with 'hf download'"
        )
    config = read_config(folder, name)
    _check_weights(folder, name)
    generation_config(folder, name)
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZERS):
        raise ModelError(
            f"--model {name}: {folder} has no tokenizer ({', '.join(_TOKENIZERS[:3])}); "
            "save it there with tokenizer.save_pretrained"
        )
    for file in _TOKENIZER_JSON:  # else its loader's error names no file
        if (folder / file).is_file():
            _json(folder / file, name)
    tokenizer = _json(folder / "tokenizer_config.json", name) if (folder / "tokenizer_config.json").is_file() else {}
    return Checkpoint(
        config=config,
        disk_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        quantization=quantization_of(config),
        chat_template=_chat_template(folder, tokenizer, name),
        context=_context(config, tokenizer),
    )


def read_config(folder: Path, name: str) -> Config:
    """The config.json of the checkpoint folder of model ``name``; ModelError where there is none, or a damaged one."""
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"--model {name}: {folder} has no config.json, so it is no Hugging Face checkpoint{_hint(folder)}"
        )
    return _json(folder / "config.json", name)


def quantization_of(config: Config) -> Config | None:
    """The quantization config in a config.json (older checkpoints call it compression_config); None without one."""
    found = config.get("quantization_config") or config.get("compression_config")
    return found if isinstance(found, dict) else None


def generation_config(folder: Path, name: str) -> Mapping[str, object]:
    """The generation_config.json of the checkpoint folder of model ``name``; empty where there is none.

    Raises ModelError for one that is damaged, or whose end tokens are no token ids.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return {}
    found = _json(path, name)
    end = found.get("eos_token_id")
    for token in end if isinstance(end, list) else [end]:
        if token is not None and (isinstance(token, bool) or not isinstance(token, int) or abs(token) >= 1 << 63):
            raise ModelError(f"--model {name}: {path} has an eos_token_id that is no token id: {token!r}")
    return found


def _check_weights(folder: Path, name: str) -> None:
    try:
        shards = weight_files.index_of(folder)
    except ModelError as problem:
        raise ModelError(f"--model {name}: {problem}") from None
    if shards is not None:
        wanted = sorted(set(shards.values()))
        missing = [shard for shard in wanted if not (folder / shard).is_file()]
        if missing:
            raise ModelError(
                f"--model {name}: {folder} lacks {len(missing)} of {len(wanted)} shards: {_several(missing)}"
            )
        return
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if weight_files.SINGLE in found:
        return
    if found and not (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"--model {name}: {folder} has {_several(found)}, but neither {weight_files.SINGLE} nor "
            f"{weight_files.INDEX}, by which loaders find the weights: fetch the whole repository again, or save the "
            "model again with model.save_pretrained"
        )
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"--model {name}: {folder} has pickled weights only ({pickles[0]}), which can run code when loaded and "
            "are refused; save the model again with model.save_pretrained, which writes safetensors"
        )
    raise ModelError(f"--model {name}: {folder} has no weights (*.safetensors){_hint(folder)}")


def _several(names: Iterable[str]) -> str:
    """The first three names, and how many more there are."""
    found = list(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _hint(folder: Path) -> str:
    """The usual mix-ups: an adapter, a GGUF folder, a folder of folders."""
    if (folder / "adapter_config.json").is_file():
        return "; it holds an adapter: merge it into its base model first"
    if any(folder.glob("*.gguf")):
        return "; it holds a GGUF file, which --engine llamacpp reads"
    below = sorted(path.parent.name for path in folder.glob("*/config.json"))
    return f"; a folder below it does: {folder / below[0]}" if below else ""


def _chat_template(folder: Path, tokenizer: Config, name: str) -> str | None:
    """chat_template.jinja, else chat_template.json, else tokenizer_config.json (there also a list of named ones)."""
    own, old = folder / "chat_template.jinja", folder / "chat_template.json"
    if own.is_file():
        file, template = own, _text(own, name)
        if not template.strip():
            raise ModelError(
                f"--model {name}: {own} is empty: fetch it again, or remove it where the checkpoint is a base model, "
                "which gets a plain prompt format"
            )
    else:
        file = old if old.is_file() else folder / "tokenizer_config.json"
        found = (_json(old, name) if old.is_file() else tokenizer).get("chat_template")
        if isinstance(found, list):
            named = {str(entry.get("name")): entry.get("template") for entry in found if isinstance(entry, dict)}
            found = named.get("default")
        if not isinstance(found, str) or not found.strip():
            return None
        template = found
    if problem := chat_templates.problem_of(template):
        raise ModelError(f"--model {name}: the chat template in {file} cannot be used: {problem}")
    return template


def _context(config: Config, tokenizer: Config) -> int | None:
    inner = text_config(config)
    for key in _CONTEXT_KEYS:
        value = inner.get(key)
        if isinstance(value, int) and value > 0:
            return value
    longest = tokenizer.get("model_max_length")
    # Tokenizers without a bound carry a huge number in its place.
    return int(longest) if isinstance(longest, int | float) and 0 < longest < 1e9 else None


def _json(path: Path, name: str) -> dict[str, object]:
    try:
        content = json.loads(_text(path, name))
    except (ValueError, RecursionError) as problem:
        raise ModelError(f"--model {name}: cannot read {path}: it is damaged ({problem}); fetch it again") from problem
    if not isinstance(content, dict):
        raise ModelError(f"--model {name}: {path} is not a JSON object")
    return content


def _text(path: Path, name: str) -> str:
    try:
        return files.read_text(path)
    except ValueError as problem:
        raise ModelError(
            f"--model {name}: {path} cannot be used ({problem}): fetch it again, or convert it"
        ) from problem
    except OSError as problem:
        raise ModelError(f"--model {name}: cannot read {path}: {problem.strerror or problem}") from problem
