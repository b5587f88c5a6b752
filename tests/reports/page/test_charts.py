"""The plots' specifications: what is drawn, from which numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from page_folders import delta, line, run_results

from pytest_thinkslm.reports.page.charts import UNCLASSIFIED, Chart, charts, variant_labels
from pytest_thinkslm.statistics import wilson


def made(*args: Any, **extra: Any) -> dict[str, Chart]:
    return {chart.name: chart for chart in charts(run_results(*args, **extra))}


def values(chart: Chart) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart.spec["data"]["values"]
    return found


def fields(spec: object) -> set[str]:
    """Every field that a specification reads."""
    if isinstance(spec, dict):
        own = {spec["field"]} if isinstance(spec.get("field"), str) else set()
        return own.union(*(fields(value) for name, value in spec.items() if name != "data"), set())
    if isinstance(spec, list):
        return set().union(*map(fields, spec))
    return set()


SORTS = [line(item, item < 3, task=task) for item in range(4) for task in ("sort8_positive", "sort16_mixed")]


def test_accuracy_shows_the_figures_of_the_results() -> None:
    results = run_results(SORTS)
    (accuracy,) = [chart for chart in charts(results) if chart.name == "accuracy"]
    row = results["results"][0]
    assert values(accuracy)[0] == {
        "group": "sort8_positive",
        "series": "direct",
        "value": 75.0,
        "low": round(100 * row["ci95"][0], 3),
        "high": round(100 * row["ci95"][1], 3),
        "n": 4,
    }


def test_every_field_of_a_spec_is_in_its_values() -> None:
    lines = [
        line(item, item > 1, quant=quant, style=style, failure="order" if item == 1 else None)
        for item in range(4)
        for quant in ("none", "q4")
        for style in ("direct", "cot")
    ]
    reference = [{"model": "m", "quant": "none", "task": "sort8_positive", "style": "cot", "paper": 0.9}]
    found = made(lines, deltas=[delta(["0001"])], reference=reference)
    drawn = ("accuracy", "list-length", "verdicts", "failures")
    assert set(found) == {f"{name}-{style}" for name in drawn for style in ("direct", "cot")} | {"deltas-direct"}
    for chart in found.values():
        known = set().union(*values(chart), {"paper"})
        assert fields(chart.spec) <= known
        json.dumps(chart.spec, allow_nan=False)
    ticks = found["accuracy-cot"].spec["layer"][-1]
    assert ticks["data"]["values"] == [{"group": "sort8_positive", "series": "none", "paper": 90.0}]
    assert "paper" in found["accuracy-cot"].note
    assert "paper" not in found["accuracy-direct"].note


def test_list_lengths_join_the_sorting_tasks() -> None:
    lines = [line(item, item < length / 8, task=f"sort{length}_{kind}", facets={"length": str(length)})
             for item in range(4) for length in (8, 16) for kind in ("positive", "mixed")]  # fmt: skip
    found = values(made(lines)["list-length"])
    assert {(each["length"], each["list"]): each["value"] for each in found} == {
        (8, "positive"): 25.0,
        (8, "mixed"): 25.0,
        (16, "positive"): 50.0,
        (16, "mixed"): 50.0,
    }
    interval = wilson(1, 4)
    assert found[0]["low"] == round(100 * interval.low, 3)


def test_repeats_do_not_narrow_the_interval_of_a_group() -> None:
    lines = [line(item, item < 2, repeat=repeat) for item in range(4) for repeat in (1, 2, 3)]
    results = run_results(lines)
    results["settings"]["repeats"] = 3
    (found,) = [chart for chart in charts(results) if chart.name == "list-length"]
    assert values(found)[0]["low"] == round(100 * wilson(2, 4).low, 3)
    assert values(found)[0]["n"] == 12


@pytest.mark.parametrize("task", ["math", "gsm_plus"])
def test_groups_of_a_task(task: str) -> None:
    facets = {"level": "3", "subject": "Algebra", "perturbation": "reversing operation"}
    found = made([line(item, item < 1, task=task, facets=facets, cluster=f"c{item}") for item in range(4)])
    name = {"math": "math-level", "gsm_plus": "gsm_plus-perturbation"}[task]
    group = {"math": "3", "gsm_plus": "reversing operation"}[task]
    assert [(each["group"], each["value"]) for each in values(found[name])] == [(group, 25.0)]


def test_verdicts_and_failures_add_up() -> None:
    lines = [
        line(0, True),
        line(1, False, failure="order"),
        line(2, False),
        line(3, False, verdict="truncated", failure="order"),
    ]
    found = made(lines)
    shares = {each["class"]: each["value"] for each in values(found["verdicts"])}
    assert shares == {"correct": 25.0, "incorrect": 50.0, "truncated": 25.0}
    failed = {each["class"]: each["value"] for each in values(found["failures"])}
    assert failed == {"order": 50.0, UNCLASSIFIED: 25.0}


def test_a_void_accuracy_is_not_drawn() -> None:
    found = made([line(0, False, verdict="error"), line(1, True)])
    assert "accuracy" not in found
    assert {each["class"] for each in values(found["verdicts"])} == {"correct", "error"}


def test_changes_between_variants_and_against_a_baseline() -> None:
    lines = [line(item, item > 1, quant=quant) for item in range(4) for quant in ("none", "q4")]
    gate = {"kind": "regression", "label": "x", "model": "m", "quant": "none", "task": "sort8_positive"}
    gate |= {"style": "direct", "fields": {"difference": -2.5, "low": -5.0, "high": 1.0, "n": 4}}
    found = made(lines, deltas=[delta(["0001"])], gates=[gate], baseline={"name": "old"})
    assert found["deltas"].title == "Change against none"
    found_baseline = values(found["baseline"])
    assert [(each["series"], each["value"], each["low"]) for each in found_baseline] == [("none", -2.5, -5.0)]
    without = made(lines, deltas=[delta(difference=None, ci95=None)])
    assert "deltas" not in without


def test_accuracy_over_what_a_variant_takes() -> None:
    """q4 is smaller and as fast as none, q8 is beaten by both; energy is known of one alone."""
    right = {"none": 4, "q8": 2, "q4": 3}
    lines = [
        line(item, item < right[quant], quant=quant, task=task)
        for quant in right
        for item in range(4)
        for task in ("sort8_positive", "sort16_mixed")
    ]
    results = run_results(lines)
    for variant in results["variants"]:
        variant["disk_bytes"] = {"none": 2**32, "q8": 2**31, "q4": 2**30}[variant["quant"]]
    speeds = {"none": 50.0, "q8": 20.0, "q4": 50.0}
    results["measured"]["variants"] = {f"m|{quant}": {"tokens_per_second": speed} for quant, speed in speeds.items()}
    results["measured"]["variants"]["m|q4"] |= {"joules": 10.0, "output_tokens": 56}
    found = {chart.name: chart for chart in charts(results)}
    drawn = {value["series"]: (value["cost"], value["value"], value["front"]) for value in values(found["cost-disk"])}
    assert drawn == {"none": (4, 100, True), "q8": (2, 50, False), "q4": (1, 75, True)}
    assert {v["series"] for v in values(found["cost-speed"]) if v["front"]} == {"none"}
    assert all(value["low"] < value["value"] <= value["high"] for value in values(found["cost-disk"]))
    assert fields(found["cost-disk"].spec) <= set(values(found["cost-disk"])[0])
    assert not {"cost-energy", "cost-memory"} & set(found)


@pytest.mark.parametrize(
    ("variants", "labels"),
    [
        ([("a/m", "none")], ["m"]),
        ([("a/m", "none"), ("a/m", "q4")], ["none", "q4"]),
        ([("a/m", "none"), ("b/n", "none")], ["m", "n"]),
        ([("a/m", "none"), ("b/m", "none")], ["a/m", "b/m"]),
        ([("a/m", "none"), ("b/n", "q4")], ["m, none", "n, q4"]),
    ],
)
def test_variants_are_named_by_what_tells_them_apart(variants: list[tuple[str, str]], labels: list[str]) -> None:
    lines = [line(0, True, model=model, quant=quant) for model, quant in variants]
    assert list(variant_labels(run_results(lines)).values()) == labels
