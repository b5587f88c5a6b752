"""The certificate's error rates, simulated on few suites; benchmarks/results/certificate.md has the whole tables."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from simulate_certificate import SORTING, TASKS, World, carried, decide, draw, mean_tests, spread, tables

from pytest_thinkslm.statistics.stratified import ClusterTotal, MeanDrop, Stratum

SUITES = 300


@pytest.mark.parametrize(
    "world",
    [
        World("all tasks", spread(0.01)),
        World("few change", spread(0.01), (0.95, 0.98), (0.02, 0.03)),
        World("one task", carried(SORTING[:1], 0.01), share=0.1),
    ],
    ids=lambda world: world.name,
)
def test_go_at_the_boundary_is_as_rare_as_stated(world):
    found = decide(draw(world, SUITES, np.random.default_rng(0)), 0.01)
    # 5% and 2.5%, and three standard errors of so many suites.
    assert found.go <= found.mean_within <= 0.05 + 3 * (0.05 * 0.95 / SUITES) ** 0.5
    assert found.mean_beyond <= 0.025 + 3 * (0.025 * 0.975 / SUITES) ** 0.5


def test_nothing_lost_is_go_and_a_spread_loss_is_no_go():
    quiet, worse = (World("", drops, discordance=(0.02, 0.05)) for drops in ({}, spread(0.05)))
    assert decide(draw(quiet, 100, np.random.default_rng(1)), 0.02).go > 0.95
    assert decide(draw(worse, 100, np.random.default_rng(1)), 0.02).no_go > 0.95


def test_the_simulation_decides_by_the_package_s_own_mean():
    """The array form that the simulation uses and `MeanDrop` of one suite are the same test."""
    suites = draw(World("", spread(0.01), share=0.05), 3, np.random.default_rng(2))
    within, beyond = mean_tests(suites, 0.01)
    for suite in range(3):
        strata = []
        for task in range(len(TASKS)):
            table = tables(suites, suite, task)
            n = int(suites.items[task])
            drop = (table.lost - table.gained) / table.n
            totals = {(task, item): ClusterTotal(drop, 1) for item in range(n)}
            strata.append(Stratum(table, drop, totals))
        mean = MeanDrop(tuple(strata))
        assert mean.not_worse(0.01).p == pytest.approx(within[suite], abs=1e-6)
        assert mean.worse(0.01).p == pytest.approx(beyond[suite], abs=1e-6)
        assert mean.not_worse(mean.at_most(0.95)).p == pytest.approx(0.05, abs=1e-6)
        assert mean.worse(mean.at_least(0.975)).p == pytest.approx(0.025, abs=1e-6)
