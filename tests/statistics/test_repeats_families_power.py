from itertools import combinations
from math import sqrt
from statistics import stdev

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_thinkslm.statistics import (
    PairedTable,
    assumed_discordance,
    holm,
    holm_levels,
    items_needed,
    items_to_pass,
    majority_vote,
    mean_pass_at_k,
    pass_at_k,
    power_to_detect,
    power_to_pass,
    run_spread,
    smallest_detectable_drop,
)

p_values = st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8)


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_the_subsets_with_a_right_output(case):
    n, correct, k = case
    subsets = list(combinations([1] * correct + [0] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize(("n", "correct", "k"), [(0, 0, 1), (3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_refuses_nonsense(n, correct, k):
    with pytest.raises(ValueError, match="pass@k"):
        pass_at_k(n, correct, k)


def test_mean_pass_at_k_leaves_out_items_with_fewer_repeats():
    assert mean_pass_at_k([[1, 0, 0], [0, 0, 0], [1]], 2) == pytest.approx((2 / 3 + 0) / 2)
    assert mean_pass_at_k([[1]], 2) is None


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        (["4", "5", "5"], "5"),
        (["4", "5", "5", "4", "3"], "4"),  # a tie: the first given
        ([None, None, "7"], "7"),
        ([None], None),
        ([], None),
    ],
)
def test_majority_vote(answers, winner):
    assert majority_vote(answers) == winner


def test_run_spread_is_the_sample_deviation_over_runs():
    found = run_spread([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    assert found.runs == (0.5, 0.25, 0.75)
    assert found.mean == pytest.approx(0.5)
    assert found.deviation == pytest.approx(stdev([0.5, 0.25, 0.75]))
    assert run_spread([[1, 0]]) == ((0.5,), 0.5, None)
    assert run_spread([[]]) == ((), None, None)


def test_holm_on_the_textbook_example():
    # "Holm-Bonferroni method", Wikipedia: of 0.01, 0.04, 0.03, 0.005 at 0.05 the first and the last are rejected.
    found = holm({"H1": 0.01, "H2": 0.04, "H3": 0.03, "H4": 0.005})
    assert found == pytest.approx({"H1": 0.03, "H2": 0.06, "H3": 0.06, "H4": 0.02})


@given(p_values.filter(bool))
@settings(deadline=None, max_examples=30)
def test_holm_is_statsmodels_holm(family):
    from statsmodels.stats.multitest import multipletests

    assert list(holm(family).values()) == pytest.approx(multipletests(list(family.values()), method="holm")[1])


@given(p_values)
def test_holm_lies_between_no_correction_and_bonferroni(family):
    found = holm(family)
    levels = holm_levels(family, 0.05)
    assert list(found) == list(family)
    for key, p in family.items():
        assert p - 1e-12 <= found[key] <= min(1, len(family) * p) + 1e-12
        assert 0.05 / len(family) <= levels[key] <= 0.05
        if found[key] <= 0.05 - 1e-9:
            assert p <= levels[key]


@pytest.mark.parametrize(
    ("n", "discordance", "margin"), [(8, 0.125, 0.0), (50, 0.1, 0.0), (300, 0.15, 0.02), (1319, 0.15, 0.02)]
)
def test_the_smallest_detectable_drop_is_detected_in_four_of_five_simulated_runs(n, discordance, margin):
    drop = smallest_detectable_drop(n, discordance, margin=margin)
    changed = max(discordance, drop)
    shares = [(changed + drop) / 2, (changed - drop) / 2, 1 - changed]
    drawn = numpy.random.default_rng(5).multinomial(n, shares, size=1500)
    found = numpy.mean([PairedTable.single(int(a), int(b), n).worse(margin).p <= 0.05 for a, b, _ in drawn])
    assert found == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(("margin", "discordance"), [(0.02, 0.1), (0.05, 0.2)])
def test_items_to_pass_show_non_inferiority_in_four_of_five_simulated_runs(margin, discordance):
    n = items_to_pass(margin, discordance)
    drawn = numpy.random.default_rng(6).multinomial(n, [discordance / 2, discordance / 2, 1 - discordance], size=1500)
    found = numpy.mean([PairedTable.single(int(a), int(b), n).not_worse(margin).p <= 0.05 for a, b, _ in drawn])
    assert found == pytest.approx(0.8, abs=0.05)


def test_items_needed_is_connors_formula_where_n_is_large():
    # Connor (1987): n = (z_alpha sqrt(psi) + z_beta sqrt(psi - delta^2))^2 / delta^2.
    expected = (1.644854 * sqrt(0.2) + 0.841621 * sqrt(0.2 - 0.05**2)) ** 2 / 0.05**2
    assert items_needed(0.05, 0.2) == pytest.approx(expected, abs=1)


@given(st.integers(5, 3000), st.floats(0, 0.6), st.floats(0, 0.1), st.floats(1, 5))
@settings(max_examples=50, deadline=None)
def test_power_grows_with_the_drop_and_shrinks_with_clusters(n, discordance, margin, design_effect):
    smallest = smallest_detectable_drop(n, discordance, margin=margin)
    if smallest is None:
        return
    assert smallest > margin
    assert power_to_detect(n, smallest, discordance, margin=margin) == pytest.approx(0.8, abs=0.01)
    stricter = smallest_detectable_drop(n, discordance, margin=margin, alpha=0.05 / 17)
    assert stricter is None or stricter >= smallest - 1e-9
    fewer = smallest_detectable_drop(n, discordance, margin=margin, design_effect=design_effect)
    assert fewer is None or fewer >= smallest - 0.02


@pytest.mark.parametrize("n", [0, 1, 4])
def test_a_few_items_can_detect_nothing(n):
    assert smallest_detectable_drop(n, 0.1) is None
    assert power_to_pass(n, 0.05, 0.1) == 0


def test_what_no_number_of_items_can_do():
    assert items_needed(0.02, 0.1, margin=0.02) is None
    assert items_to_pass(0.0, 0.1) is None
    assert items_to_pass(0.05, 0.0) == 59  # without a lost item 0.95^n must reach 0.05


def test_assumed_discordance():
    assert assumed_discordance(0.5) == 0.25
