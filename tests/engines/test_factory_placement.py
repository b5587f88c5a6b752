"""Where the factory puts variants on simulated GPUs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.engines.factory import EngineFactory, Share
from pytest_thinkslm.machine import gpus, hardware
from pytest_thinkslm.machine.gpus import Device
from pytest_thinkslm.machine.placement import PlacementError
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.settings.run_settings import Settings

GIB = 1 << 30
CONFIG = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}

Make = Callable[..., EngineFactory]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A factory for models that are named by their weights in GiB, on GPUs of (total, free) GiB."""

    def resolve(self: EngineFactory, variant: Any) -> ResolvedModel:
        folder = tmp_path / variant.model
        folder.mkdir(exist_ok=True)
        header = {"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, int(variant.model) * GIB]}}
        text = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
        return ResolvedModel(variant.model, "folder", folder, variant.model, CONFIG, 0)

    def factory(
        models: tuple[str, ...], table: list[tuple[int, int]], engine: str, share: Share | None = None, **settings: Any
    ) -> EngineFactory:
        found = tuple(Device(i, "G", total * GIB, free * GIB) for i, (total, free) in enumerate(table))
        monkeypatch.setattr(gpus, "devices", lambda: found)
        return EngineFactory(Settings(models, engine=engine, **settings), print, share=share or Share())

    monkeypatch.setattr(EngineFactory, "resolve", resolve)
    monkeypatch.setattr(hardware, "_what_cuda_lacks", lambda: "")
    return factory


def test_transformers_takes_the_first_gpu_with_room(make: Make) -> None:
    one = make(("10",), [(24, 2), (24, 24), (24, 24)], "transformers")
    placement = one.placement(0)
    assert placement is not None
    assert placement.groups == ((1,), (2,))
    assert (one.gpu(0).replicas, [device.index for device in one.gpu(0).devices]) == (1, [1])
    with pytest.raises(PlacementError, match="has to be on one"):
        make(("30",), [(24, 24)] * 4, "transformers").placement(0)


def test_vllm_spreads_and_repeats(make: Make) -> None:
    one = make(("30",), [(24, 24)] * 4, "vllm")
    gpu = one.gpu(0)
    assert (gpu.device, gpu.tensor_parallel, gpu.replicas, len(gpu.devices)) == ("cuda", 2, 2, 4)
    fewer = make(("30",), [(24, 24)] * 4, "vllm", engine_args={"replicas": "1"}).gpu(0)
    assert (fewer.replicas, [device.index for device in fewer.devices]) == (1, [0, 1])


def test_the_users_tensor_parallel_size_makes_the_groups(make: Make) -> None:
    one = make(("10",), [(24, 24)] * 4, "vllm", engine_args={"--tensor-parallel-size": "4"})
    placement = one.placement(0)
    assert placement is not None
    assert placement.groups == ((0, 1, 2, 3),)


def test_workers_get_the_groups_of_the_largest_variant(make: Make) -> None:
    one = make(("10", "60"), [(24, 24)] * 8, "vllm")
    largest = one.largest_placement()
    assert largest is not None
    assert largest.groups == ((0, 1, 2, 3), (4, 5, 6, 7))


def test_a_workers_devices_count_as_the_run_sees_them(make: Make) -> None:
    one = make(("10",), [(24, 24)] * 2, "vllm", share=Share(workers=2, devices=(4, 6)))
    assert [device.index for device in one.gpu(0).devices] == [4, 6]


def test_it_is_decided_once_and_not_for_a_run_that_loads_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make(("10",), [(24, 24)], "vllm")
    before = one.placement(0)
    monkeypatch.setattr(gpus, "devices", lambda: (Device(0, "G", 24 * GIB, 0),))
    assert one.placement(0) is before, "the first variant's own memory does not count against it later"
    assert make(("60",), [(24, 24)], "vllm", rescore=True).placement(0) is None
    with pytest.raises(PlacementError):
        make(("60",), [(24, 24)], "vllm").placement(0)


def test_a_cpu_engine_on_a_machine_with_gpus(make: Make) -> None:
    one = make(("60",), [(24, 24)], "transformers", engine_args={"device": "cpu"})
    assert one.placement(0) is None
    gpu = one.gpu(0)
    assert (gpu.device, gpu.devices, gpu.tensor_parallel, gpu.replicas) == ("cpu", (), 1, 1)
    assert gpu.reason.startswith("cpu: asked for")
