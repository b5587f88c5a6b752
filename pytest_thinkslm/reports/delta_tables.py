"""The delta report and the comparison with the paper as people see them: terminal and ``summary.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeVar

from pytest_thinkslm.core.item_record import GroupJson, group_key
from pytest_thinkslm.core.tables import (
    Cell,
    Column,
    Table,
    figure_columns,
    markdown_line,
    markdown_table,
    percent,
    print_line,
    print_table,
    text_columns,
)
from pytest_thinkslm.reference.comparison import CAVEAT
from pytest_thinkslm.reports.links import filter_link, item_link
from pytest_thinkslm.runs.types import Change, ConsistencyChange, DeltaRow, Ending, ReferenceRow, Results

if TYPE_CHECKING:
    from rich.console import Console

AnyRow = TypeVar("AnyRow", bound=GroupJson)

#: Links to single items of a cell on the page; all of them are one click away in its browser of items.
LINKS_SHOWN = 12

#: Lines on single items in the terminal: of a row, and of a variant.
_ITEMS_OF_ROW, _ITEMS_OF_VARIANT = 2, 6

#: Lines on rates, failures and remarks in the terminal: of a variant.
_LINES_OF_VARIANT = 4

#: Names of items that summary.md lists of a row.
_NAMES = 200

#: Characters of an ending on the terminal's lines.
_BRIEF = 32

LEGEND = "p: of any change, Holm's correction over all rows; kept: share of the accuracy"

_COST_NAMES = {
    "bits_per_weight": "bits per weight",
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


def delta_tables(results: Results) -> list[tuple[Table, list[DeltaRow], str]]:
    """By variant: its table, its rows, and what it costs beside its reference, in one line (empty: not known)."""
    costs = results["measured"].get("deltas", {})
    several = len(results["settings"]["styles"]) > 1
    numbered = list(enumerate(results.get("deltas", ())))
    found = []
    for variant, rows in _by_variant([row for _, row in numbered]):
        cells = [_delta_cells(row, number) for number, row in numbered if (row["model"], row["quant"]) == variant]
        table = Table(_delta_columns(several), cells, _title(rows[0]))
        found.append((table, rows, _cost_line(costs.get("|".join(variant), {}))))
    return found


def break_tables(results: Results) -> dict[str, Table]:
    """By ``model|quant``: lost and gained items by where their outputs broke; links open the lost ones in the page."""
    rows: dict[str, list[list[Cell]]] = {}
    for number, row in enumerate(results.get("deltas", ())):
        if (found := row.get("breaks")) is None:
            continue
        name = f"{row['model']}|{row['quant']}"
        for broke in dict.fromkeys([*found["lost"], *found["gained"]]):
            lost, gained = found["lost"].get(broke, 0), found["gained"].get(broke, 0)
            link = filter_link(set=f"delta-{number}-lost", broke=broke) if lost else ""
            counts = [Cell(str(lost), link=link), Cell(str(gained))]
            rows.setdefault(name, []).append(
                [
                    Cell(_task(row)),
                    Cell(row["style"]),
                    Cell(broke),
                    *counts,
                    Cell(f"{gained - lost:+d}" if gained != lost else "0"),
                ]
            )
    columns = [*text_columns("task", "style", "broke"), *figure_columns("lost by it", "gained from it", "net")]
    return {name: Table(columns, own, "Where lost and gained items broke") for name, own in rows.items()}


def style_tables(results: Results) -> list[tuple[Table, list[DeltaRow], str]]:
    """By variant and style: the table of what changed against its first style, and its rows; as ``delta_tables``."""
    numbered = list(enumerate(results.get("style_deltas", ())))
    found = []
    for model, quant, style in dict.fromkeys((row["model"], row["quant"], row["style"]) for _, row in numbered):
        own = [(n, row) for n, row in numbered if (row["model"], row["quant"], row["style"]) == (model, quant, style)]
        against = ", ".join(dict.fromkeys(row.get("against_style", "") for _, row in own))
        cells = [_delta_cells(row, number, "style") for number, row in own]
        title = f"{model} ({quant}): {style} against {against}"
        found.append((Table(_delta_columns(False), cells, title), [row for _, row in own], ""))
    return found


def reference_tables(results: Results, *, apart: bool) -> list[Table]:
    """The run's figures beside the paper's, variants ``apart`` or together; none where the paper has none of them."""
    rows = results.get("reference", [])
    if apart:
        tables = [(f"{model}, {quant} beside the paper", own) for (model, quant), own in _by_variant(rows)]
    else:
        tables = [("Beside the paper", rows)] if rows else []
    columns = [
        Column("model", "left", forms=("markdown", "html")),
        Column("quant", "left", forms=("markdown", "html")),
        *text_columns("task", "style"),
        *figure_columns("paper", "n"),
        Column("ours", css="strong"),
        *figure_columns("n", "difference", "95% CI"),
        Column("note", "left", wrap=True, forms=("html",)),
    ]
    return [Table(columns, [_paper_cells(row) for row in own], title, _paper_notes(own)) for title, own in tables]


def change_columns(kept: bool = True) -> list[Column]:
    """The columns of what changed from one run or variant to another: those of ``change_cells`` and more.

    Args:
        kept: whether the share of the accuracy kept is shown, or the share of items that changed.
    """
    more = figure_columns("kept") if kept else []
    change = Column("change", css="strong")
    return [
        *figure_columns("n", "before", "now"),
        change,
        *figure_columns("95% CI"),
        *(Column(name, css="links") for name in ("lost", "gained")),
        *([] if kept else figure_columns("flips")),
        Column("p"),
        *more,
    ]


def item_cells(group: GroupJson, lost: Sequence[str], gained: Sequence[str], name: str = "") -> list[Cell]:
    """The numbers of items lost and gained; on the page with links to the first ones, and to the set ``name``."""
    return [_item_cell(group, lost, f"{name}-lost", "bad"), _item_cell(group, gained, f"{name}-gained", "good")]


def _item_cell(group: GroupJson, items: Sequence[str], name: str, tone: Literal["good", "bad"]) -> Cell:
    links = tuple(Cell(item, link=item_link(group_key(group), item)) for item in items[:LINKS_SHOWN])
    if not items:
        return Cell("0")
    return Cell(str(len(items)), tone, filter_link(set=name), links=links, more=max(0, len(items) - LINKS_SHOWN))


def show_deltas(console: Console, results: Results, detail: int = 0) -> None:
    """Print the delta report of a run, if it has one.

    Args:
        detail: pytest's verbosity: 1 has all of it, 0 what fits, -1 the tables alone.
    """
    tables = [*delta_tables(results), *style_tables(results)]
    for table, rows, cost in tables:
        print_table(console, table, gap=1)
        if detail < 0:
            continue
        lines = [*_behaviour(rows), *_notes(rows)]
        if detail == 0 and len(lines) > _LINES_OF_VARIANT:
            lines = [*lines[:_LINES_OF_VARIANT], f"... and {len(lines) - _LINES_OF_VARIANT} more: summary.md, or -v"]
        for line in [cost, *lines]:
            if line:
                print_line(console, line)
        shown = [line for row in rows for line in _examples(row, brief=True)[:_ITEMS_OF_ROW]]
        for line in shown[: _ITEMS_OF_VARIANT if len(rows) <= _LINES_OF_VARIANT else _ITEMS_OF_ROW]:
            print_line(console, line, "quiet")
    if tables and detail >= 0:
        print_line(console, LEGEND, "quiet")


def show_reference(console: Console, results: Results) -> None:
    """Print the run's figures beside the paper's, where the paper has any."""
    for table in reference_tables(results, apart=True):
        print_table(console, replace(table, notes=()), gap=1)
    for note in _paper_notes(results.get("reference", [])):
        print_line(console, note, "quiet")


def markdown_deltas(results: Results) -> list[str]:
    """The delta report's lines of ``summary.md``; none where there is none."""
    lines: list[str] = []
    for table, rows, cost in [*delta_tables(results), *style_tables(results)]:
        lines += [f"## {markdown_line(table.title)}", "", *markdown_table(table), ""]
        if cost:
            lines += [markdown_line(cost) + ".", ""]
        lines += [f"- {markdown_line(line)}" for line in [*_behaviour(rows), *_notes(rows)]]
        for row in rows:
            lines += _markdown_items(row)
        lines += [""]
    if lines:
        lines += [f"{LEGEND}. Both outputs of every item are in items.jsonl.", ""]
    return lines


