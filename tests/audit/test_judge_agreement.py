from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited_runs import judged, line, run_of
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from statsmodels.stats.inter_rater import cohens_kappa

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.audit.agreement import Agreement, Pair, rater_agreement
from pytest_thinkslm.audit.audit_key import read_key
from pytest_thinkslm.audit.krippendorff import krippendorff_alpha, percent_agreement
from pytest_thinkslm.audit.labels import read_labels

#: (rater, human) of the four cells, in the order of ``Confusion``.
CELLS = ((True, True), (True, False), (False, True), (False, False))


def pairs_of(counts: Sequence[int], task: str = "t", weight: float = 1.0) -> list[Pair]:
    """Pairs that make this two-by-two table."""
    cells = [cell for cell, times in zip(CELLS, counts, strict=True) for _ in range(times)]
    return [Pair(task, f"{task}{n}", weight, *cell) for n, cell in enumerate(cells)]


def values(row: Agreement) -> dict[str, float | None]:
    return {name: getattr(row, name).value for name in ("kappa", "rho", "tpr", "tnr", "agreement")}


# Known figures

#: By hand: 20, 10, 5, 15 of 50. Observed agreement 0.7, expected (30 x 25 + 20 x 25) / 2500 = 0.5.
KNOWN = {"kappa": 0.4, "rho": 1 / math.sqrt(6), "tpr": 0.8, "tnr": 0.6, "agreement": 0.7}
#: In two tasks: accuracies 14/25 against 14/25 and 16/25 against 11/25.
FIRST, SECOND = (12, 2, 2, 9), (8, 8, 3, 6)


def test_known_figures() -> None:
    result = rater_agreement([*pairs_of(FIRST, "a"), *pairs_of(SECOND, "b")])
    assert values(result.overall) == pytest.approx(KNOWN)
    assert result.tasks.mae.value == pytest.approx(0.1)
    assert (result.overall.n, result.overall.n_effective) == (50, 50)
    counts = result.overall.counts
    assert (counts.both_correct, counts.only_rater_correct) == (20, 10)
    assert (counts.only_human_correct, counts.both_incorrect) == (5, 15)
    assert result.overall.accuracy_rater.value == pytest.approx(0.6)
    assert result.overall.accuracy_human.value == pytest.approx(0.5)
    assert values(result.by_task["b"])["tpr"] == pytest.approx(8 / 11)


def test_known_weighted_figures() -> None:
    """Weights 6, 1, 1, 2: shares 0.6, 0.1, 0.1, 0.2; all margins 0.7 and 0.3."""
    pairs = [Pair("t", str(n), weight, *cell) for n, (weight, cell) in enumerate(zip((6, 1, 1, 2), CELLS, strict=True))]
    row = rater_agreement(pairs).overall
    assert values(row) == pytest.approx(
        {"kappa": 11 / 21, "rho": 11 / 21, "tpr": 6 / 7, "tnr": 2 / 3, "agreement": 0.8}
    )
    assert row.n_effective == pytest.approx(100 / 42)


def test_known_correlations_over_tasks() -> None:
    """Accuracies of the rater 0.2, 0.4, 0.6, 0.8, of the people 0.2, 0.6, 0.4, 0.8: Pearson and Spearman 0.8."""
    tables = {"a": (2, 0, 0, 8), "b": (4, 0, 2, 4), "c": (4, 2, 0, 4), "d": (8, 0, 0, 2)}
    tasks = rater_agreement([pair for task, table in tables.items() for pair in pairs_of(table, task)]).tasks
    assert tasks.pearson.value == pytest.approx(0.8)
    assert tasks.spearman.value == pytest.approx(0.8)
    assert tasks.mae.value == pytest.approx(0.1)
    assert tasks.pearson.interval == pytest.approx(  # tanh(atanh(0.8) -+ 1.95996 / sqrt(4 - 3))
        (math.tanh(math.atanh(0.8) - 1.959964), math.tanh(math.atanh(0.8) + 1.959964)), abs=1e-6
    )
    assert tasks.spearman.interval is not None
    assert tasks.spearman.interval.low < tasks.pearson.interval.low  # type: ignore[union-attr]


