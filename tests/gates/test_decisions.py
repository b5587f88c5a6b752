import re
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.gates.decisions import evaluate
from pytest_thinkslm.gates.outcomes import GatedGroup, any_failed, excuse
from pytest_thinkslm.gates.sensitivity import sensitivity
from pytest_thinkslm.settings.gate_specs import (
    GateSpecs,
    Margin,
    MaxRate,
    MinAccuracy,
    parse_margin,
    parse_max_rate,
    parse_min_accuracy,
)
from pytest_thinkslm.statistics import accuracy_interval, compare_paired
from pytest_thinkslm.statistics.power import power_to_detect, power_to_pass


def cell(label, lost, gained, n, right=None, truncated=0, **more):
    """A cell whose baseline has ``right`` right answers (half where None)."""
    right = n // 2 if right is None else right
    before = {f"{item:04d}": [float(item < right)] for item in range(n)}
    after = dict(before)
    after |= {f"{item:04d}": [0.0] for item in range(lost)}
    after |= {f"{item:04d}": [1.0] for item in range(right, right + gained)}
    values = [score for (score,) in after.values()]
    verdicts = {"correct": int(sum(values)), "truncated": truncated, "incorrect": n - int(sum(values)) - truncated}
    return GatedGroup(label, label, accuracy_interval(values), verdicts, compare_paired(before, after), **more)


def gate(specs, *cells, **options):
    (result,) = evaluate(specs, cells, **options)
    return result


def test_eight_items_with_one_lost_raise_no_alarm_and_say_how_small_a_drop_could_be_seen():
    result = gate(GateSpecs(margin=Margin(0)), cell("gsm8k", 1, 0, 8, right=8))
    assert result.passed is True
    assert "1 lost and 0 gained of 8 items: no drop is shown (exact McNemar, one-sided, p = 0.5)" in result.sentence
    drop = float(re.search(r"only a drop of ([\d.]+) points or more would be found in 4 of 5 runs", result.sentence)[1])
    assert 60 < drop < 80
    assert result.fields["smallest_detectable_drop"] == pytest.approx(drop, abs=0.05)


def test_a_margin_that_cannot_be_resolved_says_how_many_items_it_takes():
    result = gate(GateSpecs(margin=Margin(5)), cell("gsm8k", 1, 0, 8, right=8))
    assert result.passed is True
    assert f"finding a drop of 10 points in 4 of 5 runs takes {result.fields['items_needed']} items" in result.sentence
    assert result.fields["items_needed"] > 8


def test_a_clear_drop_fails_in_one_sentence():
    result = gate(GateSpecs(margin=Margin(2)), cell("math", 100, 40, 1319, right=700, note="MR-Score 12.1, then 11.0"))
    assert result.passed is False
    assert result.name == "gate::math"
    assert result.sentence == (
        "math: accuracy 53.1% before, 48.5% now, -4.5 points (95% interval -6.3 to -2.8), "
        "100 lost and 40 gained of 1319 items: a drop of more than 2 points is shown (Tango's paired score test, "
        "skewness corrected, p = 0.0019; the drop is at least 3.1 points at one-sided 95% confidence); "
        "any change: exact McNemar, two-sided, p < 0.0001; MR-Score 12.1, then 11.0"
    )
    assert result.lost[0] == "0000"
    assert (len(result.lost), len(result.gained)) == (100, 40)
    assert result.fields["p"] == pytest.approx(0.0018954, abs=1e-6)
    assert any_failed([result])


def test_the_same_drop_within_a_wider_margin_passes():
    result = gate(GateSpecs(margin=Margin(4)), cell("math", 100, 40, 1319))
    assert result.passed is True
    assert "no drop of more than 4 points is shown" in result.sentence


def test_an_advisory_gate_fails_no_run():
    result = gate(GateSpecs(margin=Margin(2)), cell("math", 100, 40, 1319), advisory=True)
    assert (result.passed, result.advisory, any_failed([result])) == (False, True, False)


