"""What a run's summary says, line by line and table by table: for the terminal, ``summary.md`` and the page. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_thinkslm.core.identity import short_names
from pytest_thinkslm.core.tables import (
    Bar,
    Cell,
    Column,
    Table,
    Tone,
    markdown_line,
    markdown_table,
    percent,
    text_columns,
)
from pytest_thinkslm.reports.links import filter_link
from pytest_thinkslm.reports.metric_table import metric_tables
from pytest_thinkslm.runs.corrected import corrected_line
from pytest_thinkslm.runs.types import (
    FigureRow,
    Generated,
    Results,
    RowData,
    SettingsJson,
    VariantFacts,
    VariantMeasured,
)

#: Problems of a run that are listed; the rest is a count.
PROBLEMS_LISTED = 10


def figure_table(rows: Sequence[FigureRow], measured: VariantMeasured, title: str) -> Table:
    """The figures of one variant, and how much of them was generated in this run (``measured``)."""
    thoughts = any("unfinished_thought_rate" in row for row in rows)
    columns = [
        *text_columns("task", "style"),
        Column("n"),
        Column("accuracy", narrow="accu-\nracy", css="strong"),
        Column("0 – 100%, 95% interval", "left", forms=("html",), css="bars"),
        Column("95% CI"),
        Column("corrected", forms=("markdown", "html") if any("corrected" in row for row in rows) else ()),
        Column("unparsed", narrow="un-\nparsed"),
        Column("truncated", narrow="trun-\ncated"),
        Column("error"),
        Column("unfinished thought", forms=("html",) if thoughts else ()),
        Column("generated", narrow="gene-\nrated"),
        Column("tokens"),
    ]
    cells = [_figure_cells(row, row_measured(measured, row)) for row in rows]
    return Table(columns, [*cells, *map(_mean_cells, overall(rows))], title)


#: What ``overall`` is, in a line.
MEAN_NOTE = "mean: each task weighs the same, of many items or few; its interval likewise"


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean accuracy of ``tasks`` of ``of`` rows of a style, those with an accuracy; ``n`` outcomes in all."""

    style: str
    tasks: int
    of: int
    n: int
    accuracy: float
    ci95: tuple[float, float]


def overall(rows: Sequence[FigureRow]) -> list[Mean]:
    """The unweighted mean over a variant's tasks, by style; none where a style has fewer than two with an accuracy.

    Its interval follows from those of the tasks, which are taken as independent: MOVER, the method of variance
    estimates recovery (Zou and Donner 2008). A void accuracy is left out.
    """
    found = []
    for style in dict.fromkeys(row["style"] for row in rows):
        asked = [row for row in rows if row["style"] == style]
        own = [
            (row["n"], row["accuracy"], row["ci95"])
            for row in asked
            if row["accuracy"] is not None and row["ci95"] is not None and not row.get("void")
        ]
        if len(own) < 2:
            continue
        mean = sum(accuracy for _, accuracy, _ in own) / len(own)
        below, above = (
            math.sqrt(sum((accuracy - ends[side]) ** 2 for _, accuracy, ends in own)) / len(own) for side in (0, 1)
        )
        ends = max(0.0, mean - below), min(1.0, mean + above)
        found.append(Mean(style, len(own), len(asked), sum(n for n, _, _ in own), mean, ends))
    return found


def _mean_cells(mean: Mean) -> list[Cell]:
    of = f" of {mean.of}" if mean.tasks < mean.of else ""
    return [
        Cell(f"mean of {mean.tasks}{of}", "strong", title=MEAN_NOTE),
        Cell(mean.style),
        Cell(str(mean.n)),
        Cell(percent(mean.accuracy), "strong"),
        Cell("", bar=Bar(mean.accuracy, *mean.ci95)),
        Cell(interval_text(mean.ci95)),
        *(Cell("") for _ in range(7)),
    ]


def accuracy_cell(row: FigureRow) -> Cell:
    """A row's accuracy, or that it is void."""
    link = filter_link(model=row["model"], quant=row["quant"], task=row["task"], style=row["style"])
    title = f"{interval_text(row['ci95'])}, n = {row['n']}"
    if row.get("void"):
        return Cell("void", "bad", link=link, title=row["void"])
    return Cell(percent(row["accuracy"]), "strong", link=link, title=title)


