from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_thinkslm.gates.certificate import Evidence, Levels, certify
from pytest_thinkslm.gates.certificate_plan import Planned, plan
from pytest_thinkslm.settings.policies import Allowance, Policy, TaskRule
from pytest_thinkslm.statistics import compare_paired
from pytest_thinkslm.statistics.stratified import stratum

POLICY = Policy(Allowance(1.0), Allowance(3.0))
SIZES = {"gsm8k": 1319, "math": 5000, "arc_easy": 2376, "openbookqa": 500, "sort8_mixed": 100, "sort32_mixed": 100}


def evidence(task, lost, gained, n=None, right=None, **more):
    """A task of which so many items were lost and gained, of ``n`` (all of it where None)."""
    n = SIZES[task] if n is None else n
    right = n // 2 if right is None else right
    before = {f"{item:04d}": [float(item < right)] for item in range(n)}
    after = dict(before) | {f"{item:04d}": [0.0] for item in range(lost)}
    after |= {f"{item:04d}": [1.0] for item in range(right, right + gained)}
    paired = compare_paired(before, after)
    part = stratum(paired, before, after, lambda item: (task, item))
    return Evidence(task, task, SIZES[task], paired, part, part, **more)


def quiet(share=0.05, **others):
    """The suite with nothing lost but in ``others``: (lost, gained) by task."""
    return [evidence(task, *others.get(task, (round(share * n), round(share * n)))) for task, n in SIZES.items()]


def test_a_suite_that_lost_nothing_is_go_and_says_which_task_decided():
    found = certify(POLICY, quiet(share=0.01))
    assert (found.decision, found.passed) == ("GO", True)
    assert found.at_most < 1
    assert found.mean_drop == 0
    assert [guard.tier for guard in found.guards] == ["critical"] * 3 + ["supporting"] * 3
    assert found.sentence.startswith("GO: mean drop of 6 tasks +0.00 points, at most 0.")
    assert "3 of 3 critical tasks within their guards" in found.sentence
    assert set(found.decided_by) == {"sort8_mixed", "sort32_mixed"}  # of which the mean's doubt is made


def test_a_mean_that_is_not_known_well_enough_is_inconclusive_and_says_what_it_takes():
    found = certify(POLICY, quiet(share=0.05))
    assert (found.decision, found.passed) == ("INCONCLUSIVE", False)
    assert found.at_most > 1
    assert "the mean takes" in found.needed
    assert "times these items in every task (or repeats)" in found.sentence
    assert certify(replace(POLICY, margin=Allowance(2.5)), quiet(share=0.05)).decision == "GO"


def test_one_critical_task_that_is_not_shown_within_its_guard_forbids_go_whatever_the_mean():
    suite = quiet(share=0.01, gsm8k=(60, 20))  # a drop of 3.0 points, guard 3
    found = certify(replace(POLICY, margin=Allowance(2.0)), suite)
    assert found.p_within < 0.05
    assert (found.decision, found.decided_by) == ("INCONCLUSIVE", ("gsm8k",))
    assert "not shown: gsm8k (drop +3.0 points, at most " in found.sentence
    assert found.needed.startswith("to show gsm8k within 3 points")
    supporting = replace(POLICY, margin=Allowance(2.0), tasks={"gsm8k": TaskRule(tier="supporting")})
    assert certify(supporting, suite).decision == "GO"


def test_a_guard_that_is_shown_to_be_broken_is_no_go():
    found = certify(POLICY, quiet(share=0.01, openbookqa=(60, 10)))
    assert (found.decision, found.decided_by) == ("NO-GO", ("openbookqa",))
    assert found.guards[3].state == "broken"
    assert "broken: openbookqa (drop +10.0 points, guard 3, p < 0.0001 after Holm's correction)" in found.sentence
    advisory = replace(POLICY, margin=Allowance(2.0), tasks={"openb*": TaskRule(tier="advisory")})
    assert certify(advisory, quiet(share=0.01, openbookqa=(60, 10))).decision == "GO"


