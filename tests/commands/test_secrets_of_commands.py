"""Every command on files that have secrets in them, by a process that knows these: none is said or written again."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_thinkslm.__main__ import COMMANDS, main
from pytest_thinkslm.core import redaction

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugin"))
from replayed import sorted_answer
from test_secrets import OF_ENVIRONMENT, SAID, TOKEN, keys, leaks

__all__ = ["keys"]

LOGS = Path(__file__).parents[2] / "fixtures" / "logs"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, a label file and another tool's log full of secrets, made by a process that knew of none."""
    folder = tmp_path_factory.mktemp("told")
    for run in ("one", "two"):
        lines = [
            {"task": "sort8_positive", "item": item, "model": f"m-{TOKEN}", "quant": quant,
             "reasoning": f"I was told {SAID}",
             "output": f"{SAID} {sorted_answer('sort8_positive', item) if item % 2 else 'no'}"}
            for item in range(6)
            for quant in ("none", "w8a8")
        ]  # fmt: skip
        (folder / f"{run}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        command = [sys.executable, "-m", "pytest", f"--model={run}.jsonl", "--engine=replay", "--recorded-only"]
        subprocess.run(
            [*command, f"--report-dir={run}", "-p", "no:cacheprovider"], cwd=folder, capture_output=True, check=True
        )
    assert "[secret]" not in (folder / "one" / "items.jsonl").read_text()
    source = next((LOGS / "lm_eval" / "scripted").glob("samples_*.jsonl"))
    (folder / source.name).write_text(source.read_text().replace("A week has 7 days.", json.dumps(SAID)[1:-1]))
    assert main(["audit", str(folder / "one"), "--n=4", "--out", str(folder / "labels.csv")]) == 0
    return folder


def test_no_command_says_or_writes_one(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keys: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("c\nq\n"))
    one, two = str(told / "one"), str(told / "two")
    log = str(next(told.glob("samples_*.jsonl")))
    called = [
        *(["compare", one, two], ["compare", one, two, "--gate=2", "--format=json"], ["compare", one, f"{TOKEN}"]),
        *(["certify", one, two, "--margin=2"], ["choose", one, "--within=5"], ["leaderboard", one, two, "--out=board"]),
        *(["models", f"m-{TOKEN}"], ["models", "--family", TOKEN], ["data", "check", "sort8_positive", TOKEN]),
        ["prompts", "--model", TOKEN, "--task=sort8_positive", "--limit=2", "--out=prompts.jsonl"],
        ["import", "lm-eval", log, f"--data-dir={LOGS / 'data'}", "--out=imported.jsonl", "--differences=d.md"],
        *(["export", one, "--to", form, "--out", f"as-{form}"] for form in ("parquet", "lm-eval")),
        *(["compress", TOKEN, "--quant=w8a8"], ["compress", "--help"]),
        *(["audit", one, "--n=4", "--out=labels.csv"], ["label", str(told / "labels.csv"), "--annotator", TOKEN]),
        *(["agreement", str(told / "labels.csv")], ["page", one, "--list"], ["docs", TOKEN]),
        ["shrink", "sort8_positive", "--run", one, "--engine=replay", "--model", str(told / "one.jsonl")],
    ]
    assert {command for command, *_ in called} == {
        command.__name__.rpartition(".")[2].rstrip("_") for command in COMMANDS
    }
    try:
        for arguments in called:
            try:
                status = main(arguments)
            except SystemExit as ended:  # --help
                status = int(str(ended.code or 0))
            said = capsys.readouterr()
            if os.environ.get("SHOW"):
                print(arguments, status, said.out[-300:], said.err[-300:], file=sys.__stderr__)
            assert not list(leaks(tmp_path, said.out, said.err, known=OF_ENVIRONMENT)), arguments
    finally:
        redaction.forget()


def test_a_page_that_is_made_again(told: Path, tmp_path: Path, keys: None) -> None:
    """``thinkslm page`` writes beside the run, whose own files are not touched."""
    for name in ("results.json", "items.jsonl"):
        (tmp_path / name).write_bytes((told / "one" / name).read_bytes())
    try:
        assert main(["page", str(tmp_path)]) == 0
    finally:
        redaction.forget()
    page = tmp_path / "report.html"
    assert page.is_file()
    for name in ("results.json", "items.jsonl"):
        (tmp_path / name).unlink()
    assert not list(leaks(tmp_path, known=OF_ENVIRONMENT))
