"""``python -m pytest_thinkslm.reports.page FOLDER``: the page of an existing report folder, or one plot as SVG."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.reports.page import write_page
from pytest_thinkslm.reports.page.charts import charts
from pytest_thinkslm.runs.reading import read_results
from pytest_thinkslm.runs.types import Results

_EXAMPLES = """\
examples:
  python -m pytest_thinkslm.reports.page reports/20260101-120000-embedded-none
  python -m pytest_thinkslm.reports.page reports/20260101-120000-embedded-none --list
  python -m pytest_thinkslm.reports.page reports/20260101-120000-embedded-none --svg accuracy --out accuracy.svg
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write report.html (exit status 0), or say what is wrong (4, as pytest's usage error)."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_thinkslm.reports.page",
        description="Build report.html from a report folder, or draw one of its plots as an SVG file.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="a report folder, with results.json and items.jsonl")
    parser.add_argument("--list", action="store_true", help="name the plots of the run")
    parser.add_argument("--svg", metavar="PLOT", help="draw this plot, with a Chromium or Chrome that is installed")
    parser.add_argument("--out", type=Path, help="the SVG file; by default PLOT.svg in the current folder")
    parser.add_argument("--width", type=int, default=720, help="of the SVG, in pixels (720)")
    options = parser.parse_args(arguments)
    try:
        if options.list or options.svg:
            made = {chart.name: chart for chart in charts(_results(options.folder))}
            if options.list:
                print("\n".join(f"{chart.name}: {chart.title}" for chart in made.values()))
                return 0
            if options.svg not in made:
                raise UsageError(f"--svg {options.svg}: this run has no such plot; it has {', '.join(made)}")
            from pytest_thinkslm.reports.page.svg import write_svg

            target = options.out or Path(f"{options.svg}.svg")
            write_svg({**made[options.svg].spec, "description": made[options.svg].title}, target, width=options.width)
            print(target)
            return 0
        _results(options.folder)
        print(write_page(options.folder))
    except (UsageError, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 4
    except (ValueError, KeyError) as error:
        print(
            f"ERROR: {options.folder} is not a report folder of this version ({type(error).__name__}: {error}); "
            "run pytest again with --report-dir",
            file=sys.stderr,
        )
        return 4
    return 0


def _results(folder: Path) -> Results:
    """The content of results.json. Raises ``UsageError``."""
    for name in ("results.json", "items.jsonl"):
        if not (folder / name).is_file():
            raise UsageError(f"{folder} has no {name}: give the report folder of a finished run")
    try:
        return read_results(folder / "results.json")
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
