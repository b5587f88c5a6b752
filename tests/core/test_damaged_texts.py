"""Readers of files and of what judges and servers reply, on damaged texts: a value or a ``ValueError``, in time."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import damage

from pytest_thinkslm.audit.audit_key import read_key
from pytest_thinkslm.audit.labels import COLUMNS, read_labels
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.item_record import read_lines
from pytest_thinkslm.core.records import Output, Request, Sampling
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.engines.openai_reply import Failure, read_error, read_reply
from pytest_thinkslm.engines.replay import ReplayEngine, read_replay_file
from pytest_thinkslm.journal.journal import Journal
from pytest_thinkslm.judging.reply import read_ruling
from pytest_thinkslm.models.catalogue import catalogue
from pytest_thinkslm.runs.reading import read_results

#: Seconds in which each reader meets damage: a moment in the suite, more by THINKSLM_FUZZ_SECONDS.
SECONDS = float(os.environ.get("THINKSLM_FUZZ_SECONDS", "2"))
FIRST = int(os.environ.get("THINKSLM_FUZZ_FROM", "0"))

ENTRY = {"key": "k", "output": "text \ud800", "finish_reason": "stop", "output_tokens": 3, "time": 1.5, "latency": 0.1}
RECORDED = {"task": "sort8_positive", "item": 3, "output": "\\boxed{1}", "style": "direct", "repeat": 1, "quant": "q"}
LINE = {
    "model": "m", "quant": "none", "task": "t", "test": "test_t", "style": "direct", "item": "0000", "repeat": 1,
    "role": "item", "messages": [{"role": "user", "content": "q"}], "output": "o", "finish_reason": "stop",
    "prompt_tokens": 1, "output_tokens": 2, "answer": [1, 2], "rule": "box", "gold": {"judgement": "wrong",
    "first_error_step": None}, "verdict": "correct", "reason": "", "failure": None, "facets": {"a": "b"}, "cluster": "",
    "judge": {"status": "judged", "verdict": "correct", "answer": "1", "reason": "so"},
}  # fmt: skip
RULING = {"answer": "3", "reason": "it adds up", "verdict": "correct"}
BODY = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": [
        {"type": "text", "text": "hi"}, {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5}, "error": None,
}  # fmt: skip
KEY = {
    "key_version": 1, "run": "r", "judge": None, "seed": 0, "disagreement_share": 0.5, "tasks": [],
    "strata": [{"name": {"task": "t"}, "population": 4, "drawn": 1}],
    "items": {"a": {"model": "m", "quant": "none", "task": "t", "test": "test_t", "style": "direct", "item": "0000",
    "repeat": 1, "stratum": 0, "cluster": "c", "output_digest": "d", "parser_verdict": "correct", "verdict": "correct",
    "source": "parser", "judge": None}},
}  # fmt: skip
CATALOGUE = """
[tool.thinkslm.models.my-model]
params = 1.5
hub_id = "owner/my-model"
quants = { gptq4 = "owner/my-model-GPTQ-Int4", w8a8 = { folder = "checkpoints/w8a8" } }
"""


def text(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def journal(path: Path) -> None:
    folder = path.parent / Fingerprint({}).digest / "t"
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / "a-1-b.jsonl") if not path.is_dir() else path.rename(folder / "a-1-b.jsonl")
    Journal(path.parent, Fingerprint({})).get(Request((), Sampling(), task="t"), "k")


def replay(path: Path) -> None:
    file = read_replay_file(path, lambda task: 10 if task.startswith("sort8") else None)
    engine = ReplayEngine(file, 0)
    try:
        for future in engine.submit([Request((), Sampling(), task=file.tasks[0], item=f"{i}") for i in range(10)]):
            future.exception()
    finally:
        engine.close()


def ruling(path: Path) -> None:
    found = read_ruling(Output(path.read_bytes().decode("utf-8", "replace"), finish_reason="stop"), "the candidate")
    assert isinstance(found, Ruling | str)


def reply(path: Path) -> None:
    assert isinstance(read_reply(path.read_bytes(), 0.1, 10), Output | Failure)
    assert isinstance(read_error(400, path.read_bytes(), {}), Failure)


Reader = Callable[[Path], object]
READERS: dict[str, tuple[str, str, Reader]] = {
    "journal": ("journal.jsonl", text(ENTRY, {**ENTRY, "key": "l"}), journal),
    "replay": ("outputs.jsonl", text(RECORDED, {**RECORDED, "item": 4}, {**RECORDED, "item": 4}), replay),
    "items": ("items.jsonl", text(LINE, {**LINE, "item": "0001"}), lambda path: list(read_lines(path))),
    "results": (
        "results.json",
        text({"schema_version": 1, "settings": {}, "results": [], "selection": "full"}),
        read_results,
    ),
    "key": ("labels.key.json", text(KEY), read_key),
    "labels": ("labels.csv", ",".join(COLUMNS) + '\na,t,"q\n",g,o,correct,\nb,t,q,g,o,,"n"\n', read_labels),
    "catalogue": ("pyproject.toml", CATALOGUE, lambda path: catalogue(path.parent)),
    "judge": ("reply.json", text(RULING), ruling),
    "judge in prose": ("reply.txt", f"Well.\n```json\n{json.dumps(RULING)}\n```\n", ruling),
    "server": ("body.json", text(BODY), reply),
}


#: Those that open the file themselves, whatever it is.
OPENERS = ("journal", "replay", "items", "key", "labels", "results")


@pytest.mark.parametrize("name", READERS)
def test_damage_is_a_value_or_said(name: str, tmp_path: Path) -> None:
    file, whole, read = READERS[name]
    until = time.monotonic() + SECONDS / len(READERS)
    seed = FIRST
    while time.monotonic() < until or seed < FIRST + 20:
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = folder / file
        path.write_text(whole)
        done = damage(path, random.Random(seed), kinds=name in OPENERS)
        began = time.process_time()
        why = problem(read, path)
        assert why is None or (isinstance(why, ValueError | OSError | UsageError) and str(why)), (seed, done, why)
        assert time.process_time() - began < 5, (seed, done)
        shutil.rmtree(folder)
        seed += 1


def problem(read: Reader, path: Path) -> Exception | None:
    try:
        read(path)
    except Exception as error:
        return error
    return None
