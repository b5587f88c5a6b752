"""What an engine's outputs depend on beside the request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

#: What stands for the version of a package that is not here: an engine can be described without it, not run.
NOT_INSTALLED = "not installed"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an engine's outputs depend on beside the request: the journal's folder name.

    ``facts`` is JSON-serialisable: model id, revision and file hashes, quantization config, dtype,
    template hash, engine and version. It is computed without importing torch or vllm, so that a full
    journal answers in seconds.
    """

    facts: Mapping[str, object]

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON of the facts."""
        text = json.dumps(self.facts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
