"""Attention of one new token a row without copying keys and values for every query head.

With grouped-query attention (Ainslie et al. 2023, section 2.2) several query heads share a key head. transformers'
``sdpa`` copies the keys and values once a query head whenever there is a mask, that is in every padded batch. While
decoding there is one query position, so the heads of a group can take the place of positions: same numbers, no copy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pytest_thinkslm.engines import compat_transformers

NAME = "thinkslm_sdpa"


def use_grouped_attention(model: Any) -> None:
    """Switch a model that runs on ``sdpa`` to it; any other model stays as it is."""
    parts = compat_transformers.attention()
    if parts is None or compat_transformers.attention_of(model) != "sdpa":
        return
    parts.functions.register(NAME, functools.partial(_attention, parts.sdpa))
    parts.masks.register(NAME, parts.sdpa_mask)
    model.set_attn_implementation(NAME)


def _attention(
    plain: Callable[..., tuple[Any, None]],
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Any, None]:
    """Takes and returns what transformers' ``sdpa_attention_forward`` (``plain``) does.

    States are (rows, heads, positions, head size); the result is (rows, positions, heads, head size).
    """
    import torch

    rows, heads, positions, size = query.shape
    groups = key.shape[1]
    shared = attention_mask is None or attention_mask.shape[1] == 1
    if positions != 1 or groups == heads or not shared or kwargs.get("position_bias") is not None:
        return plain(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    grouped = query.reshape(rows, groups, heads // groups, size)
    output = torch.nn.functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    return output.reshape(rows, 1, heads, value.shape[-1]), None
