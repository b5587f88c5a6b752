"""Where a model runs and in which dtype, decided without importing torch."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from pytest_thinkslm.core.errors import UsageError, nearest

DeviceKind = Literal["cpu", "cuda"]
Dtype = Literal["bfloat16", "float16", "float32"]
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """Device and dtype of a model, and one line that says why."""

    device: DeviceKind
    dtype: Dtype
    reason: str


def decide(device: str = "auto", dtype: str = "auto") -> DeviceChoice:
    """An NVIDIA GPU where a driver and a CUDA build of torch are there, else the CPU.

    ``dtype="auto"`` is bfloat16 where the hardware multiplies it natively (about twice as fast on such a
    CPU), else float16 on a GPU and float32 on a CPU. Raises UsageError for an unknown device or dtype, and for
    ``device="cuda"`` where there is none.
    """
    for what, given, valid in (("device", device, DEVICES), ("dtype", dtype, DTYPES)):
        if given not in valid:
            raise UsageError(f"unknown {what} {given!r}: {nearest(given, valid)}")
    lacking = _what_cuda_lacks()
    if device == "cuda" and lacking:
        raise UsageError(f"device=cuda was asked for, but {lacking}; leave it out to run on the CPU")
    on_gpu = device != "cpu" and not lacking
    why_device = "asked for" if device != "auto" else (lacking or "an NVIDIA GPU is there")
    native, why_dtype = _native_bfloat16_gpu() if on_gpu else _native_bfloat16_cpu()
    if dtype != "auto":
        chosen, why_dtype = cast("Dtype", dtype), "asked for"
    else:
        chosen = "bfloat16" if native else ("float16" if on_gpu else "float32")
    place: DeviceKind = "cuda" if on_gpu else "cpu"
    return DeviceChoice(place, chosen, f"{place}: {why_device}; {chosen}: {why_dtype}")


def cpus() -> int:
    """The CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _what_cuda_lacks() -> str:
    """Why CUDA cannot be used; empty where it can."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    if not (Path("/dev/nvidiactl").exists() or Path("/proc/driver/nvidia/version").exists()):
        return "no NVIDIA driver is there"
    if not torch_is_cuda_build():
        return "the installed torch is not a CUDA build"
    return ""


def torch_is_cuda_build() -> bool:
    """Whether the installed torch was built for CUDA, from the text of ``torch/version.py``."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]\d", text, re.MULTILINE) is not None


@cache
def _native_bfloat16_cpu() -> tuple[bool, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False, "the CPU's features are unknown here"
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    found = sorted({"avx512_bf16", "amx_bf16", "bf16"} & set(flags[1].split() if flags else ()))
    return bool(found), f"the CPU has {', '.join(found)}" if found else "the CPU has no bfloat16 instructions"


@cache
def compute_capability() -> float | None:
    """The GPUs' lowest compute capability (8.9, say), as the driver's own tool tells; None where it tells nothing."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return min((float(line) for line in done.stdout.split() if re.fullmatch(r"\d+\.\d+", line)), default=None)


def _native_bfloat16_gpu() -> tuple[bool, str]:
    """Compute capability 8.0 (Ampere) and later have bfloat16."""
    lowest = compute_capability()
    if lowest is None:
        return True, "the GPU's compute capability is unknown"
    return lowest >= 8.0, f"compute capability {lowest}"
