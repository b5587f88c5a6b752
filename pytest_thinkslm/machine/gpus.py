"""The NVIDIA GPUs that this process may use, and the memory of processes; empty where there is no GPU or no driver.

Asked through NVML (``nvidia-ml-py``), which starts no CUDA context and so takes no memory on any device.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU. ``index`` is its position among the visible ones, from 0; sizes are in bytes."""

    index: int
    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """The placement of the model under test in this process: what the fixture ``gpu`` gives.

    Attributes:
        device: ``"cuda"``, ``"cpu"``, or ``"none"`` where no model is loaded on this machine.
        devices: the GPUs that it is on; ``index`` counts within those that the run may use. Empty without a GPU.
        tensor_parallel: GPUs that hold one copy of the model together.
        replicas: copies of the model.
        reason: one line that says why.
    """

    device: Literal["cuda", "cpu", "none"]
    devices: tuple[Device, ...]
    tensor_parallel: int
    replicas: int
    reason: str


def devices(environ: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """The visible GPUs in the order of CUDA_VISIBLE_DEVICES; empty without a GPU, a driver, or ``nvidia-ml-py``."""
    environ = os.environ if environ is None else environ
    with _nvml() as nvml:
        if nvml is None:
            return ()
        found: list[Device] = []
        for token in _tokens(environ, nvml.nvmlDeviceGetCount()):
            handle = _handle(nvml, token)
            if handle is None:
                break  # as CUDA reads it: what follows an unknown device is invisible
            memory, name = nvml.nvmlDeviceGetMemoryInfo(handle), nvml.nvmlDeviceGetName(handle)
            text = name.decode() if isinstance(name, bytes) else str(name)
            found.append(Device(len(found), text, int(memory.total), int(memory.free)))
        return tuple(found)


def visible(group: Sequence[int], environ: Mapping[str, str] | None = None) -> str:
    """CUDA_VISIBLE_DEVICES for a process that is to use these positions of the visible list.

    Positions count within what the caller sees: with ``2,3`` visible, group ``(1,)`` is ``"3"``.
    """
    environ = os.environ if environ is None else environ
    given = environ.get("CUDA_VISIBLE_DEVICES")
    tokens = None if given is None else [token.strip() for token in given.split(",")]
    return ",".join(str(index) if tokens is None else tokens[index] for index in group)


def memory_by_process(pids: Iterable[int]) -> dict[str, int]:
    """Bytes of GPU memory held by each of these processes (all devices together); empty where NVML tells nothing.

    vLLM takes its memory once, at start, so that what is held is also the peak.
    """
    wanted = set(pids)
    held: dict[str, int] = {}
    with _nvml() as nvml:
        if nvml is None:
            return held
        for index in range(nvml.nvmlDeviceGetCount()):
            with contextlib.suppress(nvml.NVMLError):
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    if process.pid in wanted and process.usedGpuMemory is not None:
                        key = str(process.pid)
                        held[key] = held.get(key, 0) + int(process.usedGpuMemory)
    return held


def peak_resident(pids: Iterable[int]) -> dict[str, int]:
    """Peak resident memory of each of these processes in bytes; processes that are gone, or no Linux: left out."""
    peaks: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            if found:
                peaks[str(pid)] = int(found[1]) * 1024
    return peaks


def nvml_energy(position: int) -> float | None:
    """Joules that a GPU (by its place among the visible ones) took since its driver was loaded; None: not counted."""
    with _nvml() as nvml, contextlib.suppress(Exception):  # older GPUs have no such counter
        if nvml is not None:
            handle = _handle(nvml, _tokens(os.environ, nvml.nvmlDeviceGetCount())[position])
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
    return None


def measured_from_here() -> None:
    """Let this process's peak resident memory begin anew; where the kernel does not allow it, it goes on counting."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def _nvml() -> Iterator[Any]:
    """The initialised library, or None."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or none that answers
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _tokens(environ: Mapping[str, str], count: int) -> list[str]:
    given = environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(index) for index in range(count)]
    tokens = [token.strip() for token in given.split(",")]
    return tokens[: len(tokens) if len(set(tokens)) == len(tokens) else 0]


def _handle(nvml: Any, token: str) -> Any:
    """By index, by UUID (a prefix will do, as for CUDA), or by the UUID of a MIG slice; None: no such device."""
    try:
        if re.fullmatch(r"\d+", token):
            return nvml.nvmlDeviceGetHandleByIndex(int(token))
        if token.startswith("MIG-"):
            return nvml.nvmlDeviceGetHandleByUUID(token)
        if token.startswith("GPU-"):
            for index in range(nvml.nvmlDeviceGetCount()):
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = nvml.nvmlDeviceGetUUID(handle)
                if (uuid.decode() if isinstance(uuid, bytes) else str(uuid)).startswith(token):
                    return handle
    except nvml.NVMLError:
        return None
    return None
