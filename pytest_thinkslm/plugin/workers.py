"""The xdist workers of a run: how many there are, which GPUs each gets, and who distributes the tests."""

from __future__ import annotations

import os
import re
import shlex
import sys

import pytest

from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.machine import gpus
from pytest_thinkslm.plugin.slots import devices_of_slots
from pytest_thinkslm.plugin.worker_input import WorkerInput

#: Set where the number of workers was ours to choose (``-n auto``).
_CHOSEN: pytest.StashKey[bool] = pytest.StashKey()


def auto_count(config: pytest.Config) -> int:
    """``-n auto``: as many workers as GPUs, 1 without one or where the model does not run in these processes.

    The model is not known yet: ``devices_by_slot`` lowers the number to that of the GPU groups, before any
    worker has been started.
    """
    from pytest_thinkslm.machine.hardware import decide
    from pytest_thinkslm.settings.run_settings import is_own_engine

    config.stash[_CHOSEN] = True
    engine = getattr(config.option, "slm_engine", None) or config.getini("slm_engine") or "auto"
    if engine in ("replay", "openai") or is_own_engine(engine) or decide().device != "cuda":
        return 1
    return max(1, len(gpus.devices()))


def count(config: pytest.Config) -> int:
    """The number of workers that xdist is going to start; 0 without xdist."""
    if getattr(config.option, "dist", "no") == "no" or config.option.collectonly:
        return 0
    total = 0
    for spec in getattr(config.option, "tx", None) or ():
        times = re.match(r"(\d+)\*", spec)
        total += int(times[1]) if times else 1
    return total


def chosen_distribution(config: pytest.Config) -> str | None:
    """The ``--dist`` mode in force where the user gave one (``-d``, addopts and PYTEST_ADDOPTS included), else None."""
    mode = str(getattr(config.option, "dist", "no"))
    if mode not in ("no", "load") or getattr(config.option, "distload", False):
        return mode
    given = [
        *config.invocation_params.args,
        *config.getini("addopts"),
        *shlex.split(os.environ.get("PYTEST_ADDOPTS", "")),
    ]
    return mode if any(re.match(r"--dist(=|$)", str(argument)) for argument in given) else None


def starving(config: pytest.Config, factory: EngineFactory) -> str:
    """One line where the user's ``--dist`` keeps the engines from being full; empty where it does not."""
    mode = chosen_distribution(config)
    if mode is None or not count(config) or not factory.waits:
        return ""
    return (
        f"--dist {mode} is taken as given, but starves the engine: a worker then learns of its items a few at a time "
        "and asks for each alone; without --dist each worker hands all of its items to its engine at once"
    )


def devices_by_slot(config: pytest.Config, factory: EngineFactory) -> list[tuple[int, ...]]:
    """The GPU positions of each worker; empty without workers, on a CPU, or where workers are on other machines.

    Raises:
        UsageError: more workers were asked for than there are GPU groups.
        PlacementError: a model does not fit.
    """
    asked = count(config)
    specs = getattr(config.option, "tx", None) or ()
    if not asked or not all(re.match(r"(\d+\*)?popen\b", spec) for spec in specs):
        return []
    placement = factory.largest_placement()
    if placement is None:
        return []
    if config.stash.get(_CHOSEN, False) and asked > placement.replicas:
        asked = placement.replicas
        config.option.tx, config.option.numprocesses = list(specs[:asked]), asked
    return devices_of_slots(placement.groups, asked, placement.reason)


def take_devices(worker: WorkerInput) -> str:
    """In a worker: make its GPUs the only visible ones, before anything has started CUDA.

    Returns what is wrong where that is too late, else nothing (an error now would only have the worker replaced).
    """
    visible = worker.visible_devices
    if visible is None:
        return ""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return (
            "CUDA was started in an xdist worker before the plugin could give it its GPUs (by a conftest or another "
            "plugin): start it later, in a fixture, or run without -n"
        )
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as NVML numbers them
    os.environ["CUDA_VISIBLE_DEVICES"] = visible
    return ""
