"""The delta report and the comparison with the paper as people see them: terminal and ``summary.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.reference.comparison import CAVEAT
from pytest_thinkslm.reports.cells import markdown_cell, percent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Mapping[str, Any]

_COLUMNS = ("task", "style", "n", "before", "now", "change", "95% CI", "lost", "gained", "p", "kept")
_PAPER_COLUMNS = ("task", "style", "paper", "n", "ours", "n", "difference", "95% CI")

#: Lines on single items in the terminal: of a row, and of a variant.
_ITEMS_OF_ROW, _ITEMS_OF_VARIANT = 2, 6

#: Names of items that summary.md lists of a row.
_NAMES = 200

#: Characters of an ending on the terminal's lines.
_BRIEF = 32

_LEGEND = "p: of any change, after Holm's correction over all such rows; kept: share of the accuracy kept"

_COST_NAMES = {
    "disk_bytes": "disk",
    "peak_memory_bytes": "peak memory",
    "peak_gpu_memory_bytes": "peak GPU memory",
    "tokens_per_second": "tokens/s",
}


def change_cells(
    before: float | None, now: float | None, difference: float | None, interval: Sequence[float] | None
) -> list[str]:
    """Two accuracies, their difference in points and its interval as text; dashes where nothing is known."""
    change = "–" if difference is None else f"{100 * difference:+.1f}"
    ends = "–" if interval is None else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"
    return [percent(before), percent(now), change, ends]


def p_value(p: float | None) -> str:
    """A p-value as text."""
    return "–" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.3g}"


def show_deltas(console: Console, results: Row) -> None:
    """Print the delta report of a run, if it has one."""
    from rich.markup import escape

    costs = results["measured"].get("deltas", {})
    several = len(results["settings"]["styles"]) > 1
    for variant, rows in _by_variant(results.get("deltas", ())):
        table = _table(escape(_title(rows[0])), _COLUMNS if several else _without_style(_COLUMNS))
        for row in rows:
            cells = _cells(row)
            if row["p_corrected"] is not None and row["p_corrected"] <= 0.05:
                colour = "red" if row["difference"] < 0 else "green"
                cells[5] = f"[{colour}]{cells[5]}[/{colour}]"
            table.add_row(*(cells if several else _without_style(cells)))
        console.print(table)
        for line in [_cost_line(costs.get("|".join(variant), {})), *_behaviour(rows), *_notes(rows)]:
            if line:
                console.print(escape(line), soft_wrap=True)
        shown = [line for row in rows for line in _examples(row, brief=True)[:_ITEMS_OF_ROW]]
        for line in shown[:_ITEMS_OF_VARIANT]:
            console.print(escape(line), soft_wrap=True, style="dim")
    if results.get("deltas"):
        console.print(_LEGEND, soft_wrap=True, style="dim")


def show_reference(console: Console, results: Row) -> None:
    """Print the run's figures beside the paper's, where the paper has any."""
    from rich.markup import escape

    rows = results.get("reference", ())
    for variant, own in _by_variant(rows):
        table = _table(escape(f"{variant[0]}, {variant[1]} beside the paper"), _PAPER_COLUMNS)
        for row in own:
            table.add_row(*map(escape, _paper_cells(row)))
        console.print(table)
    for line in _paper_notes(rows):
        console.print(escape(line), soft_wrap=True, style="dim")


def markdown_deltas(results: Row) -> list[str]:
    """The delta report's lines of ``summary.md``; none where there is none."""
    costs = results["measured"].get("deltas", {})
    lines: list[str] = []
    for variant, rows in _by_variant(results.get("deltas", ())):
        lines += [f"## {markdown_cell(_title(rows[0]))}", "", *_markdown_table(_COLUMNS, map(_cells, rows)), ""]
        if cost := _cost_line(costs.get("|".join(variant), {})):
            lines += [markdown_cell(cost) + ".", ""]
        lines += [f"- {markdown_cell(line)}" for line in _behaviour(rows)]
        lines += [f"- {markdown_cell(line)}" for line in _notes(rows)]
        for row in rows:
            lines += _markdown_items(row)
        lines += [""]
    if lines:
        lines += [f"{_LEGEND}. Both outputs of every item are in items.jsonl.", ""]
    return lines


def markdown_reference(results: Row) -> list[str]:
    """The comparison with the paper as lines of ``summary.md``; none where the paper has none of it."""
    rows = results.get("reference", ())
    if not rows:
        return []
    columns = ("model", "quant", *_PAPER_COLUMNS)
    cells = ([row["model"], row["quant"], *_paper_cells(row)] for row in rows)
    notes = [f"> {markdown_cell(note)}  " for note in _paper_notes(rows)]
    return ["## Beside the paper", "", *_markdown_table(columns, cells, text=4), "", *notes, ""]


def _cells(row: Row) -> list[str]:
    known = row["difference"] is not None
    return [
        row.get("label") or row["task"],
        row["style"],
        str(row["n"]) if known else "–",
        *change_cells(row["accuracy_against"], row["accuracy"], row["difference"], row["ci95"]),
        str(len(row["lost"])) if known else "–",
        str(len(row["gained"])) if known else "–",
        p_value(row["p_corrected"]),
        percent(row["kept"], 0),
    ]


