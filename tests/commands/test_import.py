"""thinkslm import: real logs of other tools become recorded outputs of the right items, verdicts beside ours."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.data.delivery import deliver
from pytest_thinkslm.data.foreign_items import Items
from pytest_thinkslm.data.foreign_logs import Sample, read_log
from pytest_thinkslm.data.reader import item_indices, load_cases
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.prompts import prompt_messages

LOGS = Path(__file__).parents[2] / "fixtures" / "logs"
LM_EVAL = next((LOGS / "lm_eval" / "scripted").glob("samples_*.jsonl"))
EVALSCOPE = sorted(LOGS.glob("evalscope/*/scripted/*.jsonl"))


def _import(tool, files, out, *arguments):
    return main(["import", tool, *map(str, files), f"--data-dir={LOGS / 'data'}", "-o", str(out), *arguments])


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("tool", "files", "model", "repeats"),
    [
        ("lm-eval", [LM_EVAL], "scripted", 1),
        ("inspect", [LOGS / "inspect.json"], "mockllm/model", 2),
        ("evalscope", EVALSCOPE, "scripted", 1),
        ("evalscope", EVALSCOPE[::-1], "scripted", 1),
    ],
)
def test_every_sample_is_matched_with_its_item(tool, files, model, repeats, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert _import(tool, files, out) == 0
    lines = _lines(out)
    assert [(line["item"], line["repeat"]) for line in lines] == [(i, r + 1) for r in range(repeats) for i in range(6)]
    assert {(line["task"], line["model"]) for line in lines} == {("gsm8k", model)}
    assert lines[2]["output"].startswith("A week has 7 days.")
    assert [line["ours"]["verdict"] for line in lines[:6]] == [
        "correct", "incorrect", "incorrect", "correct", "correct", "unparsed",
    ]  # fmt: skip
    assert {their["right"] for line in lines for their in line["theirs"]} == {True, False}
    assert all(line["theirs"] for line in lines)
    assert {line["finish_reason"] for line in lines} == {"unknown" if tool == "lm-eval" else "stop"}
    assert "outputs in" in capsys.readouterr().out


def test_every_difference_in_verdict_stands_in_the_committed_table(tmp_path, capsys):
    table = tmp_path / "differences.md"
    assert _import("lm-eval", [LM_EVAL], tmp_path / "out.jsonl", f"--differences={table}") == 0
    assert table.read_text() == (LOGS / "lm_eval.differences.md").read_text()
    printed = capsys.readouterr().out
    for line in _lines(tmp_path / "out.jsonl"):
        for their in line["theirs"]:
            differs = their["right"] != (line["ours"]["verdict"] == "correct")
            row = f"| gsm8k | {line['item']:04d} | {their['scorer']} |"
            assert (row in table.read_text()) == differs
            assert not differs or their["scorer"] in printed


def test_what_was_imported_is_a_replay_file_with_the_same_verdicts(pytester, tmp_path):
    out = tmp_path / "out.jsonl"
    _import("lm-eval", [LM_EVAL], out)
    result = pytester.runpytest_subprocess(
        f"--model={out}", "--engine=replay", f"--data-dir={LOGS / 'data'}", "--accept-data", "--report-dir=run"
    )
    assert result.ret == 0
    verdicts = [line["verdict"] for line in _lines(pytester.path / "run" / "items.jsonl")]
    assert verdicts == [line["ours"]["verdict"] for line in _lines(out)]


def test_samples_of_no_known_item_are_named_and_fail(tmp_path, capsys):
    log = tmp_path / "samples_sums_x.jsonl"
    lines = [json.loads(line) for line in LM_EVAL.read_text().splitlines()]
    lines[0]["doc"]["question"] = "Quite another question?"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines if line["filter"] == "strict-match"))
    assert _import("lm-eval", [log], tmp_path / "out.jsonl") == 1
    assert "1 samples are of no known item: samples_sums_x.jsonl line 1" in capsys.readouterr().out
    assert len(_lines(tmp_path / "out.jsonl")) == 5


def test_two_runs_of_one_model_are_told_apart(tmp_path, capsys):
    log = tmp_path / "again.jsonl"
    log.write_text(LM_EVAL.read_text().replace("She has", "Mia has"))
    (tmp_path / "scripted").mkdir()
    log = log.rename(tmp_path / "scripted" / log.name)
    assert _import("lm-eval", [LM_EVAL, log], tmp_path / "out.jsonl") == 4
    assert "two different outputs of scripted for gsm8k 0000" in capsys.readouterr().err
    assert _import("lm-eval", [log], tmp_path / "out.jsonl", "--model=other") == 0
    assert {line["model"] for line in _lines(tmp_path / "out.jsonl")} == {"other"}


@pytest.mark.parametrize(
    ("tool", "content", "message"),
    [
        ("lm-eval", None, "cannot be read"),
        ("lm-eval", b"", "no sample has an output"),
        ("lm-eval", b"[1]", "line 1 is no JSON object"),
        ("lm-eval", b"\xff\xfe", "line 1 is not JSON"),
        ("lm-eval", b'{"doc_id": 1}', "is no sample log of lm-eval, or damaged: it has no 'metrics'"),
        ("inspect", b"{}", "it has no 'samples'"),
        ("inspect", b"[" * 100_000, "is no sample log of inspect"),
        ("evalscope", b'{"index": 1}', "it has no 'model_output'"),
        ("evalscope", b'{"sample_score": 3}', "is no sample log of evalscope"),
    ],
)
def test_what_is_no_log_is_said(tool, content, message, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    if content is not None:
        log.write_bytes(content)
    assert _import(tool, [log], tmp_path / "out.jsonl") == 4
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_home_folder_of_nobody(tmp_path, capsys):
    assert _import("inspect", ["~nosuchuser/log.json"], tmp_path / "out.jsonl") == 4
    assert "~nosuchuser/log.json cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_pipe_stays_one(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    assert _import("inspect", [LOGS / "inspect.json"], tmp_path / "pipe") == 4
    assert "cannot be written (it is a named pipe)" in capsys.readouterr().err
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_in_place_of_the_file(capsys):
    assert _import("inspect", [LOGS / "inspect.json"], "") == 4
    assert "cannot be written (it is a folder)" in capsys.readouterr().err


def test_ctrl_c_is_said(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_thinkslm.commands.import_.read_log", interrupted)
    assert _import("inspect", [tmp_path / "log.json"], tmp_path / "out.jsonl") == 2
    assert capsys.readouterr().err == "thinkslm: interrupted\n"


def test_damaged_bytes_in_a_zip(tmp_path, capsys):
    log = tmp_path / "log.eval"
    with zipfile.ZipFile(log, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/1.json", json.dumps({"input": [str(number) for number in range(500)]}))
    content = bytearray(log.read_bytes())
    content[60:100] = bytes(range(180, 220))
    log.write_bytes(content)
    assert _import("inspect", [log], tmp_path / "out.jsonl") == 4
    assert "is no sample log of inspect, or damaged" in capsys.readouterr().err


def test_a_zip_that_is_none(tmp_path, capsys):
    (tmp_path / "log.eval").write_bytes(b"PK")
    assert _import("inspect", [tmp_path / "log.eval"], tmp_path / "out.jsonl") == 4
    assert "is no sample log of inspect, or damaged" in capsys.readouterr().err


def test_an_older_inspect_log_is_a_zip(tmp_path):
    log = json.loads((LOGS / "inspect.json").read_text())
    with zipfile.ZipFile(tmp_path / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"eval": log["eval"]}))
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    found = {(each.place.partition(" ")[2], each.output) for each in read_log("inspect", tmp_path / "log.eval")}
    assert found == {(s.place.partition(" ")[2], s.output) for s in read_log("inspect", LOGS / "inspect.json")}


def test_log_likelihoods_are_left_out(tmp_path):
    line = json.loads(LM_EVAL.read_text().splitlines()[0])
    line["resps"] = [[[-1.5, False]], [[-0.5, True]]]
    (tmp_path / "log.jsonl").write_text(json.dumps(line))
    assert read_log("lm-eval", tmp_path / "log.jsonl") == []


# --- matching


@pytest.mark.parametrize("key", ["gsm8k", "arc_easy", "mr_gsm", "math", "hellaswag", "mr_ben"])
def test_real_records_are_matched_by_the_pins_alone(real_data, key):
    task = registry.get(key)
    records = deliver(task, real_data, {}).records
    indices = item_indices(task, real_data)
    step = max(1, len(records) // 300)
    samples = [Sample(str(i), "m", (), records[i], 1, "x", ()) for i in range(0, len(records), step)]
    matched, unmatched = Items(registry.select([]), None, 0).match(samples)
    assert not unmatched
    assert {each.task for each in matched} == {key}
    cases = load_cases(task, indices, real_data, data_seed=0).cases
    assert all(each.case == cases[each.index] for each in matched)


@pytest.mark.parametrize("style", ["direct", "cot"])
@pytest.mark.parametrize("key", ["gsm8k", "arc_challenge", "openbookqa", "sort8_mixed"])
def test_prompts_are_matched_by_the_question_in_them(real_data, key, style):
    task = registry.get(key)
    cases = load_cases(task, range(0, 100, 3), real_data, data_seed=0).cases
    prompts = {index: prompt_messages(case, style)[-1].content for index, case in cases.items()}
    samples = [
        Sample(str(index), "m", (f"Be brief.\n\n{prompt}",), None, 1, "x", ()) for index, prompt in prompts.items()
    ]
    matched, unmatched = Items(registry.select([]), None, 0).match(samples)
    assert not unmatched
    assert [(each.task, each.index) for each in matched] == [(key, index) for index in prompts]


def test_an_exemplar_is_not_taken_for_the_question():
    shots = "Question: {0}\nAnswer: 7\n\nQuestion: {1}\nAnswer:"
    questions = [json.loads(line)["question"] for line in (LOGS / "data" / "gsm8k_test.jsonl").read_text().splitlines()]
    prompt = shots.format(questions[1], questions[4])
    matched, _ = Items(registry.select(["gsm8k"]), LOGS / "data", 0).match(
        [Sample("", "m", (prompt,), None, 1, "x", ())]
    )
    assert [each.index for each in matched] == [4]
