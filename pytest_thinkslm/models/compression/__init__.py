"""Compression on demand with llm-compressor, in an environment of its own where it is not in this one."""

from pytest_thinkslm.models.compression.on_demand import compressed
from pytest_thinkslm.models.compression.recipes import CompressionError

__all__ = ["CompressionError", "compressed"]
