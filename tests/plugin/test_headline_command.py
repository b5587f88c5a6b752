"""Models and quants from the command line without hub and GPU: what is asked, needed and missing is said."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

#: A hub that refuses the connection, and no GPU.
NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Run pytest in a process of its own; its output in one line, and its status."""

    def runs(*arguments: str, **environment: str) -> tuple[str, int]:
        for name, value in {**NOWHERE, "HF_HOME": str(pytester.path / "hub"), **environment}.items():
            monkeypatch.setenv(name, value)
        result = pytester.runpytest_subprocess(*arguments, timeout=180)
        text = " ".join((result.stdout.str() + result.stderr.str()).split())
        assert "Traceback" not in text
        assert "INTERNALERROR" not in text
        return text, int(result.ret)

    return runs


def checkpoint(path: Path, quantization: Mapping[str, object] | None = None) -> Path:
    """A checkpoint folder with one small tensor."""
    path.mkdir()
    header = json.dumps({"w": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    config = {"model_type": "llama", "max_position_embeddings": 512}
    (path / "config.json").write_text(
        json.dumps({**config, **({"quantization_config": quantization} if quantization else {})})
    )
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    (path / "tokenizer.json").write_text("{}")
    return path


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["refused", "offline"])
def test_the_headline_command_without_hub_and_gpu(run, pytester: pytest.Pytester, environment: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    text, status = run("--model", "qwen2.5-7b", "--quant", "gptq4", **environment)
    assert status == 4
    assert "--model qwen2.5-7b --quant gptq4 cannot be run here" in text
    assert "checkpoint: Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4 (GPTQ, 4-bit weights, 7B parameters)" in text
    assert "it needs: 5.3 GiB of disk" in text
    assert "10.0 GiB of GPU memory, 5.3 GiB of it for weights" in text
    assert "no GPU is visible" in text
    assert "vLLM, or transformers with gptqmodel and optimum" in text
    assert "the hub: it is not in the local hub cache, and the hub cannot be reached" in text
    assert "--model embedded" in text
    assert "collected" not in text
    assert not list((pytester.path / "reports").glob("*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=qwen2.5-7x"], "unknown model 'qwen2.5-7x': did you mean 'qwen2.5-7b'"),
        (["--model=qwen2.5-7b", "--quant=fp8"], "qwen2.5-7b has no published fp8 checkpoint"),
        (["--model=hymba-1.5b"], "transformers 4.x is needed"),
        (["--model=llama-3.1-8b", "--quant=fp8"], "FP8 needs a GPU of compute capability 8.9"),
        (["--model=org/unheard-of"], "checkpoint: org/unheard-of"),
        (["--model=mine", "--quant=none"], "mine is gptq4 (GPTQ, 4-bit weights) by its own config"),
        (["--model=mine", "--quant=gptq4", "--engine=transformers"], "gptqmodel and optimum, which transformers reads"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_requests_that_cannot_be_met(run, pytester: pytest.Pytester, arguments: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    import importlib.util

    if "gptqmodel" in message and importlib.util.find_spec("gptqmodel"):
        pytest.skip("gptqmodel is installed here")
    checkpoint(pytester.path / "mine", {"quant_method": "gptq", "bits": 4, "group_size": 128})
    text, status = run("--task=sort8_positive", *arguments)
    assert status == 4
    assert message in text
    assert not list((pytester.path / "reports").glob("*"))


def test_an_entry_in_pyproject_that_cannot_be_used(run, pytester: pytest.Pytester) -> None:  # type: ignore[no-untyped-def]
    (pytester.path / "pyproject.toml").write_text("[tool.thinkslm.models.mine]\nparams = 'many'\nhub_id = 'o/m'\n")
    text, status = run("--model=mine")
    assert status == 4
    assert "pyproject.toml: [tool.thinkslm.models.mine]: params = 'many'" in text


def test_variants_are_named_by_what_the_checkpoint_is(run, pytester: pytest.Pytester) -> None:  # type: ignore[no-untyped-def]
    checkpoint(pytester.path / "four", {"quant_method": "gptq", "bits": 4, "group_size": 128})
    checkpoint(pytester.path / "whole")
    text, status = run("--model=four,whole", "--task=sort8_positive", "--limit=1", "--collect-only", "-q")
    assert status == 0
    assert "[four+gptq4-direct-" in text
    assert "[whole+none-direct-" in text


def test_several_quants_of_a_name_are_one_run(run, pytester: pytest.Pytester) -> None:  # type: ignore[no-untyped-def]
    text, status = run(
        "--model=qwen2.5-7b", "--quant=none,gptq8,gptq4", "--task=sort8_positive", "--limit=1", "--collect-only", "-q"
    )
    assert status == 0
    for quant in ("none", "gptq8", "gptq4"):
        assert f"[qwen2.5-7b+{quant}-direct-" in text


def test_with_a_server_the_quant_is_a_label(run, pytester: pytest.Pytester) -> None:  # type: ignore[no-untyped-def]
    text, status = run(
        "--model=qwen2.5-7b", "--quant=none,awq4", "--engine=openai", "--server-url=http://127.0.0.1:9/v1",
        "--task=sort8_positive", "--limit=1", "--collect-only", "-q",
    )  # fmt: skip
    assert status == 0
    assert "[qwen2.5-7b+awq4-direct-" in text
