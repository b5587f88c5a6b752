"""Damaged run folders, label files and keys: every command says what is wrong, and none has a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from damage import damage
from recorded_runs import record

from pytest_thinkslm import __main__ as command

#: How many damaged folders are tried; more of them by THINKSLM_DAMAGES.
DAMAGES = int(os.environ.get("THINKSLM_DAMAGES", "60"))
FIRST = int(os.environ.get("THINKSLM_DAMAGES_FROM", "0"))

STATUSES = {0, 1, 2, 4, 5}

Command = Callable[[], int]


def ruling(verdict: str) -> dict[str, object]:
    return {"status": "judged", "verdict": verdict, "answer": "1", "reason": "because"}


def lines() -> Iterator[dict[str, object]]:
    """Two variants, two tasks, repeats, a judge, a thought, an error, a review."""
    for quant in ("none", "q4"):
        for item in range(6):
            for repeat in (1, 2):
                yield record(
                    item,
                    (item + repeat) % 3 > 0,
                    quant=quant,
                    repeat=repeat,
                    output=f"so \\boxed{{{item}}}",
                    finish_reason="stop",
                    prompt_tokens=5,
                    output_tokens=9,
                    judge=ruling("correct" if item % 2 else "incorrect"),
                    source="parser",
                    parser_verdict="correct" if (item + repeat) % 3 else "incorrect",
                    thought="ended",
                    facets={"length": "8"},
                    cluster=f"c{item % 3}",
                )
        for item in range(3):
            review = {"judgement": "wrong", "first_error_step": "2"}
            yield record(item, item > 0, task="mr_gsm", quant=quant, answer=review, gold=review, output="text")
        yield record(3, False, task="mr_gsm", quant=quant, output=None, verdict="error", reason="the engine failed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, and a sample drawn of the first with a label file of an annotator."""
    from pytest_thinkslm.core.item_record import item_key
    from pytest_thinkslm.engines.factory import EngineFactory, recorded_outputs
    from pytest_thinkslm.reports.recorder import Recorder
    from pytest_thinkslm.runs.items import payload
    from pytest_thinkslm.settings.run_settings import build_settings

    root = tmp_path_factory.mktemp("whole")
    outputs = root / "outputs.jsonl"
    outputs.write_text(
        "".join(
            json.dumps({"model": "m", "quant": quant, "task": "sort8_positive", "item": 0, "output": "1"}) + "\n"
            for quant in ("none", "q4")
        )
    )
    for name in ("a", "b"):
        folder = root / name
        folder.mkdir()
        settings = build_settings({"model": str(outputs), "engine": "replay"})
        assert settings is not None
        factory = EngineFactory(settings, print, recorded_outputs(settings, lambda task: 100))
        recorder = Recorder(settings, factory, folder)
        for each in sorted(lines(), key=item_key):  # type: ignore[arg-type]
            *_, verdict, line = payload(item_key(each), each)  # type: ignore[arg-type]
            recorder.add(item_key(each), str(verdict), str(line))  # type: ignore[arg-type]
        recorder.add_process({}, {"m|none": {"generated": 3, "output_tokens": 9, "tokens_per_second": 2.5}})
        value = recorder.results(selection="full", seconds=2.0)
        value["judge"] = {
            "model": "j", "policy": "all", "fingerprint": "f", "asked": 3, "judged": 3, "unjudged": 0,
            "over_budget": 0, "agree": 2, "disagree": 1, "disagreements": [],
            "canaries": {"n": 4, "right": 4, "threshold": 0.9, "trusted": True, "failed": []},
        }  # fmt: skip
        recorder.write(value)
    assert command.main(["audit", str(root / "a"), "--n", "6", "--out", str(root / "labels.csv")]) == 0
    with (root / "labels.csv").open(newline="") as file:
        sheet = csv.DictReader(file)
        labelled = [{**row, "label": "correct"} for row in sheet]
    with (root / "labels.alice.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sheet.fieldnames or [])
        writer.writeheader()
        writer.writerows(labelled)
    return root


def commands(root: Path) -> dict[str, Command]:
    a, b = str(root / "a"), str(root / "b")
    main = command.main
    return {
        "compare": lambda: main(["compare", a, b, "--gate", "2"]),
        "compare json": lambda: main(["compare", b, a, "--format", "json"]),
        "leaderboard": lambda: main(["leaderboard", a, b, "--out", str(root / "board")]),
        "audit": lambda: main(["audit", a, "--n", "4", "--out", str(root / "new.csv")]),
        "agreement": lambda: main(["agreement", str(root / "labels.alice.csv")]),
        "agreement run": lambda: main(["agreement", str(root / "labels.alice.csv"), "--run", a]),
        "label": lambda: main(["label", str(root / "labels.csv"), "--annotator", "bob"]),
        "page": lambda: main(["page", a]),
        "page list": lambda: main(["page", a, "--list"]),
    }


#: The commands that read a file of this name.
READERS = {
    "results.json": ("compare", "compare json", "leaderboard", "audit", "agreement run", "page", "page list"),
    "items.jsonl": ("compare", "compare json", "leaderboard", "audit", "agreement run", "page"),
    "labels.csv": ("label",),
    "labels.alice.csv": ("agreement", "agreement run"),
    "labels.key.json": ("agreement", "agreement run"),
}


def status(run: Command) -> int:
    try:
        return run()
    except SystemExit as ended:
        return -1 if ended.code is None else int(ended.code)


def test_whole_files_are_read(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    root = shutil.copytree(whole, tmp_path / "root")
    found = {name: status(run) for name, run in commands(root).items()}
    assert found == {**dict.fromkeys(found, 0), "compare": 1}


#: Seeds that found a traceback once.
FOUND = (1002, 1071, 1120, 1144, 1186, 1331, 1712, 1858, 2022, 2100, 2143, 2158, 5346, 5435)


@pytest.mark.parametrize("seed", [*FOUND, *range(FIRST, FIRST + DAMAGES)])
def test_damage_is_told(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    draw = random.Random(seed)
    root = shutil.copytree(whole, tmp_path / "root")
    name = draw.choice(("results.json", "results.json", "items.jsonl", "items.jsonl", *READERS))
    path = root / name if name.startswith("labels") else root / "a" / name
    done = damage(path, draw)
    shown: Any = None
    signal.alarm(60)  # a pipe that nobody writes into
    try:
        for reader in READERS[name]:
            found = status(commands(root)[reader])
            shown = capsys.readouterr()
            assert found in STATUSES, (done, reader)
            assert found == 0 or shown.err or shown.out, (done, reader)
            (shown.out + shown.err).encode("utf-8")
    finally:
        signal.alarm(0)
