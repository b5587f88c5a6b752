from itertools import product
from math import sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_thinkslm.statistics import PairedTable, compare_paired
from pytest_thinkslm.statistics.permutation import DRAWS, EXACT_UP_TO, _monte_carlo, sign_flip

tables = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 120)).map(
    lambda counts: (counts[0], counts[1], sum(counts))
)
margins = st.floats(0, 0.5)
outcomes = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), max_size=40)
scores = st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3)


def runs(lost, gained, n):
    """Two single runs with this discordance table; the rest is right in both."""
    before = {item: [0.0 if lost <= item < lost + gained else 1.0] for item in range(n)}
    after = {item: [0.0 if item < lost else 1.0] for item in range(n)}
    return before, after


def test_tangos_interval_is_the_published_one():
    # Fagerland, Lydersen and Laake (2014), Statistics in Medicine 33, airway hyper-responsiveness before and after
    # stem cell transplantation (1, 1, 7, 12): -0.286, Tango's interval -0.517 to -0.026; exact McNemar p = 0.070.
    found = compare_paired(*runs(7, 1, 21))
    assert found.difference == pytest.approx(-6 / 21)
    assert found.interval == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert found.change.p == pytest.approx(0.0703, abs=5e-5)


@given(tables.filter(lambda table: table[2] > 0), st.floats(-0.6, 0.6))
@settings(max_examples=50, deadline=None)
def test_score_is_the_statistic_at_the_constrained_maximum_of_the_likelihood(table, difference):
    from scipy.optimize import minimize_scalar
    from scipy.special import xlogy

    lost, gained, n = table

    def minus_log_likelihood(share_lost):
        return -float(
            xlogy(lost, share_lost)
            + xlogy(gained, max(0.0, share_lost + difference))
            + xlogy(n - lost - gained, max(0.0, 1 - 2 * share_lost - difference))
        )

    low, high = max(0.0, -difference), (1 - difference) / 2
    best = minimize_scalar(minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x
    variance = n * (2 * best + difference - difference**2)
    expected = (gained - lost - n * difference) / sqrt(max(variance, 1e-300))
    if variance > 1e-3:
        assert PairedTable.single(lost, gained, n).score(difference) == pytest.approx(expected, abs=2e-3, rel=2e-3)


@given(tables)
def test_any_change_is_statsmodels_exact_mcnemar(table):
    from scipy.stats import binomtest
    from statsmodels.stats.contingency_tables import mcnemar

    lost, gained, n = table
    found = compare_paired(*runs(*table))
    both = n - lost - gained
    assert found.change.p == pytest.approx(mcnemar([[both, lost], [gained, 0]], exact=True).pvalue, rel=1e-12)
    assert found.change.test == "exact McNemar, two-sided"
    if lost + gained:
        assert found.change.p == pytest.approx(binomtest(lost, lost + gained).pvalue)
        assert found.worse(0).p == pytest.approx(binomtest(lost, lost + gained, alternative="greater").pvalue)
    assert (len(found.lost), len(found.gained), found.n) == table


@given(tables.filter(lambda table: table[2] > 0), margins)
def test_intervals_contain_the_estimate_and_mirror(table, margin):
    lost, gained, n = table
    found, mirrored = PairedTable.single(lost, gained, n), PairedTable.single(gained, lost, n)
    low, high = found.interval()
    assert -1 <= low <= (gained - lost) / n + 1e-9
    assert (gained - lost) / n - 1e-9 <= high <= 1
    assert mirrored.interval() == pytest.approx((-high, -low), abs=1e-9)
    assert found.interval(0.99).low <= low + 1e-9
    assert found.drop_at_least(0.95) <= (lost - gained) / n + 1e-9 <= found.drop_at_most(0.95) + 2e-9
    assert 0 <= found.worse(margin).p <= 1
    assert 0 <= found.not_worse(margin).p <= 1


@given(tables.filter(lambda table: table[2] > 0), margins, margins)
def test_p_values_are_monotone_in_the_margin(table, one, other):
    found = PairedTable.single(*table)
    small, large = sorted((one, other))
    # Beyond one half, where no level lies, the exact tests no longer bound the score test.
    assert min(0.5, found.worse(small).p) <= found.worse(large).p + 1e-9
    assert found.not_worse(small).p >= min(0.5, found.not_worse(large).p) - 1e-9


@given(tables.filter(lambda table: table[2] > 0), st.floats(0.001, 0.4))
def test_one_sided_bounds_match_the_tests(table, margin):
    found = PairedTable.single(*table)
    if abs(found.drop_at_least(0.95) - margin) > 1e-9:
        assert (found.worse(margin).p <= 0.05) == (found.drop_at_least(0.95) > margin)
    if abs(found.drop_at_most(0.95) - margin) > 1e-9:
        assert (found.not_worse(margin).p <= 0.05) == (found.drop_at_most(0.95) < margin)


@given(tables.filter(lambda table: table[2] > 0 and table[0] < 40), margins)
def test_one_more_lost_is_more_evidence_of_a_drop(table, margin):
    lost, gained, n = table
    fewer, more = PairedTable.single(lost, gained, n + 1), PairedTable.single(lost + 1, gained, n + 1)
    if fewer.worse(margin).p <= 0.5:
        assert more.worse(margin).p <= fewer.worse(margin).p + 1e-9


def test_eight_items_with_one_lost_prove_nothing():
    found = compare_paired(*runs(1, 0, 8))
    assert found.worse(0) == (0.5, "exact McNemar, one-sided")
    assert found.lost == (0,)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_everything_lost(n):
    found = compare_paired(*runs(n, 0, n))
    assert found.difference == -1
    assert found.interval.low == pytest.approx(-1)
    assert found.worse(0).p == 0.5**n


def test_nothing_shared():
    found = compare_paired({1: [1.0]}, {2: [1.0]})
    assert (found.n, found.change.p, found.worse(0.1).p, found.not_worse(0.1).p) == (0, 1, 1, 1)
    assert (found.only_baseline, found.only_candidate) == ((1,), (2,))


def test_only_shared_items_count():
    before, after = runs(2, 1, 30)
    whole = compare_paired(before, after)
    more = compare_paired({**before, "x": [1.0]}, {**after, "y": [0.0]})
    assert (more.n, more.change, more.only_baseline, more.only_candidate) == (30, whole.change, ("x",), ("y",))


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flip_is_the_enumeration_of_all_signs(sums):
    flipped = [sum(s * d for s, d in zip(signs, sums, strict=True)) for signs in product((-1, 1), repeat=len(sums))]
    found = sign_flip([float(total) for total in sums])
    observed = sum(sums)
    assert found.fewer == pytest.approx(sum(total <= observed for total in flipped) / len(flipped))
    assert found.more == pytest.approx(sum(total >= observed for total in flipped) / len(flipped))
    assert found.any == pytest.approx(sum(abs(total) >= abs(observed) for total in flipped) / len(flipped))


DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_sign_flip_gives_fishers_p_value_for_darwins_maize():
    # Fisher (1935), The Design of Experiments, section 21: 863 of the 32768 arrangements reach 314 eighths of an inch.
    assert sign_flip(DARWIN).more == pytest.approx(863 / 32768)
    assert sign_flip([total / 8 for total in DARWIN], scale=8).any == pytest.approx(2 * 863 / 32768)


def test_monte_carlo_agrees_with_the_exact_distribution_and_repeats_itself():
    found = _monte_carlo([float(total) for total in DARWIN])
    assert found.more == pytest.approx(863 / 32768, abs=4 * sqrt(0.026 / 10_000))
    assert found == _monte_carlo([float(total) for total in DARWIN])


@given(outcomes)
def test_clusters_of_one_item_change_nothing(pairs):
    before = {item: [float(old)] for item, (old, _, _) in enumerate(pairs)}
    after = {item: [float(new)] for item, (_, new, _) in enumerate(pairs)}
    plain = compare_paired(before, after)
    assert compare_paired(before, after, {item: str(item) for item in before}) == plain
    assert compare_paired(before, after, dict.fromkeys(before, "")) == plain


@given(outcomes.filter(bool), st.randoms(use_true_random=False), margins)
@settings(deadline=None)
def test_clustered_comparison_does_not_depend_on_order(pairs, random, margin):
    def compare(rows):
        before = {item: [float(old)] for item, (old, _, _) in rows}
        after = {item: [float(new)] for item, (_, new, _) in rows}
        return compare_paired(before, after, {item: f"c{cluster}" for item, (_, _, cluster) in rows})

    rows = list(enumerate(pairs))
    found = compare(rows)
    random.shuffle(rows)
    again = compare(rows)
    assert again.interval == pytest.approx(found.interval, abs=1e-9)
    assert again.worse(margin).p == pytest.approx(found.worse(margin).p, abs=1e-9)
    assert again.change.p == pytest.approx(found.change.p, abs=1e-12)
    assert found.interval.low - 1e-9 <= found.difference <= found.interval.high + 1e-9


def test_copies_of_an_item_are_no_further_evidence():
    before, after = runs(6, 0, 40)
    alone = compare_paired(before, after)
    copies = {(item, copy): score for item, score in before.items() for copy in range(5)}
    changed = {(item, copy): after[item] for item, copy in copies}
    found = compare_paired(copies, changed, {key: f"c{key[0]}" for key in copies})
    assert found.change.p == pytest.approx(alone.change.p)
    assert found.clusters == 40
    assert found.design_effect == pytest.approx(5 * 40 / 39)
    naive = compare_paired(copies, changed)
    assert found.interval.low < naive.interval.low
    assert found.worse(0.05).p > naive.worse(0.05).p


def test_repeats_enter_as_item_means():
    before = {item: [1.0, 1.0, 0.0] for item in range(20)}
    after = {item: [1.0, float(item % 4 == 0), 0.0] for item in range(20)}
    found = compare_paired(before, after)
    assert found.repeats == 3
    assert len(found.lost) == 15
    assert found.difference == pytest.approx(-15 / 60)
    assert found.change.p == pytest.approx(2 * 0.5**15)
    assert found.change.test == "cluster sign-flip permutation, two-sided"
    # The same run copied three times is one run.
    single, changed = runs(5, 1, 30)
    copied = compare_paired({key: 3 * score for key, score in single.items()}, {k: 3 * s for k, s in changed.items()})
    assert copied.change.p == pytest.approx(compare_paired(single, changed).change.p)


@given(st.dictionaries(st.integers(0, 9), st.tuples(scores, scores), max_size=8), margins)
@settings(deadline=None)
def test_repeated_comparison_never_fails_and_mirrors(items, margin):
    before, after = ({key: pair[side] for key, pair in items.items()} for side in (0, 1))
    found, mirrored = compare_paired(before, after), compare_paired(after, before)
    assert found.change.p == pytest.approx(mirrored.change.p)
    assert found.interval == pytest.approx((-mirrored.interval.high, -mirrored.interval.low), abs=1e-9)
    assert found.lost == mirrored.gained
    assert 0 <= found.worse(margin).p <= 1


@pytest.mark.parametrize("bad", [[], [2.0], [-1.0]])
def test_bad_scores_are_refused(bad):
    with pytest.raises(ValueError, match="item 7"):
        compare_paired({7: bad}, {7: [1.0]})


@pytest.mark.parametrize("margin", [-0.1, 1.0, 2.0])
def test_margins_are_fractions(margin):
    with pytest.raises(ValueError, match="fraction"):
        compare_paired(*runs(1, 0, 8)).worse(margin)


@pytest.mark.parametrize(
    "sums", [[0.3] * 3, [0.1, 0.2, 0.3], [0.7, 1.1, 0.6, 0.7, 1.1, 0.3], [0.2, 1 / 3, 0.7, 1.1, 0.6]]
)
def test_drawn_sums_that_differ_by_rounding_alone_are_ties(sums):
    found, mirrored = sign_flip(sums), sign_flip([-total for total in sums])
    assert (found.fewer, mirrored.more) == (1.0, 1.0), "no flipped sum is larger than that of positive ones"
    assert found.more == pytest.approx(0.5 ** len(sums), abs=0.02)
    assert found.any == 2 * found.more


def test_every_draw_and_the_observed_signs_count_once():
    found = sign_flip([(-1) ** power * (power + 1 / (power + 3)) for power in range(35)])
    assert found.fewer + found.more == pytest.approx((DRAWS + 2) / (DRAWS + 1), abs=1e-12)


def test_where_the_exact_distribution_ends():
    assert sign_flip([EXACT_UP_TO]) == (1.0, 0.5, 1.0)
    assert sign_flip([EXACT_UP_TO + 1]).more != 0.5
    assert sign_flip([0.05] * 3, scale=20) == sign_flip([1] * 3)
    assert sign_flip([0.05] * 3).more == pytest.approx(1 / 8, abs=0.02)


def test_no_p_value_exceeds_one():
    assert max(max(sign_flip([sign] * count)) for count in range(1, 80) for sign in (-1, 1)) <= 1


def test_as_many_repeats_of_an_item_count_as_both_have():
    before = {item: [float(item % 3 > 0)] for item in range(60)}
    after = {item: [float(item % 4 > 0), 0.0, 1.0] for item in range(60)}
    found = compare_paired(before, after)
    expected = compare_paired(before, {item: scores[:1] for item, scores in after.items()})
    assert found == expected
    assert found.change.test == "exact McNemar, two-sided"
    assert compare_paired(after, before).change.p == found.change.p


def test_repeats_on_one_side_raise_no_more_alarms_than_they_may():
    # Both runs answer each item with the same probability of 98%; one of them asked three times.
    random = Random(0)
    alarms = 0
    for _ in range(300):
        before = {item: [float(random.random() < 0.98)] for item in range(300)}
        after = {item: [float(random.random() < 0.98) for _ in range(3)] for item in range(300)}
        alarms += compare_paired(before, after).worse(0).p <= 0.05
    assert alarms <= 0.05 * 300 + 2 * sqrt(0.05 * 0.95 * 300)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (3, 4), (12, 2)])
def test_the_bound_of_a_drop_of_clusters_that_is_not_shown_is_about_its_intervals(lost, gained):
    right = [(cluster, at) for cluster in range(12) for at in range(5)]
    wrong = [(cluster, at) for cluster in range(12) for at in range(5, 8)]
    before = {item: [float(item in right)] for item in right + wrong}
    now = before | {item: [1 - before[item][0]] for item in right[:lost] + wrong[:gained]}
    found = compare_paired(before, now, {item: item[0] for item in before})
    assert -0.02 <= -found.table.drop_at_least(0.975) - found.interval[1] <= 0.05
