"""The end of the terminal's output: tables, wrong answers, notes, and where the files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.core.tables import print_line, print_table
from pytest_thinkslm.plugin.compat_pytest import Terminal
from pytest_thinkslm.reports import summary
from pytest_thinkslm.runs.types import Results

if TYPE_CHECKING:
    from pytest_thinkslm.reports.recorder import Recorder

_PROBLEMS_SHOWN = 10

#: How the states of a gate are coloured.
_COLOURS = {
    "passed": {"green": True},
    "failed": {"red": True},
    "not evaluated": {"yellow": True},
    "advisory": {"yellow": True},
}


def show(reporter: Any, results: Results, wrong: Sequence[str], recorder: Recorder) -> None:
    """Write the summary of a run through pytest's terminal reporter."""
    from rich.console import Console
    from rich.markup import escape

    from pytest_thinkslm.reports.delta_tables import show_deltas, show_reference
    from pytest_thinkslm.reports.gate_table import gate_sentences, gate_table

    terminal = Terminal(reporter.config)
    reporter.write_sep("=", "thinkslm")
    counts = recorder.counts
    listed = list(wrong)
    if listed and reporter.config.option.verbose >= 0 and "f" in reporter.reportchars.lower():
        for line in listed:
            reporter.write_line(_one_line(line, terminal.width))
        more = counts["incorrect"] + counts["unparsed"] + counts["truncated"] - len(listed)
        if more > 0:
            reporter.write_line(f"... and {more} more: see items.jsonl")
    console = Console(
        file=terminal.file,
        force_terminal=terminal.coloured,
        no_color=not terminal.coloured,
        width=max(terminal.width, 72),
        highlight=False,
    )
    for table, speed, rows in summary.variant_tables(results):
        print_table(console, table, gap=2, caption=speed)
        for row in rows:
            if detail := summary.details(row):
                console.print(
                    f"[bold]{summary.row_name(row)}[/bold] ({row['style']}): " + escape("; ".join(detail)),
                    soft_wrap=True,
                )
        for note in summary.notes(rows):
            print_line(console, note, "warning")
    show_deltas(console, results)
    show_reference(console, results)
    if "judge" in results:
        from pytest_thinkslm.reports.judged import terminal_lines

        for line, red in terminal_lines(results["judge"]):
            reporter.write_line(line, red=red)
    if results["gates"]:
        print_table(console, gate_table(results["gates"]), gap=1)
    for state, sentence in gate_sentences(results["gates"]):
        reporter.write_line(f"gate {state}: {sentence}", **_COLOURS[state])
    if results["selection"] != "full":
        reporter.write_line(f"selection: {summary.selection_of(results)}")
    for problem in results["problems"][:_PROBLEMS_SHOWN]:
        reporter.write_line(f"thinkslm: {problem}", yellow=True)
    if len(results["problems"]) > _PROBLEMS_SHOWN:
        reporter.write_line(
            f"thinkslm: ... and {len(results['problems']) - _PROBLEMS_SHOWN} more problems: see results.json",
            yellow=True,
        )
    if recorder.page_problem:
        reporter.write_line(f"thinkslm: {recorder.page_problem}", yellow=True)
    names = ("results.json", "items.jsonl", "summary.md", "gates.xml", "junit.xml")
    if written := [name for name in names if (recorder.folder / name).is_file()]:
        reporter.write_line(f"files: {_shown(recorder.folder)} ({', '.join(written)})")
    if recorder.page is not None:
        reporter.write_line(f"page: {_shown(recorder.page)}")


def _one_line(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(width, 20) - 3] + "..."


def _shown(folder: Path) -> str:
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
