"""What model configs of Hugging Face have in common."""

from __future__ import annotations

from collections.abc import Mapping

#: The content of a config.json, or a part of it (``quantization_config``), as it was read.
Config = Mapping[str, object]


def text_config(config: Config) -> Config:
    """The language model's part of a config (multi-modal configs nest it)."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config
