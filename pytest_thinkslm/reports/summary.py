"""The summary of a run: a rich table for the terminal and ``summary.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.reports.cells import markdown_cell, percent

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]

_COLUMNS = (
    ("task", "left"),
    ("style", "left"),
    ("n", "right"),
    ("accuracy", "right"),
    ("95% CI", "right"),
    ("unparsed", "right"),
    ("truncated", "right"),
    ("error", "right"),
    ("generated", "right"),
    ("tokens", "right"),
)

#: Narrow headings for the terminal.
_HEADINGS = {
    "accuracy": "accu-\nracy",
    "unparsed": "un-\nparsed",
    "truncated": "trun-\ncated",
    "generated": "made",
}


def cells(row: Row, measured: Row) -> list[str]:
    """One row of the table as text; ``measured``: how many outputs and tokens were generated for it in this run."""
    interval = row["ci95"]
    generated, tokens = measured.get("generated"), measured.get("output_tokens")
    return [
        row_name(row) + ("*" if _conditional(row.get("data", {})) else ""),
        str(row["style"]),
        str(row["n"]),
        "void" if row.get("void") else percent(row["accuracy"]),
        "–" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}",
        percent(row["unparsed_rate"]),
        percent(row["truncated_rate"]),
        percent(row["error_rate"]),
        "–" if generated is None else str(generated),
        "–" if not tokens else str(tokens),
    ]


def row_name(row: Row) -> str:
    """The row's task, with its test where several are on it."""
    return str(row.get("label") or row["task"])


def _conditional(data: Row) -> bool:
    """Whether a figure rests on data that a note below it has to speak of."""
    return bool(data.get("partial") or data.get("pin") == "accepted" or data.get("unverified"))


