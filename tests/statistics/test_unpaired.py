import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.statistics import accuracy_interval, compare_unpaired
from pytest_thinkslm.statistics.unpaired import _score_p, _under_null

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


shares = st.floats(0.02, 0.98)


@given(st.sampled_from([5, 40, 133.25]), st.sampled_from([7, 50]), shares, shares, st.sampled_from([0.0, -0.02, -0.1]))
def test_the_score_test_takes_the_likeliest_shares_under_the_hypothesis(n, reference_n, share, reference, value):
    """By brute force; statsmodels' own are off in the fourth digit where the counts are no whole numbers."""
    from math import log

    from scipy.optimize import minimize_scalar

    def unlikely(base):
        other = base + value
        own = share * n * log(base) + (1 - share) * n * log(1 - base)
        return -own - reference * reference_n * log(other) - (1 - reference) * reference_n * log(1 - other)

    bounds = (max(0.0, -value) + 1e-9, 1 - 1e-9)
    likeliest = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
    assert _under_null(share * n, n, reference * reference_n, reference_n, value) == pytest.approx(likeliest, abs=1e-4)


@given(st.sampled_from([5, 40, 1319]), st.sampled_from([7, 50]), shares, shares)
def test_the_score_test_of_any_change_is_that_of_statsmodels(n, reference_n, share, reference):
    from statsmodels.stats.proportion import test_proportions_2indep as score

    counts = (1 - reference) * reference_n, reference_n, (1 - share) * n, n
    theirs = score(*counts, value=0, method="score", correction=False).pvalue
    assert _score_p(share, n, reference, reference_n, 0.0, "two-sided") == pytest.approx(theirs, rel=1e-9)


def test_a_share_that_the_others_is_a_whole_above_is_none() -> None:
    assert _under_null(1, 5, 5, 5, 1.0) == 0.0
    assert _under_null(1, 5, 3, 5, 0.0) == pytest.approx(0.4)
