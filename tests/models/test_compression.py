"""Compression on demand with a pretended Python in llm-compressor's place: every wrong request, and the cache."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoints import layout, write_weights

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.core.errors import DataError, ModelError, UsageError
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.models import marker
from pytest_thinkslm.models.compression import CompressionError, calibration, compressed, environment, weights
from pytest_thinkslm.models.compression.recipes import GROUP_SIZES, group_size, on_demand, recipe
from pytest_thinkslm.models.resolve import ResolvedModel, resolve

ROOT = Path(__file__).parents[2]

#: Stands for a Python with llm-compressor: what it is asked for decides what it does.
PRETENDED = """\
#!{python}
import json, os, pathlib, shutil, sys, time
if sys.argv[1] == "-c":
    sys.exit(3 if "no-llmcompressor" in sys.argv[0] else 0)
job = json.loads(pathlib.Path(sys.argv[2]).read_text())
folder = pathlib.Path({folder!r})
with open(folder / "jobs", "a") as stream:
    stream.write(json.dumps(job) + "\\n")
print(json.dumps({{"stage": "loading"}}), flush=True)
out = pathlib.Path(job["out"])
if (folder / "fail").exists():
    print("RuntimeError: no luck", file=sys.stderr)
    sys.exit(1)
shutil.copytree(job["source"], out)
if (folder / "hang").exists():
    (folder / "hanging").write_text(str(os.getpid()))
    sys.stdin.read()
    sys.exit(9)
config = json.loads((out / "config.json").read_text())
if not (folder / "lazy").exists():
    config["quantization_config"] = {{"quant_method": "compressed-tensors", "config_groups": {{}}}}
