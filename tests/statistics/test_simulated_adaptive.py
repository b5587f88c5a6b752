"""A reduced form of benchmarks/simulate_adaptive.py: fixed seed, bounds from the binomial error of the simulation."""

from __future__ import annotations

import random
from math import sqrt

import pytest
import simulate_adaptive as simulation
import vectorised

from pytest_thinkslm.statistics import PairedTable
from pytest_thinkslm.statistics.sequential import look

SUITES = 300


def beyond(rate: float) -> float:
    """Four standard errors of a simulated rate."""
    return 4 * sqrt(rate * (1 - rate) / SUITES)


def test_arrays_are_tested_as_single_tables_are() -> None:
    chosen = random.Random(0)
    for _ in range(400):
        n = chosen.randint(1, 600)
        lost = chosen.randint(0, n // chosen.choice([1, 8]))
        gained = chosen.randint(0, min(n - lost, n // 8))
        margin, table = chosen.choice([0.0, 0.01, 0.05, 0.2]), PairedTable.single(lost, gained, n)
        assert float(vectorised.worse(lost, gained, n, margin)) == pytest.approx(table.worse(margin).p, abs=1e-12)
        other = float(vectorised.both(lost, gained, n, margin, "regression")[1])
        assert other == pytest.approx(table.not_worse(margin).p, abs=1e-12)


def test_arrays_are_looked_at_as_single_gates_are() -> None:
    counts = simulation.look_counts(1000)
    task = simulation.Task("gsm8k", 1000, 0.6, 0.03)
    lost, gained = simulation._outcomes(task, counts, 40, simulation.np.random.default_rng(3))
    end, shown, _ = vectorised.ends(lost, gained, counts, 0.02, "regression", 0.05)
    for place in range(40):
        for at, n in enumerate(counts):
            table = PairedTable.single(int(lost[place, at]), int(gained[place, at]), n)
            state = look(table.worse(0.02).p, table.not_worse(0.02).p, at, counts, 0.05)
            if state != "open":
                break
        assert (at, state == "shown") == (end[place], shown[place])


@pytest.mark.parametrize("family", [1, 17])
@pytest.mark.parametrize(
    ("n", "margin", "more"), [(500, 0.02, 0.02), (50, 0.05, 0.05), (100, 0.02, 0.08), (1319, 0.02, 0.01)]
)
def test_a_gate_is_wrong_at_any_look_as_often_as_stated(n: int, margin: float, more: float, family: int) -> None:
    """Exactly, where few items are gained and the score test alone errs in up to 6.8% of the cases."""
    alpha = 0.05 / family
    assert vectorised.crossing(n, margin, alpha, margin + more, "regression") <= 1.02 * alpha
    assert vectorised.crossing(n, margin, 0.05, margin + more, "noninferiority") <= 0.051


@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_false_alarms_of_seventeen_gates_at_any_look(margin: float) -> None:
    tasks = simulation.suite(**dict.fromkeys(simulation.TASKS, margin))
    found = simulation.simulate(tasks, margin, "regression", SUITES, seed=1)
    assert found.adaptive <= 0.05 + beyond(0.05)
    assert found.differ <= 0.03 + beyond(0.03)


def test_a_drop_that_the_full_run_finds_takes_half_of_the_tokens() -> None:
    found = simulation.simulate(simulation.suite(math=0.04), 0.02, "regression", SUITES, seed=1)
    assert found.full >= 0.95 - beyond(0.05)
    assert found.differ <= 0.03 + beyond(0.03)
    assert found.tokens <= 0.5


def test_nothing_changed_is_decided_alike_at_a_quarter_of_the_tokens() -> None:
    found = simulation.simulate(simulation.suite(), 0.02, "regression", SUITES, seed=1)
    assert found.differ <= 0.03
    assert found.tokens <= 0.25


def test_no_false_go_at_any_look_where_one_task_carries_the_whole_loss() -> None:
    tasks = simulation.suite(openbookqa=0.34)
    assert simulation.certified(tasks, 0.02, 40, seed=1).adaptive == 1


def test_a_certificate_is_mostly_go_where_nothing_changed_and_rarely_at_the_margin() -> None:
    nothing = simulation.certified(simulation.suite(), 0.02, 40, seed=1)
    assert nothing.adaptive <= 0.25
    assert nothing.tokens <= 0.5
    everywhere = simulation.suite(**dict.fromkeys(simulation.TASKS, 0.02))
    assert 1 - simulation.certified(everywhere, 0.02, 40, seed=1).adaptive <= 0.05 + 4 * sqrt(0.05 * 0.95 / 40)