def test_the_interval_of_rho_is_what_sampling_moves_it_by() -> None:
    """5 disagreements in 1,000, rho 0.99: between 0.98 and 1.00, as the paper states for its judge."""
    row = rater_agreement(pairs_of((498, 2, 3, 497))).overall
    assert row.rho.value == pytest.approx(0.99, abs=1e-4)
    assert row.rho.interval == pytest.approx((0.98, 0.998), abs=0.003)


def test_the_interval_of_rho_covers_where_fishers_z_does_not() -> None:
    """Rho of right-or-wrong readings is no correlation of normal variables: n 300, 2% of either kind misread."""
    shares = (0.49, 0.01, 0.01, 0.49)
    rng = np.random.default_rng(3)
    covered = fisher = 0
    for _ in range(80):
        rho = rater_agreement(pairs_of(rng.multinomial(300, shares)), resamples=300).overall.rho
        assert rho.value is not None
        assert rho.interval is not None
        covered += rho.interval.low <= 0.96 <= rho.interval.high
        half = 1.96 / math.sqrt(300 - 3)
        fisher += abs(math.atanh(rho.value) - math.atanh(0.96)) <= half
    assert covered >= 70
    assert fisher < 60


tables = st.tuples(*[st.integers(0, 12)] * 4)


@given(tables)
def test_the_figures_are_those_of_scipy_and_statsmodels(counts: tuple[int, int, int, int]) -> None:
    a, b, c, d = counts
    assume(0 not in (a + b, c + d, a + c, b + d))
    row = rater_agreement(pairs_of(counts), resamples=20).overall
    rater, human = (
        [float(pair[side]) for pair, times in zip(CELLS, counts, strict=True) for _ in range(times)] for side in (0, 1)
    )
    assert row.rho.value == pytest.approx(pearsonr(rater, human).statistic, abs=1e-9)
    assert row.rho.value == pytest.approx(spearmanr(rater, human).statistic, abs=1e-9)
    assert row.kappa.value == pytest.approx(cohens_kappa([[a, b], [c, d]]).kappa, abs=1e-9)


@given(tables, st.floats(1e-3, 1e3))
def test_bounds_symmetry_relabelling_and_the_scale_of_weights(counts: tuple[int, int, int, int], scale: float) -> None:
    assume(sum(counts))
    pairs = pairs_of(counts)

    def of(pairs: Sequence[Pair]) -> Agreement:
        return rater_agreement(pairs, resamples=50).overall

    row = of(pairs)
    for name in ("kappa", "rho", "tpr", "tnr", "agreement", "accuracy_human", "accuracy_rater"):
        figure = getattr(row, name)
        low = -1 if name in ("kappa", "rho") else 0
        assert figure.value is None or low <= figure.value <= 1
        assert (figure.value is not None) or figure.why
        if figure.interval is not None:
            assert low <= figure.interval.low <= figure.value <= figure.interval.high <= 1
    swapped = of([Pair(p.task, p.cluster, p.weight, p.human, p.rater) for p in pairs])
    relabelled = of([Pair(p.task, p.cluster, p.weight, not p.rater, not p.human) for p in pairs])
    scaled = of([Pair(p.task, p.cluster, scale * p.weight, p.rater, p.human) for p in pairs])
    for other in (swapped, relabelled, scaled):
        assert other.kappa.value == pytest.approx(row.kappa.value)
        assert other.rho.value == pytest.approx(row.rho.value)
    assert relabelled.tpr.value == pytest.approx(row.tnr.value)
    assert scaled.n_effective == pytest.approx(row.n_effective)
    if row.rho.interval is not None:
        assert scaled.rho.interval == pytest.approx(row.rho.interval)


def test_repeats_of_one_question_are_not_independent() -> None:
    pairs = pairs_of((30, 10, 5, 15))
    repeated = [replace(pair) for pair in pairs for _ in range(4)]
    once, four = rater_agreement(pairs).overall, rater_agreement(repeated).overall
    assert four.n == 4 * once.n
    assert four.n_effective == pytest.approx(once.n_effective)
    assert four.tpr == once.tpr
    assert four.kappa.interval == pytest.approx(once.kappa.interval)


def test_the_interval_is_of_the_weighted_figure() -> None:
    """Agreeing outputs of weight 9 beside disagreeing ones of weight 1: rho 0.8, unweighted 0."""
    pairs = [replace(pair, weight=9.0 if pair.rater == pair.human else 1.0) for pair in pairs_of((50, 50, 50, 50))]
    rho = rater_agreement(pairs).overall.rho
    assert rho.value == pytest.approx(0.8)
    assert rho.interval is not None
    assert 0.7 < rho.interval.low < 0.8 < rho.interval.high < 0.9