(out / "config.json").write_text(json.dumps(config))
print("not JSON", flush=True)
print(json.dumps({{"done": {{"versions": {{"torch": "0"}}, "calibration_tokens": 7, "device": "cpu"}}}}), flush=True)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", _no_hub)
    return tmp_path / "cache" / "compressed"


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pretended Python with llm-compressor; files beside it tell it what to do."""
    return pretend(tmp_path / "bin", monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> ResolvedModel:
    return resolve(str(layout(tmp_path / "tiny")))


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "python") -> Path:
    folder.mkdir()
    script = folder / name
    script.write_text(PRETENDED.format(python=sys.executable, folder=str(folder)))
    script.chmod(0o755)
    monkeypatch.setenv(environment.VARIABLE, str(script))
    return folder


def jobs(python: Path) -> list[dict[str, object]]:
    return (
        [json.loads(line) for line in (python / "jobs").read_text().splitlines()] if (python / "jobs").exists() else []
    )


def make(source: ResolvedModel, scheme: str = "w8a8", **options: object) -> tuple[Path, list[str]]:
    said: list[str] = []
    return compressed(source, scheme, progress=said.append, **options), said  # type: ignore[arg-type]


# -- from the cache, whole or not at all ----------------------------------------------------------------------------


def test_the_result_is_kept_and_made_once(source: ResolvedModel, python: Path, own_cache: Path) -> None:
    folder, said = make(source)
    assert folder.parent == own_cache
    assert folder.name.startswith("tiny-w8a8-")
    assert said[-1].startswith("compressing tiny to w8a8: done, 0 MB")
    assert any("loading" in line for line in said)
    again, said = make(source)
    assert again == folder
    assert said == []
    assert len(jobs(python)) == 1
    assert [path.name for path in own_cache.iterdir() if ".part-" in path.name] == []


def test_the_cache_works_without_llm_compressor(
    source: ResolvedModel, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = make(source)
    monkeypatch.delenv(environment.VARIABLE)
    assert make(source)[0] == folder


def test_the_result_says_how_it_was_made(source: ResolvedModel, python: Path) -> None:
    folder, _ = make(source, "gptq4", seed=3)
    mark = marker.read(folder)
    assert mark is not None
    assert (mark.scheme, mark.method, mark.seed, mark.group_size) == ("gptq4", "gptq", 3, 128)
    assert mark.calibration is not None
    assert (mark.calibration["source"], mark.calibration["samples"]) == ("generated", calibration.SAMPLES)
    assert mark.versions == {"torch": "0"}
    made = resolve(str(folder))
    assert (made.compression.scheme, made.compression.method, made.compression.source) == ("gptq4", "gptq", "on-demand")
    assert str(folder.parents[2]) not in (folder / marker.FILE).read_text(), "a path would make equal weights differ"


def test_other_sources_seeds_and_texts_have_results_of_their_own(
    source: ResolvedModel, python: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = [{"question": f"What is {n} + 1?", "answer": f"It is {n}<<+1>>.\n#### {n + 1}"} for n in range(300)]
    (data / "gsm8k_train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    other = resolve(str(layout(tmp_path / "elsewhere" / "tiny", rope_theta=5)))
    made = [
        make(source, "gptq4")[0],
        make(source, "gptq4", seed=1)[0],
        make(source, "gptq4", data_dir=data)[0],
        make(source, "gptq4", data_dir=data, seed=1)[0],
        make(source, "gptq8")[0],
        make(other, "gptq4")[0],
    ]
    assert len(set(made)) == len(made)
    assert jobs(python)[0]["calibration"] != jobs(python)[1]["calibration"]
    assert jobs(python)[2]["calibration"] != jobs(python)[3]["calibration"]
    texts = jobs(python)[2]["calibration"]
    assert isinstance(texts, list)
    assert len(texts) == calibration.SAMPLES
    assert texts != rows[: calibration.SAMPLES], "a seeded sample, not the first ones"
    assert all("<<" not in text["answer"] and "####" not in text["answer"] for text in texts)
    # Rounding looks at weights alone: neither seed nor texts make another result.
    assert make(source)[0] == make(source, seed=1, data_dir=data)[0]


def test_what_the_hub_calibrated_is_found_without_the_hub(
    source: ResolvedModel, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"What is {n} + 1?", "answer": f"It is {n}.\n#### {n + 1}"} for n in range(300)]
    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", lambda *_: rows)
    first, second = make(source, "gptq4")[0], make(source, "gptq4", seed=1)[0]
    assert first != second
    mark = marker.read(first)
    assert mark is not None
    assert mark.calibration is not None
    assert mark.calibration["source"] == "openai/gsm8k"
    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", _no_hub)
    assert [make(source, "gptq4", seed=seed) for seed in (0, 1)] == [(first, []), (second, [])]


def test_two_at_a_time_make_it_once(source: ResolvedModel, python: Path) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(make(source)[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert len(jobs(python)) == 1


def test_a_killed_compression_leaves_nothing_that_counts(
    source: ResolvedModel, python: Path, own_cache: Path, tmp_path: Path
) -> None:
    (python / "hang").touch()
    code = (
        "import sys; from pytest_thinkslm.models.compression import compressed\n"
        "from pytest_thinkslm.models.resolve import resolve\n"
        "compressed(resolve(sys.argv[1]), 'w8a8', progress=print)"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "tiny")], env=environ)
    _wait_for((python / "hanging").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    child = int((python / "hanging").read_text() or 0)
    _wait_for(lambda: not _runs(child))
    left = [path for path in own_cache.iterdir() if ".part-" in path.name]
    assert len(left) == 1, "the killed process was in the middle of it"
    (python / "hang").unlink()
    folder, said = make(source)
    assert said[-1].startswith("compressing tiny to w8a8: done")
    assert marker.read(folder) is not None
    assert [path.name for path in own_cache.iterdir() if ".part-" in path.name] == []


def test_what_another_process_is_making_is_not_removed(source: ResolvedModel, python: Path, own_cache: Path) -> None:
    import filelock

    own_cache.mkdir(parents=True)
    (own_cache / "busy.part-1").mkdir()
    (own_cache / "dead.part-1").mkdir()
    with filelock.FileLock(own_cache / "busy.lock"):
        make(source)
        assert (own_cache / "busy.part-1").is_dir()
        assert not (own_cache / "dead.part-1").exists()


# -- wrong requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("w8a9", "'w8a9' is unknown: did you mean 'w8a8'"),
        ("none", "there is nothing to do"),
        ("mxfp4", "it is not made on demand; name a checkpoint that has it"),
        ("fp8", "On demand: gptq8, gptq4, awq4, autoround4, w8a8, w8a8-smoothquant, w8a16, w4a16, w4a8, nvfp4, "),
    ],
)
def test_schemes_that_cannot_be_made(source: ResolvedModel, scheme: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(source, scheme)
    assert message in str(caught.value)


def test_the_scheme_table_and_the_recipes_agree() -> None:
    assert set(on_demand()) == {scheme.key for scheme in SCHEMES.values() if scheme.on_demand}
    assert [key for key in on_demand() if not recipe(key).calibrated] == [
        "w8a8",
        "w8a16",
        "w4a16",
        "w4a8",
        "fp8-dynamic",
    ]


@pytest.mark.parametrize("key", on_demand())
def test_a_recipe_rounds_to_the_bits_of_its_scheme(key: str) -> None:
    *before, (_, rounding) = recipe(key).modifiers(64)
    assert [name for name, _ in before] == {"awq4": ["AWQModifier"], "w8a8-smoothquant": ["SmoothQuantModifier"]}.get(
        key, []
    )
    layers = rounding.get("config_groups", {}).get("group_0")
    if layers is not None:
        assert layers["weights"]["num_bits"] == SCHEMES[key].weight_bits
        assert layers.get("input_activations", {}).get("num_bits", 16) == SCHEMES[key].activation_bits
        assert layers["weights"]["group_size"] == 64


def test_not_set_up(source: ResolvedModel) -> None:
    with pytest.raises(CompressionError) as caught:
        make(source)
    for part in ("not set up", "thinkslm compress --setup-env", "1.5 GB", "llmcompressor>=0.14", environment.VARIABLE):
        assert part in str(caught.value)


def test_a_half_made_environment_is_not_used(source: ResolvedModel) -> None:
    python = environment.folder() / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(CompressionError, match="not set up"):
        environment.interpreter()
    (environment.folder() / "ready.json").write_text("{}")
    assert environment.interpreter().python == python


def test_the_named_python_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(CompressionError, match="there is no such file"):
        environment.interpreter()
    (tmp_path / "text").write_text("no program")
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "text"))
    with pytest.raises(CompressionError, match="cannot be run: Permission denied"):
        environment.interpreter()
    pretend(tmp_path / "bin", monkeypatch, "no-llmcompressor")
    with pytest.raises(CompressionError, match="has no llm-compressor"):
        environment.interpreter()


def test_group_sizes_that_cannot_divide(tmp_path: Path, python: Path) -> None:
    odd = resolve(str(layout(tmp_path / "odd", hidden=100)))
    with pytest.raises(CompressionError) as caught:
        make(odd, "gptq4")
    for part in ("odd (local folder)", "128, 64 or 32", "the 100 columns of model.layers.0.mlp.up_proj.weight", "w8a8"):
        assert part in str(caught.value)
    assert jobs(python) == []
    make(odd, "w8a8")


@given(st.lists(st.integers(1, 4096), min_size=1))
def test_the_group_size_is_the_largest_that_divides_all(columns: list[int]) -> None:
    named = {f"layer{number}": count for number, count in enumerate(columns)}
    fitting = [size for size in GROUP_SIZES if all(count % size == 0 for count in columns)]
    if fitting:
        assert group_size("gptq4", named, "m") == max(fitting)
    else:
        with pytest.raises(CompressionError):
            group_size("gptq4", named, "m")
    assert group_size("w8a8", named, "m") is None


def test_too_little_disk(source: ResolvedModel, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=0))
    with pytest.raises(CompressionError, match=r"needs about 0\.00 GB on disk; .* has 0\.00 GB free"):
        make(source)
    assert jobs(python) == []


def test_too_little_memory(source: ResolvedModel, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_thinkslm.machine.memory.free_memory", lambda: int(0.3e9))
    with pytest.raises(CompressionError, match=r"needs about 1\.00 GB of memory; 0\.30 GB are free"):
        make(source)
    assert jobs(python) == []


def test_what_is_compressed_is_not_compressed_again(tmp_path: Path, source: ResolvedModel, python: Path) -> None:
    quantized = layout(tmp_path / "q", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(CompressionError, match=r"q \(local folder\) is compressed already \(gptq\)"):
        make(resolve(str(quantized)))
    made, _ = make(source)
    with pytest.raises(CompressionError, match=r"is compressed already \(w8a8\)"):
        make(resolve(str(made)), "gptq4")


def test_a_failing_job_shows_its_last_words_and_keeps_its_log(
    source: ResolvedModel, python: Path, own_cache: Path
) -> None:
    (python / "fail").touch()
    with pytest.raises(CompressionError) as caught:
        make(source)
    assert "failed with status 1. Its last words: RuntimeError: no luck. Log: " in str(caught.value)
    log = Path(str(caught.value).rpartition("Log: ")[2])
    assert log.parent == own_cache / "log"
    assert "no luck" in log.read_text()
    assert [path for path in own_cache.iterdir() if path.is_dir()] == [log.parent]


def test_a_job_that_does_nothing_is_noticed(source: ResolvedModel, python: Path) -> None:
    (python / "lazy").touch()
    with pytest.raises(CompressionError, match="wrote a checkpoint that is not quantized"):
        make(source)
    with pytest.raises(CompressionError, match=r"only 0\.0% of the groups of four weights have two zeros"):
        make(source, "sparse-2of4")


def test_damaged_calibration_data_is_said(source: ResolvedModel, python: Path, tmp_path: Path) -> None:
    (tmp_path / "gsm8k_train.jsonl").write_text('{"text": "?"}\n')
    with pytest.raises(DataError, match="records without 'question' and 'answer'"):
        make(source, "gptq4", data_dir=tmp_path)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compress"], "which model?"),
        (["compress", "TINY"], "--quant is missing"),
        (["compress", "TINY", "--quant", "w8a8"], "--out is missing"),
        (["compress", "TINY", "--quant", "w8a8", "--out", "TINY"], "exists already"),
        (["compress", "TINY", "--quant", "w8a8", "--out", "new", "--data-dir", "none"], "is no folder"),
        (["compress", "TINY", "--quant", "w9", "--out", "new"], "unknown"),
        (["compress", "TINY", "--quant", "w8a8", "--out", "new"], "not set up"),
        (["compress", "--setup-env"], "add --yes"),
    ],
)
def test_wrong_command_lines(
    arguments: list[str],
    message: str,
    source: ResolvedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    assert main([str(source.path) if one == "TINY" else one for one in arguments]) == 4
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_command_writes_a_folder(
    source: ResolvedModel, python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "below" / "tiny-w8a8"
    (tmp_path / "below" / ".tiny-w8a8.part-1").mkdir(parents=True)
    assert main(["compress", str(source.path), "--quant", "w8a8", "--out", str(out)]) == 0
    assert resolve(str(out)).compression.scheme == "w8a8"
    assert [path.name for path in out.parent.iterdir()] == ["tiny-w8a8"]
    assert "run it with: pytest --model" in capsys.readouterr().err


def test_setting_up_asks_and_installs_nothing_unasked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    assert main(["compress", "--setup-env"]) == 1
    said = capsys.readouterr().err
    assert "torch==2.13.0" in said
    assert "1.5 GB" in said
    assert "nothing was installed" in said
    assert not environment.folder().exists()


def test_setting_up_runs_the_installer_and_marks_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The installer is a script that makes what the real one makes, or fails half-way."""
    installer = tmp_path / "uv"
    installer.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        f"if (pathlib.Path({str(tmp_path)!r}) / 'broken').exists() and 'pip' in sys.argv: sys.exit('no network')\n"
        "if sys.argv[1] == 'venv':\n"
        "    python = pathlib.Path(sys.argv[-1]) / 'bin' / 'python'\n"
        "    python.parent.mkdir(parents=True)\n"
        "    python.write_text('#!/bin/sh\\necho 0.14.9\\n')\n"
        "    python.chmod(0o755)\n"
    )
    installer.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(installer))
    (tmp_path / "broken").touch()
    said: list[str] = []
    with pytest.raises(CompressionError, match="failed while installing: no network"):
        environment.set_up(said.append)
    with pytest.raises(CompressionError, match="not set up"):
        environment.interpreter()
    (tmp_path / "broken").unlink()
    assert environment.set_up(said.append) == environment.interpreter().python
    assert "llm-compressor 0.14.9" in said[-1]
    environment.set_up(said.append)
    assert "is set up already" in said[-1]