def table(rows: Sequence[Row], measured: Row, title: str, caption: str) -> Table:
    """The rows of one variant as a rich table."""
    from rich.table import Table

    result = Table(
        title=title,
        caption=caption,
        box=None,
        title_justify="left",
        caption_justify="left",
        padding=(0, 2, 0, 0),
        pad_edge=False,
        header_style="bold",
    )
    for name, justify in _COLUMNS:
        result.add_column(_HEADINGS.get(name, name), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        text = cells(row, row_measured(measured, row))
        if row.get("void"):
            text[3] = "[red]void[/red]"
        for column in (5, 6, 7):
            if text[column] not in ("0.0%", "–"):
                text[column] = f"[yellow]{text[column]}[/yellow]" if column < 7 else f"[red]{text[column]}[/red]"
        result.add_row(*text)
    return result


def row_measured(measured: Row, row: Row) -> Row:
    """How much was generated for this row, from its variant's measurements."""
    value: Row = measured.get("tasks", {}).get(f"{row['task']}|{row['style']}", {})
    return value


def by_variant(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by (model, quant)."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["quant"]), []).append(row)
    return groups


def speed_line(measured: Mapping[str, Any], disk_bytes: int | None = None) -> str:
    """What generating took and the checkpoint's size in one line; that nothing was generated where that is so."""
    generated = measured.get("generated")
    on_disk = [] if disk_bytes is None else [f"checkpoint {size(disk_bytes)}"]
    if not generated:
        return ", ".join(["nothing was generated: every output was already there", *on_disk])
    parts = [f"{generated} outputs generated"]
    if measured.get("seconds"):
        parts.append(f"{measured['seconds']:.1f} s")
    if measured.get("load_seconds"):
        parts.append(f"loading {measured['load_seconds']:.1f} s")
    if measured.get("tokens_per_second"):
        parts.append(f"{measured['tokens_per_second']:.0f} tokens/s while generating")
    if measured.get("device"):
        parts.append(f"{measured['device']}, {measured.get('dtype', '')}".rstrip(", "))
    if measured.get("peak_memory_bytes"):
        parts.append(f"peak memory {size(measured['peak_memory_bytes'])}")
    if measured.get("peak_gpu_memory_bytes"):
        parts.append(f"on GPUs {size(measured['peak_gpu_memory_bytes'])}")
    return ", ".join(parts + on_disk)


def size(count: int) -> str:
    """Bytes as people say them: ``324 MiB``, ``14.2 GiB``."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def notes(rows: Sequence[Row]) -> list[str]:
    """What a reader of the figures has to know, each once: partial or accepted data, void accuracies, small limits."""
    lines: dict[str, None] = {}
    for row in rows:
        data = row.get("data", {})
        if data.get("partial"):
            lines[f"{row['task']}*: {data['partial']} ({data['source']})"] = None
        for note in data.get("notes", ()):
            lines[f"{row['task']}: {note}"] = None
        if row.get("note"):
            lines[f"{row['task']}: {row['note']}"] = None
        if row.get("void"):
            lines[f"{row_name(row)} ({row['style']}): {row['void']}"] = None
        if row.get("cut_warning"):
            lines[f"{row_name(row)} ({row['style']}): {row['cut_warning']}"] = None
    return list(lines)


def failure_line(row: Row) -> str:
    """The failure classes of a row, most frequent first; empty where there are none."""
    failures = sorted(row["failures"].items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count}" for name, count in failures)


def metric_lines(row: Row) -> list[str]:
    """The task's own metrics, flattened, one line each."""
    metrics = {name: value for name, value in row.get("metrics", {}).items() if name != "by_error"}  # the failures
    return [f"{name}: {_shown(value)}" for name, value in _flat(metrics)]


def repeat_line(row: Row) -> str:
    """Several runs side by side, in one line; empty for a single run."""
    repeats = row.get("repeats")
    if not repeats:
        return ""
    pooled, vote = repeats["pooled"], repeats["majority_vote"]
    deviation = "" if repeats["deviation"] is None else f", deviation over runs {100 * repeats['deviation']:.2f} points"
    passed = [f"pass@{k} {percent(value)}" for k, value in repeats["pass_at"].items() if k != "1"]
    others = ", ".join([*passed, f"majority vote {percent(vote['accuracy'])}"])
    return (
        f"{len(repeats['runs'])} runs: mean {percent(repeats['mean'])}{deviation}; "
        f"pooled {percent(pooled['accuracy'])} ({pooled['correct']} of {pooled['n']}); {others}"
    )


def thought_line(row: Row) -> str:
    """How many outputs have a thought, and how it ended; empty where thoughts played no part."""
    if "thought_rate" not in row:
        return ""
    parts = [f"{percent(row['thought_rate'])} of outputs"]
    parts += [f"{percent(row['unfinished_thought_rate'])} unfinished"]
    parts += [f"{percent(row['closed_thought_rate'])} closed at the bound"] * bool(row["closed_thought_rate"])
    return "thoughts: " + ", ".join(parts)


def judge_line(row: Row) -> str:
    """Both accuracies, and how far parser and judge agree; empty without a judge."""
    judge = row.get("judge")
    if judge is None:
        return ""
    line = f"judge: asked about {judge['asked']}"
    if judge["unjudged"]:
        line += f", {judge['unjudged']} unjudged"
    if judge["cannot_tell"]:
        line += f", {judge['cannot_tell']} open"
    if judge["agree"] is None:
        return line + " (error reasons)"
    line += f", agrees with the parser on {judge['agree']}, differs on {judge['disagree']}"
    accuracies = f"{percent(judge['accuracy_parser'])} by the parser, {percent(judge['accuracy_judge'])} with the judge"
    return f"{line}; accuracy {accuracies}"


def details(row: Row) -> list[str]:
    """What stands below the table for a row: repeats, how its interval was made, failure classes, own metrics."""
    method = row["ci_method"]
    return [
        *filter(None, [repeat_line(row)]),
        *([f"interval: {method}"] if method not in ("Wilson", "no items") else []),
        *([f"failures: {failure_line(row)}"] if failure_line(row) else []),
        *filter(None, [thought_line(row)]),
        *filter(None, [judge_line(row)]),
        *metric_lines(row),
    ]


def gate_lines(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each gate as (state, sentence), the failed ones first; the state as in ``gating.outcome``."""
    ranks = ("failed", "advisory", "not evaluated", "passed")
    lines = [(gate["state"], str(gate["sentence"])) for gate in results["gates"]]
    return sorted(lines, key=lambda line: ranks.index(line[0]))


def markdown(results: Mapping[str, Any], *, page: str | None = None) -> str:
    """``summary.md``: tables by variant, failure classes, metrics and notes."""
    from pytest_thinkslm.reports.delta_tables import markdown_deltas, markdown_reference

    lines = ["# Summary", ""]
    if results["selection"] != "full":
        lines += [f"Selection: **{results['selection']}**.", ""]
    measured = results["measured"].get("variants", {})
    for (model, quant), rows in by_variant(results["results"]).items():
        variant: Row = next((v for v in results["variants"] if (v["model"], v["quant"]) == (model, quant)), {})
        name = variant.get("display", model)
        own = measured.get(f"{model}|{quant}", {})
        lines += [f"## {markdown_cell(name)} ({markdown_cell(quant)})", ""]
        lines.append("| " + " | ".join(name for name, _ in _COLUMNS) + " |")
        lines.append("|" + "|".join(" ---: " if justify == "right" else " --- " for _, justify in _COLUMNS) + "|")
        lines += [
            "| " + " | ".join(markdown_cell(text) for text in cells(row, row_measured(own, row))) + " |" for row in rows
        ]
        lines += ["", speed_line(own, variant.get("disk_bytes")) + ".", ""]
        for row in rows:
            if detail := details(row):
                lines += [f"- **{row_name(row)}** ({row['style']}): " + markdown_cell("; ".join(detail))]
        remarks = [*filter(None, [variant.get("note")]), *notes(rows)]
        if remarks:
            lines += ["", *(f"> {markdown_cell(remark)}" + "  " for remark in remarks)]
        lines.append("")
    lines += markdown_deltas(results) + markdown_reference(results)
    if "judge" in results:
        from pytest_thinkslm.reports.judged import markdown_judge

        lines += [markdown_cell(line) for line in markdown_judge(results["judge"])]
    if results["gates"]:
        lines += ["## Gates", ""]
        lines += [f"- **{state}**: {markdown_cell(sentence)}" for state, sentence in gate_lines(results)] + [""]
    if results["settings"].get("preset_choices"):
        lines += [f"## Preset {results['settings']['preset']}", ""]
        lines += [f"- {markdown_cell(choice)}" for choice in results["settings"]["preset_choices"]] + [""]
    for problem in results["problems"]:
        lines.append(f"- {markdown_cell(problem)}")
    if page:
        lines += ["", f"Every item with its prompt and output, and plots: [{page}]({page})."]
    return "\n".join(lines).rstrip() + "\n"


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, inner in value.items():
        label = f"{prefix}{name}"
        if isinstance(inner, Mapping) and "value" not in inner:
            yield from _flat(inner, f"{label} ")
        else:
            yield label, inner


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        if value.get("value") is None:
            return f"undefined ({value.get('undefined', 'no items')})"
        count = f" (n={value['n']})" if "n" in value else ""
        return f"{_shown(value['value'])}{count}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
