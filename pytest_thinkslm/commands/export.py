"""``thinkslm export``: a run in the forms of other tools."""

from __future__ import annotations

import argparse

from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.reports.exports import FORMS, export

HELP = "write a run as lm-eval's sample logs, or as Parquet"
DESCRIPTION = """\
Write a run's items and figures in another tool's form: lm-evaluation-harness' results and sample files, a folder a
variant, or Parquet tables of items and results (for pandas, DuckDB, the hub's data viewer)."""

EXAMPLES = """\
examples:
  thinkslm export reports/RUN --to lm-eval -o lm-eval
  thinkslm export reports/RUN --to parquet"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("run_folder", metavar="RUN", help="a report folder, or its results.json")
    parser.add_argument("--to", choices=FORMS, required=True, help="the form")
    parser.add_argument("-o", "--out", metavar="DIR", help="where the files go (default: beside the run's own)")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    place = expanded(arguments.run_folder)
    folder = place if place.is_dir() else place.parent
    out = expanded(arguments.out) if arguments.out else folder
    for path in export(place, arguments.to, out):
        print(safe_text(str(path)))
    return 0
