"""``--engine-args`` of the transformers engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.engines.loop_guard import switch


@dataclass(frozen=True, slots=True)
class Arguments:
    """``--engine-args`` of this engine: ``device``, ``dtype``, ``max_batch`` (rows), ``batch_tokens``, ``threads``,
    ``loop_guard`` (on, off).
    """

    device: str = "auto"
    dtype: str = "auto"
    max_batch: int | None = None
    batch_tokens: int | None = None
    threads: int | None = None
    loop_guard: bool = True

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Arguments:
        """Check names and values; UsageError says what is valid."""
        values: dict[str, Any] = {}
        for key, text in given.items():
            if key not in cls.__slots__:
                raise UsageError(
                    f"--engine-args: the transformers engine has no argument {key!r}: {nearest(key, cls.__slots__)}"
                )
            if key in ("device", "dtype"):
                values[key] = text
            elif key == "loop_guard":
                values[key] = switch(text)
            elif text.isascii() and text.isdigit() and int(text) > 0:
                values[key] = int(text)
            else:
                raise UsageError(f"--engine-args: {key}={text}: a whole number above 0 is needed")
        return cls(**values)
