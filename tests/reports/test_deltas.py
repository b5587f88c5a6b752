"""The delta report and the comparison with the paper, as functions; tests/plugin/test_delta_report.py runs them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_runs import record, write_run
from rich.console import Console
from statsmodels.stats.contingency_tables import mcnemar

import pytest_thinkslm.runs
from pytest_thinkslm.__main__ import main
from pytest_thinkslm.core.item_record import item_key
from pytest_thinkslm.gates.baselines import collect
from pytest_thinkslm.reference.comparison import CAVEAT, against_paper
from pytest_thinkslm.reference.table import paper_rows
from pytest_thinkslm.reports.delta_tables import markdown_deltas, markdown_reference, show_deltas, show_reference
from pytest_thinkslm.reports.deltas import (
    EXAMPLES,
    add_examples,
    costs,
    deltas,
    references,
    style_deltas,
    wanted_examples,
)
from pytest_thinkslm.runs.results import figures, group_key
from pytest_thinkslm.statistics import compare_unpaired, holm
from pytest_thinkslm.statistics.intervals import accuracy_interval

Record = Mapping[str, object]
SCHEMA = json.loads((Path(pytest_thinkslm.runs.__file__).parent / "results.schema.json").read_text())


def report(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The delta report of a run with these items; its variants in the order in which they first occur."""
    given = list(records)
    variants = list(dict.fromkeys((str(r["model"]), str(r["quant"])) for r in given))
    lines = sorted(given, key=item_key)
    found = deltas(variants, figures(lines, (), {}), collect(lines))
    wanted = wanted_examples(found)
    add_examples(found, (line for line in lines if (group_key(line), str(line["item"])) in wanted))
    for row in found:
        jsonschema.validate(row, {"$ref": "#/$defs/delta", "$defs": SCHEMA["$defs"]})
    return found


def results(found: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    variants = {(row["model"], row["quant"]) for row in found} | {tuple(row["against"].values()) for row in found}
    return {
        "settings": {"styles": ["direct"]},
        "variants": [{"model": model, "quant": quant, "display": model} for model, quant in variants],
        "deltas": found,
        "measured": {"deltas": {}},
        **more,
    }


def printed(value: Mapping[str, Any], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show_deltas(console, value)
    show_reference(console, value)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        ([], {}),
        (["a none"], {}),
        (["a none", "a gptq4", "a w8a8"], {"a gptq4": "a none", "a w8a8": "a none"}),
        (["a gptq4", "a none"], {"a gptq4": "a none"}),
        (["a gptq4", "a w8a8"], {"a w8a8": "a gptq4"}),
        (["a none", "b none", "b w8a8"], {"b none": "a none", "b w8a8": "b none"}),
        (["a gptq4", "a none", "b none"], {"a gptq4": "a none", "b none": "a none"}),
        (["a gptq4", "b none", "b w8a8"], {"b none": "a gptq4", "b w8a8": "b none"}),
    ],
)
def test_each_variant_is_held_against_the_uncompressed_one_else_the_first(
    variants: list[str], expected: dict[str, str]
) -> None:
    found = references([(name.split()[0], name.split()[1]) for name in variants])
    assert {" ".join(key): " ".join(value) for key, value in found.items()} == expected


