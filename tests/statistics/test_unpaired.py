import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.statistics import accuracy_interval, compare_unpaired

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def accuracy(right, n):
    return accuracy_interval([1.0] * right + [0.0] * (n - right))


def test_newcombes_published_interval():
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10: 56/70 - 48/80 is 0.0524 to 0.3339.
    found = compare_unpaired(48 / 80, 80, accuracy(56, 70))
    assert found.difference == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(counts, counts, st.floats(0, 0.3))
def test_it_never_fails_and_contains_the_difference(mine, theirs, margin):
    found = compare_unpaired(theirs[0] / theirs[1], theirs[1], accuracy(*mine), margin)
    assert -1 <= found.interval.low <= found.difference <= found.interval.high <= 1
    assert 0 <= found.worse.p <= 1
    assert 0 <= found.change.p <= 1


def test_a_large_drop_is_seen_and_a_wide_margin_forgives_it():
    found = compare_unpaired(0.5, 1319, accuracy(500, 1319))
    assert found.worse.p < 1e-6
    assert found.change.p == pytest.approx(2 * found.worse.p)
    assert compare_unpaired(0.5, 1319, accuracy(500, 1319), 0.2).worse.p > 0.99
    assert compare_unpaired(0.5, 0, accuracy(1, 2)) is None
    assert compare_unpaired(0.5, 10, accuracy(0, 0)) is None