@pytest.mark.parametrize(
    ("lost", "gained", "n", "passed"), [(20, 20, 1000, True), (3, 2, 50, False), (60, 20, 1000, False)]
)
def test_non_inferiority_passes_only_when_shown(lost, gained, n, passed):
    result = gate(GateSpecs(margin=Margin(3, "noninferiority")), cell("math", lost, gained, n))
    assert result.passed is passed
    assert (result.fields["drop_at_most"] < 3) is passed
    assert ("is ruled out" in result.sentence) is passed
    if n == 50:
        assert f"takes {result.fields['items_needed']} items" in result.sentence


def test_regressions_are_corrected_over_the_family_and_non_inferiority_is_not():
    borderline, quiet = cell("t0", 14, 4, 400), [cell(f"t{number}", 5, 5, 400) for number in range(1, 6)]
    alone, *_ = evaluate(GateSpecs(margin=Margin(0)), [borderline])
    among, *_ = evaluate(GateSpecs(margin=Margin(0)), [borderline, *quiet])
    assert (alone.passed, among.passed) == (False, True)
    assert among.fields["p_corrected"] == pytest.approx(6 * alone.fields["p"])
    assert "after Holm's correction over 6 gates" in among.sentence
    shown = GateSpecs(margin=Margin(5, "noninferiority"))
    assert evaluate(shown, [quiet[0]])[0].fields["p"] == evaluate(shown, quiet)[0].fields["p"]


def test_what_cannot_be_compared_is_not_evaluated():
    specs = GateSpecs(margin=Margin(2), min_accuracy=(MinAccuracy("*", 10),))
    unmatched = GatedGroup("gsm8k", "gsm8k", accuracy_interval([1.0]), {"correct": 1})
    void = cell("math", 3, 0, 100, void="2.0% of its items are errors")
    empty = GatedGroup("arc_easy", "arc_easy", accuracy_interval([]))
    results = {result.name: result for result in evaluate(specs, [unmatched, void, empty])}
    assert {name: result.passed for name, result in results.items()} == {
        "gate::gsm8k::regression": None,
        "gate::gsm8k::min-accuracy": True,
        "gate::math::regression": None,
        "gate::math::min-accuracy": None,
        "gate::arc_easy::regression": None,
        "gate::arc_easy::min-accuracy": None,
    }
    assert results["gate::math::regression"].sentence == "math: not evaluated, 2.0% of its items are errors"
    assert any_failed(list(results.values()))
    assert not any_failed(excuse(results.values(), "allowed"))


def test_an_incomplete_run_has_no_gates():
    specs = GateSpecs((MinAccuracy("*", 99),), (MaxRate("truncated", 0),), Margin(0))
    results = evaluate(specs, [cell("math", 100, 0, 1319, truncated=5)], complete=False)
    assert len(results) == 3
    assert all(result.passed is None for result in results)
    assert all(result.sentence == "math: not evaluated, the run is not complete" for result in results)


@pytest.mark.parametrize(
    ("asked", "passed"),
    [("gsm8k=50", True), ("gsm8k=50.1", False), ("gsm8k=lower:40", True), ("gsm8k=lower:41", False), ("gsm*=50", True)],
)
def test_min_accuracy(asked, passed):
    # 50 of 100: Wilson 40.4% to 59.6%.
    result = gate(GateSpecs(parse_min_accuracy(asked)), cell("gsm8k", 0, 0, 100))
    assert (result.name, result.kind, result.passed) == ("gate::gsm8k", "min-accuracy", passed)
    assert "accuracy 50.0% (95% interval 40.4% to 59.6%, Wilson, n = 100)" in result.sentence


def test_min_accuracy_of_an_exact_task_beats_a_glob_and_other_tasks_have_none():
    specs = GateSpecs(parse_min_accuracy("g*=99,gsm8k=10"))
    results = evaluate(specs, [cell("gsm8k", 0, 0, 100), cell("gsm_plus", 0, 0, 100), cell("math", 0, 0, 100)])
    assert [(result.label, result.passed) for result in results] == [("gsm8k", True), ("gsm_plus", False)]


@pytest.mark.parametrize(("right", "shown"), [(8499, "84.99%"), (8500, "85.0%"), (8501, "85.01%"), (8000, "80.0%")])
def test_no_figure_is_rounded_over_the_bar_that_it_misses(right, shown):
    result = gate(GateSpecs(parse_min_accuracy("gsm8k=85")), cell("gsm8k", 0, 0, 10_000, right=right))
    assert f"accuracy {shown}" in result.sentence
    assert f"the accuracy of {shown} is {'at least' if result.passed else 'below'} 85%" in result.sentence


