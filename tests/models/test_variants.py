"""(model, quant) to a checkpoint, by the ways in which that goes wrong."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import ModelError, UsageError
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.machine.gpus import Device
from pytest_thinkslm.machine.placement import GIB
from pytest_thinkslm.models import embedded, hub
from pytest_thinkslm.models.loading import LOADERS, Machine, obstacles, stored_as
from pytest_thinkslm.models.variants import label_of, loads_with, resolve_variant

BARE = {"model_type": "llama", "max_position_embeddings": 2048, "torch_dtype": "bfloat16"}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
WEIGHTS = {"num_bits": 8, "type": "int", "strategy": "channel"}
W8A8 = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "config_groups": {"group_0": {"weights": WEIGHTS, "input_activations": {**WEIGHTS, "dynamic": True}}},
}
FP8 = {"quant_method": "fp8", "activation_scheme": "static"}
FLOAT = {"num_bits": 8, "type": "float", "strategy": "tensor"}
EXOTIC = {"quant_method": "hqq", "bits": 3}
CPU = Machine(memory=16 * GIB, vllm_version="0.32.0")


def gpu(capability: float, gib: int = 80) -> Machine:
    return Machine((Device(0, "Simulated", gib * GIB, gib * GIB),), capability, 64 * GIB, cpu_build=False)


def checkpoint(path: Path, quantization: Mapping[str, object] | None = None, **config: object) -> Path:
    """A checkpoint folder with one small tensor."""
    path.mkdir(parents=True)
    config = {**BARE, **config, **({"quantization_config": quantization} if quantization else {})}
    header = json.dumps({"w": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    (path / "tokenizer.json").write_text("{}")
    return path


@pytest.fixture(autouse=True)
def nothing_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pyproject.toml above the current folder but an empty one."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path / "work")


# -- a folder that says what it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantization", "quant", "scheme"),
    [
        (None, None, "none"),
        (None, "none", "none"),
        (GPTQ, None, "gptq4"),
        (GPTQ, "gptq4", "gptq4"),
        (GPTQ, "w4a16", "gptq4"),
        ({**GPTQ, "bits": 8}, "w8a16", "gptq8"),
        (W8A8, "w8a8", "w8a8"),
        (FP8, "fp8", "fp8"),
        (EXOTIC, None, None),
    ],
    ids=str,
)
def test_a_checkpoint_is_what_its_own_config_says(
    tmp_path: Path, quantization: Mapping[str, object] | None, quant: str | None, scheme: str | None
) -> None:
    folder = checkpoint(tmp_path / "mine", quantization)
    found = resolve_variant(str(folder), quant, "vllm", machine=gpu(9.0))
    assert found.compression.scheme == scheme
    assert found.compression.source == ("original" if quantization is None else "local")
    assert found.compression.bytes == found.disk_bytes > 0
    assert found.catalogue is None


@pytest.mark.parametrize(
    ("quantization", "quant", "message"),
    [
        (GPTQ, "none", r"mine is gptq4 \(GPTQ, 4-bit weights\) by its own config, and --quant none asks for not compr"),
        (GPTQ, "gptq8", r"mine is gptq4 .* --quant gptq8 asks for gptq8 \(GPTQ, 8-bit weights\).* give --quant gptq4"),
        (GPTQ, "awq4", "mine is gptq4 .* --quant awq4 asks for"),
        (W8A8, "w8a16", r"mine is w8a8 \(8-bit weights and activations\).* --quant w8a16 asks for"),
        (FP8, "fp8-dynamic", "mine is fp8 .* --quant fp8-dynamic asks for"),
        (EXOTIC, "gptq4", "mine is quantized by hqq to 3 bits by its own config"),
        (None, "fp8", r"mine is not compressed, and fp8 \(.*\) cannot be made on demand \(that is possible for gptq8"),
        (None, "mxfp4", "mine is not compressed, and mxfp4"),
    ],
    ids=str,
)
def test_a_quant_that_contradicts_the_checkpoint(
    tmp_path: Path, quantization: Mapping[str, object] | None, quant: str, message: str
) -> None:
    folder = checkpoint(tmp_path / "mine", quantization)
    with pytest.raises(UsageError, match=message) as caught:
        resolve_variant(str(folder), quant, "vllm", machine=gpu(9.0))
    assert str(caught.value).startswith(f"--model {folder} --quant {quant}: ")


@pytest.mark.parametrize(
    ("quantization", "label"),
    [(None, "none"), (GPTQ, "gptq4"), (W8A8, "w8a8"), (EXOTIC, "hqq")],
    ids=str,
)
def test_the_label_of_a_checkpoint_that_is_taken_as_it_is(
    tmp_path: Path, quantization: Mapping[str, object] | None, label: str
) -> None:
    assert label_of(str(checkpoint(tmp_path / "mine", quantization))) == label


def test_labels_of_names() -> None:
    assert label_of("qwen2.5-7b") == "none"
    assert label_of("RedHatAI/Qwen2-7B-Instruct-quantized.w4a16") == "w4a16"
    assert label_of("embedded") == label_of("unheard-of") == "none"


# -- compression on demand ---------------------------------------------------------------------------------------------


@pytest.fixture
def compressions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """What is compressed on demand; the result is made up."""
    made: list[tuple[str, str]] = []

    def compressed(source: object, scheme: str, **_: object) -> Path:
        made.append((source.display, scheme))  # type: ignore[attr-defined]
        return checkpoint(tmp_path / f"made-{len(made)}", W8A8 if scheme == "w8a8" else None)

    monkeypatch.setattr("pytest_thinkslm.models.compression.compressed", compressed)
    small = checkpoint(tmp_path / "small")
    monkeypatch.setattr(embedded, "prepared_folder", lambda progress: small)
    return made


def test_a_folder_is_compressed_where_a_scheme_is_asked_for(tmp_path: Path, compressions: list[object]) -> None:
    found = resolve_variant(str(checkpoint(tmp_path / "mine")), "w8a8", "transformers", machine=CPU)
    assert compressions == [("mine (local folder)", "w8a8")]
    assert (found.compression.scheme, found.compression.source) == ("w8a8", "on-demand")
    assert found.display == "mine (local folder), compressed to w8a8"


def test_the_embedded_model_is_compressed(compressions: list[object]) -> None:
    found = resolve_variant("embedded", "w8a8", "transformers", machine=CPU)
    assert compressions == [(embedded.DISPLAY_NAME, "w8a8")]
    assert found.catalogue == "embedded"
    assert resolve_variant("embedded", "none", "transformers", machine=CPU).kind == "embedded"
    assert len(compressions) == 1


@pytest.mark.parametrize(
    ("quant", "engine", "machine", "message"),
    [
        (
            "w8a8",
            "transformers",
            replace(CPU, modules=frozenset({"torch", "transformers"})),
            "compressed-tensors, which",
        ),
        ("fp8-dynamic", "vllm", gpu(8.0), "FP8 needs a GPU of compute capability 8.9"),
        ("w8a16", "vllm", CPU, "no kernel for 8-bit weights with 16-bit activations on a CPU"),
    ],
)
def test_nothing_is_compressed_that_could_not_be_loaded(
    tmp_path: Path, compressions: list[object], quant: str, engine: str, machine: Machine, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        resolve_variant(str(checkpoint(tmp_path / "mine")), quant, engine, machine=machine)
    assert f"compressed to {quant}" in str(caught.value)
    assert compressions == []


# -- the catalogue ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "quant", "message"),
    [
        ("qwen2.5-7", None, "unknown model 'qwen2.5-7': did you mean 'qwen2.5-7b'"),
        ("zzz", None, "'thinkslm models' lists the names"),
        ("", None, "no model is named"),
        (
            "qwen2.5-7b",
            "fp8",
            r"qwen2.5-7b has no published fp8 checkpoint \(published: none, gptq8, gptq4, w8a8, fp8-dynamic\), and fp8",
        ),
        ("qwen2.5-7b", "mxfp4", "mxfp4 .* cannot be made on demand"),
    ],
)
def test_names_and_schemes_that_cannot_be_had(model: str, quant: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_variant(model, quant, "vllm", machine=gpu(9.0))


class Hub:
    """A hub with one repository, whose config says what it likes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, config: Mapping[str, object]) -> None:
        self.fetched: list[tuple[str, str | None, bool]] = []
        self.size = GIB
        self._folder, self._config = folder, config
        monkeypatch.setattr(hub, "cached_config", lambda hub_id, revision=None: None)
        monkeypatch.setattr(hub, "look_up", lambda hub_id, revision=None: hub.Remote(self._config, self.size))
        monkeypatch.setattr(hub, "snapshot", self._snapshot)
        monkeypatch.setattr(hub, "free_disk", lambda: (Path("/cache/hub"), 20 * GIB))

    def _snapshot(self, hub_id: str, revision: str | None, trust: bool, progress: object) -> tuple[Path, str]:
        self.fetched.append((hub_id, revision, trust))
        quantization = self._config.get("quantization_config")
        path = checkpoint(self._folder / "snapshots" / ("c0ffee" + 34 * "0"), quantization)  # type: ignore[arg-type]
        return path, path.name


