"""``thinkslm page``: the page of existing report folders, or one plot as SVG."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.reports.page import write_joined_page, write_page
from pytest_thinkslm.reports.page.charts import charts
from pytest_thinkslm.runs.reading import read_results
from pytest_thinkslm.runs.types import Results

HELP = "one page of a run, or of several together; or a plot as SVG"
DESCRIPTION = """\
Build report.html of a run again, in its folder; of several runs one page, each held against the first, item by item;
or draw one of a run's plots as an SVG file."""

EXAMPLES = """\
examples:
  thinkslm page reports/20260101-120000-embedded-none
  thinkslm page reports/before reports/after --out both.html
  thinkslm page reports/20260101-120000-embedded-none --list
  thinkslm page reports/20260101-120000-embedded-none --svg accuracy --out accuracy.svg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("folders", metavar="RUN", type=Path, nargs="+", help="a folder with results.json, items.jsonl")
    parser.add_argument("--list", action="store_true", help="name the plots of the run")
    parser.add_argument("--svg", metavar="PLOT", help="draw this plot, with a Chromium or Chrome that is installed")
    parser.add_argument("--out", type=Path, help="the file: by default PLOT.svg, and runs.html for several runs")
    parser.add_argument("--width", type=int, default=720, help="of the SVG, in pixels (720)")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    if (arguments.list or arguments.svg) and len(arguments.folders) > 1:
        raise UsageError("page: --list and --svg are about one run: give one folder")
    if arguments.out and not arguments.svg and len(arguments.folders) == 1:
        raise UsageError("page: --out is of a plot (--svg) or of several runs; the page of one run is its report.html")
    runs = [_results(folder) for folder in arguments.folders]
    shown = ", ".join(map(str, arguments.folders))
    try:
        if arguments.list or arguments.svg:
            _plots(runs[0], arguments)
        elif len(runs) == 1:
            print(safe_text(str(write_page(arguments.folders[0]))))
        else:
            print(safe_text(str(write_joined_page(arguments.folders, arguments.out or Path("runs.html")))))
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"{shown}: no report folder of this version ({type(error).__name__}: {error}); "
            "run pytest again with --report-dir"
        ) from None
    return 0


def _plots(results: Results, arguments: argparse.Namespace) -> None:
    """Name the plots, or draw one."""
    made = {chart.name: chart for chart in charts(results)}
    if arguments.list:
        print("\n".join(f"{chart.name}: {chart.title}" for chart in made.values()))
        return
    if arguments.svg not in made:
        raise UsageError(f"--svg {arguments.svg}: this run has no such plot; it has {', '.join(made)}")
    from pytest_thinkslm.reports.page.svg import write_svg

    target = arguments.out or Path(f"{arguments.svg}.svg")
    chart = made[arguments.svg]
    write_svg({**chart.spec, "description": chart.title}, target, width=arguments.width)
    print(safe_text(str(target)))


def _results(folder: Path) -> Results:
    """The content of results.json. Raises ``UsageError``."""
    for name in ("results.json", "items.jsonl"):
        if not (folder / name).is_file():
            raise UsageError(f"{folder} has no {name}: give the report folder of a finished run")
    try:
        return read_results(folder / "results.json")
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from None
