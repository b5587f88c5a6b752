"""The leaderboard as files: a page, CSV and Markdown. Names of models and runs are text in all three."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from importlib import resources

from pytest_thinkslm.core.tables import (
    Cell,
    Column,
    Table,
    figure_columns,
    html_rows,
    markdown_table,
    markdown_text,
    shown_in_html,
    text_columns,
)
from pytest_thinkslm.reports.leaderboard import SORTING, Leaderboard, Line, RankedGroup
from pytest_thinkslm.reports.leaderboard_entries import CellKey, Score
from pytest_thinkslm.reports.pareto import Point, pareto_svg
from pytest_thinkslm.reports.summary import interval_text

#: Conditions that have a column of their own in the CSV.
_CONDITIONS = (
    *("selection", "temperature", "top-p", "other sampling", "max tokens", "thinking", "system message"),
    *("repeats", "judge"),
)

_STYLES = {"direct": "direct", "cot": "CoT", "5shot": "5-shot", "5shot-cot": "5-shot CoT", "8shot": "8-shot"}

#: What every format says of the two averages.
AVERAGES = (
    "Sorting average: mean of the six sorting columns. Overall average: as the paper gives it, by a rule that is not "
    "published, so it is not computed for other rows."
)


def html(board: Leaderboard) -> str:
    """One self-contained page: light and dark, sortable, printable; loads nothing."""
    from jinja2 import Environment

    source = resources.files("pytest_thinkslm.reports").joinpath("leaderboard.html").read_text("utf-8")
    template = Environment(autoescape=True, finalize=shown_in_html, trim_blocks=True, lstrip_blocks=True).from_string(
        source
    )
    columns = board.columns
    heads = [*text_columns("model", "params", "quantization"), Column("GPU memory, GiB"), Column("disk, GiB")]
    heads += map(Column, _titles(columns))
    return template.render(
        groups=[_html_group(group, columns, heads) for group in board.groups],
        heads=heads,
        remarks=[*board.remarks, AVERAGES],
        plots=[(group.title, plots) for group in board.groups if (plots := _plots(group, columns))],
        several=len(board.groups) > 1,
    )


def csv_text(board: Leaderboard) -> str:
    """One row a variant; accuracies are fractions, memory and disk GiB, empty where nothing is known."""
    columns = board.columns
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures = [f"{name}{end}" for name in map(_plain_name, columns) for end in ("", "_low", "_high", "_n")]
    lead = ["source", "group", "model", "quant", "name", "params", "quantization", "gpu_memory_gib", "disk_gib"]
    tail = [*(name.replace(" ", "_").replace("-", "_") for name in _CONDITIONS), "engine", "runs", "started", "notes"]
    writer.writerow([*lead, *figures, "sorting_average", "overall_average", *tail])
    for group in board.groups:
        for line in group.lines:
            notes = [f"void {_plain_name(key)}: {cell.void}" for key, cell in line.cells.items() if cell.void]
            values: list[object] = [
                "paper" if group.paper else "run",
                group.name,
                line.model,
                line.quant,
                line.display,
                line.parameters,
                line.quantization,
                _number(line.gpu_memory, 3),
                _number(line.disk, 3),
                *(value for key in columns for value in _csv_cell(line.cells.get(key))),
                _number(line.sorting_average, 6),
                _number(line.overall_average, 6),
                *(group.conditions.get(name, "") for name in _CONDITIONS),
                " ".join(line.engines),
                " ".join(line.runs),
                line.started,
                "; ".join([*group.differs, *notes]),
            ]
            writer.writerow([_inert(value) for value in values])
    return out.getvalue()


def markdown(board: Leaderboard) -> str:
    """A table a group, for a README; columns without a figure in a group are left out of its table."""
    lines = ["# Leaderboard", ""]
    lines += [f"> {markdown_text(remark)}  " for remark in board.remarks] + [""] * bool(board.remarks)
    for group in board.groups:
        lines += [f"## {group.title}", "", f"{markdown_text(_conditions(group))}.", ""]
        lines += [f"- {markdown_text(text)}" for text in group.differs] + [""] * bool(group.differs)
        lines += [*_markdown_table(group, board.columns), ""]
    if any(_sorted(group) for group in board.groups):
        lines += [AVERAGES, ""]
    lines += ["Accuracies in %, in parentheses their 95% intervals; the paper gives none. n: items a row."]
    return "\n".join(lines) + "\n"


#: Format -> (file name, writer).
FORMATS: Mapping[str, tuple[str, Callable[[Leaderboard], str]]] = {
    "html": ("leaderboard.html", html),
    "csv": ("leaderboard.csv", csv_text),
    "markdown": ("leaderboard.md", markdown),
}


def _markdown_table(group: RankedGroup, columns: Sequence[CellKey]) -> list[str]:
    shown = [key for key in columns if any(key in line.cells for line in group.lines)]
    extra: list[tuple[str, Callable[[Line], str]]] = [
        ("params", lambda line: line.parameters),
        ("GPU memory, GiB", lambda line: _number(line.gpu_memory, 2)),
        ("disk, GiB", lambda line: _number(line.disk, 2)),
    ]
    lead = [(name, read) for name, read in extra if any(map(read, group.lines))]
    sizes = {key: {line.cells[key].n for line in group.lines if key in line.cells} for key in shown}
    after = [*(["sorting average"] if _sorted(group) else []), *(["overall average"] if group.paper else [])]
    heads = [
        "model",
        "quantization",
        *(name for name, _ in lead),
        *(f"{_title(k)} (n = {_range(sizes[k])})" for k in shown),
    ]
    digits = _digits(group)
    rows = []
    for line in group.lines:
        averages = [_percent(line.sorting_average, digits)] * bool(_sorted(group))
        averages += [_percent(line.overall_average, digits)] * group.paper
        cells = [line.model, line.quantization, *(read(line) for _, read in lead)]
        rows.append([*cells, *(_figure(line.cells.get(key), digits) for key in shown), *averages])
    return markdown_table(Table([*text_columns(*heads[:2]), *figure_columns(*heads[2:], *after)], rows))


def _figure(cell: Score | None, digits: int) -> str:
    if cell is None:
        return ""
    if cell.accuracy is None:
        return "void"
    return _percent(cell.accuracy, digits) + (f" ({interval_text(cell.interval)})" if cell.interval else "")


def _html_group(group: RankedGroup, columns: Sequence[CellKey], heads: Sequence[Column]) -> Mapping[str, object]:
    rows = [_html_row(group, line, columns) for line in group.lines]
    return {
        "name": group.name,
        "title": group.title,
        "conditions": _conditions(group),
        "differs": group.differs,
        "sizes": _sizes(group),
        "partial": group.conditions.get("selection", "").startswith("partial"),
        "rows": html_rows(Table(heads, rows), "paper" if group.paper else ""),
    }


def _html_row(group: RankedGroup, line: Line, columns: Sequence[CellKey]) -> list[Cell]:
    marks = [
        (group.name, "mark"),
        *([("partial", "mark warn")] if group.conditions.get("selection", "").startswith("partial") else []),
    ]
    return [
        Cell(line.model, title=line.display, small=_about(line), value=line.model, marks=tuple(marks)),
        Cell(line.parameters, value=_size(line.parameters)),
        Cell(line.quantization, value=line.quantization),
        *(Cell(text, value=text) for text in (_number(line.gpu_memory, 2), _number(line.disk, 2))),
        *(_html_cell(cell, _digits(group)) for cell in _ordered(line, columns)),
    ]


def _plots(group: RankedGroup, columns: Sequence[CellKey]) -> str:
    """The mean accuracy over what all of a group's lines were asked, against disk, memory and speed; may be empty."""
    shared = [key for key in columns if all(key in line.cells for line in group.lines)]
    means: list[tuple[Line, float]] = []
    for line in group.lines:
        accuracies = [line.cells[key].accuracy for key in shared]
        known = [accuracy for accuracy in accuracies if accuracy is not None]
        if known and len(known) == len(accuracies):
            means.append((line, sum(known) / len(known)))
    axes: list[tuple[str, Callable[[Line], float | None], bool]] = [
        ("disk, GiB", lambda line: line.disk, False),
        ("GPU memory, GiB", lambda line: line.gpu_memory, False),
        ("tokens/s", lambda line: line.speed, True),
    ]
    drawn = []
    for axis, cost, more_is_better in axes:
        points = [Point(f"{line.model} {line.quant}", own, mean) for line, mean in means if (own := cost(line))]
        drawn.append(pareto_svg(points, axis, more_is_better=more_is_better))
    return "".join(drawn)


