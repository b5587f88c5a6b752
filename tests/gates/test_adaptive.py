"""What is decided while a run goes on, whatever the order in which its outcomes come."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.records import VerdictName
from pytest_thinkslm.gates.adaptive import Against
from pytest_thinkslm.gates.adaptive_certificate import CertificateWatch, Part
from pytest_thinkslm.gates.adaptive_gates import GateWatch
from pytest_thinkslm.gates.baselines import Group
from pytest_thinkslm.gates.certificate import ONE_LOOK, Levels
from pytest_thinkslm.settings.gate_specs import GateMode, Margin
from pytest_thinkslm.settings.policies import Allowance, Policy, TaskRule

GOOD, BAD = GroupKey("m", "q4", "good", "test_good", "direct"), GroupKey("m", "q4", "bad", "test_bad", "direct")


def keys(group: GroupKey, count: int = 100, repeats: int = 1) -> list[ItemKey]:
    return [ItemKey(*group, f"{item:04d}", repeat) for item in range(count) for repeat in range(1, repeats + 1)]


def right(count: int = 100, repeats: int = 1) -> Group:
    return Group({f"{item:04d}": [1.0] * repeats for item in range(count)})


def watch(
    order: Sequence[ItemKey], against: Mapping[GroupKey, Against], mode: GateMode = "regression", margin: float = 2
) -> GateWatch:
    return GateWatch(Margin(margin, mode), order, against)


def feed(watched: GateWatch, order: Sequence[ItemKey], verdicts: Mapping[ItemKey, VerdictName]) -> list[ItemKey]:
    """Report what is needed, in this order; what was asked."""
    asked = []
    for key in order:
        if watched.needed(key.group, key.item):
            asked.append(key)
            watched.reported(key, verdicts[key])
    return asked


def alternating(count: int = 100) -> list[ItemKey]:
    return [key for pair in zip(keys(GOOD, count), keys(BAD, count), strict=True) for key in pair]


def test_a_shown_drop_ends_the_run() -> None:
    order = alternating()
    verdicts: dict[ItemKey, VerdictName] = {key: "incorrect" if key.task == "bad" else "correct" for key in order}
    watched = watch(order, {GOOD: right(), BAD: right()})
    asked = feed(watched, order, verdicts)
    assert watched.decided == BAD
    assert len(asked) < 60
    standing = watched.standings()[BAD]
    assert (standing.state, standing.of, standing.alpha) == ("shown", 100, 0.025)
    assert standing.items == sum(key.task == "bad" for key in asked)
    assert [watched.kept(key.group, key.item) for key in order] == [key in asked for key in order]
    assert watched.cut


def test_nothing_lost_ends_each_gate_by_itself() -> None:
    order = alternating()
    watched = watch(order, {GOOD: right(), BAD: right()}, margin=10)
    asked = feed(watched, order, dict.fromkeys(order, "correct"))
    assert watched.decided is None
    assert watched.ended() == [GOOD, BAD]
    assert {standing.state for standing in watched.standings().values()} == {"given up"}
    assert len(asked) < len(order)


@pytest.mark.parametrize(
    ("verdict", "state", "ends_the_run"), [("correct", "shown", False), ("incorrect", "given up", True)]
)
def test_non_inferiority_is_shown_or_given_up(verdict: VerdictName, state: str, ends_the_run: bool) -> None:
    order = keys(GOOD)
    watched = watch(order, {GOOD: right()}, "noninferiority", margin=10)
    asked = feed(watched, order, dict.fromkeys(order, verdict))
    assert watched.standings()[GOOD].state == state
    assert (watched.decided == GOOD) is ends_the_run
    assert len(asked) < 100
    assert watched.standings()[GOOD].alpha == 0.05


@given(seed=st.integers(0, 2**32), window=st.integers(1, 60), wrong=st.floats(0, 0.6))
def test_neither_decision_nor_prefix_depend_on_which_outcome_comes_first(seed: int, window: int, wrong: float) -> None:
    drawn = random.Random(seed)
    order = alternating(60)
    verdicts: dict[ItemKey, VerdictName] = {
        key: "incorrect" if key.task == "bad" and drawn.random() < wrong else "correct" for key in order
    }
    against = {GOOD: right(60), BAD: right(60)}
    straight = watch(order, against)
    feed(straight, order, verdicts)
    mixed = watch(order, against)
    waiting = list(order)
    while waiting:  # any of the first so many is finished next, needed or not
        key = waiting.pop(drawn.randrange(min(window, len(waiting))))
        mixed.reported(key, verdicts[key])
    assert mixed.decided == straight.decided
    assert mixed.standings() == straight.standings()
    assert [mixed.kept(k.group, k.item) for k in order] == [straight.kept(k.group, k.item) for k in order]
    assert mixed.taken() == straight.taken()


def test_a_hole_in_the_prefix_holds_everything_up_until_it_is_filled_or_skipped() -> None:
    order = keys(BAD)
    watched = watch(order, {BAD: right()})
    for key in order[1:]:
        assert not watched.reported(key, "incorrect")
    assert watched.standings()[BAD].items == 0
    assert watched.absent(order[0])
    assert watched.decided == BAD


def test_above_one_percent_of_errors_nothing_is_decided_before_the_end() -> None:
    order = keys(BAD)
    watched = watch(order, {BAD: right()})
    feed(watched, order, dict.fromkeys(order, "error"))
    assert watched.standings()[BAD].items == 100
    assert watched.decided is None


def test_an_item_counts_when_all_its_repeats_are_there() -> None:
    order = keys(BAD, 20, repeats=3)
    watched = watch(order, {BAD: right(20, 3)})
    for key in order[:29]:
        watched.reported(key, "incorrect")
    assert watched.standings()[BAD].items == 9
    watched.reported(order[29], "incorrect")
    assert watched.standings()[BAD].items == 10


def test_items_that_the_baseline_lacks_are_not_needed_and_tasks_that_it_lacks_are() -> None:
    order = [*keys(GOOD, 30), *keys(BAD, 5)]
    watched = watch(order, {GOOD: right(20)}, margin=10)
    assert watched.needed(GOOD, "0019")
    assert not watched.needed(GOOD, "0020")
    assert watched.needed(BAD, "0000")
    feed(watched, order, dict.fromkeys(order, "correct"))
    assert watched.ended() == [GOOD]
    assert all(watched.kept(BAD, key.item) for key in keys(BAD, 5))


def test_within_a_run_the_first_variant_is_completed() -> None:
    first = BAD._replace(quant="none")
    order = [*keys(first), *keys(BAD)]
    verdicts: dict[ItemKey, VerdictName] = {key: "correct" if key.quant == "none" else "incorrect" for key in order}
    watched = watch(order, {BAD: first})
    asked = feed(watched, order, verdicts)
    assert asked[:100] == keys(first)
    assert watched.decided == BAD
    assert watched.taken()[first] == (100, 100)
    assert watched.taken()[BAD] == (len(asked) - 100, 100)


def test_a_certificate_shows_nothing_before_its_first_look() -> None:
    policy, parts = Policy(Allowance(2.0), Allowance(6.0)), {GOOD: Part("good", 100, 0.1)}
    watched = CertificateWatch(policy, keys(GOOD), {GOOD: right()}, parts)
    assert watched.levels(GOOD.variant) == Levels(0.0, 0.0, 0.025, {})
    assert watched.levels(("m", "none")) == ONE_LOOK
    assert watched.standings() == {}
    assert watched.plan() == (
        "adaptive: up to 100 items in a random order; 1 certificate, looked at up to 19 times; "
        "the run ends when decided"
    )
    for place, key in enumerate(keys(GOOD)[:10], 1):
        watched.reported(key, "correct")
        assert (watched.levels(GOOD.variant).go > 0) is (place >= 10)


def test_an_item_that_is_not_needed_can_be_absent() -> None:
    watched = watch(keys(GOOD, 30), {GOOD: right(20)})
    assert not watched.absent(ItemKey(*GOOD, "0025"))
    assert watched.taken() == {GOOD: (0, 30)}
    assert watched.before(BAD) is None
    before = watched.before(GOOD)
    assert before is not None
    assert before.scores == {}


def test_a_certificate_of_nothing_but_advisory_tasks_is_looked_at_by_all_of_its_items() -> None:
    policy = Policy(Allowance(2.0), Allowance(6.0), tasks={"*": TaskRule(tier="advisory")})
    watched = CertificateWatch(policy, keys(GOOD), {GOOD: right()}, {GOOD: Part("good", 100, 0.1)})
    assert "1 certificate, looked at up to 19 times" in watched.plan()
    for key in keys(GOOD):
        watched.reported(key, "correct")
    assert watched.ending({}) == "decided by the certificate: INCONCLUSIVE at look 19 of 19"