def test_a_published_checkpoint_is_fetched_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Hub(monkeypatch, tmp_path, {**BARE, "quantization_config": GPTQ})
    found = resolve_variant("qwen2-7b", "w4a16", "vllm", machine=gpu(9.0))
    assert there.fetched == [("RedHatAI/Qwen2-7B-Instruct-quantized.w4a16", None, False)]
    # Stored as GPTQ, published as w4a16: the catalogue's name, the config's bits and groups.
    facts = found.compression
    assert (facts.scheme, facts.bits, facts.method, facts.group_size) == ("w4a16", 4, "gptq", 128)
    assert (facts.source, found.catalogue) == ("published", "qwen2-7b")
    assert found.hub_id == "RedHatAI/Qwen2-7B-Instruct-quantized.w4a16"


def test_a_published_checkpoint_that_is_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Hub(monkeypatch, tmp_path, {**BARE, "quantization_config": {**GPTQ, "bits": 8}})
    with pytest.raises(UsageError, match=r"GPTQ-Int4 is gptq8 .* by its own config"):
        resolve_variant("qwen2.5-7b", "gptq4", "vllm", machine=gpu(9.0))
    assert there.fetched == []


def test_a_quantized_hub_id_decides_for_itself_before_its_weights_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Hub(monkeypatch, tmp_path, {**BARE, "quantization_config": GPTQ})
    with pytest.raises(UsageError, match="org/other is gptq4"):
        resolve_variant("org/other", "none", "vllm", machine=gpu(9.0))
    with pytest.raises(ModelError, match="gptqmodel and optimum, which transformers reads GPTQ checkpoints with"):
        resolve_variant(
            "org/other", None, "transformers", machine=replace(CPU, modules=frozenset({"torch", "transformers"}))
        )
    assert there.fetched == []
    assert resolve_variant("org/other", None, "vllm", machine=gpu(9.0)).compression.source == "published"


