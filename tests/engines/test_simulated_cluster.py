"""The openai engine's client on a virtual clock against a cluster with faults, small."""

from __future__ import annotations

import importlib.util
import sys
from argparse import Namespace
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "simulate_cluster.py"
ARGUMENTS = Namespace(replicas=8, slots=4, requests=300, seed=0)


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("simulate_cluster", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate_cluster"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["simulate_cluster"]


def test_faults_cost_time_and_nothing_else(simulation):
    def run(scenario, router=simulation.two_choices, even=0.0):
        return simulation.simulated(scenario, router, lambda chance: chance.uniform(2, 8), ARGUMENTS, even)

    even = run(simulation.Scenario("no fault"))
    assert 300 * 5 / 32 < even.seconds < 3 * 300 * 5 / 32
    assert (even.again, even.errors) == (0, 0)
    assert run(simulation.Scenario("no fault")) == even, "of the seed alone"
    slow = simulation.Scenario("a straggler", slow=1, factor=6.0)
    aware, blind = (run(slow, router, even.seconds) for router in (simulation.two_choices, simulation.in_turn))
    assert even.seconds < aware.seconds < blind.seconds
    for scenario in simulation.scenarios(8):
        done = run(scenario, even=even.seconds)
        assert (done.twice, done.unaccounted) == (0, 0), scenario
        assert (done.again > 0) == (scenario.dead != 0 or scenario.hung > 0), scenario