def _ordered(line: Line, columns: Sequence[CellKey]) -> list[Score | None]:
    """The cells of a row of the page: the paper's columns, the two averages, further ones."""
    found: list[Score | None] = []
    for key in columns:
        found.append(line.cells.get(key))
        if key == SORTING[-1]:
            found += [_average(line.sorting_average), _average(line.overall_average)]
    return found


def _titles(columns: Sequence[CellKey]) -> list[str]:
    """The headings that belong to ``_ordered``."""
    found = []
    for key in columns:
        found.append(_title(key))
        if key == SORTING[-1]:
            found += ["sorting average", "overall average"]
    return found


def _title(key: CellKey) -> str:
    from pytest_thinkslm.tasks import registry

    task = registry.all_tasks().get(key[0])
    title = key[0] if task is None else task.title
    title = title.replace("Sorting ", "Sort ").replace(" integers,", "")
    several = key[0] == "gsm8k" or key[1] != "direct"
    return f"{title} {_STYLES.get(key[1], key[1])}" if several else title


def _average(value: float | None) -> Score | None:
    return None if value is None else Score(value, None, 0)


def _html_cell(cell: Score | None, digits: int) -> Cell:
    if cell is None:
        return Cell("", value="")
    if cell.accuracy is None:
        return Cell("void", value="", title=cell.void)
    interval = interval_text(cell.interval) if cell.interval else ""
    title = f"{cell.n} items" if cell.n else ""
    return Cell(_percent(cell.accuracy, digits), value=f"{cell.accuracy:.6f}", small=interval, title=title)


