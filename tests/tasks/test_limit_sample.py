"""Samples: nested, complete, and in proportion to every facet and class."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.identity import limited
from pytest_thinkslm.tasks import pins, sampling
from pytest_thinkslm.tasks.sampling import sample

CODED = ("gsm_plus", "math", "mr_ben", "mr_gsm")
CODES = st.lists(st.tuples(st.sampled_from("0123"), st.sampled_from("ab")).map("".join), min_size=1, max_size=120)


@given(CODES, st.data(), st.integers(0, 3))
def test_any_sample_contains_every_smaller_one(codes: list[str], data: st.DataObject, seed: int) -> None:
    items = data.draw(st.lists(st.integers(0, len(codes) + 9), unique=True, min_size=1).map(sorted))
    small, large = sorted(data.draw(st.tuples(st.integers(1, 150), st.integers(1, 150))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pins, "strata", lambda task: tuple(codes))
        less, more = (sample("t", items, limit, seed, "stratified") for limit in (small, large))
    assert set(less) <= set(more) <= set(items)
    assert (len(less), len(more)) == (min(small, len(items)), min(large, len(items)))
    assert less == sorted(less)


@given(CODES, st.integers(1, 120), st.integers(0, 3))
def test_every_stratum_and_every_facet_is_in_proportion(codes: list[str], limit: int, seed: int) -> None:
    limit = min(limit, len(codes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pins, "strata", lambda task: tuple(codes))
        drawn = sample("t", range(len(codes)), limit, seed, "stratified")
    assert _largest_error(codes, drawn) < 2


@pytest.mark.parametrize("task", CODED)
@pytest.mark.parametrize("limit", [20, 50, 100, 500])
def test_the_suite_is_sampled_in_proportion(task: str, limit: int) -> None:
    codes = pins.strata(task)
    assert len(codes) == pins.header(task).records  # type: ignore[union-attr]
    assert _largest_error(codes, sample(task, range(len(codes)), limit, 0, "stratified")) < 1.25


def test_fifty_items_have_every_perturbation_and_both_judgements_of_every_subject() -> None:
    plus, ben = pins.strata("gsm_plus"), pins.strata("mr_ben")
    drawn = Counter(plus[item] for item in sample("gsm_plus", range(2400), 50, 0, "stratified"))
    assert sorted(drawn.values()) == [6, 6, 6, 6, 6, 6, 7, 7]
    for seed in range(20):
        assert {ben[item] for item in sample("mr_ben", range(4534), 50, seed, "stratified")} == set(ben)


def test_another_seed_draws_others_and_items_without_a_code_are_a_stratum() -> None:
    assert sample("math", range(5000), 50, 1, "stratified") != sample("math", range(5000), 50, 0, "stratified")
    beyond = [item for item in sample("mr_ben", range(5975), 100, 0, "stratified") if item >= 4534]
    assert len(beyond) == pytest.approx(100 * 1441 / 5975, abs=1)


@pytest.mark.parametrize("task", ["gsm8k", "arc_easy", "sort8_mixed", "a_users_own"])
def test_tasks_without_codes_are_drawn_by_hash(task: str) -> None:
    assert sample(task, range(100), 10, 3, "stratified") == limited(task, 100, 10, 3)
    assert sample("math", range(100), 10, 3, "hash") == limited("math", 100, 10, 3)


def test_codes_say_no_option_letter() -> None:
    assert {path.stem for path in pins.PINS_FOLDER.glob("*.strata")} == set(CODED)
    assert sampling.METHODS == ("stratified", "hash")


def _largest_error(codes: list[str] | tuple[str, ...], drawn: list[int]) -> float:
    """How far, in items, the sample is from a proportional one, in any stratum or facet value."""
    groupings = [list(codes), *([code[place] for code in codes] for place in range(len(codes[0])))]
    worst = 0.0
    for groups in groupings:
        have, all_of = Counter(groups[item] for item in drawn), Counter(groups)
        worst = max(worst, *(abs(have[group] - len(drawn) * n / len(codes)) for group, n in all_of.items()))
    return worst
