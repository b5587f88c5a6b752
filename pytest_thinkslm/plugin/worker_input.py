"""What the controller tells an xdist worker before it starts: one record, sent as plain values in ``workerinput``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pytest

_PREFIX = "thinkslm_"


@dataclass(frozen=True, slots=True)
class WorkerInput:
    """A worker's part.

    Attributes:
        report_dir: the run's report folder.
        table: where it writes which item each test is (``identities``).
        workers: number of workers.
        slot, slots: its share of the items (``generating.shards``) and the number of shares; no slots where the user
            chose another distribution.
        remaining: positions of its items where it takes over from a dead worker, else None.
        devices: positions of its GPUs among those of the run; None without GPUs.
        visible_devices: the same as CUDA_VISIBLE_DEVICES wants it.
        judge: what ``JudgeSession.for_worker`` made; None without a judge.
        decided: where the controller says which gates are decided (``decisions``); None without ``--adaptive``.
        progress: its channel to the controller's progress line; None under another distribution.
    """

    report_dir: str
    table: str
    workers: int
    slot: int = 0
    slots: int = 0
    remaining: list[int] | None = None
    devices: list[int] | None = None
    visible_devices: str | None = None
    judge: Mapping[str, Any] | None = None
    decided: str | None = None
    progress: Any = None

    @property
    def beside(self) -> int:
        """How many other workers begin at this time."""
        return self.workers - 1 if self.remaining is None else 0

    def put(self, workerinput: dict[str, Any]) -> None:
        """Send it along with what xdist sends."""
        workerinput.update({_PREFIX + field.name: getattr(self, field.name) for field in fields(self)})


def worker_input(config: pytest.Config) -> WorkerInput | None:
    """What this process was told; None in a process that the user started."""
    given: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if given is None:
        return None
    return WorkerInput(**{field.name: given[_PREFIX + field.name] for field in fields(WorkerInput)})
