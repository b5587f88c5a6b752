"""What earlier runs on this machine measured of a variant: its rate, and how long its outputs are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_thinkslm.core import files
from pytest_thinkslm.core.identity import Variant

#: Runs that are looked at, the newest first, and outputs below which a run says nothing.
_RUNS, _OUTPUTS = 20, 8


@dataclass(frozen=True, slots=True)
class Earlier:
    """Output tokens a second (None: not known), and mean output tokens by ``task|style``."""

    rate: float | None = None
    lengths: Mapping[str, float] = field(default_factory=dict)


def earlier(folder: Path, variant: Variant, engine: str) -> Earlier:
    """What the newest runs in a folder of report folders measured of this variant on this engine.

    What cannot be read is passed over: nothing but an estimate depends on it.
    """
    rate: float | None = None
    lengths: dict[str, float] = {}
    for results in _newest(folder):
        try:
            if not any(_same(facts, variant, engine) for facts in results["variants"]):
                continue
            measured = results["measured"]["variants"][variant.name]
            if measured["generated"] < _OUTPUTS or not measured["tokens_per_second"]:
                continue
            rate = rate or float(measured["tokens_per_second"])
            for group, share in measured.get("tasks", {}).items():
                if share["generated"] >= _OUTPUTS:
                    lengths.setdefault(group, share["output_tokens"] / share["generated"])
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return Earlier(rate, lengths)


def _same(facts: Mapping[str, Any], variant: Variant, engine: str) -> bool:
    return (facts["model"], facts["quant"], facts["engine"]) == (variant.model, variant.quant, engine)


def _newest(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        found = sorted(folder.glob("*/results.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    except OSError:
        return
    for file in found[:_RUNS]:
        try:
            content = files.read_json(file)
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            yield content
