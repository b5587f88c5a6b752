"""Addresses within ``report.html``: one item, and its browser of items with filters. Pure."""

from __future__ import annotations

from urllib.parse import quote


def item_link(model: str, quant: str, task: str, style: str, item: str, repeat: int = 1) -> str:
    """The address of one item within the page: ``#item=model|quant|task|style|0017|1``."""
    return "#item=" + "|".join(quote(part, safe="/+.,:") for part in (model, quant, task, style, item, str(repeat)))


def filter_link(**filters: object) -> str:
    """The address of the browser of items with filters set."""
    return "#" + "&".join(f"{name}={quote(str(value), safe='/+.,:')}" for name, value in filters.items())
