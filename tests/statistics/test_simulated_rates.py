"""A reduced form of benchmarks/simulate_statistics.py: fixed seed, bounds from the binomial error of the simulation."""

import importlib.util
import sys
from math import sqrt
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "simulate_statistics.py"
PAIRS = 200


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("simulate_statistics", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def beyond(rate):
    """Four standard errors of a simulated rate."""
    return 4 * sqrt(rate * (1 - rate) / PAIRS)


@pytest.mark.parametrize("design", ["plain, 1000 items", "clustered, 300 x 5", "repeated, 500 x 3 runs"])
@pytest.mark.parametrize(("accuracy", "margin"), [(0.02, 0.01), (0.5, 0.03), (0.98, 0.01)])
def test_stated_rates_hold_at_a_drop_of_the_margin(simulation, design, accuracy, margin):
    chosen = next(known for known in simulation.DESIGNS if known.name == design)
    rates = simulation.simulate(chosen, accuracy, margin, margin, PAIRS, seed=1)
    for covered in ("accuracy_covered", "difference_covered", "drop_at_least_covered", "drop_at_most_covered"):
        assert getattr(rates, covered) >= 0.935 - beyond(0.935)
    assert rates.regression_fails <= 0.065 + beyond(0.065)
    assert rates.noninferiority_passes <= 0.065 + beyond(0.065)


def test_false_alarms_and_detection(simulation):
    design = simulation.DESIGNS[0]
    none = simulation.simulate(design, 0.5, 0.0, 0.03, PAIRS, seed=2)
    assert none.change_found <= 0.05 + beyond(0.05)
    assert none.regression_fails <= beyond(0.05)
    assert none.noninferiority_passes > 0.5
    twice = simulation.simulate(design, 0.5, 0.06, 0.03, PAIRS, seed=2)
    assert twice.regression_fails > 0.5
    assert twice.noninferiority_passes <= beyond(0.01)


def test_a_family_of_gates_raises_no_more_false_alarms_than_one(simulation):
    assert simulation.family("regression", (0.05,) * 5, 0.05, 60, seed=3) <= 0.05 + 4 * sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("n", [8, 50])
def test_exact_error_rates(simulation, n):
    false_alarm, false_pass = simulation.exact_sizes(n, 0.02)
    assert false_alarm <= 0.0755
    assert false_pass <= 0.1055
