from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from audited_runs import judged, line, outcome, run_of
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.audit.audit_key import read_key
from pytest_thinkslm.audit.labels import COLUMNS, guarded, read_labels, unguarded
from pytest_thinkslm.audit.run_items import TEXT_LIMIT, AuditItem, bounded
from pytest_thinkslm.audit.sample import Sample, allocate, draw

VERDICTS = ("correct", "incorrect", "unparsed", "truncated")

outcomes = st.lists(
    st.tuples(
        st.sampled_from(["gsm8k", "arc_easy", "sort8_mixed"]),
        st.sampled_from(VERDICTS),
        st.sampled_from([None, "correct", "incorrect"]),
        st.sampled_from(["parser", "judge"]),
    ),
    min_size=1,
    max_size=150,
).map(
    lambda rows: [
        outcome(number, task=task, parser=parser, judge=judge, source=source)
        for number, (task, parser, judge, source) in enumerate(rows)
    ]
)


def totals(sample: Sample, *fields: str) -> Counter[tuple[str, ...]]:
    """Weighted number of drawn outcomes by these fields of the strata's names."""
    found: Counter[tuple[str, ...]] = Counter()
    for pick in sample.picks:
        stratum = sample.strata[pick.stratum]
        found[tuple(stratum.name[field] for field in fields)] += stratum.weight  # type: ignore[assignment]
    return found


@given(outcomes, st.integers(1, 200), st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.25, 0.9]))
def test_a_sample_has_its_size_no_twins_and_weights_that_recover_the_run(
    items: Sequence[AuditItem], n: int, seed: int, share: float
) -> None:
    sample = draw(items, n, seed=seed, share=share)
    size = min(n, len(items))
    assert len(sample.picks) == size
    assert len({pick.id for pick in sample.picks}) == len({pick.item.key for pick in sample.picks}) == size
    assert sum(stratum.population for stratum in sample.strata) == len(items)
    assert Counter(pick.stratum for pick in sample.picks) == {
        position: stratum.drawn for position, stratum in enumerate(sample.strata)
    }
    assert all(1 <= stratum.drawn <= stratum.population for stratum in sample.strata)
    assert sum(totals(sample).values()) == pytest.approx(len(items))
    if n >= len(items):
        assert all(stratum.weight == 1 for stratum in sample.strata)


@given(outcomes, st.integers(1, 200))
def test_a_draw_depends_on_the_seed_and_not_on_the_order(items: Sequence[AuditItem], n: int) -> None:
    assert draw(items, n, seed=5) == draw(items[::-1], n, seed=5)


def test_another_seed_draws_others_under_other_ids_in_another_order() -> None:
    items = [outcome(number) for number in range(100)]
    first, second = (draw(items, 50, seed=seed) for seed in (0, 1))
    assert {pick.item for pick in first.picks} != {pick.item for pick in second.picks}
    assert not {pick.id for pick in first.picks} & {pick.id for pick in second.picks}
    everything = [[pick.item.key.item for pick in draw(items, 100, seed=seed).picks] for seed in (0, 1)]
    assert everything[0] != everything[1] != sorted(everything[1])


def test_weights_recover_each_task_and_verdict() -> None:
    items = [
        outcome(number, task=task, parser=verdict)
        for task, size in (("gsm8k", 500), ("arc_easy", 90), ("math", 7))
        for verdict, part in zip(VERDICTS, (0.6, 0.3, 0.08, 0.02), strict=True)
        for number in range(int(1000 * part), int(1000 * part) + max(1, int(size * part)))
    ]
    sample = draw(items, 100)
    assert totals(sample, "task", "verdict") == pytest.approx(Counter((item.key.task, item.verdict) for item in items))
    drawn = Counter(pick.item.key.task for pick in sample.picks)
    assert drawn["math"] == 8  # all that there are; the others share the rest equally
    assert abs(drawn["gsm8k"] - drawn["arc_easy"]) <= 2


