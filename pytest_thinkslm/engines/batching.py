"""How prompts become batches: pure arithmetic, no torch.

A window is the next stretch of the queue in submission order, so that what was asked first is answered early. Inside a
window prompts are ordered by length, which keeps the padding small, and cut into batches that fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_thinkslm.core.configs import Config

#: Share of the free memory that a batch may take; the rest is for activations' peaks and for others.
_SHARE = 0.6
_DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class Size:
    """Length of one prompt and the bound on its new tokens, both in tokens."""

    prompt: int
    new: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that a batch takes, in bytes.

    Attributes:
        cached_token: keys and values of one token over all layers.
        prefill_token: activations of one prompt token at the widest point of a layer.
        row: logits of one row and what sampling makes of them.
    """

    cached_token: int
    prefill_token: int
    row: int

    def batch(self, rows: int, prompt: int, new: int) -> int:
        """Bytes for ``rows`` rows padded to ``prompt`` tokens that grow by up to ``new``.

        The cache counts twice: while it grows or loses rows the old and the new copy are both there.
        The mask of the prefill has one entry a pair of positions, in up to 4 bytes.
        """
        cache = 2 * self.cached_token * (prompt + new)
        return rows * (cache + self.prefill_token * prompt + 4 * prompt * prompt + self.row)


def footprint(config: Config, dtype: str) -> Footprint:
    """Estimate from a model's (text) config. Unknown fields fall back to a plain transformer of that width."""

    def number(key: str, default: int) -> int:
        value = config.get(key)
        return value if isinstance(value, int) and value > 0 else default

    width = _DTYPE_BYTES.get(dtype, 4)
    hidden = number("hidden_size", number("n_embd", 4096))
    layers = number("num_hidden_layers", number("n_layer", 32))
    heads = number("num_attention_heads", number("n_head", 32))
    kv_heads = number("num_key_value_heads", heads)
    head = number("head_dim", max(1, hidden // heads))
    inner = number("intermediate_size", 4 * hidden)
    return Footprint(
        cached_token=2 * layers * kv_heads * head * width,
        prefill_token=(8 * hidden + 3 * inner) * width,
        row=4 * 6 * number("vocab_size", 150_000),
    )


def plan(
    sizes: Sequence[Size], prints: Footprint, free: int, max_rows: int, max_tokens: int | None = None
) -> list[list[int]]:
    """Cut one window into batches of indices into ``sizes``; every index occurs once.

    Rows of a batch are neighbours in length (prompt, then new tokens). A batch has at most ``max_rows`` rows, fits
    into its share of ``free`` bytes and, where ``max_tokens`` is given, has at most that many tokens, padding and
    new ones included. A single row always makes a batch: whether it fits is for the device to say. Batches come
    in the order of the earliest request in them.
    """
    budget = int(free * _SHARE)
    batches: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda at: (sizes[at].prompt, sizes[at].new, at)):
        batch = batches[-1] if batches else []
        rows = len(batch) + 1
        prompt = sizes[index].prompt  # the longest so far: they come in this order
        new = max([sizes[index].new, *(sizes[at].new for at in batch)])
        fits = (
            rows <= max_rows
            and prints.batch(rows, prompt, new) <= budget
            and (max_tokens is None or rows * (prompt + new) <= max_tokens)
        )
        if batch and fits:
            batch.append(index)
        else:
            batches.append([index])
    return sorted(batches, key=min)
