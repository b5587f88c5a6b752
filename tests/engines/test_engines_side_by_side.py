"""Engines that share a machine: threads, memory, and what they report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_thinkslm.engines import transformers_engine, vllm_engine
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.machine import hardware, openmp
from pytest_thinkslm.models import vllm_args
from pytest_thinkslm.models.resolve import ResolvedModel

GIB = 1 << 30


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight CPUs and 64 GiB, nothing set by the user."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("OMP_NUM_THREADS", "VLLM_CPU_KVCACHE_SPACE"):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever an engine sets
        monkeypatch.delenv(name)
    monkeypatch.setattr(openmp, "cpus", lambda: 8)
    monkeypatch.setattr(openmp, "_busy_elsewhere", lambda seconds: 0.0)
    for module in (transformers_engine, vllm_engine):
        monkeypatch.setattr(module, "free_memory", lambda: 64 * GIB)
    monkeypatch.setattr(vllm_args, "parse", lambda given: {name: int(value) for name, value in given.items()})
    monkeypatch.setattr(vllm_args, "installed_version", lambda: "0")


def model() -> ResolvedModel:
    # 1 MiB of keys and values a token: room for 64 sequences of 2,048 would be 128 GiB.
    config = {"num_hidden_layers": 64, "num_attention_heads": 32, "hidden_size": 4096}
    return ResolvedModel("tiny", "folder", Path("tiny"), "tiny", config, 0)


@pytest.mark.parametrize(
    ("beside", "arguments", "threads", "space"),
    [
        (1, {}, None, "16"),
        (2, {}, "4", "8"),
        (3, {}, "2", "5"),
        (20, {}, "1", "1"),
        (2, {"replicas": "2"}, "2", "4"),
    ],
)
def test_vllm_takes_its_share(beside: int, arguments: Mapping[str, str], threads: str | None, space: str) -> None:
    environ = VLLMEngine(model(), engine_args=arguments, beside=beside)._environ(None)
    assert environ.get("OMP_NUM_THREADS") == threads
    assert environ["VLLM_CPU_KVCACHE_SPACE"] == space


def test_vllm_keeps_to_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "9")
    environ = VLLMEngine(model(), beside=2)._environ(None)
    assert (environ["OMP_NUM_THREADS"], environ["VLLM_CPU_KVCACHE_SPACE"]) == ("7", "9")


@pytest.mark.parametrize(("beside", "threads"), [(1, None), (2, 4), (3, 2), (20, 1)])
def test_transformers_takes_its_share(beside: int, threads: int | None) -> None:
    engine = TransformersEngine(model(), beside=beside)
    assert engine._threads() == threads
    assert os.environ.get("OMP_NUM_THREADS") == (None if threads is None else str(threads)), "read as torch loads"
    assert engine._free_memory() == 64 * GIB // beside


def test_transformers_keeps_to_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TransformersEngine(model(), engine_args={"threads": "5"}, beside=2)._threads() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert TransformersEngine(model(), beside=2)._threads() is None, "torch reads it"


def test_what_was_not_measured_is_absent() -> None:
    for engine in (VLLMEngine(model()), TransformersEngine(model())):
        facts = engine.measured()
        for name in ("gpu_seconds", "load_seconds", "peak_memory_bytes", "peak_gpu_memory_bytes"):
            assert name not in facts


def test_cpus_of_this_process() -> None:
    assert 1 <= hardware.cpus() <= (os.cpu_count() or 1)