@pytest.mark.parametrize(
    ("disagreeing", "share", "taken"), [(40, 0.25, 25), (10, 0.25, 10), (400, 0.5, 50), (970, 0.25, 70), (40, 0.01, 1)]
)
def test_disagreements_come_first_up_to_their_share(disagreeing: int, share: float, taken: int) -> None:
    items = [outcome(number, judge="incorrect" if number < disagreeing else "correct") for number in range(1000)]
    sample = draw(items, 100, share=share)
    assert sum(pick.item.disagreement for pick in sample.picks) == taken
    assert totals(sample, "disagreement") == pytest.approx({("yes",): disagreeing, ("no",): 1000 - disagreeing})


def test_a_small_sample_has_coarser_strata() -> None:
    items = [outcome(n, task=f"t{n % 17}", parser=VERDICTS[n % 4], judge="correct") for n in range(1000)]
    assert {tuple(stratum.name) for stratum in draw(items, 400).strata} >= {
        ("task", "verdict", "source", "disagreement")
    }
    assert {tuple(stratum.name) for stratum in draw(items, 10).strata} == {("disagreement",)}
    assert [dict(stratum.name) for stratum in draw(items, 1).strata] == [{}]


def test_every_outcome_can_be_drawn() -> None:
    items = [outcome(n, task=f"t{n % 5}", parser=VERDICTS[n % 4], judge="correct") for n in range(30)]
    seen = {pick.item for seed in range(200) for pick in draw(items, 4, seed=seed).picks}
    assert seen == set(items)


@given(st.dictionaries(st.integers(0, 9), st.integers(1, 40), min_size=1), st.data())
def test_an_allocation_keeps_its_bounds_and_its_sum(sizes: dict[int, int], data: st.DataObject) -> None:
    least = sum(min(size, 2) for size in sizes.values())
    n = data.draw(st.integers(least, sum(sizes.values())) if len(sizes) > 1 else st.integers(1, sizes[min(sizes)]))
    shares = allocate(sizes, {name: size / 7 for name, size in sizes.items()}, n)
    assert sum(shares.values()) == n
    assert all(min(1, size) <= shares[name] <= size for name, size in sizes.items())


def test_an_allocation_is_proportional_where_no_bound_binds() -> None:
    assert allocate({"a": 600, "b": 300, "c": 100}, {"a": 0.6, "b": 0.3, "c": 0.1}, 50) == {"a": 30, "b": 15, "c": 5}


