"""What several processes measured as one, and how it is told."""

from __future__ import annotations

from typing import Any

from pytest_thinkslm.reports.recorder import _add_measured
from pytest_thinkslm.reports.summary import size, speed_line


def device(index: int) -> dict[str, object]:
    return {"index": index, "name": "G", "total_bytes": 8}


def test_processes_side_by_side() -> None:
    whole: dict[str, Any] = {}
    _add_measured(
        whole,
        {
            "generated": 3,
            "seconds": 9.0,
            "load_seconds": 4.0,
            "gpu_seconds": 7.5,
            "peak_memory_bytes": 100,
            "peak_gpu_memory_bytes": None,
            "tokens_per_second": 10.0,
            "devices": [device(2)],
            "device": "cuda",
            "tasks": {"gsm8k|direct": {"generated": 3, "output_tokens": 90}},
        },
    )
    _add_measured(
        whole,
        {
            "generated": 4,
            "seconds": 8.0,
            "load_seconds": 5.0,
            "gpu_seconds": 2.5,
            "peak_memory_bytes": 50,
            "peak_gpu_memory_bytes": 30,
            "tokens_per_second": None,
            "devices": [device(0), device(1)],
            "device": "cuda",
            "tasks": {"gsm8k|direct": {"generated": 4, "output_tokens": 10}},
        },
    )
    assert whole == {
        "generated": 7,
        "seconds": 9.0,
        "load_seconds": 5.0,
        "gpu_seconds": 10.0,
        "peak_memory_bytes": 150,
        "peak_gpu_memory_bytes": 30,
        "tokens_per_second": 10.0,
        "devices": [device(0), device(1), device(2)],
        "device": "cuda",
        "tasks": {"gsm8k|direct": {"generated": 7, "output_tokens": 100}},
    }


def test_workers_on_one_device_list_it_once() -> None:
    whole: dict[str, Any] = {}
    for _ in range(2):
        _add_measured(whole, {"devices": [device(0)]})
    assert whole["devices"] == [device(0)]


def test_the_line_says_what_is_known() -> None:
    line = speed_line(
        {
            "generated": 64,
            "seconds": 12.0,
            "load_seconds": 5.0,
            "tokens_per_second": 44.0,
            "device": "cuda",
            "dtype": "bfloat16",
            "peak_memory_bytes": 324 << 20,
            "peak_gpu_memory_bytes": 19 << 30,
        },
        15_300_000_000,
    )
    assert line == (
        "64 outputs generated, 12.0 s, loading 5.0 s, 44 tokens/s while generating, "
        "cuda, bfloat16, peak memory 324 MiB, on GPUs 19.0 GiB, "
        "checkpoint 14.2 GiB"
    )
    assert speed_line({"generated": 1}) == "1 outputs generated"
    assert speed_line({}, 5 << 20) == "nothing was generated: every output was already there, checkpoint 5 MiB"
    assert [size(1), size((1 << 30) - (1 << 20)), size(1 << 30)] == ["0 MiB", "1023 MiB", "1.0 GiB"]
