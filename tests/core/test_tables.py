from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pytest_thinkslm.core.tables import (
    Bar,
    Cell,
    Column,
    Table,
    figure_columns,
    html_rows,
    html_table,
    markdown_table,
    percent,
    print_line,
    print_table,
    text_columns,
)

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30)


def printed(table: Table, **how: object) -> str:
    console = Console(file=io.StringIO(), width=120, highlight=False)
    print_table(console, table, **how)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


class Reader(HTMLParser):
    """The texts of the cells, and every tag that there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells and data != "\n":
            self.cells[-1] += data


def test_each_form_has_its_columns() -> None:
    columns = [
        Column("task", "left"),
        Column("accuracy", narrow="accu-\nracy"),
        Column("drawn", forms=("html",)),
        Column("model", "left", forms=("markdown", "html")),
    ]
    table = Table(columns, [["gsm8k", "50.0%", Cell("", bar=Bar(0.5, 0.4, 0.6)), "m"]], "title", ["a note"])
    assert [line.split() for line in printed(table, gap=2).splitlines()] == [
        ["title"],
        ["accu-"],
        ["task", "racy"],
        ["gsm8k", "50.0%"],
        ["a", "note"],
    ]
    assert markdown_table(table) == [
        "| task | accuracy | model |",
        "| --- | ---: | --- |",
        "| gsm8k | 50.0% | m |",
    ]
    html = Reader(html_table(table))
    assert html.cells == ["task", "accuracy", "drawn", "model", "gsm8k", "50.0%", "", "m"]
    assert 'aria-label="50.0%, 40.0–60.0"' in html_table(table)


def test_what_only_html_can_show() -> None:
    cell = Cell(
        "2",
        "bad",
        link="#set=a&b",
        title="t<",
        small="second",
        value="0.5",
        marks=(("A", "mark"),),
        links=(Cell("0001", link="#1"),),
        more=3,
    )
    (row,) = html_rows(Table([Column("lost", css="links")], [[cell]]), "paper").splitlines()
    assert row == (
        '<tr class="paper"><th scope="row" class="r links" data-value="0.5"><span class="mark">A</span>'
        '<a href="#set=a&amp;b" class="lost" title="t&lt;">2</a><small>second</small>'
        '<details><summary>items</summary><a href="#1">0001</a> <span>and 3 more</span></details></th></tr>'
    )
    assert printed(Table(figure_columns("lost"), [[cell]]), gap=1).split() == ["lost", "2"]


@given(TEXTS, TEXTS)
def test_no_text_is_markup(first: str, second: str) -> None:
    table = Table(
        text_columns("a", "b"), [[first, Cell(second, "good", link=first, title=second, small=second)]], first
    )
    html = Reader(html_table(table))
    assert html.cells == ["a", "b", first, second + second]
    assert set(html.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td", "a", "small", "span"}
    line = markdown_table(table)[2]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
    assert "<" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]`*]", line)
    console = Console(file=io.StringIO(), width=500, highlight=False)
    print_line(console, f"[red]{first}[/red]")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]" in shown
    assert "[/red]" in shown


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.0, "0.0%"), (0.12345, "12.3%"), (1, "100.0%")])
def test_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(4998 / 5000, 1, "99.96%"), (1.0, 1, "100.0%"), (0.0, 1, "0.0%"), (1 / 5000, 1, "0.02%"), (0.9956, 0, "99.6%")],
)
def test_no_percentage_is_rounded_to_all_or_nothing(value: float, digits: int, shown: str) -> None:
    assert percent(value, digits) == shown


@given(st.integers(20, 60), st.lists(st.integers(0, 10**9), min_size=1, max_size=6), st.sampled_from([None, 1, 2]))
def test_a_narrow_terminal_cuts_no_figure(width: int, figures: list[int], gap: int | None) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    columns = [Column("task", "left"), *(Column(f"figure {place}") for place in range(len(figures)))]
    print_table(console, Table(columns, [["a task", *map(str, figures)]]), gap=gap)
    head, *_, row = [line for line in console.file.getvalue().splitlines() if line.strip()]  # type: ignore[attr-defined]
    assert head.split() == ["task", *(word for place in range(len(figures)) for word in ("figure", str(place)))]
    assert row.split() == ["a", "task", *map(str, figures)]


def test_columns_stand_closer_where_they_would_not_fit() -> None:
    table = Table(figure_columns("one", "two"), [["1", "2"]])
    lines = {}
    for width in (8, 7):
        console = Console(file=io.StringIO(), width=width, highlight=False)
        print_table(console, table, gap=2)
        lines[width] = console.file.getvalue().splitlines()[0]  # type: ignore[attr-defined]
    assert lines == {8: "one  two", 7: "one two"}