# What is undefined


@pytest.mark.parametrize(
    ("counts", "undefined"),
    [
        ((0, 0, 0, 0), {"kappa", "rho", "tpr", "tnr", "agreement"}),
        ((5, 0, 0, 0), {"kappa", "rho", "tnr"}),
        ((0, 0, 0, 5), {"kappa", "rho", "tpr"}),
        ((5, 0, 3, 0), {"rho", "tnr"}),  # people call everything correct
        ((5, 3, 0, 0), {"rho"}),  # the rater does
        ((0, 0, 5, 0), {"rho", "tnr"}),
    ],
)
def test_constant_readings_leave_undefined_with_a_reason(
    counts: tuple[int, int, int, int], undefined: set[str]
) -> None:
    row = rater_agreement(pairs_of(counts)).overall
    assert {name for name, value in values(row).items() if value is None} == undefined
    for name in undefined:
        assert getattr(row, name).why
    if counts == (5, 0, 3, 0):
        assert row.rho.why == "people call every output correct"
        assert row.tnr.why == "people call no output incorrect"
        assert row.kappa.value == 0


def test_full_agreement_has_a_bound_in_place_of_an_interval() -> None:
    row = rater_agreement(pairs_of((50, 0, 0, 50))).overall
    assert (row.kappa.value, row.rho.value, row.rho.interval) == (1, 1, None)
    assert "at most 3.70%" in row.rho.why  # Wilson's upper end for 0 of 100


def test_few_tasks_leave_their_correlation_undefined() -> None:
    two = rater_agreement([*pairs_of((3, 1, 1, 3), "a"), *pairs_of((4, 1, 1, 2), "b")]).tasks
    assert two.pearson.value is None
    assert "needs at least 3, here are 2" in two.pearson.why
    same = rater_agreement([pair for task in "abc" for pair in pairs_of((3, 1, 1, 3), task)]).tasks
    assert "people give every task the same accuracy" in same.spearman.why


# Between annotators


def test_krippendorff_binary_example() -> None:
    """Krippendorff (2011), sec. A: 1 - 19 x 4 / (14 x 6) = 0.095."""
    units = list(zip("0100000010", "1110010000", strict=True))
    assert krippendorff_alpha(units).value == pytest.approx(1 - 76 / 84)
    assert percent_agreement(units).value == pytest.approx(0.6)


