"""Error reasons of reviews: asked for where judgement and step are right, and the judge held against them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from audited_runs import judged, line, run_of

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.audit.labelling import Labelling
from pytest_thinkslm.audit.labels import annotator_sheet, read_labels
from pytest_thinkslm.core.identity import ItemKey
from pytest_thinkslm.core.records import Answer, Case, Review, Verdict
from pytest_thinkslm.runs.items import item_record
from pytest_thinkslm.scoring.grading import Graded

WRONG = {"judgement": "wrong", "first_error_step": "2", "reason": "It adds."}
RIGHT = {"judgement": "correct", "first_error_step": None}


@pytest.fixture
def sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Reviews: 20 of wrong solutions, whose reason the judge accepts but for four, and 5 of right ones."""
    lines = [
        line(n, True, judged("correct" if n >= 4 else "incorrect"), task="mr_gsm", gold=WRONG, output=f"review {n}")
        for n in range(20)
    ]
    lines += [
        line(n, True, task="mr_gsm", gold=RIGHT, output=f"review {n}", source="parser", parser_verdict="correct")
        for n in range(20, 25)
    ]
    path = tmp_path / "l.csv"
    assert main(["audit", str(run_of(tmp_path / "run", lines, "jury-1")), "--out", str(path)]) == 0
    capsys.readouterr()
    return path


def number(sheet: Path, position: int) -> int:
    return int(read_labels(sheet).text(position, "output").removeprefix("review "))


def test_the_terminal_asks_for_them_and_agreement_reads_them(
    sheet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = []
    for position in range(25):
        n = number(sheet, position)
        keys.append("c")  # judgement and step are right
        if n < 20:
            keys.append("c" if n >= 6 else "i")  # of two of the judge's sixteen people say no
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(keys) + "\n"))
    assert main(["label", str(sheet)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("is the error that it names the true one?") == 20
    assert "the error: It adds." in shown
    assert "25 of 25 labelled" in shown
    assert main(["agreement", str(sheet), "--json", str(sheet.with_name("a.json"))]) == 0
    assert "judge jury-1 on error reasons" in capsys.readouterr().out
    raters = json.loads(sheet.with_name("a.json").read_text())["raters"]
    found = next(rater for rater in raters if rater["of_reasons"])
    assert (found["n"], found["accuracy_rater"]["value"], found["accuracy_human"]["value"]) == (20, 0.8, 0.7)
    assert (found["tpr"]["value"], found["tnr"]["value"]) == (1, pytest.approx(4 / 6))
    assert next(rater for rater in raters if rater["name"] == "parser")["n"] == 25


def test_a_reason_goes_with_the_label_that_it_was_asked_for(sheet: Path) -> None:
    """Who takes back that judgement and step are right has said nothing of the error."""
    labelling = Labelling(read_labels(sheet))
    wrong = next(place for place in range(25) if labelling.sheet.takes_reason(place))
    right = next(place for place in range(25) if not labelling.sheet.takes_reason(place))
    labelling.answer(wrong, "correct")
    labelling.answer(wrong, "correct", "reason")
    labelling.answer(wrong, "correct")
    assert read_labels(sheet).reason(wrong) == "correct"
    labelling.answer(wrong, "incorrect")
    labelling.answer(right, "incorrect")
    read = read_labels(sheet)
    assert (read.label(wrong), read.reason(wrong), read.takes_reason(wrong)) == ("incorrect", None, True)
    assert (read.label(right), read.takes_reason(right)) == ("incorrect", False)


def test_an_annotators_own_file_asks_for_the_same(sheet: Path) -> None:
    read = read_labels(sheet)
    for position in range(25):
        read.set_label(position, "correct")
        if read.takes_reason(position):
            read.set_reason(position, "incorrect")
    read.save()
    own = annotator_sheet(sheet, "bob")
    assert [own.takes_reason(position) for position in range(25)].count(True) == 20
    assert {own.reason(position) for position in range(25)} == {None}
    assert {own.label(position) for position in range(25)} == {None}


def test_files_without_the_column_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "l.csv"
    run = run_of(tmp_path / "run", [line(n, True) for n in range(3)])
    assert main(["audit", str(run), "--out", str(path)]) == 0
    assert path.read_text().splitlines()[0] == "id,task,question,gold,output,label,note"
    assert not read_labels(path).takes_reason(0)
    assert main(["agreement", str(path)]) == 0
    assert "error reasons" not in capsys.readouterr().out


def test_a_gold_has_its_reason_in_items_and_an_answer_has_none() -> None:
    review = Review("wrong", "2", "It adds.")
    case = Case(task="mr_gsm", index=0, kind="review", question="q", gold=review)
    key = ItemKey("m", "none", "mr_gsm", "test_mr_gsm", "direct", "0000", 1)
    record = item_record(key, case, graded=Graded(Answer(review, "labelled"), Verdict("correct")))
    assert record["gold"] == WRONG
    assert record["answer"] == {"judgement": "wrong", "first_error_step": "2"}
