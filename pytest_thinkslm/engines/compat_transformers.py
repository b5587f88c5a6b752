"""What the transformers engine takes from transformers that its documentation does not promise, in this one place.

Seen in transformers 5.16 to 5.24. Each function says what happens where a name is gone; a test fails when one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pytest_thinkslm.core.errors import EngineError


def cache_classes() -> tuple[Any, Any]:
    """``DynamicCache`` and ``cache_utils.DynamicLayer``, whose layers the engine replaces by ones that grow in place.

    Raises:
        EngineError: one is gone; nothing could be generated.
    """
    try:
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer
    except ImportError as problem:
        import transformers

        raise EngineError(
            f"transformers {transformers.__version__} has no cache that this engine knows ({problem}): "
            "install transformers>=5.16,<5.40, or use --engine vllm"
        ) from None
    return DynamicCache, DynamicLayer


@dataclass(frozen=True, slots=True)
class Attention:
    """Where attention functions and masks are registered, and transformers' own of both for ``sdpa``."""

    functions: Any
    masks: Any
    sdpa_mask: Callable[..., Any]
    sdpa: Callable[..., Any]


def attention() -> Attention | None:
    """``masking_utils.sdpa_mask`` and ``integrations.sdpa_attention``; None where one is gone: models then keep
    transformers' own attention, with the same numbers, and slower where heads share keys.
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.integrations.sdpa_attention import sdpa_attention_forward
        from transformers.masking_utils import sdpa_mask
    except ImportError:
        return None
    return Attention(AttentionInterface, AttentionMaskInterface, sdpa_mask, sdpa_attention_forward)


def attention_of(model: Any) -> str | None:
    """The attention that a model runs on (``_attn_implementation`` of its config); None where that is not told."""
    return getattr(model.config, "_attn_implementation", None)


@contextmanager
def listing() -> Iterator[None]:
    """Load on the meta device, to list names and shapes alone: nothing is initialised, accelerate is not asked for.

    ``PreTrainedModel.initialize_weights`` and ``integrations.accelerate.is_accelerate_available``. Raises what Python
    raises where one is gone: the weights are then checked once they are loaded.
    """
    from transformers import PreTrainedModel
    from transformers.integrations import accelerate

    with (
        replaced(PreTrainedModel, "initialize_weights", lambda self: None),
        replaced(accelerate, "is_accelerate_available", lambda *_: True),
    ):
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another value for an attribute of a foreign object, for a while. Raises ``AttributeError`` where it is gone."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
