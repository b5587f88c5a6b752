"""Values as the text of a table's cell."""

from __future__ import annotations


def percent(value: object, digits: int = 1) -> str:
    """A fraction as a percentage; a dash where it is not known."""
    return "–" if value is None else f"{100 * float(value):.{digits}f}%"  # type: ignore[arg-type]


def markdown_cell(text: object) -> str:
    """Text that cannot break out of a Markdown table or turn into markup."""
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
