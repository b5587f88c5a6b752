"""Readers of files and of what judges and servers reply, on damaged texts: a value or a ``ValueError``, in time."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import damage

from pytest_thinkslm.audit.audit_key import read_key
from pytest_thinkslm.audit.labels import COLUMNS, read_labels
from pytest_thinkslm.core import weight_files
from pytest_thinkslm.core.errors import ThinkSLMError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.item_record import read_lines
from pytest_thinkslm.core.records import Output, Request, Sampling
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.data.foreign_items import Items
from pytest_thinkslm.data.foreign_logs import read_log
from pytest_thinkslm.data.local import read_jsonl
from pytest_thinkslm.engines.openai_reply import Failure, read_error, read_models, read_reply
from pytest_thinkslm.engines.replay import ReplayEngine, read_replay_file
from pytest_thinkslm.journal.journal import Journal
from pytest_thinkslm.judging.reply import read_ruling
from pytest_thinkslm.models import checkpoint, generation, gguf_header
from pytest_thinkslm.models.catalogue import catalogue
from pytest_thinkslm.models.prices import price_of
from pytest_thinkslm.runs.reading import read_results
from pytest_thinkslm.settings.policies import make_policy
from pytest_thinkslm.tasks import registry

#: Processor seconds in which each reader meets damage: a moment in the suite, more by THINKSLM_FUZZ_SECONDS.
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

[tool.thinkslm.prices]
currency = "EUR"
"my-*" = { input = 0.4, output = 1.6 }
"""
POLICY = """
margin = 1.0
guard_relative = 0.1
[tasks."gsm*"]
tier = "critical"
min_items = 200
max_truncated = 0.05
"""
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", "max_position_embeddings": 512, "vocab_size": 10,
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64, "dynamic": {"-:lm_head": {}}},
}  # fmt: skip
GENERATION = {"do_sample": True, "temperature": 0.6, "top_k": 20, "eos_token_id": [1, 2], "num_beams": 1}
TENSORS = {"__metadata__": {"format": "pt"}, "w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
MODELS = {"data": [{"id": "m", "root": "r", "max_model_len": 512, "meta": {"n_ctx": 512}, "owned_by": "me"}]}
LOGS = Path(__file__).parents[2] / "fixtures" / "logs"


def gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


#: Version 3, one tensor, a text, a list of texts and a number.
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 1, 3)
GGUF += gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("llama")
GGUF += gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + gguf_text("a") + gguf_text("b")
GGUF += gguf_text("llama.context_length") + struct.pack("<II", 4, 512)
GGUF += gguf_text("token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 2, 1, 0) + bytes(64)


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


def models(path: Path) -> None:
    read_models(path.read_bytes())


def imported(tool: str) -> Reader:
    items = Items([registry.get("gsm8k")], LOGS / "data", 0)
    return lambda path: items.match(read_log(tool, path))


def a_checkpoint(path: Path) -> None:
    """Whose other files are whole."""
    folder = path.parent
    for name, content in (("tokenizer.json", "{}"), ("config.json", json.dumps(CONFIG))):
        if not (folder / name).exists() and path.name != name:
            (folder / name).write_text(content)
    if not (folder / "model.safetensors").exists() and path.name != "model.safetensors":
        (folder / "model.safetensors").write_bytes(safetensors(TENSORS))
    generation.asked_sampling(folder, "m")
    checkpoint.read(folder, "m")
    for file in weight_files.weight_files(folder):
        weight_files.check_whole(file)


def safetensors(header: object) -> bytes:
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + bytes(8)


def weights(path: Path) -> None:
    """A header that was damaged as JSON."""
    file = path.with_name("model.safetensors")
    content = path.read_bytes()
    file.write_bytes(struct.pack("<Q", len(content)) + content + bytes(8))
    weight_files.tensors(file)
    weight_files.check_whole(file)


Reader = Callable[[Path], object]
READERS: dict[str, tuple[str, str | bytes, Reader]] = {
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
    "prices": ("pyproject.toml", CATALOGUE, lambda path: price_of("my-model", path.parent)),
    "policy": ("policy.toml", POLICY, lambda path: make_policy(None, path, ("gsm8k", "math"))),
    "data set": (
        "gsm8k_test.jsonl",
        (LOGS / "data" / "gsm8k_test.jsonl").read_text(),
        lambda path: read_jsonl(path, "t"),
    ),
    "lm-eval": (
        "samples_t.jsonl",
        next((LOGS / "lm_eval" / "scripted").glob("samples*")).read_text(),
        imported("lm-eval"),
    ),
    "inspect": ("log.json", (LOGS / "inspect.json").read_text(), imported("inspect")),
    "evalscope": (
        "reviews.jsonl",
        (LOGS / "evalscope" / "reviews" / "scripted" / "gsm8k_main.jsonl").read_text(),
        imported("evalscope"),
    ),
    "config": ("config.json", text(CONFIG), a_checkpoint),
    "generation config": ("generation_config.json", text(GENERATION), a_checkpoint),
    "safetensors": ("model.safetensors", safetensors(TENSORS), a_checkpoint),
    "safetensors' header": ("header.json", text(TENSORS), weights),
    "gguf": ("m.gguf", GGUF, lambda path: gguf_header.read(path, "m").compression),
    "models": ("models.json", text(MODELS), models),
    "judge": ("reply.json", text(RULING), ruling),
    "judge in prose": ("reply.txt", f"Well.\n```json\n{json.dumps(RULING)}\n```\n", ruling),
    "server": ("body.json", text(BODY), reply),
}


#: Those that open the file themselves, whatever it is.
OPENERS = (
    "journal",
    "replay",
    "items",
    "key",
    "labels",
    "results",
    "prices",
    "policy",
    "lm-eval",
    "inspect",
    "evalscope",
)


@pytest.mark.parametrize("name", READERS)
def test_damage_is_a_value_or_said(name: str, tmp_path: Path) -> None:
    file, whole, read = READERS[name]
    until = time.process_time() + SECONDS / len(READERS)
    seed = FIRST
    while time.process_time() < until or seed < FIRST + 20:
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = folder / file
        path.write_bytes(whole if isinstance(whole, bytes) else whole.encode("utf-8", "surrogatepass"))
        done = damage(path, random.Random(seed), kinds=name in OPENERS)
        began = time.process_time()
        why = problem(read, path)
        assert why is None or (isinstance(why, ValueError | OSError | ThinkSLMError) and str(why)), (seed, done, why)
        assert time.process_time() - began < 5, (seed, done)
        shutil.rmtree(folder)
        seed += 1


@pytest.mark.parametrize(
    "entry", [{}, {"data_offsets": [0]}, {"data_offsets": [0, None]}, {"data_offsets": [0, 1e999]}]
)
def test_a_tensor_without_its_place(tmp_path: Path, entry: dict[str, object]) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors({"w": {"dtype": "BF16", "shape": [2], **entry}}))
    with pytest.raises(ThinkSLMError, match=r"the header of .*model.safetensors"):
        a_checkpoint(tmp_path / "model.safetensors")


def problem(read: Reader, path: Path) -> Exception | None:
    try:
        read(path)
    except Exception as error:
        return error
    return None
