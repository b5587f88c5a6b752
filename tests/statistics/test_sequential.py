"""Group-sequential tests: boundaries, looks, giving up, and the order of several queues."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from pytest_thinkslm.statistics.sequential import (
    CERTAINTY,
    interleaved,
    look,
    look_counts,
    nominal_levels,
    predictive_power,
)

TWENTY = tuple(share / 20 for share in range(1, 21))


def test_one_look_is_the_fixed_test() -> None:
    assert nominal_levels((1.0,), 0.05) == pytest.approx((0.05,), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.05 / 17])
def test_two_looks_spend_what_they_may_by_the_bivariate_normal(alpha: float) -> None:
    first, second = (float(norm.isf(level)) for level in nominal_levels((0.2, 1.0), alpha))
    correlated = multivariate_normal(cov=[[1, 0.2**0.5], [0.2**0.5, 1]])
    assert norm.sf(first) == pytest.approx(alpha * 0.2**3, rel=1e-4)
    assert 1 - correlated.cdf([first, second]) == pytest.approx(alpha, rel=1e-3)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_twenty_looks_are_wrong_in_alpha_of_the_cases(alpha: float) -> None:
    generator = np.random.default_rng(7)
    walks = (generator.standard_normal((60_000, 20)) / 20**0.5).cumsum(axis=1) / np.sqrt(TWENTY)
    wrong = (walks > norm.isf(nominal_levels(TWENTY, alpha))).any(axis=1).mean()
    assert wrong == pytest.approx(alpha, abs=4 * (alpha / 60_000) ** 0.5)


@given(n=st.integers(1, 6000), alpha=st.sampled_from([0.05, 0.025, 0.003]))
def test_no_look_is_easier_than_the_fixed_test_nor_shows_what_all_of_the_data_may_not(n: int, alpha: float) -> None:
    times = tuple(count / n for count in look_counts(n))
    levels = nominal_levels(times, alpha)
    assert all(0 < level <= alpha * (1 + 1e-6) for level in levels)
    for time, level in zip(times[:-1], levels, strict=False):
        assert predictive_power(level, time, alpha) >= CERTAINTY - 1e-9


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 17])
def test_what_early_looks_do_not_spend_is_left_to_the_last(alpha: float) -> None:
    levels = nominal_levels(TWENTY[1:], alpha)
    assert 0.85 * alpha < levels[-1] < alpha  # alpha x t^3 alone would leave it 0.71 and 0.54 of alpha


@pytest.mark.parametrize("times", [(), (0.0, 1.0), (0.5, 0.5), (0.6, 0.5), (0.5, 1.1)])
def test_looks_that_are_none_are_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rising shares"):
        nominal_levels(times, 0.05)


@given(n=st.integers(0, 20_000), looks=st.integers(1, 50))
def test_looks_end_with_all_items(n: int, looks: int) -> None:
    counts = look_counts(n, looks)
    assert (counts[-1:] or (0,)) == (n,)
    assert all(earlier < later for earlier, later in pairwise(counts))
    assert all(count >= min(10, n) for count in counts)


def test_few_data_are_not_given_up() -> None:
    """Of 10 items none has changed: the exact test's p is 1, which says nothing at all."""
    counts = look_counts(100)
    assert look(1.0, 1.0, 0, counts, 0.05) == "open"
    assert look(0.9999, 0.0001, 0, counts, 0.05) == "given up"
    assert look(1e-6, 1.0, 0, counts, 0.05) == "shown"
    assert look(0.0495, 0.9505, len(counts) - 1, counts, 0.05) == "given up"


@given(p=st.floats(0, 1), time=st.floats(0.01, 1), alpha=st.sampled_from([0.05, 0.003]))
def test_predictive_power_is_a_probability_that_falls_with_p(p: float, time: float, alpha: float) -> None:
    power = predictive_power(p, time, alpha)
    assert 0 <= power <= 1
    assert predictive_power(min(1.0, p + 0.05), time, alpha) <= power + 1e-12


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    rates=st.lists(st.floats(0.05, 20), min_size=5, max_size=5),
)
def test_queues_advance_by_their_rates(sizes: list[int], rates: list[float]) -> None:
    order = interleaved(sizes, rates[: len(sizes)])
    assert sorted(order) == [queue for queue, size in enumerate(sizes) for _ in range(size)]
    taken = list(
        accumulate((np.eye(len(sizes), dtype=int)[queue] for queue in order), initial=np.zeros(len(sizes), int))
    )
    for turn in taken:
        going = [queue for queue, size in enumerate(sizes) if turn[queue] < size]
        for a, b in pairwise(going):
            # Where both go on, neither is more than a turn ahead of its share.
            assert abs(turn[a] / rates[a] - turn[b] / rates[b]) <= 1 / rates[a] + 1 / rates[b]
