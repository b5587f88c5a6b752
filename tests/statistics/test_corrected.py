from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.statistics import wilson
from pytest_thinkslm.statistics.corrected import Reading, corrected_accuracy, difference_of, mean_of


def simulated(n: int, labelled: int, accuracy: float, tpr: float, tnr: float, times: int = 400) -> tuple[float, float]:
    """How often the corrected interval, and how often that of the read accuracy, covers the true accuracy."""
    rng = np.random.default_rng(5)
    covered = read = 0
    for _ in range(times):
        right = rng.random(n) < accuracy
        called = np.where(right, rng.random(n) < tpr, rng.random(n) >= tnr)
        readings = []
        for word in (True, False):
            outputs = np.flatnonzero(called == word)
            if len(outputs):
                drawn = rng.choice(outputs, min(len(outputs), max(2, labelled * len(outputs) // n)), replace=False)
                share = float(right[drawn].mean())
                readings.append(Reading(len(outputs) / n, len(outputs), len(drawn), float(len(drawn)), share))
        _, ends = corrected_accuracy(readings, n)
        covered += ends.low <= accuracy <= ends.high
        own = wilson(float(called.sum()), n)
        read += own.low <= accuracy <= own.high
    return covered / times, read / times


@pytest.mark.parametrize("n", [100, 1_000])
@pytest.mark.parametrize("accuracy", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("tpr", "tnr"), [(0.9, 0.97), (1.0, 0.9), (0.99, 0.99)])
def test_the_interval_covers_whatever_the_reader_does(n: int, accuracy: float, tpr: float, tnr: float) -> None:
    covered, _ = simulated(n, 40, accuracy, tpr, tnr)
    assert covered >= 0.93


def test_the_read_accuracys_own_interval_does_not() -> None:
    covered, read = simulated(1_000, 100, 0.5, 0.9, 1.0)
    assert covered >= 0.93
    assert read < 0.3


def test_known_values() -> None:
    """By hand: 0.6 x 0.9 + 0.4 x 0.25 = 0.64; with every output labelled only the items' own sampling is left."""
    readings = [Reading(0.6, 60, 60, 60.0, 0.9), Reading(0.4, 40, 40, 40.0, 0.25)]
    estimate, ends = corrected_accuracy(readings, 100)
    assert estimate == pytest.approx(0.64)
    assert ends == pytest.approx(wilson(64, 100))
    fewer = [Reading(0.6, 60, 20, 20.0, 0.9), Reading(0.4, 40, 8, 8.0, 0.25)]
    assert corrected_accuracy(fewer, 100)[0] == pytest.approx(0.64)
    assert corrected_accuracy(fewer, 100)[1].high > ends.high


def test_rogan_and_gladen_agree_on_whole_populations() -> None:
    """(read + TNR - 1) / (TPR + TNR - 1) from the labels' own TPR and TNR is the same number."""
    a, b, c, d = 50, 6, 4, 40  # both correct, the reader alone, people alone, neither
    estimate, _ = corrected_accuracy(
        [Reading(0.56, 56, 56, 56.0, a / (a + b)), Reading(0.44, 44, 44, 44.0, c / (c + d))], 100
    )
    tpr, tnr = a / (a + c), d / (b + d)
    assert estimate == pytest.approx((0.56 + tnr - 1) / (tpr + tnr - 1))


shares = st.floats(0, 1)


@given(shares, shares, shares, st.integers(1, 50), st.integers(1, 50))
def test_the_estimate_lies_within_its_interval(share: float, one: float, other: float, n: int, m: int) -> None:
    readings = [Reading(share, 50, n, float(n), one), Reading(1 - share, 50, m, float(m), other)]
    estimate, ends = corrected_accuracy(readings, 100)
    assert 0 <= ends.low <= estimate + 1e-12
    assert estimate - 1e-12 <= ends.high <= 1
    mean = mean_of([(estimate, ends)] * 4)
    assert mean[0] == pytest.approx(estimate)
    assert mean[1].high - mean[1].low <= (ends.high - ends.low) / 2 + 1e-9
    assert difference_of(mean, mean)[0] == 0