@pytest.mark.parametrize(("n", "share"), [(0, 0.1), (5, 1.0), (5, -0.1)])
def test_impossible_samples(n: int, share: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        draw([outcome(1)], n, share=share)


# The command and its files


def audit(folder: Path, *arguments: str) -> int:
    return main(["audit", str(folder), "--out", str(folder.parent / "labels.csv"), *arguments])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_is_blind_to_model_and_verdicts(tmp_path: Path) -> None:
    """Whatever parser and judge said, annotators get the same bytes."""
    written = []
    for name, right in (("a", True), ("b", False)):
        verdict = judged("incorrect" if right else "correct")
        lines = [line(n, right, verdict if n % 2 else None, model="some-model", rule="boxed") for n in range(40)]
        run = run_of(tmp_path / name / "run", lines, "some-judge")
        assert audit(run) == 0
        written.append((tmp_path / name / "labels.csv").read_bytes())
    assert written[0] == written[1]
    text = written[0].decode()
    assert text.splitlines()[0] == "id,task,question,gold,output,label,note"
    for word in ("some-model", "some-judge", "correct", "boxed,", "because", "parser"):
        assert word not in text


def test_the_key_has_what_the_csv_hides(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [line(n, n < 30, judged("correct")) for n in range(40)], "some-judge")
    assert audit(run, "--n", "20", "--seed", "7") == 0
    key = read_key(tmp_path / "labels.key.json")
    assert (key.run, key.judge, key.seed, key.population) == ("run", "some-judge", 7, 40)
    assert {pick.id for pick in key.sample.picks} == {row["id"] for row in rows(tmp_path / "labels.csv")}
    assert sum(pick.item.disagreement for pick in key.sample.picks) == 5
    assert sum(key.sample.strata[pick.stratum].weight for pick in key.sample.picks) == pytest.approx(40)


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    lines = [line(n, n % 3 == 0, judged("correct")) for n in range(60)]
    files = []
    for name in ("a", "b"):
        assert audit(run_of(tmp_path / name / "run", lines), "--n", "20") == 0
        files.append([(tmp_path / name / f"labels.{end}").read_bytes() for end in ("csv", "key.json")])
    assert files[0] == files[1]


def test_text_survives_the_csv_and_formulas_do_not(tmp_path: Path) -> None:
    output = '=HYPERLINK("http://x")\n"quoted", комма, 你好\n\x1b[31m'
    run = run_of(
        tmp_path / "run", [line(0, True, output=output, gold="-3"), line(1, True, output="'tis", gold=[-1, 2])]
    )
    assert audit(run) == 0
    for row in rows(tmp_path / "labels.csv"):
        assert not row["output"].startswith(("=", "-", "+", "@"))
        assert not row["gold"].startswith(("=", "-", "+", "@"))
    sheet = read_labels(tmp_path / "labels.csv")
    shown = {(sheet.text(n, "output"), sheet.text(n, "gold")) for n in range(len(sheet))}
    assert shown == {(output.replace("\x1b", "\\x1b"), "-3"), ("'tis", "-1, 2")}


@given(st.text())
def test_guarding_is_undone_and_leaves_no_formula(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.text(min_size=1, max_size=50), st.integers(3, 30))
def test_a_long_text_keeps_both_ends(text: str, limit: int) -> None:
    short = bounded(text, limit)
    assert len(short) <= limit + 60 or len(short) <= 6 * len(text)
    if text.isascii() and text.isprintable() and len(text) > limit:
        assert short.startswith(text[: limit // 3])
        assert short.endswith(text[-(limit - limit // 3) :])


def test_a_huge_output_fits_a_spreadsheet_cell(tmp_path: Path) -> None:
    assert audit(run_of(tmp_path / "run", [line(0, True, output="x" * 200_000 + " the end")])) == 0
    (row,) = rows(tmp_path / "labels.csv")
    assert TEXT_LIMIT < len(row["output"]) < 32_767
    assert row["output"].endswith(" the end")
    assert "170008 characters left out" in row["output"]


def test_errors_and_seed_questions_are_no_outputs_to_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line(0, True), line(1, False, verdict="error", output=None), line(2, True, role="seed")]
    assert audit(run_of(tmp_path / "run", lines)) == 0
    assert len(rows(tmp_path / "labels.csv")) == 1
    text = capsys.readouterr().out
    assert "left out: 1 errors" in text
    assert "only the parser can be audited" in text
    assert "--n 1,000 is more than the run has" in text


def test_a_review_is_labelled_for_itself_and_its_judge_is_not_compared(tmp_path: Path) -> None:
    gold = {"judgement": "wrong", "first_error_step": "3"}
    assert audit(run_of(tmp_path / "run", [line(0, False, judged("correct"), gold=gold)])) == 0
    assert rows(tmp_path / "labels.csv")[0]["gold"] == "the solution is wrong; first error step 3"
    (pick,) = read_key(tmp_path / "labels.key.json").sample.picks
    assert pick.item.judge is None  # there it decides on the reason of the error


def test_task_narrows_the_population(tmp_path: Path) -> None:
    lines = [line(n, True, task=task) for task in ("gsm8k", "arc_easy", "arc_challenge") for n in range(5)]
    assert audit(run_of(tmp_path / "run", lines), "--task", "arc_*") == 0
    assert Counter(row["task"] for row in rows(tmp_path / "labels.csv")) == {"arc_easy": 5, "arc_challenge": 5}
    assert read_key(tmp_path / "labels.key.json").population == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "at least one output"),
        (["--task", "gsm9k"], "did you mean 'gsm8k'?"),
        (["--task", ","], "names no task"),
        (["--disagreements", "100"], "below 100"),
        (["--disagreements", "nan"], "below 100"),
    ],
)
def test_wrong_options_say_what_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert audit(run_of(tmp_path / "run", [line(0, True, task="gsm8k")]), *arguments) == 4
    assert message in capsys.readouterr().err
    assert not (tmp_path / "labels.csv").exists()


@pytest.mark.parametrize("file", ["labels.csv", "labels.key.json"])
def test_labels_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str) -> None:
    (tmp_path / file).write_text("precious")
    assert audit(run_of(tmp_path / "run", [line(0, True)])) == 4
    assert "is there already and may hold labels" in capsys.readouterr().err
    assert (tmp_path / file).read_text() == "precious"


def test_runs_that_cannot_be_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = run_of(tmp_path / "errors", [line(0, False, verdict="error", output=None)])
    damaged = run_of(tmp_path / "damaged", [line(0, True)])
    (damaged / "items.jsonl").write_text('{"model": 1}\n')
    empty = run_of(tmp_path / "empty", [line(0, True)])
    (empty / "items.jsonl").unlink()
    foreign = run_of(tmp_path / "foreign", [line(0, True)])
    (foreign / "results.json").write_text("[]")
    for folder, message in (
        (tmp_path / "nowhere", "no run in"),
        (errors, "has no output to label (1 of its items are errors)"),
        (damaged, "line 1 of"),
        (empty, "cannot be read (No such file or directory)"),
        (foreign, "is no results.json of this suite"),
    ):
        assert audit(folder) == 4
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\ni1,c\n", "is no label file: it has no column task"),
        (",".join(COLUMNS) + "\n", "has no rows"),
        (",".join(COLUMNS) + "\ni1,t,q,1,o,,\ni1,t,q,1,o,,\n", "'i1' is empty or there twice"),
        (",".join(COLUMNS) + "\n ,t,q,1,o,,\n", "'' is empty or there twice"),
        (",".join(COLUMNS) + "\ni1,t,q,1,o,,,,\n", "more cells than the header"),
        (",".join(COLUMNS) + '\ni1,t,q,1,"o"x,,\n', "is no valid CSV"),
        ("", "is no label file"),
    ],
)
def test_files_of_another_form_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    for command in ("label", "agreement"):
        assert main([command, str(path)]) == 4
        assert message in capsys.readouterr().err


