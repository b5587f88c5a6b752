"""Keys and values of a batch that grows token by token and whose rows leave one by one."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from pytest_thinkslm.engines.compat_transformers import cache_classes

#: Positions that are added at once when a layer's room is used up.
_CHUNK = 64


def growing_cache(config: Any) -> Any:
    """A ``DynamicCache`` for ``config`` with a method ``drop(kept, columns) -> bool``.

    ``drop`` keeps the rows in the index tensor ``kept``, in that order, and removes the first ``columns`` positions
    of all rows; false where the columns stay because a layer has no plain positions (sliding windows, recurrent
    states). Plain layers keep spare room, so that a token is written in place; a ``DynamicLayer`` copies all keys and
    values of the batch at every step.
    """
    _, plain_layer = cache_classes()
    growing_layer, growing = _classes()
    made = growing(config=config)
    made.layers = [growing_layer() if type(layer) is plain_layer else layer for layer in made.layers]
    return made


def cache_argument(model: Any) -> str:
    """The name by which ``model`` takes its cache: ``cache`` (transformers 5.24 and later), else ``past_key_values``.

    The old name brings a FutureWarning a forward pass where the new one is there, and goes in 5.40.
    """
    names = inspect.signature(model.forward).parameters
    return "cache" if "cache" in names else "past_key_values"


@cache
def _classes() -> tuple[Any, Any]:
    """The two classes, made when transformers is there."""
    import torch

    cache_class: Any
    layer_class: Any
    cache_class, layer_class = cache_classes()

    class GrowingLayer(layer_class):  # type: ignore[misc]
        """``keys`` and ``values``, (rows, heads, positions, head size), are views into roomier buffers."""

        keys: Any
        values: Any
        rooms: list[Any]

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            seen = self.get_seq_length()
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.rooms = [key_states[:, :, :0], value_states[:, :, :0]]
            end = seen + key_states.shape[-2]
            if end > self.rooms[0].shape[-2]:
                self.rooms = [self._roomier(self.keys, key_states, end), self._roomier(self.values, value_states, end)]
            for room, states in zip(self.rooms, (key_states, value_states), strict=True):
                room[:, :, seen:end] = states
            self.keys, self.values = (room[:, :, :end] for room in self.rooms)
            return self.keys, self.values

        def drop(self, kept: Any, columns: int) -> None:
            self.rooms = [room[:, :, columns:].index_select(0, kept) for room in self.rooms]
            length = self.keys.shape[-2] - columns
            self.keys, self.values = (room[:, :, :length] for room in self.rooms)

        @staticmethod
        def _roomier(old: Any, states: Any, end: int) -> Any:
            rows, heads, _, size = states.shape
            room = torch.empty(rows, heads, end + _CHUNK, size, dtype=states.dtype, device=states.device)
            if old.numel():
                room[:, :, : old.shape[-2]] = old
            return room

    class GrowingCache(cache_class):  # type: ignore[misc]
        def drop(self, kept: Any, columns: int) -> bool:
            plain = all(type(layer) is GrowingLayer for layer in self.layers)
            for layer in self.layers:
                if type(layer) is GrowingLayer:
                    layer.drop(kept, columns if plain else 0)
                else:
                    layer.batch_select_indices(kept)
            return plain

    return GrowingLayer, GrowingCache
