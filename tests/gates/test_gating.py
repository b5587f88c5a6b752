"""From item records to gates, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recorded_runs import record, write_run

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import RecordedRun, load_run
from pytest_thinkslm.gates.decisions import GateResult
from pytest_thinkslm.gates.judges import judge_gate
from pytest_thinkslm.gates.outcomes import confidence_text
from pytest_thinkslm.settings.gate_specs import GateSpecs, Margin
from pytest_thinkslm.tasks.metrics import mr_gsm_metrics


@pytest.mark.parametrize(
    ("level", "text"), [(0.05, "95%"), (0.025, "97.5%"), (0.05 / 3, "98.3%"), (0.0005, "99.95%"), (1e-7, "99.99999%")]
)
def test_a_confidence_is_told_from_100_percent(level, text):
    assert confidence_text(level) == text


def run_of(tmp_path: Path, name: str, records: list[dict[str, object]]) -> RecordedRun:
    return load_run(write_run(tmp_path / name, records))


def decided(candidate: RecordedRun, baseline: RecordedRun, margin: float = 0.0) -> dict[str, tuple[str, str]]:
    measured = gating.measure(candidate.groups, candidate.rows, baseline, metrics=True)
    gates = gating.decide(GateSpecs(margin=Margin(margin)), measured)
    return {gate.label: (gating.outcome(gate), gate.sentence) for gate in gates}


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ([("m", "none", "gsm8k", "direct")], ["gsm8k"]),
        ([("m", "none", "gsm8k", "direct"), ("m", "none", "math", "cot")], ["gsm8k[direct]", "math[cot]"]),
        ([("m", "none", "gsm8k", "cot"), ("m", "gptq4", "gsm8k", "cot")], ["gsm8k[m+none]", "gsm8k[m+gptq4]"]),
        ([("a/m", "none", "gsm8k", "cot"), ("b/m", "none", "gsm8k", "cot")], ["gsm8k[a/m+none]", "gsm8k[b/m+none]"]),
        (
            [("a/m", "none", "gsm8k", "cot"), ("a/m", "gptq4", "math", "direct")],
            ["gsm8k[m+none-cot]", "math[m+gptq4-direct]"],
        ),
    ],
)
def test_labels_are_short_and_unique(keys: list[tuple[str, str, str, str]], names: list[str]) -> None:
    groups = [GroupKey(model, quant, task, f"test_{task}", style) for model, quant, task, style in keys]
    assert list(gating.labels(groups).values()) == names


@pytest.mark.parametrize(("trusted", "beside", "fails"), [(False, 3, True), (False, 0, False), (True, 3, False)])
def test_a_judge_that_decided_only_what_was_asked_beside_the_items_fails_the_run_too(trusted, beside, fails):
    canaries = {"n": 16, "right": 16 if trusted else 6, "threshold": 0.9, "trusted": trusted, "failed": []}
    results: Any = {"results": [], "judge": {"model": "j", "canaries": canaries, "decided_beside": beside}}
    gate = judge_gate(results)
    assert (gate is not None and gate.fails) is fails
    if gate is not None:
        assert gate.sentence == (
            "judge: j got 6 of 16 canaries right (needed: 90%) and decided 3 verdicts of changed forms, seed questions "
            "or further runs, so this run fails"
        )


def review(item: int, found: bool) -> dict[str, Any]:
    """A wrong solution's review (or, for even items, a correct one's)."""
    gold = {"judgement": "correct" if item % 2 == 0 else "wrong", "first_error_step": None if item % 2 == 0 else "2"}
    answer = gold if found else {"judgement": "wrong" if item % 2 == 0 else "correct", "first_error_step": None}
    return {**record(item, found, task="mr_gsm", cluster=f"q{item}"), "gold": gold, "answer": answer}


def test_review_tasks_are_gated_on_items_and_show_their_own_metrics(tmp_path: Path) -> None:
    before = run_of(tmp_path, "a", [review(item, item >= 4) for item in range(40)])
    now = run_of(tmp_path, "b", [review(item, item >= 20) for item in range(40)])
    state, sentence = decided(now, before)["mr_gsm"]
    assert state == "failed"
    assert "accuracy 90.0% before, 50.0% now" in sentence
    assert "mcc 0.800 before, 0.000 now (-0.800, 95% interval" in sentence
    assert "acc_step 0.900 before, 0.500 now (-0.400, 95% interval -0.613" in sentence


def test_items_that_are_errors_in_either_run_are_left_out_and_void_rows_are_not_compared(tmp_path: Path) -> None:
    def errors(count: int) -> list[dict[str, object]]:
        return [
            record(item, True, verdict="error", answer=None) if item < count else record(item, True)
            for item in range(200)
        ]

    fine, one, many = (run_of(tmp_path, f"r{count}", errors(count)) for count in (0, 1, 10))
    state, sentence = decided(one, fine)["sort8_positive"]
    assert state == "passed"
    assert "0 lost and 0 gained of 199 shared items" in sentence
    state, sentence = decided(fine, many)["sort8_positive"]
    assert state == "not evaluated"
    assert "the baseline's accuracy is void: 10 of 200 items are errors" in sentence
    assert decided(many, fine)["sort8_positive"][0] == "not evaluated"


def test_a_cell_that_the_baseline_lacks_says_so(tmp_path: Path) -> None:
    before = run_of(tmp_path, "a", [record(item, True) for item in range(10)])
    now = run_of(tmp_path, "b", [record(item, True, style=style) for item in range(10) for style in ("direct", "cot")])
    assert decided(now, before)["sort8_positive[direct]"][0] == "passed"
    assert decided(now, before)["sort8_positive[cot]"] == (
        "not evaluated",
        "sort8_positive[cot]: not evaluated, the baseline has no sort8_positive (cot) of m (none)",
    )


def test_what_a_gate_will_not_see_counts_shared_items_and_their_clusters(tmp_path: Path) -> None:
    key = GroupKey("m", "none", "sort8_positive", "test_sort8_positive", "direct")
    alone = run_of(tmp_path, "a", [record(item, item % 2 == 0) for item in range(60)])
    wanted = {key: [f"{item:04d}" for item in range(20, 100)]}
    shared, seen = gating.foresee(Margin(5.0), wanted, alone)
    assert shared == "sort8_positive: compared on the 40 items that are in both (the baseline has 60, this run 80)"
    assert seen.startswith("sort8_positive: with 40 items only a drop of ")
    clustered = run_of(
        tmp_path, "b", [record(item, item // 10 % 2 == 0, cluster=f"c{item // 10}") for item in range(60)]
    )
    drops = [
        float(line.split("drop of ")[1].split(" points")[0])
        for line in (seen, gating.foresee(Margin(5.0), wanted, clustered)[1])
    ]
    assert drops[1] > drops[0] + 5
    large = run_of(tmp_path, "c", [record(item, True) for item in range(2000)])
    assert gating.foresee(Margin(5.0), {key: list(large.groups[key].scores)}, large) == []


def test_a_gate_as_it_stands_in_the_results() -> None:
    gate = GateResult("gate::x", "margin", "x", False, "worse", {"p": 0.01}, lost=("1",), gained=("2", "3"))
    fields = {
        "name": "gate::x",
        "kind": "margin",
        "label": "x",
        "state": "failed",
        "passed": False,
        "sentence": "worse",
        "fields": {"p": 0.01},
        "lost": ["1"],
        "gained": ["2", "3"],
        "advisory": False,
        "fails": True,
    }
    assert gating.as_json(gate, None) == fields
    key = GroupKey("m", "q", "gsm8k", "test_gsm8k", "cot")
    named = {"model": "m", "quant": "q", "task": "gsm8k", "test": "test_gsm8k", "style": "cot"}
    assert gating.as_json(gate, key) == {**fields, **named}


@pytest.mark.parametrize("kind", ["regression", "noninferiority", "min-accuracy", "certificate"])
def test_a_gate_against_a_baseline_has_the_changes_of_the_tasks_own_metrics(kind: Any) -> None:
    changes: Any = {"mcc": {"before": 0.5, "now": 0.4, "difference": -0.1, "ci95": None, "n": 9}}
    gate = GateResult("gate::x", kind, "x", True, "fine")
    found = gating.as_json(gate, None, changes)
    assert found.get("metrics") == (changes if kind in ("regression", "noninferiority") else None)
    assert "metrics" not in gating.as_json(gate, None, {})


def test_a_baseline_of_other_items_is_not_evaluated(tmp_path: Path) -> None:
    before = run_of(tmp_path, "a", [record(item, True) for item in range(5)])
    now = run_of(tmp_path, "b", [record(item, True) for item in range(5, 9)])
    ((state, sentence),) = decided(now, before).values()
    assert (state, sentence.partition(": ")[2]) == (
        "not evaluated",
        "not evaluated, the baseline shares no item with it",
    )


def test_an_interval_and_a_p_value_that_do_not_agree_say_why(tmp_path: Path) -> None:
    before = run_of(tmp_path, "a", [record(item, True) for item in range(100)])
    four = run_of(tmp_path, "b", [record(item, item >= 4) for item in range(100)])
    twenty = run_of(tmp_path, "c", [record(item, item >= 20) for item in range(100)])
    paired = gating.compare_groups(next(iter(before.groups.values())), next(iter(four.groups.values())))
    assert (paired.interval.high < 0, paired.change.p) == (True, 0.125)
    sentence = decided(four, before)["sort8_positive"][1]
    assert "the interval leaves out 0 and p is 0.125" in sentence
    assert "4 items changed" in sentence
    assert "leaves out" not in decided(twenty, before)["sort8_positive"][1]


def test_a_break_down_is_compared_on_what_both_were_asked(tmp_path: Path) -> None:
    """Paired intervals of break-downs: a class of error that one run lacks, and items that one run has alone."""

    def line(item: int, right: bool) -> dict[str, Any]:
        failure = None if right else "order"
        return {**record(item, right), "failure": failure, "facets": {"length": "8"}}

    before = run_of(tmp_path, "a", [line(item, True) for item in range(100)])
    now = run_of(tmp_path, "b", [line(item, item >= 30) for item in range(10, 120)])
    (entry,) = gating.measure(now.groups, now.rows, before, metrics=True)
    changes = entry.metrics
    assert changes["by_error.order"]["before"] == 0
    assert (changes["by_error.order"]["now"], changes["by_error.order"]["n"]) == (round(20 / 90, 6), 90)
    by_length, paired = changes["by_length.8"], entry.cell.comparison
    assert paired is not None
    assert by_length["difference"] == round(paired.difference, 6)
    assert by_length["ci95"] == [round(end, 6) for end in paired.interval]


def test_the_change_of_a_metric_is_paired(tmp_path: Path) -> None:
    """Of 200 reviews four change: MCC is known to change by little, though each is known to 0.1 alone."""
    before = run_of(tmp_path, "a", [review(item, item % 5 > 0) for item in range(200)])
    now = run_of(tmp_path, "b", [review(item, item % 5 > 0 and item >= 4) for item in range(200)])
    (entry,) = gating.measure(now.groups, now.rows, before, metrics=True)
    change = entry.metrics["mcc"]
    alone: Any = mr_gsm_metrics(before.groups[entry.key].records)["mcc"]
    low, high = alone["ci95"]
    assert change["ci95"] is not None
    assert change["ci95"][0] < change["difference"] < change["ci95"][1]
    assert change["ci95"][1] - change["ci95"][0] < 0.6 * (high - low)
    (same,) = gating.measure(before.groups, before.rows, before, metrics=True)
    assert (same.metrics["mcc"]["difference"], same.metrics["mcc"]["ci95"]) == (0, None)