def markdown_reference(results: Results) -> list[str]:
    """The comparison with the paper as lines of ``summary.md``; none where the paper has none of it."""
    lines: list[str] = []
    for table in reference_tables(results, apart=False):
        notes = [f"> {markdown_line(note)}  " for note in table.notes]
        lines += [f"## {table.title}", "", *markdown_table(table), "", *notes, ""]
    return lines


def _delta_columns(several_styles: bool) -> list[Column]:
    return [
        Column("task", "left"),
        Column("style", "left", forms=("terminal", "markdown", "html") if several_styles else ("markdown", "html")),
        *change_columns(),
        Column("rates, failures, lengths, drift", "left", wrap=True, forms=("html",)),
    ]


def _delta_cells(row: DeltaRow, number: int, kind: str = "delta") -> list[Cell]:
    known, difference = row["difference"] is not None, row["difference"] or 0.0
    before, now, change, interval = change_cells(
        row["accuracy_against"], row["accuracy"], row["difference"], row["ci95"]
    )
    shown = row["p_corrected"] is not None and row["p_corrected"] <= 0.05
    counts = item_cells(row, row["lost"], row["gained"], f"{kind}-{number}") if known else [Cell("–"), Cell("–")]
    rates, classes = _moved_figures(row)
    return [
        Cell(_task(row)),
        Cell(row["style"]),
        Cell(str(row["n"]) if known else "–"),
        Cell(before),
        Cell(now),
        Cell(change, ("bad" if difference < 0 else "good") if shown else ""),
        Cell(interval),
        *counts,
        Cell(p_value(row["p_corrected"])),
        Cell(percent(row["kept"], 0)),
        Cell(
            "; ".join([*rates, *classes, *_further(row)]),
            small=row.get("note", ""),
        ),
    ]


