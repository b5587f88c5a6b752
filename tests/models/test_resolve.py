"""From the name after --model to a checkpoint, by the ways in which that goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from models.file_hub import COMMIT, FileHub

from pytest_thinkslm.core.errors import ModelError, UsageError
from pytest_thinkslm.models import hub
from pytest_thinkslm.models.resolve import resolve

CONFIG = {"model_type": "llama", "max_position_embeddings": 2048}
SHARDS = {"weight_map": {"a": "model.safetensors", "b": "two.safetensors"}}
WHOLE: Mapping[str, str] = {
    "config.json": json.dumps(CONFIG),
    "model.safetensors": "weights",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
}


def folder_of(path: Path, files: Mapping[str, str], without: str = "") -> Path:
    path.mkdir()
    for name, text in files.items():
        if name != without:
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_text(text)
    return path


def test_a_whole_folder(tmp_path: Path) -> None:
    files = {**WHOLE, "chat_template.jinja": "{{ messages }}"}
    found = resolve(str(folder_of(tmp_path / "mine", files)))
    assert (found.kind, found.display, found.context) == ("folder", "mine (local folder)", 2048)
    assert found.disk_bytes == sum(map(len, files.values()))
    assert found.has_chat_template
    assert found.note == ""
    assert len(found.template_sha256) == 64
    files_hashed = found.identity()["files"]
    assert isinstance(files_hashed, dict)
    assert set(files_hashed) == set(files)


@pytest.mark.parametrize(
    ("tokenizer_config", "template"),
    [
        ({"chat_template": "A"}, "A"),
        ({"chat_template": [{"name": "tool", "template": "T"}, {"name": "default", "template": "D"}]}, "D"),
        ({"chat_template": ""}, None),
        ({}, None),
    ],
)
def test_templates_in_the_tokenizer_config(
    tmp_path: Path, tokenizer_config: dict[str, object], template: str | None
) -> None:
    files = {**WHOLE, "tokenizer_config.json": json.dumps(tokenizer_config)}
    found = resolve(str(folder_of(tmp_path / "mine", files)))
    assert found.chat_template == template
    assert ("plain format" in found.note) == (template is None)


def test_quantization_and_nested_config(tmp_path: Path) -> None:
    config = {"quantization_config": {"quant_method": "gptq", "bits": 4}, "text_config": {"n_positions": 77}}
    found = resolve(str(folder_of(tmp_path / "mine", {**WHOLE, "config.json": json.dumps(config)})))
    assert found.quantization == {"quant_method": "gptq", "bits": 4}
    assert found.context == 77


@pytest.mark.parametrize(
    ("files", "without", "message"),
    [
        (WHOLE, "config.json", "has no config.json"),
        (WHOLE, "model.safetensors", r"has no weights \(\*.safetensors\)"),
        (WHOLE, "tokenizer.json", r"has no tokenizer \(tokenizer.json"),
        ({**WHOLE, "pytorch_model.bin": "p"}, "model.safetensors", r"pickled .* \(pytorch_model.bin\).*refused"),
        ({**WHOLE, "config.json": "{"}, "", "cannot read .*config.json"),
        ({**WHOLE, "config.json": "[]"}, "", "config.json is not a JSON object"),
        ({**WHOLE, "tokenizer.json": "{"}, "", r"cannot read .*/tokenizer\.json: it is damaged"),
        ({"adapter_config.json": "{}", "adapter_model.safetensors": "w"}, "", "holds an adapter: merge it"),
        ({"model.gguf": "w"}, "", "GGUF file, which --engine llamacpp reads"),
        ({"sub/config.json": "{}"}, "", "a folder below it does"),
        (
            {**WHOLE, "model.safetensors.index.json": json.dumps(SHARDS)},
            "",
            "lacks 1 of 2 shards: two.safetensors",
        ),
    ],
)
def test_incomplete_folders(tmp_path: Path, files: Mapping[str, str], without: str, message: str) -> None:
    folder = folder_of(tmp_path / "mine", files, without)
    with pytest.raises(ModelError, match=message):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("embeded", "unknown model 'embeded': did you mean 'embedded'"),
        ("qwen2.5-7", "did you mean 'qwen2.5-7b'"),
        ("", "no model is named"),
        ("./nowhere", "no such folder"),
        ("a/b/c", "no such folder"),
        (__file__, "that is a file"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(name, catalogue={"qwen2.5-7b": "Qwen/Qwen2.5-7B-Instruct"})


def test_a_revision_is_for_the_hub(tmp_path: Path) -> None:
    for name in ("embedded", str(folder_of(tmp_path / "mine", WHOLE))):
        with pytest.raises(UsageError, match="for a hub repository only"):
            resolve(name, revision="main")


def test_a_hub_snapshot_is_pinned_to_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    (tmp_path / "snapshots").mkdir()
    folder = folder_of(tmp_path / "snapshots" / commit, WHOLE)
    asked: list[tuple[str, object, object]] = []

    def download(repository: str, *, revision: object, allow_patterns: list[str], **_: object) -> str:
        asked.append((repository, revision, "*.py" in allow_patterns))
        assert not any(pattern.endswith((".bin", ".pt")) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    found = resolve("small", catalogue={"small": "org/small-1b"}, revision="v2", trust_remote_code=True)
    assert (found.kind, found.hub_id, found.revision) == ("hub", "org/small-1b", commit)
    assert found.identity() == {"model": "org/small-1b", "revision": commit}
    resolve("org/small-1b")
    assert asked == [("org/small-1b", "v2", True), ("org/small-1b", None, False)]


def test_a_repository_is_here_once_its_weights_are(tmp_path: Path) -> None:
    """Not all files of a repository are fetched: a README is none of a checkpoint."""
    place = folder_of(tmp_path / "repository", {**WHOLE, "README.md": "no part of it"})
    code = (
        "from pytest_thinkslm.models.hub import snapshot\n"
        "from pytest_thinkslm.models.places import is_here\n"
        "print(is_here('org/small'))\n"
        "snapshot('org/small', None, False, lambda line: None)\n"
        "print(is_here('org/small'), is_here('org/small:Q8_0'), is_here('org/other'))\n"
        "from pytest_thinkslm.models.hub import is_cached\n"
        f"print(is_cached('org/small', {COMMIT!r}), is_cached('org/small', 'v2'))\n"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    with FileHub({"org/small": place}) as loopback:
        hub_is = {"HF_ENDPOINT": loopback.endpoint, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**inherited, **hub_is, "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    assert done.stdout.split() == ["False", "True", "True", "False", "True", "False"]
    assert "README.md" not in loopback.fetched


def test_no_network_to_the_hub(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pytest_thinkslm.models.resolve import resolve\n"
        "try:\n"
        "    resolve('some-org/some-model')\n"
        "except Exception as problem:\n"
        "    print(type(problem).__name__, problem)\n"
        "assert 'torch' not in sys.modules\n"
    )
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    for environment in (nowhere, {**nowhere, "HF_HUB_OFFLINE": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout.startswith("ModelError --model some-org/some-model: it is not in the local hub cache")
        assert "give a local folder" in done.stdout


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("GatedRepoError", 403, "gated: accept its terms.*HF_TOKEN"),
        ("RepositoryNotFoundError", 404, "knows no such repository.*HF_TOKEN"),
        ("RepositoryNotFoundError", 401, "knows no such repository.*HF_TOKEN"),
        ("RevisionNotFoundError", 404, "no revision 'v9'"),
        ("HfHubHTTPError", 500, "fetching it failed: HfHubHTTPError"),
    ],
)
def test_what_the_hub_refuses(monkeypatch: pytest.MonkeyPatch, error: str, status: int, message: str) -> None:
    from huggingface_hub import errors

    class Response:
        status_code = status
        headers: Mapping[str, str] = {}
        request = None
        text = ""

    kind = getattr(errors, error)
    problem = kind.__new__(kind)
    Exception.__init__(problem, "a long story")
    problem.response = Response()

    def refuse(*_: object, **__: object) -> str:
        raise problem

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelError, match=message):
        hub.snapshot("org/name", "v9", False, lambda line: None)
