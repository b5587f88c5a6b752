"""Memory of this machine and process: free, peak, given back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path


def free_memory() -> int:
    """Bytes that can be allocated on this machine now: what the kernel says, or less under a container's bound."""
    available = 4 << 30
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        available = int(found[1]) * 1024 if found else available
    except OSError:  # not Linux: a cautious guess
        return available
    try:
        bound = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
    except OSError:
        return available
    return max(0, min(available, int(bound) - int(used))) if bound.isdigit() else available


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; None where the system does not tell."""
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def reset_peak_memory() -> None:
    """Let the peak begin again at what is resident now, so that a variant is not charged for the one before it.

    What the allocator keeps of freed memory goes back to the system first.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):  # no Linux, or a container that forbids it: the peak is then the process's
        Path("/proc/self/clear_refs").write_text("5")
