"""The end of the terminal's output: tables, wrong answers, notes, and where the files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.core.tables import Tone, print_line, print_table
from pytest_thinkslm.core.text import safe_message
from pytest_thinkslm.plugin.compat_pytest import Terminal, verbosity
from pytest_thinkslm.reports import summary, terminal_tables
from pytest_thinkslm.reports.budget_table import budget_table
from pytest_thinkslm.reports.certificate_table import certificate_table, certificates_of
from pytest_thinkslm.reports.delta_tables import show_deltas, show_reference
from pytest_thinkslm.reports.gate_table import any_loss_lines, gate_sentences, gate_table
from pytest_thinkslm.reports.stress_table import stress_table
from pytest_thinkslm.runs.types import Results

if TYPE_CHECKING:
    from rich.console import Console

    from pytest_thinkslm.reports.recorder import Recorder

#: How the states of a gate are coloured.
_TONES: Mapping[str, Tone] = {"passed": "good", "failed": "bad", "not evaluated": "warning", "advisory": "warning"}

#: Items of a kind that are shown where there are many and several variants.
_EXAMPLES = 2


def show(reporter: Any, results: Results, listed: Mapping[str, Sequence[str]], recorder: Recorder) -> None:
    """Write the summary of a run through pytest's terminal reporter.

    ``-v`` leaves nothing out; ``-q`` has the figures, what failed and where the files are.

    Args:
        listed: by verdict the lines that are shown of its items, at most a few.
    """
    from rich.console import Console

    terminal = Terminal(reporter.config)
    detail = verbosity(reporter.config)
    reporter.write_sep("=", "thinkslm")

    def write(line: str, **markup: bool) -> None:
        reporter.write_line(safe_message(line), **markup)

    variants = len(summary.by_variant(results["results"]))
    if detail >= 0:
        _write_items(reporter, listed, recorder, few=variants > 1 and detail == 0)
    console = Console(
        file=terminal.file,
        force_terminal=terminal.coloured,
        no_color=not terminal.coloured,
        width=max(terminal.width, 72),
        highlight=False,
    )
    overview = detail <= 0 and terminal_tables.is_overview(results)
    if overview:
        tables, line = terminal_tables.overview_tables(results, console.width)
        for table in tables:
            print_table(console, table, gap=1)
        if line:
            print_line(console, line, "quiet")
    _show_figures(console, results, detail, tables=not overview)
    for further in (stress_table(results), budget_table(results)):
        if detail >= 0 and further is not None:
            print_table(console, further, gap=1)
    many = detail <= 0 and variants > terminal_tables.VARIANTS_IN_FULL
    _show_changes(console, results, detail, overview=many)
    if "judge" in results:
        from pytest_thinkslm.reports.judged import terminal_lines

        for line, red in terminal_lines(results["judge"]):
            write(line, red=red)
    _show_gates(console, results, detail, overview=many)
    if "adaptive" in results:
        write(f"adaptive: {results['adaptive']['sentence']}")
    if results["selection"] != "full":
        write(f"selection: {summary.selection_of(results)}")
    for problem in results["problems"][: summary.PROBLEMS_LISTED]:
        write(f"thinkslm: {problem}", yellow=True)
    if len(results["problems"]) > summary.PROBLEMS_LISTED:
        write(
            f"thinkslm: ... and {len(results['problems']) - summary.PROBLEMS_LISTED} more problems: see results.json",
            yellow=True,
        )
    if recorder.page_problem:
        write(f"thinkslm: {recorder.page_problem}", yellow=True)
    names = ("results.json", "items.jsonl", "summary.md", "gates.xml", "junit.xml")
    if written := [name for name in names if (recorder.folder / name).is_file()]:
        write(f"files: {_shown(recorder.folder)} ({', '.join(written)})")
    if recorder.page is not None:
        write(f"page: {_shown(recorder.page)}")


def _write_items(reporter: Any, listed: Mapping[str, Sequence[str]], recorder: Recorder, *, few: bool) -> None:
    """Items that were wrong or are errors, a line each; ``few``: of a kind with many examples alone."""
    width = Terminal(reporter.config).width
    for verdict, lines in listed.items():
        count = recorder.counts[verdict]
        if ("e" if verdict == "error" else "f") not in reporter.reportchars.lower():
            continue
        shown = [" ".join(line.split()) for line in (lines[:_EXAMPLES] if few and count > len(lines) else lines)]
        if verdict != "error" and any(len(line) > width for line in shown):
            shown = [line.partition("::")[2] or line for line in shown]  # the reason says more than the file's name
        for line in shown:
            if verdict == "error":  # its reason is what matters: whole
                reporter.write_line(safe_message(f"ERROR {line}"), red=True)
            else:
                reporter.write_line(safe_message(_one_line(line, width)))
        if (more := count - len(shown)) > 0:
            reporter.write_line(f'... and {more} more {verdict}: see items.jsonl ("verdict":"{verdict}"), or -v')


def _show_figures(console: Console, results: Results, detail: int, *, tables: bool) -> None:
    """The table of each variant with its break-downs, as far as they fit; then the notes on all of them, each once."""
    found = summary.variant_tables(results)
    rows = [row for _, _, own in found for row in own]
    whole = detail > 0
    left_out = False
    for table, speed, own in found if tables else ():
        print_table(console, table, gap=2, caption=speed)
        if detail < 0:
            continue
        lines, parts = terminal_tables.detail_lines(own), terminal_tables.breakdown_table(own)
        if not whole and len(found) > 1:
            left_out = left_out or bool(lines or parts)
            continue
        if whole or len(lines) <= 2 * terminal_tables.ROWS_SHOWN:
            for line in lines:
                print_line(console, line)
        if parts is not None and (whole or len(parts.rows) <= 3 * terminal_tables.ROWS_SHOWN):
            print_table(console, parts, gap=2)
        else:
            left_out = left_out or parts is not None
    if detail >= 0 and (left_out or not tables):
        print_line(console, "break-downs and failure classes: summary.md and the page, or -v", "quiet")
    if detail >= 0 and any(summary.overall(own) for _, _, own in found):
        print_line(console, summary.MEAN_NOTE, "quiet")
    notes = summary.notes(rows, brief=detail < 0)
    # What is marked in a table by a star comes first.
    notes.sort(key=lambda note: "*:" not in note)
    kept = notes if whole else notes[: terminal_tables.ROWS_SHOWN]
    for note in kept:
        print_line(console, note, "warning")
    if len(notes) > len(kept):
        print_line(console, f"... and {len(notes) - len(kept)} more notes: summary.md, or -v", "warning")


def _show_changes(console: Console, results: Results, detail: int, *, overview: bool) -> None:
    """What changed between variants, and beside the paper."""
    if overview:
        if (table := terminal_tables.change_overview(results)) is not None:
            print_table(console, replace(table, title=""), gap=2)
            print_line(console, "p after Holm's correction over all tasks and variants; by task: summary.md", "quiet")
    else:
        show_deltas(console, results, detail)
    if detail >= 0 and (detail > 0 or len(results.get("reference", ())) <= 3 * terminal_tables.ROWS_SHOWN):
        show_reference(console, results)


def _show_gates(console: Console, results: Results, detail: int, *, overview: bool) -> None:
    """Gates in one table, certificates, and the sentences of those that failed."""
    gates, whole = results["gates"], detail > 0
    certificates = certificates_of(results)
    if gates:
        shown, line = terminal_tables.gates_shown(gates, every=whole, certified=bool(certificates))
        print_table(console, gate_table(shown), gap=1)
        if line:
            print_line(console, line)
    for certificate in certificates if not overview else ():
        table = certificate_table(certificate)
        most = len(table.rows) if whole else terminal_tables.ROWS_SHOWN
        print_table(console, replace(table, rows=table.rows[:most]), gap=1)
        if (more := len(table.rows) - most) > 0:
            print_line(console, f"... and {more} more tasks: summary.md, or -v")
    if detail >= 0:
        for line in any_loss_lines(results):
            print_line(console, line)
    found = gate_sentences(gates)
    sentences, more = terminal_tables.sentences_shown(gates, found, every=whole, certified=bool(certificates))
    for state, sentence in sentences:
        print_line(console, f"gate {state}: {sentence}", _TONES[state])
    if detail == 0 and (line := terminal_tables.passed_line(gates)):
        print_line(console, line, "quiet")
    if more:
        print_line(console, f"... and {more} more failed gates: summary.md, gates.xml, or -v", "bad")


def _one_line(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width, 20) - 3] + "..."


def _shown(folder: Path) -> str:
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
