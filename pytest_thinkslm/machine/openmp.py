"""How many threads compute on a CPU, and how they wait for one another."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from pytest_thinkslm.machine.hardware import cpus

#: Seconds for which the machine is looked at, and again where a core is busy: programs that are just ending are none.
_LOOKS = (0.25, 1.0)
#: What a user may have decided already.
_OWN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def waiting(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that make threads spin for a moment at a barrier and then sleep; none where the user set any of them.

    Threads that only spin (the default) wait out whole time slices of a machine that does other things, too; threads
    that only sleep (PASSIVE) lose a fifth on a quiet one (docs/performance.md). Read when torch is loaded.
    """
    if any(name in environ for name in _OWN):
        return {}
    return {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000"}


def threads(engines: int) -> int | None:
    """The threads of each of so many engines that compute side by side on this process's CPUs; None: one on each CPU.

    One engine by itself leaves out the CPUs that other programs keep busy at the moment, as far as Linux tells: at
    every barrier all threads wait for the one that shares its CPU, so that one thread less is faster.
    """
    if engines > 1:
        return max(1, cpus() // engines)
    busy = cpus()
    for seconds in _LOOKS:
        busy = min(busy, round(_busy_elsewhere(seconds)))
        if busy <= 0:
            return None
    return max(1, cpus() - busy)


def _busy_elsewhere(seconds: float) -> float:
    """How many of this process's CPUs other programs keep busy over so long; 0 where it cannot be told."""
    begin = _busy_ticks()
    if begin is None:
        return 0.0
    time.sleep(seconds)
    end = _busy_ticks()
    return 0.0 if end is None else (end - begin) / (seconds * os.sysconf("SC_CLK_TCK"))


def _busy_ticks() -> float | None:
    """Clock ticks that this process's CPUs have worked, but not for this process itself; None where it is not known."""
    try:
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
        # user, nice, system, idle, iowait, irq, softirq; what is stolen from a virtual machine is no program's here
        ticks = sum(sum(map(int, (*line[1:4], *line[6:8]))) for line in lines if line and line[0] in names)
    except (OSError, ValueError, AttributeError):
        return None
    own = os.times()
    return ticks - (own.user + own.system) * os.sysconf("SC_CLK_TCK")