def bar_cell(row: FigureRow) -> Cell:
    """A row's accuracy and interval as a drawing; empty where there are none."""
    accuracy, interval = row["accuracy"], row["ci95"]
    return Cell("", bar=None if accuracy is None or interval is None else Bar(accuracy, *interval))


def interval_text(interval: Sequence[float] | None) -> str:
    """The ends of an accuracy's interval in percent."""
    return "–" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def _figure_cells(row: FigureRow, measured: Generated | None) -> list[Cell]:
    name = row_name(row) + ("*" if _conditional(row.get("data")) else "")
    here = {"model": row["model"], "quant": row["quant"], "task": row["task"], "style": row["style"]}
    return [
        Cell(name, link=filter_link(**here), title=row["title"]),
        Cell(row["style"]),
        Cell(str(row["n"])),
        Cell("void", "bad") if row.get("void") else Cell(percent(row["accuracy"])),
        bar_cell(row),
        Cell(interval_text(row["ci95"])),
        _corrected_cell(row),
        _rate_cell(row["unparsed_rate"], "warning", filter_link(**here, verdict="unparsed")),
        _rate_cell(row["truncated_rate"], "warning", filter_link(**here, verdict="truncated")),
        _rate_cell(row["error_rate"], "bad", filter_link(**here, verdict="error")),
        Cell(percent(row.get("unfinished_thought_rate"))),
        Cell("–" if measured is None else str(measured["generated"])),
        Cell(str(measured["output_tokens"] or "–") if measured else "–"),
    ]


def _corrected_cell(row: FigureRow) -> Cell:
    found = row.get("corrected")
    if found is None or found["accuracy"] is None:
        return Cell("" if found is None else "undefined", "quiet", title=corrected_line(row))
    return Cell(f"{percent(found['accuracy'])} ({interval_text(found['ci95'])})", title=corrected_line(row))


def row_name(row: FigureRow) -> str:
    """The row's task, with its test where several are on it."""
    return row.get("label") or row["task"]


def _rate_cell(rate: float | None, tone: Tone, link: str) -> Cell:
    return Cell(percent(rate), tone, link=link) if rate else Cell(percent(rate), "quiet")


def _conditional(data: RowData | None) -> bool:
    """Whether a figure rests on data that a note below it has to speak of."""
    return data is not None and bool(data.get("partial") or data.get("pin") == "accepted" or data.get("unverified"))


def row_measured(measured: VariantMeasured, row: FigureRow) -> Generated | None:
    """How much was generated for this row, from its variant's measurements."""
    return measured.get("tasks", {}).get(f"{row['task']}|{row['style']}")


def by_variant(rows: Iterable[FigureRow]) -> dict[tuple[str, str], list[FigureRow]]:
    """Rows by (model, quant)."""
    groups: dict[tuple[str, str], list[FigureRow]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["quant"]), []).append(row)
    return groups


def speed_line(measured: VariantMeasured, disk_bytes: int | None = None) -> str:
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
    if memory := measured.get("peak_memory_bytes"):
        parts.append(f"peak memory {size(memory)}")
    if memory := measured.get("peak_gpu_memory_bytes"):
        parts.append(f"on GPUs {size(memory)}")
    return ", ".join(parts + on_disk)