def test_one_row_has_the_paired_figures_and_the_items() -> None:
    """60 right in both, 20 lost, 5 gained, 15 wrong in both."""
    before = [record(item, item < 80, output="before") for item in range(100)]
    after = [record(item, item < 60 or 80 <= item < 85, quant="gptq4", output="now") for item in range(100)]
    (row,) = report([*before, *after])
    assert (row["model"], row["quant"], row["against"]) == ("m", "gptq4", {"model": "m", "quant": "none"})
    assert (row["n"], row["accuracy_against"], row["accuracy"], row["difference"]) == (100, 0.8, 0.65, -0.15)
    assert row["p"] == pytest.approx(mcnemar([[60, 20], [5, 15]], exact=True).pvalue, rel=1e-5)
    assert row["p_corrected"] == row["p"]
    assert row["kept"] == pytest.approx(0.65 / 0.8, abs=1e-6)
    assert row["lost"] == [f"{item:04d}" for item in range(60, 80)]
    assert row["gained"] == [f"{item:04d}" for item in range(80, 85)]
    assert row["method"].startswith("exact McNemar")
    assert [(e["item"], e["change"]) for e in row["examples"]] == [
        *((f"{item:04d}", "lost") for item in range(60, 60 + EXAMPLES)),
        *((f"{item:04d}", "gained") for item in range(80, 80 + EXAMPLES)),
    ]
    assert row["examples"][0]["before"] == {"verdict": "correct", "answer": "1", "ending": "before"}
    assert row["examples"][0]["now"] == {"verdict": "incorrect", "answer": "2", "ending": "now"}
    assert "note" not in row


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 3), st.booleans(), st.sampled_from(["none", "q"])), min_size=1
    )
)
def test_it_says_what_thinkslm_compare_says(
    tmp_path_factory: pytest.TempPathFactory, outcomes: list[tuple[int, int, bool, str]]
) -> None:
    unique = {(item, repeat, quant): right for item, repeat, right, quant in outcomes}
    records = [record(item, right, repeat=repeat, quant=quant) for (item, repeat, quant), right in unique.items()]
    sides = {quant: [line for line in records if line["quant"] == quant] for quant in ("none", "q")}
    if not all(sides.values()):
        return
    folder = tmp_path_factory.mktemp("runs")
    first = write_run(folder / "a", sides["none"])
    second = write_run(folder / "b", [{**line, "quant": "none"} for line in sides["q"]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", text := io.StringIO())
        status = main(["compare", str(first), str(second), "--format", "json"])
    (theirs,) = json.loads(text.getvalue())["runs"][0]["rows"]
    (row,) = report([*sides["none"], *sides["q"]])
    assert status == (4 if "not_compared" in theirs else 0), "nothing shared is nothing compared"
    if "not_compared" in theirs:
        assert row["difference"] is None
        assert row["note"].startswith("not compared")
        return
    for mine, name in (("accuracy_against", "baseline"), ("accuracy", "candidate"), ("difference", "difference")):
        assert row[mine] == pytest.approx(theirs[name], abs=1e-6)
    assert row["ci95"] == pytest.approx(theirs["ci95"], abs=1e-6)
    assert row["p"] == pytest.approx(theirs["p"], rel=1e-5)
    assert (row["n"], row["lost"], row["gained"]) == (theirs["n"], theirs["lost"], theirs["gained"])


def test_holms_correction_is_over_all_rows_of_the_report() -> None:
    wrong = {("sort8_positive", "q"): 9, ("sort16_mixed", "q"): 6, ("sort8_positive", "r"): 1, ("sort16_mixed", "r"): 0}
    records = [
        record(item, item >= wrong.get((task, quant), 0), task=task, quant=quant)
        for quant in ("none", "q", "r")
        for task in ("sort8_positive", "sort16_mixed")
        for item in range(40)
    ]
    found = report(records)
    assert len(found) == 4
    assert {place: row["p_corrected"] for place, row in enumerate(found)} == pytest.approx(
        holm({place: row["p"] for place, row in enumerate(found)})
    )
    assert found[0]["p_corrected"] == pytest.approx(4 * found[0]["p"])


def test_repeats_are_compared_by_item_means() -> None:
    before = [record(item, True, repeat=repeat) for item in range(10) for repeat in (1, 2)]
    now = [record(i, i > 4 or r == 1, repeat=r, quant="q", output=f"run {r}") for i in range(10) for r in (1, 2)]
    (row,) = report([*before, *now])
    assert (row["n"], row["difference"], len(row["lost"])) == (10, -0.25, 5)
    assert "permutation" in row["method"]
    assert "effective counts" in row["method"]
    assert row["examples"][0]["now"] == {"verdict": "incorrect", "answer": "2", "ending": "run 2"}


def test_partial_overlap_and_errors_are_left_out_and_stated() -> None:
    before = [record(item, True) for item in range(200)]
    now = [record(item, True, quant="q") for item in range(50, 250)]
    now[0] = {**now[0], "verdict": "error"}
    (row,) = report([*before, *now])
    assert row["n"] == 149
    assert row["note"] == ("not compared: 51 items that only m (none) has without an error, 50 that only m (q) has")
    assert row["rates"]["error"] == {"before": 0.0, "now": 0.005}


@pytest.mark.parametrize("broken", ["none", "q"])
def test_a_void_accuracy_is_not_compared(broken: str) -> None:
    records = [record(item, True, quant=quant) for quant in ("none", "q") for item in range(50)]
    records = [{**r, "verdict": "error"} if r["quant"] == broken and r["item"] == "0003" else r for r in records]
    (row,) = report(records)
    assert row["accuracy"] is row["difference"] is row["p"] is row["kept"] is None
    assert (row["lost"], row["gained"]) == ([], [])
    assert "1 of 50 items are errors" in row["note"]
    assert row["rates"]["error"] != {"before": 0.0, "now": 0.0}


def test_no_shared_item_and_a_missing_task() -> None:
    records = [
        *(record(item, True) for item in range(5)),
        *(record(item, True, task="sort16_mixed") for item in range(5)),
        *(record(item, True, quant="q") for item in range(5, 9)),
        *(record(item, True, quant="q", task="sort32_mixed") for item in range(5)),
    ]
    rows = {row["task"]: row for row in report(records)}
    assert rows["sort8_positive"]["note"] == "not compared: m (none) and m (q) share no item without an error"
    assert rows["sort16_mixed"]["note"] == "not compared: m (q) has no outcome of it"
    assert rows["sort32_mixed"]["note"] == "not compared: m (none) has no outcome of it"


def test_the_share_kept_of_nothing_is_undefined() -> None:
    records = [record(item, quant == "q" and item < 3, quant=quant) for quant in ("none", "q") for item in range(9)]
    (row,) = report(records)
    assert row["kept"] is None
    assert (row["accuracy_against"], row["difference"]) == (0, pytest.approx(1 / 3, abs=1e-6))


def test_rates_and_failure_classes_before_and_now() -> None:
    now = [record(item, False, quant="q", verdict="unparsed", failure="empty") for item in range(4)]
    (row,) = report([*(record(item, False, failure="wrong-order") for item in range(8)), *now])
    assert row["rates"]["unparsed"] == {"before": 0.0, "now": 1.0}
    assert row["failures"] == {"empty": {"before": 0, "now": 4}, "wrong-order": {"before": 8, "now": 0}}
    assert row["outcomes"] == {"before": 8, "now": 4}


def test_the_verdict_that_decided_counts_not_the_parsers() -> None:
    now = [record(item, True, quant="q", parser_verdict="incorrect", source="judge") for item in range(6)]
    (row,) = report([*(record(item, True) for item in range(6)), *now])
    assert row["difference"] == 0


def test_costs_beside_each_other() -> None:
    variants: list[dict[str, Any]] = [
        {"model": "m", "quant": "none", "disk_bytes": 100},
        {"model": "m", "quant": "q", "disk_bytes": 90, "compression": {"bytes": 60}},
        {"model": "m", "quant": "r", "compression": None},
    ]
    measured = {"m|none": {"tokens_per_second": 10.0, "peak_memory_bytes": 5}, "m|q": {"tokens_per_second": 20.0}}
    found = costs(variants, measured, references([("m", "none"), ("m", "q"), ("m", "r")]))
    assert found["m|q"] == {
        "disk_bytes": {"before": 100, "now": 60},
        "peak_memory_bytes": {"before": 5, "now": None},
        "tokens_per_second": {"before": 10.0, "now": 20.0},
    }
    assert found["m|r"]["disk_bytes"] == {"before": 100, "now": None}


def test_bits_that_were_measured_stand_beside_each_other() -> None:
    variants: list[dict[str, Any]] = [
        {"model": "m", "quant": quant, "engine": "llamacpp", "compression": {"bytes": 1, "bits": bits}}
        for quant, bits in (("q8_0", 8.506), ("q4_1", 5.744))
    ]
    found = costs(variants, {}, references([("m", "q8_0"), ("m", "q4_1")]))
    assert found["m|q4_1"]["bits_per_weight"] == {"before": 8.506, "now": 5.744}


HOSTILE = "[red]x[/red] | `y` <script>alert(1)</script> ![](http://e/) \\"


def test_hostile_text_breaks_neither_table() -> None:
    records = [
        record(item, quant == "none", quant=quant, model=HOSTILE, output=HOSTILE)
        for quant in ("none", HOSTILE)
        for item in range(4)
    ]
    value = results(report(records))
    assert HOSTILE in printed(value).replace("\n", " ")
    value["deltas"][0]["examples"][0]["now"]["ending"] = "[/red] [bold]"
    assert "“[/red] [bold]”" in printed(value)
    lines = markdown_deltas(value)
    table = [line for line in lines if line.startswith("| sort8")]
    assert [line.count("|") for line in table] == [12]
    for line in lines:
        outside = "".join(line.split("`")[::2])  # what is not code
        assert "<script" not in outside
        assert "![](" not in outside or line.startswith("## ")


def test_the_terminals_table_is_under_100_columns_wide() -> None:
    records = [
        record(item, (item % 7 < 3) == (quant == "none"), quant=quant, task="sort16_positive", style=style)
        for quant in ("none", "q")
        for item in range(2000)
        for style in ("5shot-cot", "direct")
    ]
    value = results(report(records))
    value["settings"]["styles"] = ["5shot-cot", "direct"]
    lines = printed(value, width=200).splitlines()
    assert max(len(line.rstrip()) for line in lines[1:4]) < 100
    assert any("sort16_positive 5shot-cot 2000" in line for line in lines)
    value["settings"]["styles"] = ["direct"]
    assert max(len(line.rstrip()) for line in printed(value, width=200).splitlines()[1:4]) <= 84


def paper_run(items: int, right: int, **more: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and variants of a run of Qwen2.5-7B over some lists."""
    lines = [record(item, item < right, model="qwen2.5-7b", **more) for item in range(items)]
    rows: list[dict[str, Any]] = figures(sorted(lines, key=item_key), (), {})
    return rows, [{"model": "qwen2.5-7b", "quant": more.get("quant", "none"), "display": "Qwen2.5-7B"}]


def test_beside_the_papers_figure() -> None:
    (row,) = against_paper(*paper_run(100, 80))
    jsonschema.validate(row, {"$ref": "#/$defs/reference", "$defs": SCHEMA["$defs"]})
    assert (row["paper"], row["paper_n"], row["accuracy"], row["n"]) == (0.9433, 100, 0.8, 100)
    expected = compare_unpaired(0.9433, 100, accuracy_interval([1.0] * 80 + [0.0] * 20))
    assert expected is not None
    assert row["ci95"] == pytest.approx(expected.interval, abs=1e-6)
    assert row["note"] == CAVEAT
    for said in ("unpaired", "prompts, temperature", "not published", "3 sampled runs"):
        assert said in row["note"]


@pytest.mark.parametrize(
    ("model", "quant", "paper"),
    [
        ("qwen2.5-7b", "gptq4", 0.8067),
        ("qwen/qwen2.5-7B-INSTRUCT", "none", 0.9433),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "none", 0.8067),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "gptq4", 0.8067),
        ("qwen2.5-7b", "w8a8", None),
        ("Qwen/Qwen2.5-7B-Instruct", "w8a8", None),
        ("embedded", "none", None),
    ],
)
def test_which_row_of_the_paper(model: str, quant: str, paper: float | None) -> None:
    rows: list[dict[str, Any]] = figures([record(0, True, model=model, quant=quant)], (), {})
    found = against_paper(rows, [{"model": model, "quant": quant}])
    assert [row["paper"] for row in found] == ([] if paper is None else [paper])


def test_a_limited_run_a_void_one_and_one_compressed_here_say_so() -> None:
    rows, variants = paper_run(20, 10, quant="gptq4")
    variants[0]["compression"] = {"source": "on-demand"}
    (row,) = against_paper(rows, variants)
    assert row["note"].startswith("this run asked 20 of the split's 100 items; compressed on demand, not the published")
    (row,) = against_paper(*paper_run(20, 10, verdict="error"))
    assert row["difference"] is None
    assert row["note"].startswith("void: 20 of 20 items are errors")
    value = results([], reference=[row])
    assert CAVEAT in " ".join(printed(value, 300).split())
    assert sum(CAVEAT in line for line in markdown_reference(value)) == 1
    assert markdown_reference(results([])) == []


def test_every_row_of_the_paper_has_its_figures() -> None:
    rows = paper_rows()
    assert len(rows) == 72
    for row in rows:
        cells = [
            row.accuracies.get((f"sort{n}_{kind}", "direct")) for n in (8, 16, 32) for kind in ("positive", "mixed")
        ]
        if row.sorting_average is not None:
            known = [cell for cell in cells if cell is not None]
            assert sum(known) / 6 == pytest.approx(row.sorting_average, abs=1e-4)
        assert row.overall_average is not None
        assert row.parameters


def styled(right: Mapping[str, range], quant: str = "none", n: int = 60) -> list[Record]:
    return [record(item, item in own, style=style, quant=quant) for style, own in right.items() for item in range(n)]


def test_styles_of_a_variant_are_paired_with_its_first_style() -> None:
    lines = sorted(styled({"direct": range(20), "cot": range(5, 50)}), key=item_key)
    found = style_deltas(["direct", "cot"], figures(lines, (), {}), collect(lines))
    (row,) = found
    jsonschema.validate(row, {"$ref": "#/$defs/delta", "$defs": SCHEMA["$defs"]})
    assert (row["style"], row["against_style"], row["n"]) == ("cot", "direct", 60)
    assert (len(row["lost"]), len(row["gained"])) == (5, 30)
    assert row["difference"] == pytest.approx(25 / 60, abs=1e-6)
    assert row["p"] == pytest.approx(mcnemar([[15, 5], [30, 10]], exact=True).pvalue, rel=1e-5)
    add_examples(found, lines)
    assert [example["change"] for example in row["examples"]] == ["lost"] * 3 + ["gained"] * 3
    value = results([], style_deltas=found)
    assert "m (none): cot against direct" in printed(value)
    assert any("cot against direct" in line for line in markdown_deltas(value))  # type: ignore[arg-type]


def test_a_style_that_a_task_was_not_asked_in_is_not_compared() -> None:
    lines = sorted(
        [*styled({"direct": range(20)}), *(record(item, True, task="gsm8k", style="cot") for item in range(5))],
        key=item_key,
    )
    assert style_deltas(["direct", "cot"], figures(lines, (), {}), collect(lines)) == []
