"""Tables: one description, and its forms for a terminal, Markdown and HTML.

A ``Table`` says what stands in each cell; what a form cannot show (a link on a terminal) it leaves out. All text is
escaped here, so that a model's name or words can be no markup.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape as html_escape
from typing import TYPE_CHECKING, Literal

from pytest_thinkslm.core.text import safe_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

Form = Literal["terminal", "markdown", "html"]
Tone = Literal["", "strong", "quiet", "good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A fraction and the ends of its interval, drawn from 0 to 1."""

    at: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. Everything but ``text`` and ``tone`` is for HTML alone.

    Attributes:
        link: where the text leads.
        title: what is shown when it is pointed at.
        small: a second line.
        value: what it is sorted by, where that is not the text; None where nothing sorts.
        bar: drawn below or in place of the text.
        marks: (text, CSS class) of labels before the text.
        links: folded away behind the word "items"; ``more`` is the number of those that are left out.
    """

    text: str
    tone: Tone = ""
    link: str = ""
    title: str = ""
    small: str = ""
    value: str | None = None
    bar: Bar | None = None
    marks: tuple[tuple[str, str], ...] = ()
    links: tuple[Cell, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading and how its cells are set.

    Attributes:
        align: of text to the left, of figures to the right.
        narrow: heading on a terminal, where the other one would take too much room; may have line breaks.
        wrap: long text is broken.
        forms: where the column is shown.
        css: further CSS class of its cells.
    """

    heading: str
    align: Literal["left", "right"] = "right"
    narrow: str = ""
    wrap: bool = False
    forms: tuple[Form, ...] = ("terminal", "markdown", "html")
    css: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, rows with a cell a column, and the lines that stand around them."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]
    title: str = ""
    notes: Sequence[str] = ()

    def shown(self, form: Form) -> tuple[list[Column], list[list[Cell]]]:
        """The columns of a form, and the rows' cells in them."""
        kept = [place for place, column in enumerate(self.columns) if form in column.forms]
        rows = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]
        return [self.columns[place] for place in kept], [[row[place] for place in kept] for row in rows]


def text_columns(*headings: str) -> list[Column]:
    """Columns of text."""
    return [Column(heading, "left") for heading in headings]


def figure_columns(*headings: str) -> list[Column]:
    """Columns of figures."""
    return [Column(heading) for heading in headings]


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage; a dash where it is not known. 0% and 100% are nothing but that: see ``figure``."""
    return "–" if value is None else f"{figure(100 * value, digits, 0, 100)}%"


def figure(value: float, digits: int, *borders: float) -> str:
    """A number with as many digits after the point as keep it from being rounded to a border, or over it.

    99.96 is no 100.0 and an accuracy below 85% no 85.0%. Six digits at most.
    """
    for wanted in range(digits, 7):
        text = f"{value:.{wanted}f}"
        shown = float(text)
        if all((shown > border) - (shown < border) == (value > border) - (value < border) for border in borders):
            return text
    return f"{value:.{digits}f}"


# --- terminal

#: Characters of a line that no table is wider than.
_UNBOUNDED = 10_000

_STYLES = {"strong": "bold", "quiet": "dim", "good": "green", "warning": "yellow", "bad": "red"}


def stdout_console(width: int) -> Console:
    """Standard output, taken for at least ``width`` characters wide, so that a pipe loses no column."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    return Console(force_terminal=console.is_terminal, width=max(console.width, width), highlight=False)


def print_table(console: Console, table: Table, *, gap: int | None = None, caption: str = "") -> None:
    """Print a table and, faint, its notes.

    Figures are never cut: where they do not fit the columns stand closer, and past that a row is longer than a line.

    Args:
        gap: blanks between columns of a table without rules; None draws a rule below the headings.
        caption: a line right below the rows.
    """
    drawn = _rich_table(table, gap, caption)
    if gap is not None and gap > 1 and _least_width(console, drawn) > console.width:
        drawn = _rich_table(table, 1, caption)
    if (least := _least_width(console, drawn)) > console.width:
        drawn.width = least
    console.print(drawn, crop=False)
    for note in table.notes:
        print_line(console, note, "quiet")


def fits(console: Console, table: Table) -> bool:
    """Whether the table's rows are no longer than a line, its columns as close as they get."""
    return _least_width(console, _rich_table(table, 1, "")) <= console.width


def print_line(console: Console, text: str, tone: Tone = "") -> None:
    """Print a line of text, however long, as it is."""
    console.print(_rich_text(text, tone), soft_wrap=True)


def _rich_table(table: Table, gap: int | None, caption: str) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    result = RichTable(
        title=_rich_text(table.title) if table.title else None,
        caption=_rich_text(caption) if caption else None,
        box=SIMPLE_HEAD if gap is None else None,
        padding=(0, 1) if gap is None else (0, gap, 0, 0),
        pad_edge=gap is None,
        title_justify="left",
        caption_justify="left",
        header_style="bold",
    )
    columns, rows = table.shown("terminal")
    for place, column in enumerate(columns):
        heading = column.narrow or column.heading
        # rich cuts what must not wrap as well, unless it is told how wide that is.
        width = None if column.wrap else _width([heading, *(row[place].text for row in rows)])
        result.add_column(
            _rich_text(heading), justify=column.align, no_wrap=not column.wrap, overflow="fold", min_width=width
        )
    for row in rows:
        result.add_row(*(_rich_text(cell.text, cell.tone) for cell in row))
    return result


