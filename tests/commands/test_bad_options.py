"""Any value of any option of any command: a sentence and a status, never a traceback."""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest
from recorded_runs import record, write_run

from pytest_thinkslm.__main__ import command_parser, main

LOGS = Path(__file__).parents[2] / "fixtures" / "logs"

#: How many commands are tried; more of them by THINKSLM_DAMAGES.
TRIED = int(os.environ.get("THINKSLM_DAMAGES", "60"))

VALUES = (
    *("99999999999", "-1", "9" * 5000, "1e400", "nan", "-inf", "0.5", "0", "", ".", "x" * 300, "~nosuchuser/a", "pipe"),
    *("\udcff", "\x1b[31mred\u202e", "{" * 200, "http://[::1", "a=b=c", ",,,", "["),
)

#: Arguments with which each command works; ``compress`` would fetch a model.
WORKS = {
    "compare": ["one", "two"],
    "certify": ["one", "two", "--margin=2"],
    "choose": ["one", "--within=5"],
    "leaderboard": ["one", "two", "--out=board"],
    "models": [],
    "prompts": ["--model=x", "--task=sort8_positive", "--limit=1", "--out=prompts.jsonl"],
    "import": ["inspect", str(LOGS / "inspect.json"), f"--data-dir={LOGS / 'data'}", "--out=imported.jsonl"],
    "export": ["one", "--to=lm-eval", "--out=exported"],
    "audit": ["one", "--n=2", "--out=drawn.csv"],
    "label": ["labels.csv"],
    "agreement": ["labels.csv"],
    "page": ["one"],
    "docs": ["gates"],
    "shrink": ["sort8_positive", "--run=one", "--engine=replay", "--model=outputs.jsonl"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    for name in ("one", "two"):
        write_run(root / name, [record(item, item % 2 > 0) for item in range(4)])
    line = {"task": "sort8_positive", "item": 0, "output": "\\boxed{1}"}
    (root / "outputs.jsonl").write_text(json.dumps(line) + "\n")
    assert main(["audit", str(root / "one"), "--n=2", "--out", str(root / "labels.csv")]) == 0
    os.mkfifo(root / "pipe")
    return root


def options() -> list[tuple[str, argparse.Action]]:
    subparsers = next(each for each in command_parser()._actions if isinstance(each, argparse._SubParsersAction))
    return [
        (name, action)
        for name in WORKS
        for action in subparsers.choices[name]._actions
        if action.nargs != 0 or not action.option_strings
    ]


def drawn() -> list[tuple[str, argparse.Action, str]]:
    every = [(name, action, value) for name, action in options() for value in VALUES]
    return random.Random(0).sample(every, min(TRIED, len(every)))


def test_any_value(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "w", ignore=lambda *_: ["pipe"])
    os.mkfifo(tmp_path / "w" / "pipe")
    monkeypatch.chdir(tmp_path / "w")
    for name, action, value in drawn():
        if action.option_strings:
            arguments = [name, *WORKS[name], f"{action.option_strings[-1]}={value}"]
        else:
            arguments = [name, *(given for given in WORKS[name] if given.startswith("--")), "--", value]
        monkeypatch.setattr(sys, "stdin", io.StringIO("c\nq\n"))
        try:
            status = main(arguments)
        except SystemExit as ended:  # argparse's own
            status = int(str(ended.code))
        said = "".join(capsys.readouterr())
        assert status in (0, 1, 2, 4), arguments
        assert "Traceback" not in said, arguments
        assert "\x1b[31mred" not in said, arguments
        assert "\u202e" not in said, arguments
    assert (tmp_path / "w" / "pipe").is_fifo()


def test_no_standard_input(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    for file in ("labels.csv", "labels.key.json"):
        shutil.copy(whole / file, tmp_path)
    assert main(["label", str(tmp_path / "labels.csv")]) == 4
    assert "there is no standard input to answer on" in capsys.readouterr().err
