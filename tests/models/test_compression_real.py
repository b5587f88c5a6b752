"""Real compression: made by llm-compressor, loaded by the transformers engine, asked; what was loaded is proven.

Needs a Python with llm-compressor (this one, THINKSLM_COMPRESS_PYTHON, or 'thinkslm compress --setup-env'), and
compressed-tensors here.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_checkpoints import random_llama

from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models import marker
from pytest_thinkslm.models.compression import CompressionError, compressed, environment, weights
from pytest_thinkslm.models.compression.recipes import recipe
from pytest_thinkslm.models.resolve import ResolvedModel, resolve

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def llm_compressor() -> Iterator[None]:
    """The Python that compresses, by name: tests move the cache, and its environment may be in there."""
    try:
        found = environment.interpreter()
    except CompressionError as problem:
        pytest.skip(str(problem))
    for module in ("torch", "transformers", "compressed_tensors"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(environment.VARIABLE, str(found.python))
        yield


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_rows(*_: object) -> list[dict[str, object]]:
        raise OSError("no network in tests")

    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", fetch_rows)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    """A random llama of two layers, 192 columns and more: 64 divides them, 128 does not."""
    return resolve(str(random_llama(tmp_path_factory.mktemp("models") / "tiny", hidden=192)))


def ask(model: ResolvedModel, *questions: str) -> tuple[list[Output], dict[str, object]]:
    """The outputs, and what the engine says that it has loaded."""
    engine = TransformersEngine(model, engine_args={"device": "cpu", "dtype": "bfloat16", "threads": "1"})
    try:
        sampling = Sampling(0.0, 1.0, 8, None)
        futures = engine.submit([Request((Message("user", one),), sampling, label=one) for one in questions])
        outputs = [future.result(timeout=600) for future in futures]
        loaded = engine.measured()["loaded"]
        assert isinstance(loaded, dict)
        return outputs, loaded
    finally:
        engine.close()


#: Scheme -> stored bits, group size, bits of an activation, dtype of the tensor that holds the weights.
LOADED = {
    "w8a8": (8, None, 8, "int8"),
    "gptq4": (4, 64, 16, "int32"),
    "w8a16": (8, 64, 16, "int32"),
    "awq4": (4, 64, 16, "int32"),
    "autoround4": (4, 64, 16, "int32"),
    "w8a8-smoothquant": (8, None, 8, "int8"),
    "w4a8": (4, 64, 8, "int8"),
    "nvfp4": (4, 16, 4, "uint8"),
    "fp8-dynamic": (8, None, 8, "float8_e4m3fn"),
    "sparse-2of4": (16, None, 16, "bfloat16"),
}


@pytest.mark.parametrize("scheme", LOADED)
def test_a_tiny_model_is_compressed_loaded_and_asked(
    scheme: str, tiny: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path))
    folder = compressed(tiny, scheme, progress=print)
    model = resolve(str(folder))
    bits, group, activations, dtype = LOADED[scheme]
    assert (model.compression.scheme, model.compression.source) == (scheme, "on-demand")
    assert (model.compression.bits, model.compression.group_size) == (bits, group)
    assert model.compression.method == recipe(scheme).method
    assert model.template_sha256 == tiny.template_sha256
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (tiny.path / name).read_bytes()
    (output,), loaded = ask(model, "how many apples?")
    assert output.output_tokens
    assert (loaded["scheme"], loaded["bits"], loaded["group_size"]) == (scheme, bits, group)
    assert (loaded["activation_bits"], loaded["dtype"]) == (activations, dtype)
    assert loaded.get("arithmetic") == (None if bits == 16 else "simulated")
    layers = len(weights.linear(tiny.path))
    assert (loaded["linear_layers"], loaded["quantized_layers"]) == (layers, 0 if bits == 16 else layers)
    if bits < 16:
        stored = weights.stored_bytes(weights.linear(tiny.path))
        now = model.disk_bytes - (tiny.disk_bytes - stored)
        stored_bits = 8 if dtype == "int8" else bits
        assert now < stored * (stored_bits + 3) / 16, "scales take a little"
    if SCHEMES[scheme].sparsity:
        zeros = weights.sparsity(weights.linear(folder))
        assert zeros.two_of_four == 1.0, "2 zeros in every 4 weights"
        assert zeros.zeros == pytest.approx(0.5, abs=0.01)
        assert weights.sparsity(weights.linear(tiny.path)).zeros < 0.01, "of which none was there before"
        assert loaded["sparsity"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.model
@pytest.mark.parametrize("scheme", ["w8a8", "sparse-2of4"])
def test_the_embedded_model_is_compressed_loaded_and_asked(scheme: str) -> None:
    source = resolve("embedded")
    model = resolve(str(compressed(source, scheme, progress=print)))
    assert model.compression.scheme == scheme
    (capital, product), loaded = ask(model, "What is the capital of France?", "What is 7 times 8?")
    assert loaded["linear_layers"] == 210
    if scheme == "w8a8":
        assert (loaded["bits"], loaded["quantized_layers"]) == (8, 210)
        # Embeddings, which stay as they are, are a fifth of the weights.
        assert model.disk_bytes < 0.65 * source.disk_bytes
        assert "Paris" in capital.text, "8 bits lose next to nothing"
    else:
        assert loaded["sparsity"] == pytest.approx(0.5, abs=0.001)
        assert weights.sparsity(weights.linear(model.path)).two_of_four == 1.0
        assert model.disk_bytes == pytest.approx(source.disk_bytes, rel=0.01), "stored dense"
    assert product.output_tokens


def test_a_real_job_that_is_killed_leaves_nothing_that_counts(
    tiny: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path))
    code = (
        "import sys; from pytest_thinkslm.models.compression import compressed\n"
        "from pytest_thinkslm.models.resolve import resolve\n"
        "compressed(resolve(sys.argv[1]), 'w8a8', progress=lambda line: print(line, flush=True))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tiny.path)], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "loading" in line:
            break
    process.kill()
    process.wait()
    process.stdout.close()
    root = tmp_path / "compressed"
    assert [path.name for path in root.iterdir() if path.is_dir() and ".part-" not in path.name] == ["log"]
    orders = [str(path) for path in root.glob("*.part-*")]
    assert len(orders) == 1
    end = time.monotonic() + 60
    while any(order in _command_lines() for order in orders):
        assert time.monotonic() < end, "the job outlived its parent"
        time.sleep(0.1)
    folder = compressed(tiny, "w8a8", progress=print)
    assert marker.read(folder) is not None
    assert not list(root.glob("*.part-*"))


def _command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)