def test_a_pruned_checkpoint_is_described_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, tmp_path, BARE)
    facts = resolve_variant("sparse-llama-3.1-8b", None, "vllm", machine=gpu(9.0)).compression
    assert (facts.scheme, facts.bits, facts.sparsity) == ("none", 16, 0.5)


@pytest.mark.parametrize(
    ("size", "free", "fits"), [(10 * GIB, 20 * GIB, True), (21 * GIB, 20 * GIB, False)], ids=["fits", "too large"]
)
def test_too_little_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, free: int, fits: bool) -> None:
    there = Hub(monkeypatch, tmp_path, BARE)
    there.size = size
    if fits:
        resolve_variant("qwen2.5-7b", None, "vllm", machine=gpu(9.0))
        return
    with pytest.raises(ModelError, match=r"disk: 21.0 GiB have to be fetched into .*hub, where 20.0 GiB are free"):
        resolve_variant("qwen2.5-7b", None, "vllm", machine=gpu(9.0))
    assert there.fetched == []


@pytest.mark.parametrize(
    ("engine", "machine", "message"),
    [
        (
            "transformers",
            replace(CPU, memory=8 * GIB),
            r"its weights take 15.0 GiB of memory, and 8.0 GiB are available",
        ),
        ("vllm", replace(CPU, memory=8 * GIB), r"its weights take 15.0 GiB of memory, and 8.0 GiB are available"),
        (
            "transformers",
            gpu(9.0, 12),
            r"its weights take 15.0 GiB, and of the 12.0 GiB of Simulated 12.0 GiB are free",
        ),
        ("vllm", gpu(9.0, 12), r"does not fit: it needs 19.7 GiB .*1 x Simulated of 12.0 GiB.* would fit on 1 x 24 GB"),
    ],
)
def test_too_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, machine: Machine, message: str
) -> None:
    there = Hub(monkeypatch, tmp_path, BARE)
    with pytest.raises(ModelError, match=message):
        resolve_variant("qwen2.5-7b", None, engine, machine=machine)
    assert there.fetched == []
    # A process of the run that loads beside another one does not ask again.
    assert resolve_variant("qwen2.5-7b", None, engine, machine=machine, check=False).kind == "hub"


