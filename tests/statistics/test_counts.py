import numpy as np
import pytest

from pytest_thinkslm.statistics import wilson
from pytest_thinkslm.statistics.counts import change_interval, function_interval, mean_interval


def test_a_ratio_of_counts_is_covered_as_often_as_stated():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        heat = generator.beta(2, 2, 100)
        right, before = generator.binomial(8, 0.8 * heat), generator.binomial(1, heat)
        rows = [(float(a), 1.0, float(b), 8.0) for a, b in zip(before, right, strict=True)]
        low, high = function_interval(rows, range(100), lambda s: 1 - (s[2] / s[3]) / (s[0] / s[1]), bounds=(-9, 1))
        covered += low <= 0.2 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_a_share_agrees_with_the_usual_interval():
    rows = [(float(n < 300), 1.0) for n in range(1000)]
    low, high = function_interval(rows, range(1000), lambda s: s[0] / s[1])
    assert (low, high) == pytest.approx(wilson(300, 1000), abs=0.002)
    assert function_interval(rows, [0] * 1000, lambda s: s[0] / s[1]) is None
    assert function_interval([(1.0, 1.0)] * 9, range(9), lambda s: s[0] / s[1]) is None


def test_means_and_changes_of_intervals():
    assert mean_interval([0.5, 0.5], [(0.4, 0.6), (0.4, 0.6)]) == pytest.approx(
        (0.5 - 0.1 / 2**0.5, 0.5 + 0.1 / 2**0.5)
    )
    assert mean_interval([0.5, 0.5], [(0.4, 0.6), None]) is None
    assert change_interval(0.5, (0.4, 0.6), 0.3, (0.2, 0.4)) == pytest.approx((-0.2 - 0.02**0.5, -0.2 + 0.02**0.5))