def size(count: int) -> str:
    """Bytes as people say them: ``324 MiB``, ``14.2 GiB``."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def notes(rows: Sequence[FigureRow], *, brief: bool = False) -> list[str]:
    """What a reader of the figures has to know, each once: partial or accepted data, void accuracies, small limits.

    ``brief``: only what a figure is not to be read without, its data and that it is void.
    """
    lines: dict[str, None] = {}
    names = short_names(row["model"] for row in rows)
    several = len({(row["model"], row["quant"]) for row in rows}) > 1
    for row in rows:
        variant = f", {names[row['model']]} " if len(names) > 1 else ", "
        own = (
            f"{row_name(row)} ({row['style']}{variant}{row['quant']})"
            if several
            else f"{row_name(row)} ({row['style']})"
        )
        if data := row.get("data"):
            if data.get("partial"):
                lines[f"{row['task']}*: {data['partial']} ({data['source']})"] = None
            for note in data.get("notes", ()):
                lines[f"{row['task']}: {note}"] = None
        if row.get("note") and not brief:
            lines[f"{row['task']}: {row['note']}"] = None
        if row.get("void"):
            lines[f"{own}: {row['void']}"] = None
        if row.get("stuck_warning"):
            lines[f"{own}: {row['stuck_warning']}"] = None
        if brief:
            continue
        if row.get("cut_warning"):
            lines[f"{own}: {row['cut_warning']}"] = None
        if row.get("cluster_warning"):
            lines[f"{row_name(row)} ({row['style']}): {row['cluster_warning']}"] = None
    return list(lines)


def failure_line(row: FigureRow) -> str:
    """The failure classes of a row, most frequent first; empty where there are none."""
    failures = sorted(row["failures"].items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count}" for name, count in failures)


def metric_lines(row: FigureRow) -> list[str]:
    """The task's own metrics, flattened, one line each."""
    metrics = {name: value for name, value in row.get("metrics", {}).items() if name != "by_error"}  # the failures
    return [f"{name}: {_shown(value)}" for name, value in _flat(metrics)]


def repeat_line(row: FigureRow) -> str:
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


def thought_line(row: FigureRow) -> str:
    """How many outputs have a thought, and how it ended; empty where thoughts played no part."""
    if "thought_rate" not in row:
        return ""
    parts = [f"{percent(row['thought_rate'])} of outputs"]
    parts += [f"{percent(row.get('unfinished_thought_rate', 0.0))} unfinished"]
    closed = row.get("closed_thought_rate", 0.0)
    parts += [f"{percent(closed)} closed at the bound"] * bool(closed)
    return "thoughts: " + ", ".join(parts)


def judge_line(row: FigureRow) -> str:
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


def details(row: FigureRow) -> list[str]:
    """What stands below the table for a row: ``row_remarks``, and its own metrics."""
    return [*row_remarks(row), *metric_lines(row)]


def row_remarks(row: FigureRow) -> list[str]:
    """Repeats, how its interval was made where not by Wilson, failure classes, thoughts, the judge, labels."""
    method, failures = row["ci_method"], failure_line(row)
    lines = [
        repeat_line(row),
        "" if method in ("Wilson", "no items") else f"interval: {method}",
        f"failures: {failures}" if failures else "",
        thought_line(row),
        judge_line(row),
        corrected_line(row),
    ]
    return [line for line in lines if line]


def selection_of(results: Results) -> str:
    """The selection, and the options that made it: ``limit (--limit 50, stratified; --where level=5)``."""
    settings, found = results["settings"], []
    if settings.get("limit") is not None:
        found.append(f"--limit {settings['limit']}, {settings.get('sample') or 'hash'}")
    if where := settings.get("where"):
        found.append("--where " + ",".join(f"{facet}={value}" for facet, value in where))
    if settings.get("recorded_only"):
        found.append("--recorded-only")
    if shard := settings.get("shard"):
        found.append(f"--shard {shard}")
    return results["selection"] + (f" ({'; '.join(found)})" if found else "")


def further_sampling(settings: SettingsJson) -> list[str]:
    """Sampling parameters beside temperature and top-p, where they do something."""
    usual = {"top_k": 0, "min_p": 0, "presence_penalty": 0, "repetition_penalty": 1}
    found = {name: settings.get(name, value) for name, value in usual.items()}
    return [f"{name.replace('_', '-')} {value:g}" for name, value in found.items() if value != usual[name]]


def variant_facts(results: Results, model: str, quant: str) -> VariantFacts | None:
    """What a run knows of one of its variants."""
    return next((v for v in results["variants"] if (v["model"], v["quant"]) == (model, quant)), None)


def variant_rows(results: Results) -> dict[tuple[str, str], list[FigureRow]]:
    """Rows by (model, quant), variants in the order in which they were asked for."""
    groups = by_variant(results["results"])
    order = [(facts["model"], facts["quant"]) for facts in results["variants"]]
    return {key: groups[key] for key in dict.fromkeys([*order, *groups]) if key in groups}


