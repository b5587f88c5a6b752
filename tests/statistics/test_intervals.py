import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_thinkslm.statistics import accuracy_interval, wilson
from pytest_thinkslm.statistics.clusters import student_quantile

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
verdicts = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)
clustered = st.lists(st.tuples(st.sampled_from([0.0, 1 / 3, 0.5, 1.0]), st.integers(0, 8)), min_size=1, max_size=60)


# Newcombe (1998), Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, table I.
@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@given(counts, st.floats(0.5, 0.999))
def test_wilson_is_statsmodels_wilson(count, confidence):
    from statsmodels.stats.proportion import proportion_confint

    assert wilson(*count, confidence) == pytest.approx(
        proportion_confint(*count, alpha=1 - confidence, method="wilson"), abs=1e-12
    )


@given(counts)
def test_wilson_contains_the_share_mirrors_and_narrows(count):
    right, n = count
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert high - low > 0
    assert wilson(n - right, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    wide, narrow = wilson(right, n, 0.99), wilson(4 * right, 4 * n)
    assert wide.low <= low
    assert wide.high >= high
    assert narrow.high - narrow.low < high - low
    if right < n:
        assert wilson(right + 1, n).low > low


def test_wilson_without_items_knows_nothing():
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(("right", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 0.0), (1, 2, 1.0)])
def test_wilson_refuses_nonsense(right, n, confidence):
    with pytest.raises(ValueError, match="must lie between"):
        wilson(right, n, confidence)


@given(verdicts)
def test_independent_verdicts_get_wilsons_interval(values):
    found = accuracy_interval(values)
    assert (found.low, found.high) == wilson(sum(values), len(values))
    assert (found.estimate, found.n, found.n_effective) == (sum(values) / len(values), len(values), len(values))
    assert found.method == "Wilson"


def test_no_items():
    assert accuracy_interval([]) == (None, 0.0, 1.0, 0, 0.0, "no items")


@given(clustered)
def test_the_effective_n_is_that_of_statsmodels_cluster_robust_variance(pairs):
    import numpy
    from statsmodels.regression.linear_model import OLS

    values, clusters = map(list, zip(*pairs, strict=True))
    assume(len(set(clusters)) > 1)
    found = accuracy_interval(values, clusters, repeats=1000)
    fit = OLS(values, numpy.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    variance = float(fit.bse[0]) ** 2
    assume(variance > 1e-9)
    share = found.estimate
    assert found.n_effective == pytest.approx(
        max(1.0, min(1000 * len(values), share * (1 - share) / variance)), rel=1e-6
    )


@given(clustered, st.randoms(use_true_random=False))
def test_clustered_interval_contains_its_estimate_whatever_the_order(pairs, random):
    found = accuracy_interval(*zip(*pairs, strict=True))
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.high > found.low
    random.shuffle(pairs)
    again = accuracy_interval(*zip(*pairs, strict=True))
    assert again[:5] == pytest.approx(found[:5], abs=1e-9)


@given(clustered)
def test_clustered_interval_mirrors(pairs):
    values, clusters = zip(*pairs, strict=True)
    found, mirrored = accuracy_interval(values, clusters), accuracy_interval([1 - value for value in values], clusters)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)


@pytest.mark.parametrize("verdict", [0.0, 1.0])
def test_at_0_and_100_percent_clusters_count_not_their_copies(verdict):
    # The cluster-robust variance is 0 here; four copies of thirty items tell as much as the thirty.
    found = accuracy_interval([verdict] * 120, [item // 4 for item in range(120)])
    assert found.n_effective == pytest.approx(30)
    assert found.high - found.low > 0.11


def test_copied_items_count_once_and_independent_ones_in_full():
    values = [1.0] * 60 + [0.0] * 40
    copied = accuracy_interval([value for value in values for _ in range(5)], [item // 5 for item in range(500)])
    assert copied.n_effective == pytest.approx(99)  # n (C - 1) / C
    opposed = accuracy_interval([1.0, 0.0] * 98 + [1.0, 1.0, 0.0, 0.0], [item // 2 for item in range(200)])
    assert opposed.n_effective == 200  # never more than there are


def test_means_over_repeats_tell_more_than_single_runs_but_no_more_than_all_of_them():
    means = [0.0, 1 / 3, 2 / 3, 1.0] * 25
    assert 100 < accuracy_interval(means, repeats=3).n_effective <= 300
    assert accuracy_interval([0.5] * 100, repeats=2).n_effective == 100


@pytest.mark.parametrize("values", [[1.5], [-0.1], [float("nan")]])
def test_values_must_be_fractions(values):
    with pytest.raises(ValueError, match="between 0 and 1"):
        accuracy_interval(values)


def test_clusters_must_be_as_many_as_values():
    with pytest.raises(ValueError, match="1 clusters were given for 2 values"):
        accuracy_interval([1.0, 0.0], ["a"])


@given(clustered, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_ends_solve_the_score_equation_with_students_quantile(pairs, confidence):
    from scipy.stats import t

    values, clusters = zip(*pairs, strict=True)
    found = accuracy_interval(values, clusters, confidence=confidence)
    count = len(set(clusters))
    assume(count > 1)
    assert found.method == f"Wilson on the effective n ({count} cluster{'s' * (count > 1)})"
    quantile = t.ppf((1 + confidence) / 2, count - 1)
    for end in (found.low, found.high):
        variance = end * (1 - end) / found.n_effective
        assert (found.estimate - end) ** 2 == pytest.approx(quantile**2 * variance, rel=1e-6, abs=1e-9)


def test_one_cluster_is_one_item():
    found = accuracy_interval([1.0, 0.0, 1.0, 1.0], ["a"] * 4)
    assert found.n_effective == 1
    assert (found.low, found.high) == wilson(0.75, 1)


def test_means_over_repeats_are_called_items():
    assert accuracy_interval([0.5, 1.0, 0.0], repeats=2).method == "Wilson on the effective n (3 items)"


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_rounding_pushes_no_end_past_the_estimate(confidence):
    for n in range(1, 200):
        assert wilson(0, n, confidence).low == 0
        assert wilson(n, n, confidence).high == 1


def test_no_clusters_at_all_are_too_few():
    with pytest.raises(ValueError, match="0 clusters were given for 1 values"):
        accuracy_interval([1.0], [])


@pytest.mark.parametrize("degrees", [*range(1, 12), 99, 100, 999, 1000, 1001, 10_042])
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.4, 0.5, 0.75, 0.95, 0.975, 0.9995])
def test_student_quantile_is_scipys(probability: float, degrees: int) -> None:
    from scipy.special import stdtrit

    assert student_quantile(probability, degrees) == pytest.approx(float(stdtrit(degrees, probability)), rel=1e-9)
