"""Cutting a window of prompts into batches, and the memory that they take."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.engines.batching import Footprint, Size, footprint, plan
from pytest_thinkslm.machine.memory import free_memory, peak_memory, reset_peak_memory

SMALL = Footprint(cached_token=1000, prefill_token=100, row=10)
SIZES = st.lists(st.builds(Size, st.integers(1, 3000), st.integers(1, 2000)), max_size=60)


@given(sizes=SIZES, free=st.integers(0, 10**8), rows=st.integers(1, 16), tokens=st.none() | st.integers(1, 10**4))
def test_every_prompt_is_in_one_batch_that_fits(sizes: list[Size], free: int, rows: int, tokens: int | None) -> None:
    batches = plan(sizes, SMALL, free, rows, tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
    for batch in batches:
        prompt, new = max(sizes[at].prompt for at in batch), max(sizes[at].new for at in batch)
        assert len(batch) <= rows
        if len(batch) > 1:
            assert SMALL.batch(len(batch), prompt, new) <= free
            assert tokens is None or len(batch) * (prompt + new) <= tokens


@given(sizes=SIZES)
def test_batches_hold_neighbours_in_length_and_start_with_the_earliest(sizes: list[Size]) -> None:
    batches = plan(sizes, SMALL, 10**12, 4)
    assert [min(batch) for batch in batches] == sorted(min(batch) for batch in batches)
    spans = sorted((min(sizes[at].prompt for at in b), max(sizes[at].prompt for at in b)) for b in batches)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert sum(len(batch) < 4 for batch in batches) <= 1


def test_less_memory_makes_smaller_batches() -> None:
    sizes = [Size(100, 100)] * 32
    widths = [max(map(len, plan(sizes, SMALL, free, 32))) for free in (10**9, 6 * 10**6, 10**6, 0)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 32
    assert widths[-1] == 1


@pytest.mark.parametrize(
    ("config", "dtype", "bytes_a_token"),
    [
        # SmolLM2-135M: 2 (keys, values) x 30 layers x 3 heads x 64 x 2 bytes
        ({"num_hidden_layers": 30, "num_key_value_heads": 3, "head_dim": 64, "hidden_size": 576}, "bfloat16", 23_040),
        # no grouped heads, head size from the width: 2 x 12 x 768 x 4 bytes (GPT-2)
        ({"n_layer": 12, "n_head": 12, "n_embd": 768}, "float32", 73_728),
    ],
)
def test_bytes_of_a_cached_token(config: dict[str, object], dtype: str, bytes_a_token: int) -> None:
    assert footprint(config, dtype).cached_token == bytes_a_token


def test_measured_memory_is_plausible() -> None:
    assert 10**6 < free_memory() < 10**14
    peak = peak_memory()
    assert peak is None or peak > 10**6


@pytest.mark.skipif(sys.platform != "linux", reason="reads and writes /proc")
def test_the_peak_begins_again_where_it_is_reset() -> None:
    block = bytearray(b"x" * 200_000_000)
    before = peak_memory()
    del block
    reset_peak_memory()
    after = peak_memory()
    assert before is not None
    assert after is not None
    assert after < before - 100_000_000