def _width(texts: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max((cell_len(line) for text in texts for line in text.splitlines()), default=0)


def _least_width(console: Console, drawn: RichTable) -> int:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(width=_UNBOUNDED), drawn).minimum


def _rich_text(text: str, tone: Tone = "") -> Text:
    from rich.text import Text

    return Text(safe_text(text), style=_STYLES.get(tone, ""))


# --- Markdown


def markdown_line(text: object) -> str:
    """Text that cannot break out of a line or a table of Markdown, nor turn into HTML."""
    return safe_text(str(text)).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def markdown_text(text: object) -> str:
    """Text that is neither markup nor a link in Markdown."""
    return re.sub(r"([\[\]`*])", r"\\\1", markdown_line(text))


def markdown_table(table: Table) -> list[str]:
    """The lines of the table alone: title and notes are for its surroundings to place."""
    columns, rows = table.shown("markdown")
    return [
        "| " + " | ".join(markdown_text(column.heading) for column in columns) + " |",
        "|" + "|".join(" ---: " if column.align == "right" else " --- " for column in columns) + "|",
        *("| " + " | ".join(markdown_text(cell.text) for cell in row) + " |" for row in rows),
    ]


# --- HTML

#: Characters of a second line from which on it may be cut on a page, and is given whole as a title.
_LONG = 40

_CLASSES = {"strong": "plain strong", "quiet": "quiet", "good": "gained", "warning": "some", "bad": "lost"}


def escape(text: str) -> str:
    """Text as HTML: no markup, and no character that the eye cannot see for what it is."""
    return html_escape(safe_text(text))


def shown_in_html(value: object) -> object:
    """For templates that escape by themselves (jinja2's ``finalize``): text with its unsafe characters visible."""
    return safe_text(value) if type(value) is str else value


def html_table(table: Table) -> str:
    """The table in a frame that scrolls, with ``title`` as its accessible name; the first column heads the rows."""
    columns, _ = table.shown("html")
    heads = "".join(f'<th scope="col"{_class(_of_column(column))}>{escape(column.heading)}</th>' for column in columns)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(table.title)}">\n<table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{html_rows(table)}</tbody>\n</table>\n</div>"
    )


def html_rows(table: Table, css: str = "") -> str:
    """The rows alone, a line each; ``css`` is the class of each."""
    columns, rows = table.shown("html")
    return "".join(f"<tr{_class([css])}>{''.join(_html_row(columns, row))}</tr>\n" for row in rows)


def _html_row(columns: Sequence[Column], row: Sequence[Cell]) -> Iterator[str]:
    for place, (column, cell) in enumerate(zip(columns, row, strict=True)):
        tag, scope = ("td", "") if place else ("th", ' scope="row"')
        value = "" if cell.value is None else f' data-value="{escape(cell.value)}"'
        title = f' title="{escape(cell.title)}"' if cell.title and not cell.link else ""
        marks = "".join(f'<span class="{css}">{escape(text)}</span>' for text, css in cell.marks)
        inner = marks + _html_text(cell) + _html_bar(cell) + _html_links(cell)
        yield f"<{tag}{scope}{_class(_of_column(column))}{value}{title}>{inner}</{tag}>"


def _of_column(column: Column) -> list[str]:
    return ["r" if column.align == "right" else "", "text" if column.wrap else "", column.css]


def _html_text(cell: Cell) -> str:
    text, tone = escape(cell.text), _CLASSES.get(cell.tone, "")
    if cell.link:
        title = f' title="{escape(cell.title)}"' if cell.title else ""
        text = f'<a href="{escape(cell.link)}"{_class([tone])}{title}>{text}</a>'
    elif tone:
        text = f"<span{_class([tone])}>{text}</span>"
    whole = f' title="{escape(cell.small)}"' if len(cell.small) > _LONG else ""
    return text + (f"<small{whole}>{escape(cell.small)}</small>" if cell.small else "")


def _html_links(cell: Cell) -> str:
    if not cell.links:
        return ""
    links = " ".join(map(_html_text, cell.links))
    more = f" <span>and {cell.more} more</span>" if cell.more else ""
    return f"<details><summary>items</summary>{links}{more}</details>"


def _html_bar(cell: Cell) -> str:
    if cell.bar is None:
        return ""
    exact = [100 * part for part in (cell.bar.at, cell.bar.low, cell.bar.high)]
    at, low, high = (round(part, 2) for part in exact)
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{exact[0]:.1f}%, {exact[1]:.1f}–{exact[2]:.1f}">'
        '<rect class="rail" x="0" y="3" width="100" height="4"/>'
        f'<rect class="fill" x="0" y="3" width="{at}" height="4"/>'
        f'<rect class="span" x="{low}" y="1" width="{max(high - low, 0.4):g}" height="8"/>'
        f'<rect class="at" x="{max(at - 0.3, 0):g}" y="0" width="0.6" height="10"/></svg>'
    )


def _class(names: Sequence[str]) -> str:
    given = " ".join(filter(None, names))
    return f' class="{given}"' if given else ""
