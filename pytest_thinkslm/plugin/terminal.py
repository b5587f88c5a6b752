"""The end of the terminal's output: tables, wrong answers, notes, and where the files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.core.tables import print_line, print_table
from pytest_thinkslm.core.text import safe_message, safe_text
from pytest_thinkslm.plugin.compat_pytest import Terminal
from pytest_thinkslm.reports import summary
from pytest_thinkslm.runs.types import Results

if TYPE_CHECKING:
    from pytest_thinkslm.reports.recorder import Recorder

#: How the states of a gate are coloured.
_COLOURS = {
    "passed": {"green": True},
    "failed": {"red": True},
    "not evaluated": {"yellow": True},
    "advisory": {"yellow": True},
}


def show(reporter: Any, results: Results, listed: Mapping[str, Sequence[str]], recorder: Recorder) -> None:
    """Write the summary of a run through pytest's terminal reporter.

    Args:
        listed: by verdict the lines that are shown of its items, at most a few.
    """
    from rich.console import Console
    from rich.markup import escape

    from pytest_thinkslm.reports.certificate_table import certificate_table, certificates_of
    from pytest_thinkslm.reports.delta_tables import show_deltas, show_reference
    from pytest_thinkslm.reports.gate_table import any_loss_lines, gate_sentences, gate_table
    from pytest_thinkslm.reports.stress_table import stress_table

    terminal = Terminal(reporter.config)
    reporter.write_sep("=", "thinkslm")
    counts = recorder.counts

    def write(line: str, **markup: bool) -> None:
        reporter.write_line(safe_message(line), **markup)

    if reporter.config.option.verbose >= 0:
        for verdict, lines in listed.items():
            letters = "e" if verdict == "error" else "f"
            if letters in reporter.reportchars.lower():
                for line in lines:
                    if verdict == "error":  # its reason is what matters: whole
                        write(f"ERROR {line}", red=True)
                    else:
                        write(_one_line(line, terminal.width))
                if (more := counts[verdict] - len(lines)) > 0:
                    write(f'... and {more} more {verdict}: see items.jsonl ("verdict":"{verdict}"), or -v')
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
                    f"[bold]{escape(safe_text(summary.row_name(row)))}[/bold] ({row['style']}): "
                    + escape(safe_text("; ".join(detail))),
                    soft_wrap=True,
                )
        for note in summary.notes(rows):
            print_line(console, note, "warning")
    if (forms := stress_table(results)) is not None:
        print_table(console, forms, gap=1)
    show_deltas(console, results)
    show_reference(console, results)
    if "judge" in results:
        from pytest_thinkslm.reports.judged import terminal_lines

        for line, red in terminal_lines(results["judge"]):
            write(line, red=red)
    if results["gates"]:
        print_table(console, gate_table(results["gates"]), gap=1)
    for certificate in certificates_of(results):
        print_table(console, certificate_table(certificate), gap=1)
    for line in any_loss_lines(results):
        print_line(console, line)
    for state, sentence in gate_sentences(results["gates"]):
        write(f"gate {state}: {sentence}", **_COLOURS[state])
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


def _one_line(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(width, 20) - 3] + "..."


def _shown(folder: Path) -> str:
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