@pytest.mark.parametrize(("allowed", "passed"), [(7, True), (6.9, False), (0, False), (100, True)])
def test_max_rate(allowed, passed):
    result = gate(GateSpecs(max_rates=(MaxRate("truncated", allowed),)), cell("gsm8k", 0, 0, 100, truncated=7))
    assert (result.kind, result.passed) == ("max-truncated", passed)
    assert "7.0% truncated (7 of 100" in result.sentence


def test_a_rate_of_no_items_is_not_evaluated():
    result = gate(GateSpecs(max_rates=(MaxRate("truncated", 5),)), cell("gsm8k", 0, 0, 0))
    assert (result.name, result.passed) == ("gate::gsm8k", None)
    assert result.sentence == "gsm8k: not evaluated, it has no items"


def test_names_tell_several_gates_of_a_cell_apart():
    specs = GateSpecs((MinAccuracy("*", 1),), (MaxRate("truncated", 5), MaxRate("error", 5)), Margin(1))
    names = [result.name for result in evaluate(specs, [cell("gsm8k", 0, 0, 100), cell("math", 0, 0, 100)])]
    assert len(set(names)) == len(names) == 8
    assert names[0] == "gate::gsm8k::regression"


def test_a_plan_states_its_assumption():
    plan = sensitivity(Margin(2), 50, family=17, baseline=0.4)
    assert not plan.resolved
    assert plan.items_needed > 5000
    assert "24.0% of the items changing their verdict, assumed" in plan.sentence
    assert sensitivity(Margin(2), plan.items_needed, family=17, baseline=0.4).resolved
    assert "observed" in sensitivity(Margin(2), 50, discordance=0.1).sentence
    assert "more than there is to lose" in sensitivity(Margin(2), 1319, family=17, baseline=0.02).sentence
    assert "no drop at all would be found" in sensitivity(Margin(2), 3).sentence


def test_a_non_inferiority_plan_that_is_large_enough_says_nothing():
    small, large = (sensitivity(Margin(5, "noninferiority"), n, baseline=0.4) for n in (50, 5000))
    assert (
        f"showing in 4 of 5 runs that there is no drop of 5 points where there is none takes {small.items_needed} items"
        in small.sentence
    )
    assert (large.resolved, large.sentence) == (True, "")


def test_parsing():
    assert parse_min_accuracy("gsm8k=40, math=lower:12.5") == (
        MinAccuracy("gsm8k", 40),
        MinAccuracy("math", 12.5, lower=True),
    )
    assert parse_max_rate("truncated=5,unparsed=10") == (MaxRate("truncated", 5), MaxRate("unparsed", 10))
    assert parse_margin("2.5") == Margin(2.5)
    assert not GateSpecs()
    assert GateSpecs(margin=Margin(0))


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_min_accuracy, "gsm8k", "cannot read 'gsm8k'; write it like gsm8k=40,math=lower:12"),
        (parse_min_accuracy, "", "cannot read ''"),
        (parse_min_accuracy, "gsm8k=", "cannot read 'gsm8k='"),
        (parse_min_accuracy, "lower:85", "cannot read 'lower:85'"),
        (parse_min_accuracy, "gsm8k=upper:85", "'upper:85' is no percentage"),
        (parse_min_accuracy, "gsm8k=40,gsm8k=50", "'gsm8k' is given twice"),
        (parse_min_accuracy, "gsm8k=101", "'101' is no percentage from 0 to 100"),
        (parse_min_accuracy, "gsm8k=nan", "no percentage"),
        (lambda text: parse_min_accuracy(text, ["gsm8k", "math"]), "gsm9k=4", "no task 'gsm9k'; did you mean 'gsm8k'?"),
        (parse_max_rate, "truncatd=5", "no kind 'truncatd'; did you mean 'truncated'?"),
        (parse_max_rate, "truncated=-1", "no percentage"),
        (parse_margin, "two", "--gate: 'two' is no percentage"),
        (parse_margin, "100", "must be below 100"),
        (lambda text: parse_margin(text, "noninferiority"), "0", "cannot be used with --gate-mode noninferiority"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(parse, text, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        parse(text)


@given(st.text(max_size=30))
def test_parsers_raise_nothing_but_usage_errors(text):
    for parse in (parse_min_accuracy, parse_max_rate, parse_margin):
        with suppress(UsageError):
            parse(text)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 20)), max_size=4),
    st.sampled_from([Margin(0), Margin(2), Margin(2, "noninferiority")]),
)
def test_gates_agree_with_their_own_numbers(tables, margin):
    cells = [cell(f"t{i}", lost, gained, 10 + n, right=5) for i, (lost, gained, n) in enumerate(tables)]
    for result in evaluate(GateSpecs(margin=margin), cells):
        assert result.sentence.count("\n") == 0
        if margin.mode == "regression":
            assert result.passed is (result.fields["p_corrected"] > 0.05)
            if not result.passed:
                assert result.fields["drop_at_least"] >= margin.points - 1e-6
        else:
            assert result.passed is (result.fields["p"] <= 0.05)
            assert result.passed is (result.fields["drop_at_most"] <= margin.points)