def _paper_cells(row: ReferenceRow) -> list[str]:
    paper, ours, change, ends = change_cells(row["paper"], row["accuracy"], row["difference"], row["ci95"])
    names = [row["model"], row["quant"], row["task"], row["style"]]
    return [*names, paper, str(row["paper_n"]), ours, str(row["n"]), change, ends, _own_note(row)]


def _behaviour(rows: Iterable[DeltaRow]) -> list[str]:
    """What changed beside accuracy, one line a row: rates, failure classes by number of outcomes, lengths."""
    lines = []
    for row in rows:
        rates, classes = _moved_figures(row)
        parts = [
            *([consistency_text(row["consistency"])] if "consistency" in row else []),
            *rates,
            *(["failures " + ", ".join(classes)] if classes else []),
            *_further(row),
        ]
        if parts:
            lines.append(f"{_label(row)}: " + "; ".join(parts))
    return lines


def consistency_text(found: ConsistencyChange) -> str:
    """How many items stay right, or wrong, in every form: before, now, and whether that is a change."""
    before, now, change, interval = change_cells(found["before"], found["now"], found["difference"], found["ci95"])
    p = p_value(found["p"])
    return (
        f"consistency under --stress {before} → {now} ({change} points, 95% interval {interval}, "
        f"p {p if p.startswith('<') else '= ' + p}, n = {found['n']})"
    )


def _moved_figures(row: DeltaRow) -> tuple[list[str], list[str]]:
    """The rates and the failure classes that are not what they were, those that grew most first."""
    rates = [f"{name} {percent(v['before'])} → {percent(v['now'])}" for name, v in row["rates"].items() if _moved(v)]
    changed = sorted(
        row["failures"].items(), key=lambda pair: ((pair[1]["before"] or 0) - (pair[1]["now"] or 0), pair[0])
    )
    return rates, [f"{name} {v['before']} → {v['now']}" for name, v in changed if _moved(v)]


def _further(row: DeltaRow) -> list[str]:
    return [*_lengths(row), *_drift(row), *_noise(row), *_breaks(row)]


def _lengths(row: DeltaRow) -> list[str]:
    """What became of the outputs' lengths, and how many lost items had the right value; as phrases."""
    found = row.get("lengths")
    if found is None:
        return []
    tokens, ends = found["tokens"], found["ratio_ci95"]
    within = "" if ends is None else f", 95% {ends[0]:.2f} to {ends[1]:.2f}"
    phrases = [
        f"tokens {amount('', tokens['before'])} → {amount('', tokens['now'])} (x{found['ratio']:.2f}{within})",
    ]
    if (thought := found.get("thought")) is not None:
        sides = [amount("", thought["tokens"][side]) for side in ("before", "now")]
        phrases.append(f"of them thought {' → '.join(sides)} (x{thought['ratio']:.2f})")
    if _moved(found["loops"]):
        phrases.append(f"loops {percent(found['loops']['before'])} → {percent(found['loops']['now'])}")
    solved = found["tokens_per_solved"]
    if _moved(solved):
        phrases.append(f"tokens per solved item {amount('', solved['before'])} → {amount('', solved['now'])}")
    reached = found.get("reached")
    if reached is not None and reached["lost"]:
        phrases.append(f"{reached['lost_had_it']} of {reached['lost']} lost had the right value")
    return phrases