def variant_tables(results: Results) -> list[tuple[Table, str, list[FigureRow]]]:
    """By variant: its table, the line on speed and size below it, and its rows."""
    found = []
    for (model, quant), rows in variant_rows(results).items():
        facts = variant_facts(results, model, quant)
        own = results["measured"].get("variants", {}).get(f"{model}|{quant}", {})
        name, size = (model, None) if facts is None else (facts.get("display", model), facts.get("disk_bytes"))
        found.append((figure_table(rows, own, f"{name} ({quant})"), speed_line(own, size), rows))
    return found


def markdown(results: Results, *, page: str | None = None) -> str:
    """``summary.md``: tables by variant, failure classes, metrics and notes."""
    from pytest_thinkslm.reports.budget_table import budget_table
    from pytest_thinkslm.reports.certificate_table import certificate_table, certificates_of
    from pytest_thinkslm.reports.delta_tables import markdown_deltas, markdown_reference
    from pytest_thinkslm.reports.gate_table import any_loss_lines, gate_sentences, gate_table
    from pytest_thinkslm.reports.stress_table import stress_table

    lines = ["# Summary", ""]
    if results["selection"] != "full":
        lines += [f"Selection: **{selection_of(results)}**.", ""]
    if "adaptive" in results:
        lines += [f"Adaptive: {markdown_line(results['adaptive']['sentence'])}.", ""]
    for table, speed, rows in variant_tables(results):
        lines += [f"## {markdown_line(table.title)}", "", *markdown_table(table), "", speed + ".", ""]
        for row in rows:
            if detail := details(row):
                lines += [f"- **{row_name(row)}** ({row['style']}): " + markdown_line("; ".join(detail))]
        # All rows of a table are one variant's, whose note says what its prompts are like.
        facts = variant_facts(results, rows[0]["model"], rows[0]["quant"])
        remarks = [*filter(None, [facts.get("note") if facts else None]), *notes(rows)]
        remarks += [MEAN_NOTE] if overall(rows) else []
        if remarks:
            lines += ["", *(f"> {markdown_line(remark)}" + "  " for remark in remarks)]
        lines.append("")
    for further in (stress_table(results), budget_table(results)):
        if further is not None:
            lines += [f"## {further.title}", "", *markdown_table(further), ""]
            lines += [*(f"- {markdown_line(note)}" for note in further.notes), ""]
    lines += markdown_deltas(results)
    for table in metric_tables(results):
        lines += [f"## {markdown_line(table.title)}", "", *markdown_table(table), ""]
        lines += [*(f"> {note}" for note in table.notes), ""]
    lines += markdown_reference(results)
    if "judge" in results:
        from pytest_thinkslm.reports.judged import markdown_judge

        lines += [markdown_line(line) for line in markdown_judge(results["judge"])]
    if results["gates"]:
        lines += ["## Gates", "", *markdown_table(gate_table(results["gates"])), ""]
        lines += [f"- **{state}**: {markdown_line(sentence)}" for state, sentence in gate_sentences(results["gates"])]
        lines += [f"- {markdown_line(line)}" for line in any_loss_lines(results)]
        lines.append("")
    for certificate in certificates_of(results):
        table = certificate_table(certificate)
        lines += [f"## {markdown_line(table.title)}", "", *markdown_table(table), ""]
        lines += [*(f"- {note}" for note in table.notes), ""] if table.notes else []
    if results["settings"].get("preset_choices"):
        lines += [f"## Preset {results['settings']['preset']}", ""]
        lines += [f"- {markdown_line(choice)}" for choice in results["settings"]["preset_choices"]] + [""]
    problems = results["problems"]
    lines += [f"- {markdown_line(problem)}" for problem in problems[:PROBLEMS_LISTED]]
    if len(problems) > PROBLEMS_LISTED:
        lines.append(f"- ... and {len(problems) - PROBLEMS_LISTED} more problems: see results.json")
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
        ends = value.get("ci95")
        interval = f" [{ends[0]:.3g}, {ends[1]:.3g}]" if ends else ""
        return f"{_shown(value['value'])}{interval}{count}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