def test_weights_in_32_bits_take_twice_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Hub(monkeypatch, tmp_path, BARE)
    machine = replace(CPU, memory=20 * GIB, dtype="float32")
    with pytest.raises(ModelError, match=r"its weights take 30.0 GiB of memory, and 20.0 GiB are available"):
        resolve_variant("qwen2.5-7b", None, "transformers", machine=machine)
    assert there.fetched == []
    # What is here is counted, tensor by tensor: 8 bytes of bfloat16 here.
    small = str(checkpoint(tmp_path / "mine"))
    with pytest.raises(ModelError, match="its weights take"):
        resolve_variant(small, None, "transformers", machine=replace(machine, memory=15))
    assert resolve_variant(small, None, "transformers", machine=replace(machine, memory=16)).kind == "folder"


def test_an_unknown_amount_of_memory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, tmp_path, BARE)
    assert resolve_variant("qwen2.5-7b", None, "transformers", machine=replace(CPU, memory=None)).kind == "hub"


# -- what loads what ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quant", ["fp8", "fp8-dynamic"])
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
@pytest.mark.parametrize(
    ("machine", "has"),
    [
        (gpu(8.0), "this GPU has compute capability 8.0"),
        (gpu(7.5), "this GPU has compute capability 7.5"),
        (CPU, "no GPU is visible"),
    ],
    ids=["8.0", "7.5", "cpu"],
)
def test_fp8_on_hardware_without_it(
    quant: str, engine: str, machine: Machine, has: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    groups = {"group_0": {"weights": FLOAT, "input_activations": {**FLOAT, "dynamic": quant == "fp8-dynamic"}}}
    config = {"quant_method": "compressed-tensors", "config_groups": groups}
    there = Hub(monkeypatch, tmp_path, {**BARE, "quantization_config": config})
    with pytest.raises(ModelError) as caught:
        resolve_variant("llama-3.1-8b", quant, engine, machine=machine)
    message = str(caught.value)
    assert "FP8 needs a GPU of compute capability 8.9 or later" in message
    assert has in message
    assert "use w8a8 or w8a16 here" in message
    assert ("Marlin" in message) == (engine == "vllm")
    assert there.fetched == []


def test_nvfp4_is_simulated_by_transformers_and_computed_by_blackwell() -> None:
    stored = "compressed-tensors"
    (why,) = obstacles(stored, "nvfp4", "vllm", gpu(9.0))
    assert "NVFP4 needs a GPU of compute capability 10.0 or later" in why
    assert "--engine transformers simulates it" in why
    assert "Marlin" in why
    assert obstacles(stored, "nvfp4", "vllm", gpu(10.0)) == []
    assert [obstacles(stored, "nvfp4", "transformers", machine) for machine in (gpu(8.0), CPU)] == [[], []]


def test_fp8_on_hardware_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for machine in (gpu(8.9), gpu(9.0), replace(gpu(9.0), capability=None), replace(CPU, cpu_fp8=True)):
        assert obstacles("compressed-tensors", "fp8", "vllm", machine) == []
    folder = checkpoint(tmp_path / "mine", FP8)
    with pytest.raises(ModelError, match="linear_backend=marlin asks for that"):
        resolve_variant(str(folder), None, "vllm", machine=gpu(8.0))
    asked = {"linear_backend": "marlin"}
    assert resolve_variant(str(folder), None, "vllm", machine=gpu(8.0), engine_args=asked).compression.bits == 8


@pytest.mark.parametrize(
    ("model", "quant", "engine", "message"),
    [
        ("hymba-1.5b", None, "transformers", "is_torch_fx_available, which transformers 5 removed: transformers 4.x"),
        ("hymba-1.5b", None, "vllm", "no release of vLLM supports it"),
        ("phi-3-small", None, "vllm", "vLLM supported it up to 0.9.2"),
        ("minitron-4b", None, "vllm", r"its weights are pickled \(\*.bin\)"),
        (
            "sparse-llama-3.1-8b-chat",
            "w4a16",
            "vllm",
            r"vLLM from 0.19.1 on refuses 2:4 .*0.32.0 is installed: vllm<0.19.1",
        ),
        ("sparse-llama-3.1-8b-chat", "w4a16", "transformers", "no longer has the 2:4 compressed formats"),
    ],
)
def test_what_no_engine_loads_says_why_without_asking_the_hub(
    model: str, quant: str | None, engine: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "cached_config", lambda *given: None)
    monkeypatch.setattr(hub, "look_up", lambda *given: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match=message):
        resolve_variant(model, quant, engine, machine=replace(gpu(9.0), vllm_version="0.32.0"))


def test_a_folder_of_such_an_architecture_is_recognised_by_its_config(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "mine", model_type="hymba")
    with pytest.raises(ModelError, match=r"transformers 4\.x is needed"):
        resolve_variant(str(folder), None, "transformers", machine=CPU)


def test_code_of_its_own_needs_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work" / "pyproject.toml").write_text(
        "[tool.thinkslm.models.brings-code]\nparams = 1\nhub_id = 'org/code'\nremote_code = true\n"
    )
    there = Hub(monkeypatch, tmp_path, BARE)
    with pytest.raises(ModelError, match="--trust-remote-code: the checkpoint brings code of its own"):
        resolve_variant("brings-code", None, "vllm", machine=gpu(9.0))
    assert there.fetched == []
    resolve_variant("brings-code", None, "vllm", machine=gpu(9.0), trust_remote_code=True)
    assert there.fetched == [("org/code", None, True)]


