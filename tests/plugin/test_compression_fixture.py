"""The fixture ``compression`` in a user's own tests: from the checkpoint's files, nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

USER_TEST = """
def test_own(compression):
    print("FOUND", compression)
"""


@pytest.fixture
def checkpoints(pytester: pytest.Pytester) -> Callable[..., Path]:
    """Folders that are checkpoints as far as files tell."""

    def make(name: str, **config: object) -> Path:
        folder = pytester.mkdir(name)
        text = json.dumps({"w.weight": {"dtype": "BF16", "shape": [1, 4], "data_offsets": [0, 8]}}).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        full = {"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", **config}
        (folder / "config.json").write_text(json.dumps(full))
        (folder / "tokenizer.json").write_text("{}")
        return folder

    return make


def test_it_tells_of_a_users_checkpoint(pytester: pytest.Pytester, checkpoints: Callable[..., Path]) -> None:
    weights = {"num_bits": 4, "type": "int", "group_size": 64}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    folder = checkpoints("mine", quantization_config={"quant_method": "compressed-tensors", "config_groups": groups})
    size = sum(file.stat().st_size for file in folder.iterdir())
    pytester.makepyfile(USER_TEST)
    result = pytester.runpytest_subprocess(
        "--model=mine", "--engine=transformers", "-s", "test_it_tells_of_a_users_checkpoint.py"
    )
    result.assert_outcomes(passed=1)
    found = "*Compression(scheme='w4a16', bits=4, method='compressed-tensors', group_size=64,*source='local', "
    result.stdout.fnmatch_lines([f"{found}bytes={size},*"])


def test_it_runs_for_each_variant(pytester: pytest.Pytester, checkpoints: Callable[..., Path]) -> None:
    checkpoints("one")
    checkpoints("two", dtype="float32")
    pytester.makepyfile(USER_TEST)
    result = pytester.runpytest_subprocess(
        "--model=one,two", "--engine=transformers", "-s", "test_it_runs_for_each_variant.py"
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*scheme='none', bits=16*", "*scheme='none', bits=32*"])


def test_it_skips_where_no_checkpoint_is(replay: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(USER_TEST)
    result = replay([{"task": "gsm8k", "item": 0, "output": "1"}], str(file), "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no checkpoint is here*"])


def test_it_skips_without_a_model(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(USER_TEST)
    result = pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs a model: pytest --model embedded*"])
