"""Energy counters of the machine: RAPL (Linux powercap) of the processors' packages, NVML of NVIDIA GPUs.

They count all that a package or a GPU took, whoever used it: what a run took is only known on a machine of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.machine.gpus import nvml_energy

#: Where Linux has RAPL; readable by root alone on most machines.
POWERCAP = Path("/sys/class/powercap")
#: Seconds between two readings at least; a package's counter starts again after some minutes of full load.
_EVERY = 20.0


@dataclass(slots=True)
class _Counter:
    """One counter: ``read`` gives joules (None: no more), which start again at ``span`` (0: never)."""

    read: Callable[[], float | None]
    span: float = 0.0
    last: float | None = None
    total: float = 0.0

    def look(self) -> None:
        now = self.read()
        if now is not None and self.last is not None:
            self.total += now - self.last if now >= self.last else now + self.span - self.last
        self.last = now if now is not None else self.last


class EnergyMeter:
    """Joules since it was made; None where there is no counter.

    Args:
        gpus: places of the GPUs that are counted, among those that the process sees.
        powercap: the folder of the packages' counters.
    """

    def __init__(self, gpus: Sequence[int] = (), powercap: Path = POWERCAP) -> None:
        packages = (_package(folder) for folder in sorted(powercap.glob("intel-rapl:[0-9]*")) if _is_package(folder))
        self._counters = [counter for counter in packages if counter.read() is not None]
        self._counters += [
            _Counter(lambda gpu=gpu: nvml_energy(gpu))  # type: ignore[misc]
            for gpu in gpus
            if nvml_energy(gpu) is not None
        ]
        self._looked = time.monotonic()
        for counter in self._counters:
            counter.look()

    def tick(self) -> None:
        """Called now and then, so that no counter starts again unseen."""
        if self._counters and time.monotonic() - self._looked >= _EVERY:
            self.joules()

    def joules(self) -> float | None:
        """What all counters counted so far, together."""
        self._looked = time.monotonic()
        for counter in self._counters:
            counter.look()
        return sum(counter.total for counter in self._counters) if self._counters else None


def _is_package(folder: Path) -> bool:
    """A package, and not one of its parts (``intel-rapl:0:0``), which its own counter has in it."""
    return folder.name.count(":") == 1


def _package(folder: Path) -> _Counter:
    def number(name: str) -> float | None:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / name).read_text()) / 1e6
        return None

    return _Counter(lambda: number("energy_uj"), number("max_energy_range_uj") or 0.0)
