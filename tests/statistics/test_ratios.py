from __future__ import annotations

import random
from math import exp
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.statistics.ratios import paired_ratio


def test_of_pairs_that_are_all_doubled_everything_is_two() -> None:
    found = paired_ratio([(10.0 + place, 20.0 + 2 * place) for place in range(20)])
    assert found is not None
    assert (found.n, found.ratio, found.median) == (20, 2, 2)
    assert found.interval == pytest.approx((2, 2))
    assert found.median_interval == (2, 2)


def test_the_ratio_of_means_is_not_the_median_of_ratios() -> None:
    """One output that became a hundred times as long."""
    found = paired_ratio([(10.0, 10.0)] * 9 + [(10.0, 1000.0)])
    assert found is not None
    assert (found.ratio, found.median, found.median_interval) == (10.9, 1, (1, 1))


def test_nothing_is_said_of_nothing() -> None:
    assert paired_ratio([]) is None
    assert paired_ratio([(0.0, 5.0)]) is None
    one = paired_ratio([(4.0, 6.0)])
    assert one is not None
    assert (one.ratio, one.interval, one.median_interval) == (1.5, None, None)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=2, max_size=60))
def test_intervals_enclose_their_estimates_and_turn_with_the_sides(pairs: list[tuple[int, int]]) -> None:
    there = paired_ratio(pairs)
    back = paired_ratio([(now, before) for before, now in pairs])
    assert there is not None
    assert back is not None
    assert there.interval is not None
    assert back.interval is not None
    assert there.interval.low <= there.ratio <= there.interval.high
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.interval.low == pytest.approx(1 / back.interval.high)
    if there.median_interval is not None:
        assert there.median_interval.low <= there.median <= there.median_interval.high


def test_copies_in_a_cluster_tell_no_more_than_one() -> None:
    draw = random.Random(1)
    pairs = [(100.0, 100 * exp(draw.gauss(0, 0.5))) for _ in range(30)]
    single = paired_ratio(pairs)
    copied = paired_ratio([pair for pair in pairs for _ in range(4)], [name for name in range(30) for _ in range(4)])
    assert single is not None
    assert copied is not None
    assert copied.interval == pytest.approx(single.interval)
    assert copied.median_interval == single.median_interval


@pytest.mark.parametrize("clustered", [False, True])
def test_the_intervals_cover_as_often_as_they_say(clustered: bool) -> None:
    draw, covered = random.Random(7), [0, 0]
    runs, mean = 600, exp(0.4**2 / 2)
    for _ in range(runs):
        shared = [draw.gauss(0, 0.3) for _ in range(40)]
        pairs, clusters = [], []
        for place in range(120):
            by = shared[place % 40] if clustered else draw.gauss(0, 0.3)
            before = draw.uniform(50, 150)
            pairs.append((before, before * exp(by + draw.gauss(0, 0.07**0.5))))
            clusters.append(place % 40)
        found = paired_ratio(pairs, clusters if clustered else None)
        assert found is not None
        assert found.interval is not None
        assert found.median_interval is not None
        covered[0] += found.interval.low <= mean <= found.interval.high
        covered[1] += found.median_interval.low <= 1 <= found.median_interval.high
    assert min(covered) / runs > 0.92
    assert median(covered) / runs < 0.995