def _drift(row: DeltaRow) -> list[str]:
    """The token-level distance, as a phrase."""
    found = row.get("drift")
    if found is None:
        return []
    low, high = found["kl_low"], found["kl_high"]
    within = "" if low is None or high is None else f" ({low:.2g} to {high:.2g})"
    kept = f"top token kept {percent(found['top1_agreement'])}"
    said = f" ({as_what})" if (as_what := found.get("scored_as")) else ""
    return [f"drift {found['kl_mean']:.3g} nats a token{within}, {kept}{said}"]


def _noise(row: DeltaRow) -> list[str]:
    """Which share of the flips is beyond numerics, as a phrase."""
    found = row.get("noise")
    if found is None:
        return []
    return [
        f"flips {percent(found['flips'])}, by numerics alone {percent(found['numerics'])} "
        f"({found['runs']} further {'run' if found['runs'] == 1 else 'runs'}; excess p {p_value(found['p'])})"
    ]


def _breaks(row: DeltaRow) -> list[str]:
    """Where the lost items' outputs broke, and the gained ones' before, the most frequent first; as phrases."""
    found = row.get("breaks")
    if found is None:
        return []
    phrases = []
    for change in ("lost", "gained"):
        if classes := sorted(found[change].items(), key=lambda pair: (-pair[1], pair[0])):
            phrases.append(f"{change} by " + ", ".join(f"{name} {count}" for name, count in classes))
    said = [f" (“{one['text']}” in {one['item']})" for one in found["steps"][:1]]
    return [phrases[0] + "".join(said), *phrases[1:]]


def _moved(value: Change) -> bool:
    return value["before"] != value["now"]


def _notes(rows: Iterable[DeltaRow]) -> list[str]:
    return [f"{_label(row)}: {row['note']}" for row in rows if row.get("note")]


def _examples(row: DeltaRow, *, brief: bool = False) -> list[str]:
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


def _end(end: Ending, brief: bool) -> str:
    ending, answer = end["ending"], end["answer"]
    if not ending:
        return f"{end['verdict']}, {'no output' if ending is None else 'empty output'}"
    if brief and len(ending) > _BRIEF:
        ending = "…" + ending[1 - _BRIEF :]
    return f"{end['verdict']}{'' if answer is None or brief else f' {answer}'} “{ending}”"


def _cost_line(cost: Mapping[str, Change]) -> str:
    return ", ".join(f"{title} {_cost(name, cost[name])}" for name, title in _COST_NAMES.items() if name in cost)


def _cost(name: str, value: Change) -> str:
    before, now = value["before"], value["now"]
    share = f" ({100 * now / before:.0f}%)" if before and now is not None else ""
    return f"{amount(name, before)} → {amount(name, now)}{share}"


def amount(name: str, value: float | None) -> str:
    """A cost by its name in ``deltas.costs``, or another amount, as text."""
    if value is None:
        return "unknown"
    if name.endswith("_bytes"):
        return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
    if name == "bits_per_weight":
        return f"{value:.2f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _title(row: DeltaRow) -> str:
    against = row["against"]
    if against["model"] == row["model"]:
        return f"{row['model']}: {row['quant']} against {against['quant']}"
    return f"{row['model']}, {row['quant']} against {against['model']}, {against['quant']}"


def _label(row: DeltaRow | ReferenceRow) -> str:
    return f"{_task(row)} ({row['style']})"


def _task(row: DeltaRow | ReferenceRow) -> str:
    """The task, with its test where several are on it."""
    return str(row.get("label") or row["task"])


def _by_variant(rows: Iterable[AnyRow]) -> list[tuple[tuple[str, str], list[AnyRow]]]:
    return [(key, list(own)) for key, own in groupby(rows, key=lambda row: (row["model"], row["quant"]))]


def _own_note(row: ReferenceRow) -> str:
    return row["note"].removesuffix(CAVEAT).removesuffix("; ")


def _paper_notes(rows: Sequence[ReferenceRow]) -> list[str]:
    """What stands below the paper's figures: each row's own remarks, and once what holds for all."""
    notes = [f"{_label(row)}: {own}" for row in rows if (own := _own_note(row))]
    return [*dict.fromkeys(notes), *([f"paper: ThinkSLM (EMNLP 2025); {CAVEAT}"] if rows else [])]


def _markdown_items(row: DeltaRow) -> list[str]:
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
            lines += [f"- {change}: {' '.join(map(markdown_line, names[:_NAMES]))}{more}"]
    lines += [f"- {_code(line)}" for line in _examples(row)]
    return [*lines, "", "</details>"]


def _code(line: str) -> str:
    """A line as code, so that a model's text is no markup."""
    return "`" + line.replace("`", "'") + "`"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
