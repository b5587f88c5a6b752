"""``thinkslm models``: filters, the table, one model in detail, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.commands.models import size_range
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.models.catalogue import shipped


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["models", "--json", *arguments]) == 0
    return [entry["key"] for entry in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("7B", 6.3, 7.7),
        ("7", 6.3, 7.7),
        ("1-4B", 1, 4),
        ("1B-4b", 1, 4),
        ("<=8B", 0, 8),
        (">= 14B", 14, float("inf")),
    ],
)
def test_sizes(text: str, low: float, high: float) -> None:
    assert size_range(text) == pytest.approx((low, high))


def test_strict_bounds_leave_their_end_out() -> None:
    assert size_range("<8B")[1] < 8
    assert size_range(">8B")[0] > 8


@pytest.mark.parametrize("text", ["", "big", "7x", "<", "1-2-3", "1.2.3"])
def test_sizes_that_mean_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="--size"):
        size_range(text)


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys) == list(shipped())
    assert listed(capsys, "--family", "qwen2.5", "--size", "<3B") == ["qwen2.5-0.5b", "qwen2.5-1.5b"]
    assert listed(capsys, "--family", "llama-*", "--size", "70B") == ["llama-3.1-70b"]
    assert listed(capsys, "--scheme", "FP8", "--family", "mistral") == ["mistral-7b-v0.3", "mistral-nemo-12b"]
    assert listed(capsys, "--scheme", "fp8", "--size", ">60B") == ["llama-3.1-70b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["qwen25-7b"], "no such model: did you mean 'qwen2.5-7b'"),
        (["nothing-like-it-at-all"], "'thinkslm models' lists them all"),
        (["--family", "qwen25"], "--family qwen25: no model is of it: did you mean 'qwen2.5'"),
        (["--scheme", "gptq5"], "--scheme 'gptq5' is unknown: did you mean"),
        (["--size", "huge"], "--size 'huge': give a number"),
        (["--size", ">500B"], "no model fits these filters"),
    ],
)
def test_what_is_not_there(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["models", *arguments]) == 4
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("thinkslm: ") == 1
    assert not captured.err.startswith("thinkslm: thinkslm")
    assert captured.out == ""


def test_json_tells_engines_packages_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "qwen2-7b", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    by_quant = {one["quant"]: one for one in entry["checkpoints"]}
    assert by_quant["gptq4"]["hub_id"] == "Qwen/Qwen2-7B-Instruct-GPTQ-Int4"
    assert by_quant["gptq4"]["engines"] == ["vllm", "transformers"]
    assert by_quant["gptq4"]["packages"] == {"transformers": "gptqmodel and optimum"}
    assert by_quant["fp8"]["engines"] == ["vllm"]
    assert "AutoFP8" in by_quant["fp8"]["not_loaded_by"]["transformers"]
    assert by_quant["fp8"]["disk_gib"] is None
    assert by_quant["none"]["weights_bytes"] == 15 << 30
    assert by_quant["none"]["gpu_bytes"] > by_quant["none"]["weights_bytes"]


def test_the_table_has_every_model_and_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip() and line.startswith("  ")}
    assert set(shipped()) <= set(rows)
    assert "none(" in rows["hymba-1.5b"]
    assert "transformers 5 removed" in text
    assert "vLLM from 0.19.1 on refuses 2:4 compressed checkpoints" in text
    assert text.rstrip().splitlines()[-1].startswith(f"{len(shipped())} models")


@pytest.mark.parametrize("name", ["llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct"])
def test_one_model_in_detail(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["models", name]) == 0
    text = capsys.readouterr().out
    for one in shipped()["llama-3.1-8b"].checkpoints.values():
        assert str(one.hub_id) in text
    assert "20.0 GiB" in text
    assert "none: accept its terms on https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct" in text
    assert "on demand (thinkslm compress): gptq8, gptq4, w8a8-smoothquant, w4a8, awq4, " in text


def test_own_entries_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.thinkslm.models.mine]\nparams = 2\nhub_id = 'org/mine'\n")
    assert listed(capsys, "--family", "own") == ["mine"]
    (tmp_path / "pyproject.toml").write_text("[tool.thinkslm.models.mine]\nhub_id = 'org/mine'\n# changed\n")
    assert main(["models"]) == 4
    assert "[tool.thinkslm.models.mine]: params" in capsys.readouterr().err


def test_listing_imports_no_engine() -> None:
    code = (
        "import sys\nfrom pytest_thinkslm.__main__ import main\nmain(['models'])\n"
        "assert not {'torch', 'transformers', 'vllm', 'datasets', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