def test_the_power_that_is_reported_is_that_of_the_whole_family():
    cells = [cell(label, 1, 0, 40) for label in "abc"]
    fields = [result.fields for result in evaluate(GateSpecs(margin=Margin(5)), cells)]
    alone = gate(GateSpecs(margin=Margin(5)), cells[0]).fields
    assert fields[0]["items_needed"] > alone["items_needed"]


def test_the_p_value_of_a_margin_is_that_of_the_comparison():
    one = cell("a", 30, 10, 200)
    assert gate(GateSpecs(margin=Margin(5)), one).fields["p"] == one.comparison.worse(0.05).p


@pytest.mark.parametrize(("lower", "what"), [(True, "lower bound"), (False, "accuracy")])
def test_a_least_accuracy_says_what_it_was_held_against(lower, what):
    result = gate(GateSpecs(min_accuracy=(MinAccuracy("gsm8k", 10.0, lower),)), cell("gsm8k", 0, 0, 40))
    assert f"the {what} of " in result.sentence
    assert result.fields["on"] == what


def test_the_test_of_any_change_is_corrected_where_several_stand_together():
    results = evaluate(GateSpecs(margin=Margin(0)), [cell(f"t{number}", 9, 2, 100) for number in range(4)])
    for result in results:
        assert result.fields["p_change_corrected"] == pytest.approx(4 * result.fields["p_change"])
        assert "after Holm's correction" in result.sentence.partition("any change")[2]


def test_errors_are_tested_as_lost_and_said():
    plain = cell("gsm8k", 0, 0, 1000)
    hidden = replace(plain, worst=cell("gsm8k", 10, 0, 1000).comparison, errors=10)
    assert gate(GateSpecs(margin=Margin(0)), plain).passed
    result = gate(GateSpecs(margin=Margin(0)), hidden)
    assert not result.passed
    assert "10 errors counted against this run" in result.sentence


def test_advice_is_for_this_gate_and_for_all_of_them():
    plan = sensitivity(Margin(2), 50, family=17, discordance=0.1)
    found = power_to_detect(plan.items_needed, 0.04, 0.1, margin=0.02, alpha=0.05 / 17)
    assert found >= 0.8 > power_to_detect(plan.items_needed // 2, 0.04, 0.1, margin=0.02, alpha=0.05 / 17)
    plan = sensitivity(Margin(2, "noninferiority"), 50, family=17, discordance=0.1)
    together = int(re.search(r"and (\d+) items a gate for all 17 gates together", plan.sentence)[1])
    assert power_to_pass(plan.items_needed, 0.02, 0.1) >= 0.8
    assert power_to_pass(together, 0.02, 0.1) ** 17 >= 0.8 > power_to_pass(plan.items_needed, 0.02, 0.1) ** 17
    assert not sensitivity(Margin(2, "noninferiority"), together - 1, family=17, discordance=0.1).resolved
    assert sensitivity(Margin(2, "noninferiority"), together, family=17, discordance=0.1).resolved