def test_a_mean_beyond_its_margin_is_no_go_though_no_guard_is_broken():
    others = {task: (round(0.04 * n), round(0.01 * n)) for task, n in SIZES.items()}
    found = certify(POLICY, quiet(**others))
    assert found.decision == "NO-GO"
    assert all(guard.state != "broken" for guard in found.guards)
    assert found.at_least > 1
    assert "which is beyond the margin" in found.sentence


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"unfit": "the baseline has math (direct) and this run has nothing of it"}, "nothing of it"),
        ({"rates": {"truncated": 5.2}}, "5.2% truncated (allowed: 5%)"),
        ({"paired": None}, "the baseline shares no item with it"),
    ],
)
def test_what_cannot_be_checked_is_never_go(change, why):
    policy = replace(POLICY, general=TaskRule(max_truncated=5))
    first, second, *rest = quiet(share=0.01)
    found = certify(policy, [first, replace(second, **change), *rest])
    assert found.decision == "INCONCLUSIVE"
    assert f"cannot be certified: math ({why}" in found.sentence or why in found.sentence
    allowed = certify(policy, [first, replace(second, **change), *rest], allow_unevaluated=True)
    assert allowed.decision == ("INCONCLUSIVE" if "rates" in change else "GO")


def test_too_few_items_by_the_policy():
    policy = replace(POLICY, tasks={"sort*": TaskRule(min_items=101)})
    found = certify(policy, quiet(share=0.01))
    assert found.decision == "INCONCLUSIVE"
    assert "sort8_mixed (only 100 items compared (needed: 101))" in found.sentence
    assert certify(POLICY, []).sentence == "INCONCLUSIVE: nothing could be compared"


def test_a_limit_leaves_a_large_task_critical():
    found = certify(POLICY, [evidence("gsm8k", 3, 3, n=60)])
    assert (found.guards[0].tier, found.decision) == ("critical", "INCONCLUSIVE")


def test_a_guard_can_be_a_share_of_a_low_baseline():
    policy = replace(POLICY, guard=Allowance(3.0, relative=10))
    (guard,) = certify(policy, [evidence("gsm8k", 10, 10, right=66)]).guards
    assert guard.guard == pytest.approx(0.5, abs=0.01)
    (guard,) = certify(policy, [evidence("gsm8k", 10, 10, right=1000)]).guards
    assert guard.guard == 3


def test_stricter_levels_decide_less():
    suite = quiet(share=0.01)
    assert certify(POLICY, suite, Levels(go=1e-9)).decision == "INCONCLUSIVE"
    broken = quiet(share=0.01, openbookqa=(60, 10))
    assert certify(POLICY, broken, Levels(mean=1e-12, guards=1e-12)).decision == "INCONCLUSIVE"


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(30, 200)), min_size=1, max_size=5),
    st.integers(0, 4),
    st.sampled_from([0.5, 2.0, 6.0]),
)
def test_one_more_lost_item_never_makes_a_decision_better(tables, which, margin):
    rank = {"NO-GO": 0, "INCONCLUSIVE": 1, "GO": 2}
    tasks = list(SIZES)
    policy = Policy(Allowance(margin), Allowance(3 * margin), critical_items=1000)

    def decided(tables):
        suite = [
            evidence(task, lost, gained, n=n, right=n // 2)
            for task, (lost, gained, n) in zip(tasks, tables, strict=False)
        ]
        return rank[certify(policy, suite).decision]

    lost, gained, n = tables[which % len(tables)]
    more = list(tables)
    more[which % len(tables)] = (lost + 1, gained, n)
    assert decided(more) <= decided(tables)


def test_a_plan_says_what_the_mean_and_each_critical_task_can_show():
    tasks = [Planned(task, task, min(n, 200), n, 0.5) for task, n in SIZES.items()]
    head, *lines = plan(POLICY, tasks)
    assert "certificate, margin 1: of runs that lose nothing" in head
    assert "show the mean of 6 tasks within it" in head
    assert [line.partition(":")[0] for line in lines] == ["gsm8k", "math", "arc_easy"]
    assert "more than the 1319 it has" in lines[0]
    assert plan(POLICY, []) == []