@pytest.mark.parametrize(
    ("stored", "engine", "missing", "message"),
    [
        ("gptq", "transformers", "gptqmodel", r"gptqmodel, which .* is not installed \(pip install gptqmodel\)"),
        ("gptq", "transformers", "optimum", r"optimum, which .* is not installed"),
        ("awq", "transformers", "gptqmodel", "gptqmodel, which"),
        ("compressed-tensors", "transformers", "compressed_tensors", "compressed-tensors, which"),
        ("gptq", "vllm", "vllm", "pip install 'pytest-thinkslm.vllm.'"),
        ("safetensors", "transformers", "torch", "torch not installed: pip install 'pytest-thinkslm.transformers.'"),
    ],
)
def test_packages_are_named(stored: str, engine: str, missing: str, message: str) -> None:
    whole = gpu(9.0)
    assert obstacles(stored, "gptq4", engine, whole) == []  # type: ignore[arg-type]
    found = obstacles(stored, "gptq4", engine, replace(whole, modules=whole.modules - {missing}))  # type: ignore[arg-type]
    assert len(found) == 1
    assert re.search(message, found[0])


@pytest.mark.parametrize(
    ("quantization", "stored"),
    [
        (None, "safetensors"),
        (GPTQ, "gptq"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        (W8A8, "compressed-tensors"),
        (FP8, "fp8-static"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-block"),
        ({**W8A8, "sparsity_config": {"format": "sparse-24-bitmask", "targets": ["Linear"]}}, "sparse-24"),
        ({**W8A8, "format": "marlin-24"}, "sparse-24"),
        ({**W8A8, "sparsity_config": {"format": "dense", "targets": ["Linear"]}}, "sparse-dense"),
        ({**W8A8, "sparsity_config": {}}, "compressed-tensors"),
        (EXOTIC, "unknown"),
    ],
    ids=str,
)
def test_formats_are_read_from_the_config(quantization: Mapping[str, object] | None, stored: str) -> None:
    assert stored_as(quantization) == stored
    assert all((stored, engine) in LOADERS for engine in ("vllm", "transformers"))


def test_auto_takes_the_engine_that_loads_it(tmp_path: Path) -> None:
    gptq = str(checkpoint(tmp_path / "gptq", GPTQ))
    eight = str(checkpoint(tmp_path / "eight", {**GPTQ, "bits": 8}))
    no_gptqmodel = replace(CPU, modules=CPU.modules - {"gptqmodel"})
    assert loads_with(gptq, None, "vllm", CPU)
    assert not loads_with(gptq, None, "transformers", no_gptqmodel)
    assert not loads_with(eight, None, "vllm", CPU)
    assert loads_with(eight, None, "transformers", CPU)
    assert not loads_with("qwen2-7b", "fp8", "transformers", gpu(9.0))
    assert loads_with("qwen2-7b", "fp8", "vllm", gpu(9.0))
    cuda_build_without_gpu = replace(CPU, cpu_build=False)
    assert not loads_with("qwen2.5-7b", None, "vllm", cuda_build_without_gpu)
    assert loads_with("qwen2.5-7b", None, "transformers", cuda_build_without_gpu)
    assert loads_with("unheard-of", None, "vllm", CPU), "its own error is said when it is resolved"


# -- a hub that answers ------------------------------------------------------------------------------------------------


class LoopbackHub:
    """A hub on the loopback: refuses with a status and an error code, or has one repository that is quantized."""

    def __init__(self) -> None:
        self.refuses: tuple[int, str] | None = None
        self.asked: list[str] = []
        files = {"config.json": 100, "model.safetensors": 5 * GIB, "pytorch_model.bin": 9 * GIB, "consolidated.pth": 1}
        siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
        facts = {"id": "org/m", "modelId": "org/m", "sha": 40 * "a", "siblings": siblings}
        outer, info, config = self, json.dumps(facts), json.dumps({**BARE, "quantization_config": GPTQ})

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, code = outer.refuses or (200, "")
                body = b"" if code else (config if "/resolve/" in self.path else info).encode()
                self.send_response(status)
                for name, value in {"X-Error-Code": code, "X-Error-Message": code and "restricted"}.items():
                    if value:
                        self.send_header(name, value)
                for name, value in {"ETag": '"e"', "X-Repo-Commit": 40 * "a", "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def loopback_hub() -> Iterator[LoopbackHub]:
    there = LoopbackHub()
    yield there
    there.server.shutdown()
    there.server.server_close()


def refusal(endpoint: str, tmp_path: Path, model: str, quant: str | None, **environment: str) -> str:
    """What is said in a process that has this hub."""
    code = (
        "import sys\n"
        "from pytest_thinkslm.core.errors import ThinkSLMError\n"
        "from pytest_thinkslm.models.loading import Machine\n"
        "from pytest_thinkslm.models.variants import resolve_variant\n"
        "try:\n"
        f"    resolve_variant({model!r}, {quant!r}, 'transformers', machine=Machine())\n"
        "except ThinkSLMError as problem:\n"
        "    print(problem)\n"
        "assert 'torch' not in sys.modules\n"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    surroundings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "THINKSLM_CACHE": str(tmp_path / "own")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **surroundings, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("status", "code", "token", "message"),
    [
        (
            403,
            "GatedRepo",
            "",
            "the hub: the repository is gated: accept its terms on https://huggingface.co/meta-llama/",
        ),
        (401, "GatedRepo", "hf_secret", "HF_TOKEN that is set was not enough"),
        (401, "RepoNotFound", "", "it is private or gated: .* accept its terms on https://huggingface.co/meta-llama/"),
    ],
)
def test_a_gated_repository(
    loopback_hub: LoopbackHub, tmp_path: Path, status: int, code: str, token: str, message: str
) -> None:
    loopback_hub.refuses = (status, code)
    given = {"HF_TOKEN": token} if token else {}
    text = refusal(loopback_hub.endpoint, tmp_path, "llama-3.2-1b", None, **given)
    assert re.search(message, text), text
    assert "HF_TOKEN" in text
    assert "checkpoint: meta-llama/Llama-3.2-1B-Instruct" in text
    assert "hf_secret" not in text


def test_the_config_is_looked_at_before_weights_are_fetched(loopback_hub: LoopbackHub, tmp_path: Path) -> None:
    text = refusal(loopback_hub.endpoint, tmp_path, "org/m", "none")
    assert "org/m is gptq4 (GPTQ, 4-bit weights) by its own config" in text
    assert any(path.endswith("/config.json") for path in loopback_hub.asked)
    assert not any("safetensors" in path or "pytorch_model" in path for path in loopback_hub.asked)


def test_the_size_is_that_of_the_files_which_are_fetched(loopback_hub: LoopbackHub, tmp_path: Path) -> None:
    code = "from pytest_thinkslm.models import hub; print(hub.look_up('org/m').bytes)"
    surroundings = {"HF_ENDPOINT": loopback_hub.endpoint, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    environment = {**os.environ, **surroundings, "THINKSLM_CACHE": str(tmp_path / "own")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 5 * GIB + 100


def test_a_hub_id_is_labelled_by_its_config(loopback_hub: LoopbackHub, tmp_path: Path) -> None:
    """By the process that fetches it as by its workers, which find it fetched."""
    code = "from pytest_thinkslm.models.variants import label_of; print(label_of('org/m'), label_of('org/m'))"
    surroundings = {"HF_ENDPOINT": loopback_hub.endpoint, "NO_PROXY": "127.0.0.1"}

    def label(home: Path) -> str:
        environment = {**os.environ, **surroundings, "HF_HOME": str(home), "THINKSLM_CACHE": str(home / "own")}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert label(tmp_path / "one") == "gptq4 gptq4"
    assert sum(path.startswith("/api/models/") for path in loopback_hub.asked) == 1
    loopback_hub.refuses = (404, "RepoNotFound")
    assert label(tmp_path / "two") == "none none"


def test_every_scheme_has_words() -> None:
    assert all(scheme.title for scheme in SCHEMES.values())