def test_a_file_in_another_encoding_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n\xff\xfe\n")
    assert main(["label", str(path)]) == 4
    assert "line 2 is no UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_save_is_read(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "labels.csv"
    lines = [
        delimiter.join(cells) for cells in ((*COLUMNS, "mine"), ("i1", "gsm8k", "q, q", "1", "'-2", "C ", "", "x"))
    ]
    text = "\r\n".join(lines).replace("q, q", '"q, q"')
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    sheet = read_labels(path)
    assert (sheet.id(0), sheet.label(0), sheet.text(0, "output"), sheet.text(0, "question")) == (
        "i1", "correct", "-2", "q, q"
    )  # fmt: skip
    sheet.save()
    assert "mine" in path.read_text().splitlines()[0]


def test_the_key_file_is_plain_json(tmp_path: Path) -> None:
    assert audit(run_of(tmp_path / "run", [line(n, True) for n in range(3)])) == 0
    value = json.loads((tmp_path / "labels.key.json").read_text())
    assert value["strata"] == [
        {
            "name": {"task": "sort8_positive", "verdict": "correct", "source": "parser"},
            "population": 3,
            "drawn": 3,
            "weight": 1.0,
        }
    ]


def test_a_replayed_run_is_audited_as_it_was_recorded(pytester: pytest.Pytester) -> None:
    outputs = ["\\boxed{1, 2, 3}", "I like turtles.", "-7 is the least"]
    lines = [{"task": "sort8_mixed", "item": item, "output": output} for item, output in enumerate(outputs)]
    pytester.path.joinpath("outputs.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    selected = " or ".join(f"direct-{item:04d}" for item in range(3))
    result = pytester.runpytest_subprocess(
        "--model=outputs.jsonl",
        "--engine=replay",
        "--task=sort8_mixed",
        "-k",
        selected,
        "--report-dir=run",
        timeout=120,
    )
    assert result.ret == 0
    assert main(["audit", "run"]) == 0
    sheet = read_labels(pytester.path / "audit-run.csv")
    shown = {sheet.text(position, "output"): position for position in range(len(sheet))}
    assert set(shown) == set(outputs)
    gold = sheet.text(shown["I like turtles."], "gold").split(", ")
    assert len(gold) == 8
    assert all(number in sheet.text(shown["I like turtles."], "question") for number in gold)
