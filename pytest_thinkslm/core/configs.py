"""What model configs of Hugging Face have in common."""

from __future__ import annotations

from collections.abc import Mapping


def text_config(config: Mapping[str, object]) -> Mapping[str, object]:
    """The language model's part of a config (multi-modal configs nest it)."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config