def _paper_cells(row: Row) -> list[str]:
    paper, ours, change, ends = change_cells(row["paper"], row["accuracy"], row["difference"], row["ci95"])
    return [row["task"], row["style"], paper, str(row["paper_n"]), ours, str(row["n"]), change, ends]


def _behaviour(rows: Iterable[Row]) -> list[str]:
    """What changed beside accuracy, one line a row: rates, and failure classes by number of outcomes."""
    lines = []
    for row in rows:
        pairs = [
            f"{name} {percent(v['before'])} → {percent(v['now'])}" for name, v in row["rates"].items() if _moved(v)
        ]
        changed = sorted(row["failures"].items(), key=lambda pair: (pair[1]["before"] - pair[1]["now"], pair[0]))
        classes = [f"{name} {v['before']} → {v['now']}" for name, v in changed if _moved(v)]
        parts = [*pairs, *(["failures " + ", ".join(classes)] if classes else [])]
        if parts:
            lines.append(f"{_label(row)}: " + "; ".join(parts))
    return lines


def _moved(value: Row) -> bool:
    return bool(value["before"] != value["now"])


def _notes(rows: Iterable[Row]) -> list[str]:
    return [f"{_label(row)}: {row['note']}" for row in rows if row.get("note")]


def _examples(row: Row, *, brief: bool = False) -> list[str]:
    """One line an item: what both outputs ended in; one lost and one gained in turn. ``brief``: to fit a terminal."""
    lost = [example for example in row.get("examples", ()) if example["change"] == "lost"]
    gained = [example for example in row.get("examples", ()) if example["change"] == "gained"]
    turns = [example for pair in zip(lost, gained, strict=False) for example in pair]
    rest = max(lost, gained, key=len)[min(len(lost), len(gained)) :]
    return [
        f"{example['change']} {row['task']} ({row['style']}) {example['item']}: "
        f"{_end(example['before'], brief)} → {_end(example['now'], brief)}"
        for example in [*turns, *rest]
    ]


def _end(end: Row, brief: bool) -> str:
    ending, answer = end["ending"], end["answer"]
    if not ending:
        return f"{end['verdict']}, {'no output' if ending is None else 'empty output'}"
    if brief and len(ending) > _BRIEF:
        ending = "…" + ending[1 - _BRIEF :]
    return f"{end['verdict']}{'' if answer is None or brief else f' {answer}'} “{ending}”"


def _cost_line(cost: Row) -> str:
    return ", ".join(f"{title} {_cost(name, cost[name])}" for name, title in _COST_NAMES.items() if name in cost)


def _cost(name: str, value: Row) -> str:
    before, now = value["before"], value["now"]
    share = f" ({100 * now / before:.0f}%)" if before and now is not None else ""
    return f"{_amount(name, before)} → {_amount(name, now)}{share}"


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    if name.endswith("_bytes"):
        return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _title(row: Row) -> str:
    against = row["against"]
    if against["model"] == row["model"]:
        return f"{row['model']}: {row['quant']} against {against['quant']}"
    return f"{row['model']}, {row['quant']} against {against['model']}, {against['quant']}"


def _label(row: Row) -> str:
    return f"{row.get('label') or row['task']} ({row['style']})"


def _by_variant(rows: Iterable[Row]) -> list[tuple[tuple[str, str], list[Row]]]:
    return [(key, list(own)) for key, own in groupby(rows, key=lambda row: (row["model"], row["quant"]))]


def _paper_notes(rows: Sequence[Row]) -> list[str]:
    """What stands below the paper's figures: each row's own remarks, and once what holds for all."""
    notes = []
    for row in rows:
        own = row["note"].removesuffix(CAVEAT).removesuffix("; ")
        if own:
            notes.append(f"{_label(row)}: {own}")
    return [*dict.fromkeys(notes), *([f"paper: ThinkSLM (EMNLP 2025); {CAVEAT}"] if rows else [])]


def _without_style(cells: Sequence[str]) -> list[str]:
    return [cells[0], *cells[2:]]


def _table(title: str, columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(
        title=title, box=None, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False, header_style="bold"
    )
    for name in columns:
        table.add_column(name, justify="left" if name in ("task", "style") else "right", no_wrap=True)
    return table


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], text: int = 2) -> list[str]:
    """A Markdown table whose first ``text`` columns are text."""
    return [
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * text + " ---: |" * (len(columns) - text),
        *("| " + " | ".join(map(markdown_cell, cells)) + " |" for cells in rows),
    ]


def _markdown_items(row: Row) -> list[str]:
    """The items lost and gained: their names, and the first ones' endings; folded, since they are long."""
    if not row["lost"] and not row["gained"]:
        return []
    lines = [
        "",
        f"<details><summary>{_html(_label(row))}: {len(row['lost'])} lost, {len(row['gained'])} gained</summary>",
        "",
    ]
    for change in ("lost", "gained"):
        names = row[change]
        if names:
            more = f" and {len(names) - _NAMES} more, in results.json" if len(names) > _NAMES else ""
            lines += [f"- {change}: {' '.join(map(markdown_cell, names[:_NAMES]))}{more}"]
    lines += [f"- {_code(line)}" for line in _examples(row)]
    return [*lines, "", "</details>"]


def _code(line: str) -> str:
    """A line as code, so that a model's text is no markup."""
    return "`" + line.replace("`", "'") + "`"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
