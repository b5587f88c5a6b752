"""Keys and values of a batch whose rows leave one by one."""

from __future__ import annotations

from typing import Any


def growing_cache(config: Any) -> Any:
    """A ``DynamicCache`` for ``config`` with a method ``drop(kept, columns) -> bool``.

    ``drop`` keeps the rows in the index tensor ``kept``, in that order, and removes the first ``columns`` positions
    of all rows; false where the columns stay because a layer has no plain positions (sliding windows, recurrent
    states).
    """
    from transformers import DynamicCache

    class GrowingCache(DynamicCache):  # type: ignore[misc]
        def drop(self, kept: Any, columns: int) -> bool:
            from transformers.cache_utils import DynamicLayer

            self.batch_select_indices(kept)
            if not all(type(layer) is DynamicLayer for layer in self.layers):
                return False
            for layer in self.layers:
                layer.keys = layer.keys[:, :, columns:]
                layer.values = layer.values[:, :, columns:]
            return True

    return GrowingCache(config=config)
