"""Quantization methods that have no format of their own in ``loading``: who reads them, with which packages.

Decided before anything is fetched; imports neither torch nor an engine (their lists of methods are read as text).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reader:
    """What transformers reads a method with: modules -> what pip installs; ``gpu``: on a GPU only."""

    packages: Mapping[str, str] = field(default_factory=dict)
    gpu: bool = False


#: By ``quant_method``, as of transformers 5.19.
_TRANSFORMERS: Mapping[str, Reader] = {
    "aqlm": Reader({"aqlm": "aqlm[gpu,cpu]"}),
    "auto-round": Reader({"auto_round": "auto-round"}),
    "bitsandbytes": Reader({"bitsandbytes": "bitsandbytes"}),
    "eetq": Reader({"kernels": "kernels"}, gpu=True),
    "fbgemm_fp8": Reader({"fbgemm_gpu": "fbgemm-gpu"}, gpu=True),
    "fouroversix": Reader({"fouroversix": "fouroversix"}),
    "fp_quant": Reader({"fp_quant": "fp_quant"}, gpu=True),
    "higgs": Reader({"flute": "flute-kernel", "fast_hadamard_transform": "fast_hadamard_transform"}, gpu=True),
    "hqq": Reader({"hqq": "hqq"}),
    "nvfp4": Reader({"kernels": "kernels"}, gpu=True),
    "quanto": Reader({"optimum.quanto": "optimum-quanto"}),
    "quark": Reader({"quark": "amd-quark"}),
    "sinq": Reader({"sinq": "sinq"}, gpu=True),
    "spqr": Reader({"spqr_quant": "spqr_quant[gpu]"}, gpu=True),
    "torchao": Reader({"torchao": "torchao"}),
    "vptq": Reader({"vptq": "vptq"}, gpu=True),
}
_VLLM_PACKAGES: Mapping[str, Mapping[str, str]] = {
    "torchao": {"torchao": "torchao"},
    "bitsandbytes": {"bitsandbytes": "bitsandbytes"},
}
#: Methods that vLLM has under a name of its own.
_IN_VLLM: Mapping[str, str] = {"auto-round": "inc"}


def installed(module: str) -> bool:
    """Whether a module can be imported; a parent package that is absent is no error."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def obstacles(method: str, engine: str, *, gpu: bool, has: Callable[[str], bool] | None = None) -> list[str]:
    """Why an engine cannot load a checkpoint that is quantized by a method; empty where it can, or where nobody knows.

    Args:
        method: ``quant_method`` of the checkpoint's quantization config.
        engine: ``"transformers"`` or ``"vllm"``.
        gpu: whether a GPU is visible.
        has: whether a module can be imported; None: here.
    """
    known = _methods(engine)
    if known and not _is_known(method, engine, known):
        return [f"the installed {engine} has no quantization method {method!r}; it has {', '.join(sorted(known))}"]
    reader = _TRANSFORMERS.get(method, Reader()) if engine == "transformers" else Reader(_VLLM_PACKAGES.get(method, {}))
    lacking = {module: pip for module, pip in reader.packages.items() if not (has or installed)(module)}
    found = []
    if lacking:
        names = " and ".join(lacking.values())
        found.append(
            f"{names}, which {engine} reads {method} checkpoints with, {'is' if len(lacking) == 1 else 'are'} not "
            f"installed (pip install {' '.join(repr(pip) if '[' in pip else pip for pip in lacking.values())})"
        )
    if reader.gpu and not gpu:
        found.append(f"{engine} loads {method} checkpoints on a GPU only, and none is visible")
    return found


def _is_known(method: str, engine: str, known: frozenset[str]) -> bool:
    names = {method, method.replace("_", "-"), _IN_VLLM.get(method, method) if engine == "vllm" else method}
    # One method under several keys: bitsandbytes_4bit, modelopt_fp4.
    return bool(names & known) or any(key.startswith(f"{method}_") for key in known)


@cache
def _methods(engine: str) -> frozenset[str]:
    """The methods of the installed engine, from its source text; empty where that cannot be read."""
    place, pattern = {
        "transformers": ("quantizers/auto.py", r"AUTO_QUANTIZER_MAPPING\b[^=]*=\s*\{(.*?)\n\}"),
        "vllm": ("model_executor/layers/quantization/__init__.py", r"QuantizationMethods\s*=\s*Literal\[(.*?)\n\]"),
    }[engine]
    spec = importlib.util.find_spec(engine)
    if spec is None or spec.origin is None:
        return frozenset()
    try:
        text = (Path(spec.origin).parent / place).read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    found = re.search(pattern, text, re.DOTALL)
    names = re.findall(r"^\s*['\"]([\w-]+)['\"]", found[1], re.MULTILINE) if found else []
    return frozenset(names)
