"""Canaries on the engines that load checkpoints: a model that says every secret in every form; nothing keeps one."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from replayed import items
from test_secrets import JUDGE_KEY, KEY, OF_ENVIRONMENT, SAID, TOKEN, keys, leaks, run, said

from pytest_thinkslm.__main__ import main

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import tiny_checkpoints

__all__ = ["keys", "run"]

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with one token that holds all secrets, its likeliest after any prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_checkpoints.random_llama(tmp_path_factory.mktemp("told") / "m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<think>{SAID}</think>{SAID}"])
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.norm.weight.fill_(1)
        model.model.embed_tokens.weight.fill_(1)
        model.lm_head.weight[len(tokenizer) - 1] = 1
    model.save_pretrained(folder)
    content = {"do_sample": True, "temperature": 0.01, "note": f"by {TOKEN}"}
    (folder / "generation_config.json").write_text(json.dumps(content))
    return folder


def needs(module: str, *marks: pytest.MarkDecorator) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"needs {module}"), *marks]


@pytest.mark.parametrize(
    ("engine", "arguments"),
    [
        ("transformers", ("--sampling=model", "--engine-args=device=cpu,threads=1")),
        pytest.param("llamacpp", ("-n2", "--engine-args=threads=1,slots=1"), marks=needs("xllamacpp")),
        pytest.param("vllm", ("--engine-args=enforce_eager=true",), marks=needs("vllm", pytest.mark.vllm)),
    ],
)
def test_a_model_that_says_everything(
    run: Callable[..., pytest.RunResult],
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    told: Path,
    engine: str,
    arguments: tuple[str, ...],
) -> None:
    """Its folder is called by a secret, its outputs and thoughts are secrets, its template fails with others."""
    elsewhere = pytester.path.with_name(f"{pytester.path.name}-models")
    monkeypatch.setenv("THINKSLM_CACHE", str(elsewhere / "cache"))  # a GGUF file has the model's tokens
    folder = shutil.copytree(told, elsewhere / f"m-{JUDGE_KEY}")
    asked = (f"--engine={engine}", f"--model={folder}", "--max-tokens=3", *arguments)
    result = run(*asked, "--report-dir=report")
    assert result.ret == 0, said(result)
    rescored = run(*asked, "--report-dir=again", "--rescore")
    assert rescored.ret == 0
    template = folder / "chat_template.jinja"
    template.write_text(f"{{{{ raise_exception('no, {KEY} {TOKEN}') }}}}" + template.read_text())
    refused = run(*asked, "--report-dir=refused")
    assert refused.ret in (1, 4)
    log = pytester.path / "refused" / "engine.log"
    assert "no, [secret] [secret]" in said(refused) + (log.read_text() if log.exists() else "")
    for report in ("report", "again"):
        for item in items(pytester.path / report):
            assert item["verdict"] in ("truncated", "unparsed"), item
            assert "[secret]" in item["output"], item
    assert main(["compare", str(pytester.path / "report"), str(pytester.path / "again")]) == 0, "one name in all files"
    assert list(pytester.path.glob(".thinkslm/journal/*/*/*.jsonl"))
    assert not list(leaks(pytester.path, said(result), said(rescored), said(refused), known=OF_ENVIRONMENT))
