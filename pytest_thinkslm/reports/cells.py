"""Values as the text of a table's cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def percent(value: object, digits: int = 1) -> str:
    """A fraction as a percentage; a dash where it is not known."""
    return "–" if value is None else f"{100 * float(value):.{digits}f}%"  # type: ignore[arg-type]


def markdown_cell(text: object) -> str:
    """Text that cannot break out of a Markdown table or turn into markup."""
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def further_sampling(settings: Mapping[str, Any]) -> list[str]:
    """Sampling parameters of results.json's settings beside temperature and top-p, where they do something."""
    usual = {"top_k": 0, "min_p": 0, "presence_penalty": 0, "repetition_penalty": 1}
    found = {name: settings.get(name, value) for name, value in usual.items() if settings.get(name, value) != value}
    return [f"{name.replace('_', '-')} {value:g}" for name, value in found.items()]
