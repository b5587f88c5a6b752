"""Placement over simulated device tables, and GPUs through a simulated NVML."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.machine import gpus
from pytest_thinkslm.machine.gpus import Device
from pytest_thinkslm.machine.placement import (
    GIB,
    UTILIZATION,
    Need,
    Placement,
    PlacementError,
    kv_bytes_per_token,
    need,
    need_of_catalogue,
    need_of_checkpoint,
    place,
    weights_bytes,
)

with files("pytest_thinkslm.reference").joinpath("thinkslm_leaderboard.csv").open(encoding="utf-8") as stream:
    # Five rows have no size: an fp8 checkpoint, whose paper gives none.
    ROWS = [
        (
            f"{row['model_key']}-{row['quant_key']}",
            None if row["disk_GB"] == "--" else float(row["disk_GB"]),
            float(row["params"].rstrip("B")),
        )
        for row in csv.DictReader(stream)
    ]


def machine(count: int, gib: int, free: float = 1.0) -> tuple[Device, ...]:
    return tuple(Device(index, "Simulated", gib * GIB, int(gib * GIB * free)) for index in range(count))


MACHINES = {"1x24": machine(1, 24), "2x24": machine(2, 24), "8x80": machine(8, 80)}


def test_the_table_has_its_72_rows() -> None:
    assert len(ROWS) == 72


@pytest.mark.parametrize("devices", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize(("name", "disk", "billions"), ROWS, ids=[name for name, _, _ in ROWS])
def test_all_catalogued_sizes(name: str, disk: float | None, billions: float, devices: tuple[Device, ...]) -> None:
    what = need_of_catalogue(disk, billions, bits=8)
    found = place_or_refuse(what, devices, name)
    if isinstance(found, str):
        # Truly nothing fits: the whole machine together is too small at every size.
        for size in (1, 2, 4, 8):
            assert size > len(devices) or what.share(size) > UTILIZATION * devices[0].total_bytes
        assert name in found
        assert f"weights {what.weights / GIB:.1f} GiB" in found
        assert "would fit on" in found
    else:
        check(found, what, devices)


def place_or_refuse(what: Need, devices: tuple[Device, ...], name: str = "m") -> Placement | str:
    try:
        return place(what, devices, name)
    except PlacementError as error:
        return str(error)


def check(found: Placement, what: Need, devices: tuple[Device, ...]) -> None:
    used = [index for group in found.groups for index in group]
    assert len(used) == len(set(used)), "no GPU is in two groups"
    assert found.replicas == len(found.groups) >= 1
    by_index = {device.index: device for device in devices}
    for group in found.groups:
        assert len(group) == found.tensor_parallel
        for index in group:
            device = by_index[index]
            assert what.share(found.tensor_parallel) <= min(device.total_bytes * UTILIZATION, device.free_bytes)
    for smaller in (size for size in (1, 2, 4) if size < found.tensor_parallel):
        able = [d for d in devices if what.share(smaller) <= min(d.total_bytes * UTILIZATION, d.free_bytes)]
        assert len(able) < smaller or (what.heads or smaller) % smaller, "a smaller group would have done"


@pytest.mark.parametrize(
    ("name", "where", "expected"),
    [
        ("qwen2.5-0.5b-none", "1x24", (1, 1)),
        ("qwen2.5-0.5b-none", "2x24", (1, 2)),
        ("qwen2.5-0.5b-none", "8x80", (1, 8)),
        ("llama-3.1-8b-none", "1x24", (1, 1)),
        ("mistral-nemo-12b-none", "1x24", None),
        ("mistral-nemo-12b-none", "2x24", (2, 1)),
        ("qwen2.5-32b-none", "2x24", None),
        ("qwen2.5-32b-gptq4", "2x24", (2, 1)),
        ("qwen2.5-32b-none", "8x80", (1, 8)),
        ("llama-3.1-70b-none", "2x24", None),
        ("llama-3.1-70b-w4a16", "2x24", None),
        ("llama-3.1-70b-w4a16", "8x80", (1, 8)),
    ],
)
def test_some_by_hand(name: str, where: str, expected: tuple[int, int] | None) -> None:
    ((disk, billions),) = [(disk, billions) for row, disk, billions in ROWS if row == name]
    try:
        found = place(need_of_catalogue(disk, billions), MACHINES[where], name)
    except PlacementError:
        assert expected is None
    else:
        assert (found.tensor_parallel, found.replicas) == expected


def test_the_refusal_has_figures_and_what_would_fit() -> None:
    with pytest.raises(PlacementError) as error:
        place(need_of_catalogue(131.4, 70.0), machine(2, 24), "llama-3.1-70b")
    text = str(error.value)
    assert isinstance(error.value, ModelError)
    assert "llama-3.1-70b does not fit: it needs" in text
    assert "2 x Simulated of 24.0 GiB" in text
    offered = re.findall(r"(\d) x (\d+) GB", text)
    assert offered
    for count, gib in offered:
        place(need_of_catalogue(131.4, 70.0), machine(int(count), int(gib)))
    (at_most,) = re.findall(r"at most ([\d.]+) GiB", text)
    place(need_of_catalogue(float(at_most) - 0.1, 70.0), machine(2, 24))
    with pytest.raises(PlacementError):
        place(need_of_catalogue(float(at_most) + 0.1, 70.0), machine(2, 24))


def test_memory_that_others_hold_counts() -> None:
    what = need_of_catalogue(15.0, 8.0)
    place(what, machine(1, 24))
    with pytest.raises(PlacementError, match="Other programs hold memory on 1 of them"):
        place(what, machine(1, 24, free=0.5))


def test_unequal_gpus() -> None:
    devices = (Device(0, "small", 16 * GIB, 16 * GIB), *(Device(i, "big", 80 * GIB, 80 * GIB) for i in (1, 2, 3)))
    assert place(need_of_catalogue(60.0, 32.0), devices).groups == ((1,), (2,), (3,))
    assert place(need_of_catalogue(90.0, 32.0), devices).groups == ((1, 2),)


def test_one_size_that_may_be() -> None:
    """transformers takes one GPU; a user may name vLLM's tensor-parallel size."""
    small, large = need_of_catalogue(10.0, 5.0), need_of_catalogue(30.0, 15.0)
    assert place(small, machine(4, 24), size=1).groups == ((0,), (1,), (2,), (3,))
    assert place(small, machine(4, 24), size=2).groups == ((0, 1), (2, 3))
    assert place(large, machine(2, 24)).tensor_parallel == 2
    with pytest.raises(PlacementError, match="it has to be on one") as error:
        place(large, machine(2, 24), size=1)
    assert re.findall(r"(\d) x (\d+) GB", str(error.value)) == [("1", "48"), ("1", "80"), ("1", "141")]
    with pytest.raises(PlacementError, match="tensor-parallel size of 4 was asked for, but there is 2 x Simulated"):
        place(small, machine(2, 24), size=4)