def _about(line: Line) -> str:
    """What tells a row from others of its model, its engine and its runs, in one line."""
    parts = [
        line.parameters,
        line.quantization,
        ", ".join(line.engines),
        f"run {', '.join(line.runs)}" if line.runs else "",
        line.started[:10],
    ]
    return "; ".join(filter(None, parts))


def _sizes(group: RankedGroup) -> str:
    """How many items a figure of a group rests on; empty for the paper, whose splits are full."""
    sizes = {cell.n for line in group.lines for cell in line.cells.values()}
    return "" if group.paper else f"{_range(sizes)} items a figure"


def _conditions(group: RankedGroup) -> str:
    return "; ".join(
        f"{name} {value}" if name not in ("source", "runs") else value for name, value in group.conditions.items()
    )


def _digits(group: RankedGroup) -> int:
    """The paper's figures as it gives them."""
    return 2 if group.paper else 1


def _sorted(group: RankedGroup) -> bool:
    return any(line.sorting_average is not None for line in group.lines)


def _csv_cell(cell: Score | None) -> list[object]:
    if cell is None:
        return ["", "", "", ""]
    low, high = cell.interval or (None, None)
    return [_number(cell.accuracy, 6), _number(low, 6), _number(high, 6), cell.n]


def _inert(value: object) -> object:
    """Text that a spreadsheet would take for a formula, marked as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _plain_name(key: CellKey) -> str:
    return f"{key[0]}_{key[1]}".replace("-", "_")


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{100 * value:.{digits}f}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}".rstrip("0").rstrip(".")


def _range(sizes: set[int]) -> str:
    return str(min(sizes)) if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"


def _size(parameters: str) -> str:
    """Parameters as a number for sorting: "1.5B" -> "1.5", "360M" -> "0.36"."""
    number, unit = parameters[:-1], parameters[-1:]
    try:
        return f"{float(number) / (1000 if unit == 'M' else 1):g}"
    except ValueError:
        return ""
