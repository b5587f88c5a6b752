"""GGUF models as folders for transformers: made once for a content, with the file's own template and context."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf")

from models.tiny_checkpoints import layout
from models.tiny_gguf import TEMPLATE
from models.tiny_gguf import write as write_gguf

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models import dequantized
from pytest_thinkslm.models.loading import Machine
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.variants import resolve_variant


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written, in place of the process that does it."""
    written: list[str] = []

    def write(gguf: Path, folder: Path, context: int, asked: str) -> None:
        written.append(f"{gguf.name} {context}")
        layout(folder)
        (folder / "tokenizer.json").write_text("{}")

    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dequantized, "write", write)
    return written


def model(path: Path, **more: Any) -> ResolvedModel:
    path.parent.mkdir(exist_ok=True)
    file = write_gguf(path, **more)
    return resolve_variant(str(file), None, "llamacpp", machine=Machine(memory=1 << 34))


def test_a_folder_is_made_once_for_a_content(tmp_path: Path, made: list[str]) -> None:
    said: list[str] = []
    one = model(tmp_path / "m.gguf", kind="q8_0")
    found, again = (dequantized.dequantized(one, said.append) for _ in range(2))
    assert made == ["m.gguf 512"]
    assert said == ["dequantizing m.gguf to bfloat16 (once)"]
    assert found == again
    assert (found.gguf, found.chat_template, found.context) == (None, TEMPLATE, 512)
    assert found.display.endswith(", dequantized to bf16")
    assert json.loads((found.path / "config.json").read_text())
    other = dequantized.dequantized(model(tmp_path / "other" / "m.gguf", kind="q4_0"), said.append)
    assert other.path != found.path


def test_a_model_of_several_files_is_refused(tmp_path: Path, made: list[str]) -> None:
    one = model(tmp_path / "m.gguf")
    assert one.gguf is not None
    split = replace(one, gguf=replace(one.gguf, files=one.gguf.files * 2))
    with pytest.raises(ModelError, match="split into several files"):
        dequantized.dequantized(split, print)
    assert made == []
