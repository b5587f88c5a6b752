"""A reduced form of benchmarks/simulate_adaptive.py: fixed seed, bounds from the binomial error of the simulation."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "simulate_adaptive.py"
SUITES = 150


@pytest.fixture(scope="module")
def simulation() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("simulate_adaptive", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def beyond(rate: float) -> float:
    """Four standard errors of a simulated rate."""
    return 4 * sqrt(rate * (1 - rate) / SUITES)


@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_false_alarms_of_seventeen_gates_at_any_look(simulation: ModuleType, margin: float) -> None:
    tasks = simulation.suite(**dict.fromkeys(simulation.TASKS, margin))
    found = simulation.simulate(tasks, margin, "regression", SUITES, seed=1)
    assert found.adaptive <= 0.05 + beyond(0.05)
    assert found.differ <= 0.03 + beyond(0.03)


def test_false_passes_of_non_inferiority_at_any_look(simulation: ModuleType) -> None:
    found = simulation.simulate(simulation.suite(["gsm8k"], gsm8k=0.03), 0.03, "noninferiority", SUITES, seed=1)
    assert 1 - found.adaptive <= 0.05 + beyond(0.05)


def test_a_drop_that_the_full_run_finds_takes_half_of_the_tokens(simulation: ModuleType) -> None:
    found = simulation.simulate(simulation.suite(math=0.04), 0.02, "regression", SUITES, seed=1)
    assert found.full >= 0.95 - beyond(0.05)
    assert found.differ <= 0.03 + beyond(0.03)
    assert found.tokens <= 0.5


def test_nothing_changed_is_decided_alike_at_a_quarter_of_the_tokens(simulation: ModuleType) -> None:
    found = simulation.simulate(simulation.suite(), 0.02, "regression", SUITES, seed=1)
    assert found.differ <= 0.03
    assert found.tokens <= 0.25