def test_heads_that_do_not_divide() -> None:
    what = need(30 * GIB, 1, heads=9)
    assert place(need(30 * GIB, 1, heads=8), machine(2, 24)).tensor_parallel == 2
    with pytest.raises(PlacementError):
        place(what, machine(2, 24))


def test_without_a_gpu() -> None:
    assert place(need_of_catalogue(500, 300), ()) == Placement(1, 1, (), "no GPU is visible: one replica on the CPU")


@given(
    st.integers(0, 400 * GIB),
    st.integers(0, 400_000),
    st.none() | st.integers(1, 128),
    st.lists(st.tuples(st.integers(1, 200), st.floats(0, 1)), min_size=1, max_size=10),
)
def test_whatever_is_placed_fits(weights: int, kv: int, heads: int | None, table: list[tuple[int, float]]) -> None:
    devices = tuple(Device(i, "any", gib * GIB, int(gib * GIB * free)) for i, (gib, free) in enumerate(table))
    what = need(weights, kv, heads=heads)
    found = place_or_refuse(what, devices)
    if isinstance(found, str):
        assert "would fit" in found
    else:
        check(found, what, devices)
        assert heads is None or heads % found.tensor_parallel == 0


def write(path: Path, tensors: dict[str, tuple[str, int]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": [size], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(at))


def test_weights_of_a_folder(tmp_path: Path) -> None:
    write(
        tmp_path / "model.safetensors", {"a": ("BF16", 200), "b": ("F32", 400), "q": ("I32", 64), "f": ("F8_E4M3", 8)}
    )
    write(tmp_path / "consolidated.safetensors", {"a": ("BF16", 9999)})
    assert weights_bytes(tmp_path) == 672
    assert weights_bytes(tmp_path, "bfloat16") == 200 + 200 + 64 + 8
    assert weights_bytes(tmp_path, "float32") == 400 + 400 + 64 + 8


def test_weights_of_shards(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"model-0000{number}-of-00002.safetensors", {f"t{number}": ("F16", 100)})
    write(tmp_path / "other.safetensors", {"x": ("F16", 1000)})
    weight_map = {f"t{number}": f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert weights_bytes(tmp_path) == 200


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 20, (5).to_bytes(8, "little") + b"{]", (2).to_bytes(8, "little") + b"[]"]
)
def test_damaged_headers(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="header"):
        weights_bytes(tmp_path)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}, 131_072),
        ({"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}, 23_040),
        ({"text_config": {"num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}}, 2 * 2 * 4 * 8 * 2),
    ],
)
def test_kv_bytes(config: dict[str, Any], size: int) -> None:
    assert kv_bytes_per_token(config) == size


def test_need_of_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"a": ("BF16", 1000)})
    config = {"num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
    what = need_of_checkpoint(tmp_path, config, context=10, batch=3)
    assert (what.weights, what.kv_cache, what.heads) == (1000, 2 * 2 * 4 * 8 * 2 * 30, 4)


class FakeNVML(SimpleNamespace):
    class NVMLError(Exception):
        pass

    sizes = (24, 48, 80)
    driver = True
    open = 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("no driver")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.sizes)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if not 0 <= index < len(self.sizes):
            raise self.NVMLError("invalid")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        raise self.NVMLError(uuid)

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:
        return f"GPU-{handle}{handle}-abc".encode()

    def nvmlDeviceGetName(self, handle: int) -> str:
        return f"G{self.sizes[handle]}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=self.sizes[handle] * GIB, free=GIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=7, usedGpuMemory=handle + 1), SimpleNamespace(pid=8, usedGpuMemory=None)]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNVML:
    fake = FakeNVML()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.mark.parametrize(
    ("hidden", "names"),
    [
        (None, ["G24", "G48", "G80"]),
        ("2,0", ["G80", "G24"]),
        ("", []),
        ("-1", []),
        ("0,9,1", ["G24"]),
        ("GPU-11,0", ["G48", "G24"]),
        ("MIG-1", []),
        ("1,1", []),
    ],
)
def test_visible_devices(nvml: FakeNVML, hidden: str | None, names: list[str]) -> None:
    found = gpus.devices({} if hidden is None else {"CUDA_VISIBLE_DEVICES": hidden})
    assert [device.name for device in found] == names
    assert [device.index for device in found] == list(range(len(names)))
    assert nvml.open == 0, "the library is shut down again"


def test_groups_of_the_callers_list() -> None:
    assert gpus.visible((0, 2), {}) == "0,2"
    assert gpus.visible((1,), {"CUDA_VISIBLE_DEVICES": "2,3"}) == "3"
    assert gpus.visible((0, 1), {"CUDA_VISIBLE_DEVICES": "GPU-aa, GPU-bb"}) == "GPU-aa,GPU-bb"


def test_memory_by_process(nvml: FakeNVML) -> None:
    assert gpus.memory_by_process([7, 8, 9]) == {"7": 6}
    own = gpus.peak_resident([os.getpid(), 2**30])
    assert list(own) == [str(os.getpid())] or sys.platform != "linux"


@pytest.mark.parametrize("way", ["no module", "no driver"])
def test_no_gpu(nvml: FakeNVML, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    nvml.driver = False
    if way == "no module":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpus.devices({}) == ()
    assert gpus.memory_by_process([1]) == {}