# -- calibration and weights -------------------------------------------------------------------------------------------


def test_made_up_problems_are_the_same_for_a_seed_and_right() -> None:
    first = calibration.generated(0)
    assert first == calibration.generated(0)
    assert first.sha256 != calibration.generated(1).sha256
    assert len({record["question"] for record in first.records}) > 120
    for record in first.records:
        sums = re.findall(r"(\d+(?: [-+x/] \d+)+) = (\d+)", record["answer"].replace("$", ""))
        assert sums, record
        assert [_value(left) for left, _ in sums] == [int(right) for _, right in sums], record


def test_linear_layers_are_found_by_their_names(source: ResolvedModel) -> None:
    assert [one.name for one in weights.linear(source.path)] == ["model.layers.0.mlp.up_proj.weight"]


@given(st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.5, -2.0]), min_size=8, max_size=8), min_size=1, max_size=6))
def test_zeros_are_counted(tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]) -> None:
    file = tmp_path_factory.mktemp("zeros") / "model.safetensors"
    matrix = numpy.array(rows, dtype="<f4")
    half = (matrix.view("<u4") >> 16).astype("<u2")  # bfloat16 is the upper half of a float32
    write_weights(
        file,
        {
            "a.weight": ("F32", matrix.shape, matrix.tobytes()),
            "b.weight": ("BF16", matrix.shape, half.tobytes()),
            "c.weight": ("I8", (4, 4), bytes(16)),
        },
    )
    found = weights.sparsity(weights.linear(file.parent))
    assert found.zeros == pytest.approx((matrix == 0).mean())
    assert found.two_of_four == pytest.approx(((matrix == 0).reshape(-1, 4).sum(axis=1) >= 2).mean())


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x09\0\0\0\0\0\0\0" + b'{"a": {}}'])
def test_a_file_that_is_no_safetensors_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="is no safetensors file"):
        weights.linear(tmp_path)


def _no_hub(*_: object) -> list[dict[str, object]]:
    raise OSError("no network in tests")


def _value(sum_: str) -> float:
    """A sum in which no operation binds stronger than one to its left."""
    first, *rest = sum_.split()
    value = Fraction(first)
    for sign, number in zip(rest[::2], map(Fraction, rest[1::2]), strict=True):
        value = {"+": value + number, "-": value - number, "x": value * number, "/": value / number}[sign]
    return float(value)


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path(f"/proc/{pid}/stat").exists() else True
