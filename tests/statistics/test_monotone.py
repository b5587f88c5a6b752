"""One more lost item never makes a comparison look better, whatever the clusters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_thinkslm.gates.baselines import Group
from pytest_thinkslm.gates.gating import compare_groups, too_few_shared, worst_case
from pytest_thinkslm.runs.results import cluster_note
from pytest_thinkslm.statistics import compare_paired


def runs(clusters):
    """Two runs of clusters, each given as its items' (before, after)."""
    before, after, names = {}, {}, {}
    for cluster, items in enumerate(clusters):
        for number, (old, new) in enumerate(items):
            key = f"{cluster}-{number}"
            before[key], after[key], names[key] = [float(old)], [float(new)], str(cluster)
    return before, after, names


#: Clusters that are mostly as they were, and some that lost most of their items.
CLUSTERS = (
    [(True, True)] * 4,
    [(True, False)] + [(True, True)] * 5,
    [(True, False)] * 2 + [(True, True)] * 2,
    [(True, False)] * 5 + [(True, True)],
    [(False, True)] + [(True, False)] * 3 + [(True, True)] * 2,
    [(False, True)] * 2 + [(True, True)] * 4,
    [(False, True)] * 6,
    [(False, False)] * 5 + [(True, True)],
)


def one_more_lost(clusters, data):
    """Two runs compared, and the same with an item that was right now lost, too (where there is one)."""
    before, after, names = runs(clusters)
    right = [key for key, (score,) in after.items() if score]
    more = {**after, data.draw(st.sampled_from(right)): [0.0]} if right else after
    return compare_paired(before, after, names), compare_paired(before, more, names)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(CLUSTERS), min_size=2, max_size=24), st.data(), st.sampled_from([0.0, 0.01, 0.05, 0.1]))
def test_one_more_lost_item_never_turns_a_regression_into_a_pass(clusters, data, margin):
    first, second = (found.worse(margin).p for found in one_more_lost(clusters, data))
    for level in (0.05, 0.025, 0.01, 0.003):
        assert second <= level or first > level - 1e-9, (first, second)


@pytest.mark.parametrize("lost", range(1, 7))
def test_a_loss_that_gathers_in_one_cluster_stays_found(lost):
    """Six clusters lose one item each and one of them more and more: the variance rises faster than the drop."""
    clusters = [[(True, number > 0) for number in range(6)] for _ in range(6)]
    clusters += [[(True, True)] * 6 for _ in range(14)]
    clusters[0] = [(True, number >= lost) for number in range(6)]
    before, after, names = runs(clusters)
    assert compare_paired(before, after, names).worse(0.005).p <= 0.05


def test_errors_exactly_on_the_lost_items_cannot_pass():
    items = [f"{item:04d}" for item in range(1319)]
    before, now = Group(), Group()
    for place, item in enumerate(items):
        before.scores[item], now.scores[item] = [1.0], [float(place >= 40)]
    assert compare_groups(before, now).worse(0.02).p < 0.05
    now.errors = set(items[:13])  # just below 1%: the row stands, and hides a third of the losses
    assert (
        worst_case(before, now, "regression").worse(0.02).p == compare_paired(before.scores, now.scores).worse(0.02).p
    )
    assert not too_few_shared(before, now)


@pytest.mark.parametrize(
    ("clusters", "effective", "says"),
    [
        (2400, 24.0, ""),
        (24, 24.0, "24 clusters (fewer than 25)"),
        (300, 8.0, "300 clusters, which are worth 8"),
        (300, 290.0, ""),
    ],
)
def test_few_or_uneven_clusters_are_warned_of(clusters, effective, says):
    assert says in cluster_note(2400, clusters, effective)
    assert bool(cluster_note(2400, clusters, effective)) is bool(says)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(CLUSTERS), min_size=2, max_size=24), st.data(), st.sampled_from([0.02, 0.05, 0.1, 0.2]))
def test_one_more_lost_item_never_shows_that_little_was_lost(clusters, data, margin):
    first, second = (found.not_worse(margin).p for found in one_more_lost(clusters, data))
    for level in (0.05, 0.025, 0.01, 0.003):
        assert first <= level or second > level - 1e-9, (first, second)
