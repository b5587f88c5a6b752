"""Addresses within ``report.html``: one item, and its browser of items with filters. Pure."""

from __future__ import annotations

from urllib.parse import quote

from pytest_thinkslm.core.identity import GroupKey


def item_link(group: GroupKey, item: str, repeat: int = 1) -> str:
    """The address of one item within the page: ``#item=model|quant|task|style|0017|1``.

    A test that is not called after its task is named at the end: ``...|1|item|test_cities``.
    """
    named = () if group.test == f"test_{group.task}" else ("item", group.test)
    parts = (*group.variant, group.task, group.style, item, str(repeat), *named)
    return "#item=" + "|".join(quote(part, safe="/+.,:", errors="backslashreplace") for part in parts)


def filter_link(**filters: object) -> str:
    """The address of the browser of items with filters set."""
    return "#" + "&".join(
        f"{name}={quote(str(value), safe='/+.,:', errors='backslashreplace')}" for name, value in filters.items()
    )
