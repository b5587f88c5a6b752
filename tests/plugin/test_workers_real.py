"""Two workers with the real model beside one process."""

from __future__ import annotations

import pytest
from replayed import items, results

from pytest_thinkslm.machine.hardware import cpus
from pytest_thinkslm.models.cache import cache_root

pytestmark = pytest.mark.model

CACHE = str(cache_root())


@pytest.mark.timeout(900)
def test_two_workers_ask_for_the_same(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampled in float32, where an output depends on prompt and seed alone: equal outputs are equal seeds, too."""
    monkeypatch.setenv("THINKSLM_CACHE", CACHE)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    arguments = (
        "--model=embedded", "--engine=transformers", "--engine-args=dtype=float32,device=cpu", "--temperature=0.8",
        "--repeats=2", "--task=sort8_positive,sort8_mixed", "--limit=2", "--max-tokens=6",
    )  # fmt: skip
    one = pytester.runpytest_subprocess(*arguments, "--report-dir=one", "--journal-dir=first", timeout=400)
    two = pytester.runpytest_subprocess(*arguments, "--report-dir=two", "--journal-dir=second", "-n2", timeout=400)
    assert (one.ret, two.ret) == (0, 0)
    assert (pytester.path / "two" / "items.jsonl").read_bytes() == (pytester.path / "one" / "items.jsonl").read_bytes()
    reported = items(pytester.path / "two")
    assert len(reported) == 8
    assert all(line["prompt_tokens"] and line["output_tokens"] for line in reported)
    assert len({(line["item"], line["task"], line["output"]) for line in reported}) > 4, "repeats differ in their seeds"

    announced = "8 outputs, 0 already journalled, 8 to generate"
    assert sum(announced in line for line in two.outlines) == sum(announced in line for line in one.outlines) == 1

    (alone,) = results(pytester.path / "one")["measured"]["variants"].values()
    (both,) = results(pytester.path / "two")["measured"]["variants"].values()
    assert both["threads"] == max(1, cpus() // 2)
    assert both["generated"] == alone["generated"] == 8
    assert both["output_tokens"] == alone["output_tokens"] == sum(line["output_tokens"] for line in reported)
    # Two processes hold the model: their peaks add up.
    assert both["peak_memory_bytes"] > 1.5 * alone["peak_memory_bytes"] > 200e6
    assert both["devices"] == alone["devices"] == []
    assert both["peak_gpu_memory_bytes"] is None
    assert "gpu_seconds" not in both
    assert both["load_seconds"] > 0
    assert "peak memory" in one.stdout.str()
    assert "checkpoint" in one.stdout.str()