def test_krippendorff_nominal_example_with_missing_labels() -> None:
    """Krippendorff (2011), sec. C: four observers, twelve units, alpha 0.743."""
    observers = ("123321412...", "1233224125.3", ".333234225 1.".replace(" ", ""), "123324412 51.".replace(" ", ""))
    units = [[label for label in unit if label != "."] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha(units).value == pytest.approx(0.743, abs=5e-4)


labelled_units = st.lists(st.lists(st.sampled_from("ci"), max_size=4), max_size=30)


@given(labelled_units, st.floats(0.01, 100), st.randoms())
def test_alpha_does_not_depend_on_names_order_or_scale(
    units: list[list[str]], scale: float, rng: random.Random
) -> None:
    alpha = krippendorff_alpha(units)
    assert alpha.value is None or alpha.value <= 1 + 1e-12
    assert (alpha.value is None) == bool(alpha.why)
    renamed = [["x" if label == "c" else "y" for label in unit] for unit in units]
    shuffled = [rng.sample(unit, len(unit)) for unit in rng.sample(units, len(units))]
    for other in (
        krippendorff_alpha(renamed),
        krippendorff_alpha(shuffled),
        krippendorff_alpha([*units, ["c"]]),
        krippendorff_alpha(units, [scale] * len(units)),
    ):
        assert other.value == pytest.approx(alpha.value)


def test_alpha_of_total_agreement_and_of_nothing() -> None:
    assert krippendorff_alpha(["cc", "ii", "cc"]).value == 1
    assert krippendorff_alpha(["cc", "cc"]).why == "all labels are c, so nothing could have disagreed"
    assert krippendorff_alpha(["c", "i", ""]).why == "no output was labelled by two annotators"
    assert percent_agreement(["c", "i", ""]).value is None


def test_weights_move_alpha_towards_the_heavier_units() -> None:
    units = ["cc", "ii", "ci", "ci"]
    agreeing, disagreeing = ([9, 9, 1, 1], [1, 1, 9, 9])
    middle = krippendorff_alpha(units).value
    assert middle is not None
    assert krippendorff_alpha(units, agreeing).value > middle > krippendorff_alpha(units, disagreeing).value  # type: ignore[operator]


# The command


def label_all(path: Path, word: Callable[[str], str], to: Path | None = None) -> Path:
    """Fill in a label file; ``word`` is given the id."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    to = to or path
    with to.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": word(row["id"])} for row in rows)
    return to


def known_run(folder: Path, judge: bool = False) -> tuple[Path, dict[tuple[str, str], bool]]:
    """The run of ``KNOWN``, and what people say; a judge reads all as they do, but for one output of each task."""
    lines, truth = [], {}
    for task, counts in (("gsm8k", FIRST), ("arc_easy", SECOND)):
        for index, pair in enumerate(pairs_of(counts)):
            verdict = pair.human != (index == 0)
            reading = judged("correct" if verdict else "incorrect") if judge else None
            lines.append(line(index, pair.rater, reading, task=task))
            truth[task, f"{index:04d}"] = pair.human
    return run_of(folder, lines, "jury-1" if judge else None), truth


def people(key_file: Path, truth: Mapping[tuple[str, str], bool]) -> Callable[[str], str]:
    items = {pick.id: pick.item.key for pick in read_key(key_file).sample.picks}
    return lambda name: "correct" if truth[items[name].task, items[name].item] else "incorrect"


@pytest.fixture
def labelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Callable[[str], str]]:
    """A label file of all of the known run with a judge, filled in."""
    run, truth = known_run(tmp_path / "run", judge=True)
    assert main(["audit", str(run), "--out", str(tmp_path / "l.csv")]) == 0
    word = people(tmp_path / "l.key.json", truth)
    label_all(tmp_path / "l.csv", word)
    capsys.readouterr()
    return tmp_path / "l.csv", word


def report(*arguments: object) -> dict[str, Any]:
    path = Path(str(arguments[0])).with_name("report.json")
    assert main(["agreement", *map(str, arguments), "--json", str(path)]) == 0
    value: dict[str, Any] = json.loads(path.read_text(), parse_constant=_no_constants)
    return value


def _no_constants(name: str) -> object:
    raise AssertionError(f"{name} in the report")


def figures(rater: Mapping[str, Any]) -> dict[str, float | None]:
    found = {name: rater[name]["value"] for name in ("kappa", "tpr", "tnr", "agreement")}
    return {**found, "rho": rater["pearson"]["value"]}


def test_the_command_reports_the_known_figures(
    labelled: tuple[Path, Callable[[str], str]], capsys: pytest.CaptureFixture[str]
) -> None:
    parser, judge = report(labelled[0])["raters"]
    assert figures(parser) == pytest.approx(KNOWN)
    assert parser["spearman"]["value"] == parser["pearson"]["value"]
    assert parser["over_tasks"]["mae"]["value"] == pytest.approx(0.1)
    assert parser["confusion"]["counts"] == {
        "both_correct": 20, "only_rater_correct": 10, "only_human_correct": 5, "both_incorrect": 15
    }  # fmt: skip
    assert (judge["name"], judge["agreement"]["value"]) == ("judge jury-1", pytest.approx(48 / 50))
    assert {(entry["task"], entry["item"], entry["rater"]) for entry in judge["differences"]} == {
        ("gsm8k", "0000", "incorrect"),
        ("arc_easy", "0000", "incorrect"),
    }
    assert len(parser["differences"]) == 15
    text = capsys.readouterr().out
    assert "and 7 more (--json lists them all)" in text
    assert "0.40" in text  # kappa
    assert "MAE 10.00 points" in text
    assert "GPT-4-turbo in the paper: 0.99 (0.98 to 1.00), rho here is 0.58 lower; the paper's lies above" in text
    assert "there is one annotator" in text
    assert max(len(line) for line in text.splitlines() if line.startswith(" ")) <= 80, "tables fit a terminal"
    assert "nan" not in text.lower().replace("annotat", "")


def test_a_sample_is_weighted_back_to_the_run(tmp_path: Path) -> None:
    """Estimates from samples that prefer disagreements centre on the figures of the whole run."""
    rng = random.Random(4)
    lines, truth = [], {}
    for index in range(600):
        human = rng.random() < 0.3
        parser = human != (rng.random() < 0.1)
        judge = human != (rng.random() < 0.05)
        lines.append(line(index, parser, judged("correct" if judge else "incorrect"), task="gsm8k"))
        truth["gsm8k", f"{index:04d}"] = human
    run = run_of(tmp_path / "run", lines)
    estimates = {}
    for n, seeds in ((600, 1), (90, 16)):
        found = []
        for seed in range(seeds):
            file = tmp_path / f"{n}-{seed}.csv"
            assert main(["audit", str(run), "--out", str(file), "--n", str(n), "--seed", str(seed)]) == 0
            label_all(file, people(file.with_suffix(".key.json"), truth))
            found.append([list(figures(rater).values()) for rater in report(file)["raters"]])
        estimates[n] = np.mean(found, axis=0)
    assert estimates[90] == pytest.approx(estimates[600], abs=0.04)


def test_several_annotators_count_by_majority(labelled: tuple[Path, Callable[[str], str]]) -> None:
    path, word = labelled
    odd = min(row_id for row_id in _ids(path))
    other = {"correct": "incorrect", "incorrect": "correct"}
    files = [path.with_name(f"l.{name}.csv") for name in ("ann", "bob", "cyd")]
    label_all(path, word, files[0])
    label_all(path, word, files[1])
    label_all(path, lambda name: other[word(name)] if name == odd else word(name), files[2])
    result = report(*files)
    assert set(result["annotators"]) == {"ann", "bob", "cyd"}
    assert figures(result["raters"][0]) == pytest.approx(KNOWN)
    assert result["between_annotators"]["percent_agreement"]["value"] == pytest.approx(1 - 2 / 3 / 50)
    assert set(result["raters"][0]["by_annotator"]) == {"ann", "bob", "cyd"}
    two = report(files[0], files[2])
    assert two["sample"] | {"ties": 1, "labelled": 49} == two["sample"]
    assert two["between_annotators"]["krippendorff_alpha"]["value"] < 1  # ties count there


def _ids(path: Path) -> list[str]:
    sheet = read_labels(path)
    return [sheet.id(position) for position in range(len(sheet))]


def test_missing_and_unclear_labels_are_counted_and_never_crash(
    labelled: tuple[Path, Callable[[str], str]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, word = labelled
    ids = _ids(path)
    for words, counts in (
        (lambda name: "", {"correct": 0, "incorrect": 0, "unclear": 0, "missing": 50}),
        (lambda name: "U", {"correct": 0, "incorrect": 0, "unclear": 50, "missing": 0}),
        (lambda name: "c" if name == ids[0] else "", {"correct": 1, "incorrect": 0, "unclear": 0, "missing": 49}),
        (lambda name: "correct", {"correct": 50, "incorrect": 0, "unclear": 0, "missing": 0}),
    ):
        result = report(label_all(path, words))
        assert result["annotators"]["l"] == counts
        (parser, _) = result["raters"]
        assert parser["pearson"]["value"] is None
        assert parser["pearson"]["undefined"]
        assert "undefined: " in capsys.readouterr().out
    half = report(label_all(path, lambda name: word(name) if name in ids[:25] else ""))
    assert half["sample"]["labelled"] == 25
    weighted = half["raters"][0]["confusion"]["shares"]
    assert sum(weighted.values()) == pytest.approx(1)


def test_a_judge_that_was_not_asked_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = [judged("correct"), judged(None), judged(None, "unjudged"), judged(None, "over-budget"), None]
    said = [{"source": "parser", "parser_verdict": "correct" if n % 2 == 0 else "incorrect"} for n in range(50)]
    lines = [line(n, n % 2 == 0, states[n % 5], task="gsm8k", **said[n]) for n in range(50)]
    run = run_of(tmp_path / "run", lines, "jury-1")
    assert main(["audit", str(run), "--out", str(tmp_path / "l.csv")]) == 0
    result = report(label_all(tmp_path / "l.csv", lambda name: "correct"))
    missing = {"cannot tell": 10, "unjudged": 10, "over-budget": 10, "not asked about the item": 10}
    assert result["raters"][1]["missing"] == missing
    assert result["raters"][1]["n"] == 10
    assert "no verdict on: " in capsys.readouterr().out


def test_the_recorded_verdict_is_a_rater_where_it_is_neither(tmp_path: Path) -> None:
    """As with --judge-policy fallback: the judge decides where the parser found nothing."""
    lines = [
        line(n, n < 10, judged("correct"), verdict="correct", parser_verdict="unparsed", source="judge")
        if n % 3 == 0
        else line(n, n < 10, None, source="parser", parser_verdict="correct" if n < 10 else "incorrect")
        for n in range(30)
    ]
    run = run_of(tmp_path / "run", lines, "jury-1")
    assert main(["audit", str(run), "--out", str(tmp_path / "l.csv")]) == 0
    names = [rater["name"] for rater in report(label_all(tmp_path / "l.csv", lambda name: "c"))["raters"]]
    assert names == ["parser", "judge jury-1", "recorded verdict"]


def test_another_judge_of_the_same_outputs(
    labelled: tuple[Path, Callable[[str], str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = labelled
    lines = [json.loads(text) for text in (tmp_path / "run" / "items.jsonl").read_text().splitlines()]
    for record in lines:
        record["judge"] = judged("correct")
    lines[0]["output"] += "!"  # another output: not what people read
    run_of(tmp_path / "other", lines, "jury-2")
    result = report(path, "--run", tmp_path / "run", "--run", tmp_path / "other")
    names = [rater["name"] for rater in result["raters"]]
    assert names == ["parser (run)", "judge jury-1 (run)", "parser (other)", "judge jury-2 (other)"]
    assert figures(result["raters"][0]) == pytest.approx(KNOWN)
    assert result["raters"][3]["missing"] == {"not in this run": 1}
    assert result["raters"][3]["tnr"]["value"] == 0
    strange = run_of(tmp_path / "strange", [line(0, True, task="math")])
    assert main(["agreement", str(path), "--run", str(strange)]) == 4
    assert "has none of the 50 outputs that were sampled from run" in capsys.readouterr().err


def test_wrong_inputs_are_refused(
    labelled: tuple[Path, Callable[[str], str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = labelled
    other = tmp_path / "other.csv"
    assert main(["audit", str(tmp_path / "run"), "--out", str(other), "--seed", "1"]) == 0
    lonely = tmp_path / "away" / "l.csv"
    lonely.parent.mkdir()
    lonely.write_bytes(path.read_bytes())
    wrong = label_all(path, lambda name: "maybe", tmp_path / "l.wrong.csv")
    broken = tmp_path / "broken.json"
    broken.write_text('{"key_version": 1}')
    odd = tmp_path / "odd.json"
    key = json.loads(path.with_suffix(".key.json").read_text())
    name, pick = next(iter(key["items"].items()))
    odd.write_text(json.dumps({**key, "items": {**key["items"], name: {**pick, "stress": ["x"]}}}))
    for arguments, message in (
        ([path, other], "the labels are of different samples"),
        ([path, "--key", other.with_suffix(".key.json")], "are of another sample: 50 of 50 ids are not in its key"),
        ([lonely], "put it there again, or name it with --key"),
        ([wrong], "is 'maybe'; a label is correct, incorrect, unclear"),
        ([path, path], "give each file once"),
        ([path, "--key", broken], "is damaged, or no key"),
        ([path, "--key", odd], f"items.{name}.stress is a list, no text"),
        ([path, "--run", tmp_path / "nowhere"], "no run in"),
        ([tmp_path / "nothing.csv"], "cannot be read"),
        ([path, "--json", tmp_path / "no" / "folder.json"], "cannot be written"),
    ):
        assert main(["agreement", *map(str, arguments)]) == 4, message
        assert message in capsys.readouterr().err
    assert main(["agreement", str(lonely), "--key", str(path.with_suffix(".key.json"))]) == 0


def test_json_alone_is_printed_on_request(
    labelled: tuple[Path, Callable[[str], str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agreement", str(labelled[0]), "--json", "-"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["paper"]["rho"]["GPT-4-turbo"] == {"value": 0.99, "ci95": [0.98, 1.0]}
    assert value["paper"]["rho"]["GPT-4o"]["ci95"] is None
