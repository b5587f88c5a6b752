"""thinkslm export: a run as lm-eval's logs, which import reads back, and as Parquet."""

import json

import pytest
from recorded_runs import record, write_run

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.data.foreign_logs import read_log


def _record(index, right, **fields):
    return record(index, right, output=f"It is {index}.", finish_reason="stop", **fields)


@pytest.fixture
def run(tmp_path):
    records = [_record(index, index % 2 == 0) for index in range(4)]
    records += [_record(index, True, style="cot") for index in range(4)]
    records += [_record(index, True, quant="w8a8", repeat=repeat) for index in range(4) for repeat in (1, 2)]
    return write_run(tmp_path / "run", records)


def test_lm_evals_logs(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", str(run), "--to", "lm-eval", "-o", str(out)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    results = json.loads(next((out / "m").glob("results_*.json")).read_text())
    assert results["results"]["sort8_positive"]["exact_match,none"] == 0.5
    assert results["results"]["sort8_positive"]["exact_match_stderr,none"] == pytest.approx((0.25 / 3) ** 0.5)
    assert set(results["results"]) == {"sort8_positive", "sort8_positive_cot"}
    assert results["n-samples"]["sort8_positive"] == {"original": 4, "effective": 4}
    log = next((out / "m").glob("samples_sort8_positive_2*.jsonl"))
    line = json.loads(log.read_text().splitlines()[1])
    assert (line["doc_id"], line["target"], line["resps"], line["exact_match"]) == (1, "1", [["It is 1."]], 0.0)
    assert {"doc", "arguments", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash"} <= line.keys()


def test_what_is_exported_can_be_imported(run, tmp_path):
    out = tmp_path / "out"
    main(["export", str(run), "--to", "lm-eval", "-o", str(out)])
    samples = read_log("lm-eval", next((out / "m+w8a8").glob("samples_*.jsonl")))
    assert [(each.model, each.repeat, each.output, each.theirs[0].right) for each in samples] == [
        ("m+w8a8", repeat, f"It is {index}.", True) for index in range(4) for repeat in (1, 2)
    ]
    assert samples[0].texts == ("Sort. 0",)


def test_parquet(run, capsys):
    import pyarrow.parquet

    assert main(["export", str(run), "--to", "parquet"]) == 0
    items = pyarrow.parquet.read_table(run / "items.parquet").to_pylist()
    lines = [json.loads(line) for line in (run / "items.jsonl").read_text().splitlines()]
    assert [item["output"] for item in items] == [line["output"] for line in lines]
    assert [json.loads(item["messages"]) for item in items] == [line["messages"] for line in lines]
    rows = pyarrow.parquet.read_table(run / "results.parquet").to_pylist()
    assert [row["accuracy"] for row in rows] == [0.5, 1.0, 1.0]
    assert json.loads(rows[0]["ci95"])[0] < 0.5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "results.json").unlink(), "results.json"),
        (lambda run: (run / "items.jsonl").write_text("{"), "line 1 of items.jsonl is damaged"),
        (lambda run: (run / "lm").write_text(""), "cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_said(run, damage, message, capsys):
    damage(run)
    assert main(["export", str(run), "--to", "lm-eval", "-o", str(run / "lm")]) == 4
    assert message in capsys.readouterr().err
