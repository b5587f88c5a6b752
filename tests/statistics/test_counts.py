import numpy as np
import pytest

from pytest_thinkslm.statistics import wilson
from pytest_thinkslm.statistics.counts import function_change, function_interval, mean_interval


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


def drop_rate(s):
    return 1 - (s[2] / s[3]) / (s[0] / s[1])


def test_a_change_of_a_ratio_is_covered_as_often_as_stated_and_narrower_than_unpaired():
    generator = np.random.default_rng(0)
    covered, widths, apart = 0, [], []
    for _ in range(400):
        heat = generator.beta(2, 2, 100)
        right, before = generator.binomial(8, 0.8 * heat), generator.binomial(1, heat)
        sides = [
            [(float(a), 1.0, float(b), 8.0) for a, b in zip(before, own, strict=True)]
            for own in (right, right - generator.binomial(right, 0.125))
        ]
        low, high = function_change(*sides, range(100), drop_rate, bounds=(-9, 9))
        covered += low <= 0.1 <= high
        widths.append(high - low)
        ends = [function_interval(side, range(100), drop_rate, bounds=(-9, 1)) for side in sides]
        apart.append(sum((b - a) ** 2 for a, b in ends) ** 0.5)
    assert 0.92 <= covered / 400 <= 0.98
    assert sum(widths) < 0.5 * sum(apart)


def test_a_change_is_what_the_paired_jackknife_finds():
    generator = np.random.default_rng(1)
    sides = [
        [(float(generator.binomial(1, 0.7)), 1.0, float(generator.binomial(8, p)), 8.0) for _ in range(60)]
        for p in (0.6, 0.5)
    ]

    def change(left_out):
        was, is_ = (drop_rate(np.delete(np.array(side), left_out, axis=0).sum(axis=0)) for side in sides)
        return is_ - was

    found = [change(place) for place in range(60)]
    error = (59 / 60 * sum((value - sum(found) / 60) ** 2 for value in found)) ** 0.5
    low, high = function_change(*sides, range(60), drop_rate, bounds=(-9, 9))
    assert (high - low) / 2 == pytest.approx(2.001 * error, rel=0.05)
    assert function_change(sides[0], sides[0], range(60), drop_rate) is None


def test_means_of_intervals():
    assert mean_interval([0.5, 0.5], [(0.4, 0.6), (0.4, 0.6)]) == pytest.approx(
        (0.5 - 0.1 / 2**0.5, 0.5 + 0.1 / 2**0.5)
    )
    assert mean_interval([0.5, 0.5], [(0.4, 0.6), None]) is None
