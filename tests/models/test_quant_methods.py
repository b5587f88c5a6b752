"""Which packages a quantization method needs, said before anything is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_checkpoints

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models import quant_methods
from pytest_thinkslm.models.loading import Machine
from pytest_thinkslm.models.quant_methods import installed, obstacles
from pytest_thinkslm.models.variants import resolve_variant


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines' own lists, whatever is installed here."""
    lists = {
        "transformers": frozenset({"hqq", "bitsandbytes_4bit", "eetq", "higgs", "auto-round", "quanto"}),
        "vllm": frozenset({"torchao", "mxfp4", "modelopt", "inc"}),
    }
    monkeypatch.setattr(quant_methods, "_methods", lists.__getitem__)


@pytest.mark.parametrize(
    ("method", "engine", "gpu", "says"),
    [
        ("hqq", "transformers", True, "pip install hqq"),
        ("bitsandbytes", "transformers", True, "pip install bitsandbytes"),
        ("higgs", "transformers", True, "flute-kernel and fast_hadamard_transform"),
        ("eetq", "transformers", False, "on a GPU only"),
        ("modelopt", "transformers", True, "no quantization method 'modelopt'"),
        ("hqq", "vllm", True, "the installed vllm has no quantization method 'hqq'"),
        ("torchao", "vllm", True, "pip install torchao"),
        ("mxfp4", "vllm", True, ""),
        ("auto-round", "vllm", True, ""),
    ],
)
def test_what_is_missing(method: str, engine: str, gpu: bool, says: str) -> None:
    found = " ".join(obstacles(method, engine, gpu=gpu, has=lambda module: False))
    assert says in found
    assert bool(found) == bool(says)


def test_with_its_packages_nothing_is_missing() -> None:
    assert obstacles("hqq", "transformers", gpu=False, has=lambda module: True) == []


def test_an_engine_whose_list_cannot_be_read_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quant_methods, "_methods", lambda engine: frozenset())
    assert obstacles("brand-new", "vllm", gpu=True) == []


def test_a_package_below_one_that_is_absent() -> None:
    assert not installed("no_such_package.below")
    assert installed("json.decoder")


def test_it_is_said_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quant_methods, "installed", lambda module: False)
    folder = tiny_checkpoints.layout(tmp_path / "m", quantization_config={"quant_method": "hqq"}, model_type="llama")
    assert json.loads((folder / "config.json").read_text())["quantization_config"]
    with pytest.raises(ModelError, match="pip install hqq"):
        resolve_variant(str(folder), None, "transformers", machine=Machine(memory=1 << 40))
