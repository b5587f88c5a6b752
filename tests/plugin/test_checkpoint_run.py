"""Whole runs of checkpoints and servers that are not what they seem: nothing is scored that was not asked rightly."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from replayed import items, results

from pytest_thinkslm.gates.baselines import load_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import tiny_checkpoints

pytest.importorskip("torch")

SMALL = ("--task=sort8_positive", "--limit=2", "--max-tokens=4", "--engine=transformers", "--model=./llama")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, outside of pytester: it takes back what was imported, and torch bears no second import."""
    folder = tmp_path_factory.mktemp("made")
    whole = tiny_checkpoints.random_llama(folder / "whole", hidden=32)
    without(whole, "lm_head.weight", folder / "headless")
    return folder


def run(pytester: pytest.Pytester, report: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(f"--report-dir={report}", "--journal-dir=journal", *SMALL, timeout=300)


def without(folder: Path, name: str, into: Path) -> None:
    """A copy of a checkpoint that lacks one tensor."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, into)
    tensors = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items() if key != name}
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.model
def test_a_missing_weight_is_no_accuracy(pytester: pytest.Pytester, made: Path) -> None:
    shutil.copytree(made / "headless", pytester.path / "llama")
    found = run(pytester, "report")
    assert found.ret == 1
    found.stdout.fnmatch_lines(["*the checkpoint lacks weights that its config asks for: lm_head.weight*"])
    assert [item["verdict"] for item in items(pytester.path / "report")] == ["error", "error"]


@pytest.mark.model
def test_the_day_of_a_template_is_one_and_said(pytester: pytest.Pytester, made: Path) -> None:
    template = shutil.copytree(made / "whole", pytester.path / "llama") / "chat_template.jinja"
    template.write_text("{{ strftime_now('%d %B %Y, %H:%M:%S.%f') }}\n" + template.read_text())
    assert run(pytester, "first").ret == 0
    again = run(pytester, "second")
    again.stdout.fnmatch_lines(["*asks for today's date, and is told 26 July 2024*", "*2 already journalled*"])
    (variant,) = results(pytester.path / "second")["variants"]
    assert variant["fingerprint"]["facts"]["day"] == "2024-07-26"
    assert load_run(pytester.path / "first").rows  # what the engine measured is read back
    assert "is told 26 July 2024 on every day" in (pytester.path / "second" / "summary.md").read_text()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("generation_config.json", "{", "generation_config.json: it is damaged"),
        ("generation_config.json", '{"eos_token_id": "</s>"}', "an eos_token_id that is no token id"),
        ("chat_template.jinja", "{% for %}", "cannot be used: it is damaged"),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1\nsize 5\n", "Git LFS pointer"),
        ("model.safetensors", None, "model-00001-of-00002.safetensors, but neither model.safetensors nor"),
    ],
)
def test_damaged_files_are_found_before_the_run(
    pytester: pytest.Pytester, file: str, content: str | None, says: str
) -> None:
    folder = tiny_checkpoints.layout(pytester.path / "llama", model_type="llama")
    if content is None:
        (folder / file).rename(folder / "model-00001-of-00002.safetensors")
    else:
        (folder / file).write_text(content)
    found = run(pytester, "report")
    assert found.ret == 4
    assert says in found.stderr.str()
    assert "Traceback" not in found.stderr.str()
    assert json.loads((folder / "config.json").read_text())
