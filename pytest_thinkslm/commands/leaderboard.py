"""``thinkslm leaderboard``: existing runs merged into one table, in the layout of the ThinkSLM paper's."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast, get_args

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.files import write_text
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.reports.leaderboard import Leaderboard, PaperRows, merge
from pytest_thinkslm.reports.leaderboard_entries import RunEntry, entries
from pytest_thinkslm.reports.leaderboard_files import FORMATS

HELP = "merge runs into one sortable table"
DESCRIPTION = """\
Merge runs into one sortable table, in the layout of the ThinkSLM paper's, with the paper's rows beside them.

A run is its report folder. Runs that differ in prompts, sampling, selection or data stand in groups of their own.
Writes leaderboard.html, leaderboard.csv and leaderboard.md. Exit status: 0; 4 when a run cannot be read."""

EXAMPLES = """\
examples:
  thinkslm leaderboard reports/*
  thinkslm leaderboard reports/* --out site --format html
  thinkslm leaderboard reports/a reports/b --format markdown --paper same"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="report folders; other files are passed over")
    parser.add_argument("--out", metavar="DIR", default=".", help="where the files go (default: the current folder)")
    parser.add_argument(
        "--format",
        metavar="F,...",
        default=",".join(FORMATS),
        help=f"which files: {', '.join(FORMATS)} (default: all)",
    )
    parser.add_argument(
        "--paper",
        choices=get_args(PaperRows),
        default="all",
        help="the paper's rows: all (default), those of the same models, or none; always marked as the paper's",
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="pass over runs that cannot be read, saying so")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    formats = _formats(arguments.format)
    folder = Path(arguments.out)
    board = merge(_read(_places(arguments.runs), skip=arguments.skip_unreadable), cast("PaperRows", arguments.paper))
    paths = [_write(folder, *FORMATS[name], board) for name in formats]
    own = [group for group in board.groups if not group.paper]
    count = sum(len(group.lines) for group in own)
    print(f"{count} variant{'s' * (count != 1)} in {len(own)} group{'s' * (len(own) != 1)}")
    for group in own:
        for text in [f"{group.title}: " + ", ".join(f"{k} {v}" for k, v in group.conditions.items()), *group.differs]:
            print(f"  {_printable(text)}")
    for remark in board.remarks:
        print(_printable(remark))
    print("\n".join(safe_text(str(path)) for path in paths))
    return 0


def _formats(asked: str) -> Sequence[str]:
    names = [name for name in asked.split(",") if name]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise UsageError(f"--format {asked!r}: choose from {', '.join(FORMATS)}, separated by commas")
    return list(dict.fromkeys(names))


def _places(asked: Sequence[str]) -> list[Path]:
    """The runs among what was given: ``reports/*`` has other files, too. Each once."""
    places = []
    for name in asked:
        place = Path(name)
        if place.is_file() and place.suffix != ".json":
            print(f"passed over {_printable(name)}: no report folder", file=sys.stderr)
        else:
            places.append(place)
    if not places:
        raise UsageError("leaderboard: no report folder was given; a run of pytest --model ... leaves one")
    return list({os.path.realpath(place): place for place in places}.values())


def _read(places: Sequence[Path], *, skip: bool) -> list[RunEntry]:
    """Every variant of every run; what cannot be read is named, all at once. Raises ``UsageError``."""
    found: list[RunEntry] = []
    problems = []
    live = sys.stderr.isatty()
    for number, place in enumerate(places, 1):
        if live:
            print(f"\r\x1b[Kreading {number} of {len(places)}: {_printable(place.name)}", end="", file=sys.stderr)
        try:
            found += entries(place)
        except UsageError as error:
            problems.append(str(error))
    if live:
        print("\r\x1b[K", end="", file=sys.stderr)
    if problems and not skip:
        them = "it" if len(problems) == 1 else "them"
        raise UsageError("\n".join(problems) + f"\nleave {them} out (--skip-unreadable does), or make {them} again")
    for problem in problems:
        print(f"passed over: {_printable(problem)}", file=sys.stderr)
    if not found:
        raise UsageError("leaderboard: the given runs have no results")
    return found


def _write(folder: Path, name: str, render: Callable[[Leaderboard], str], board: Leaderboard) -> Path:
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, render(board))
    except OSError as error:
        raise UsageError(f"--out {folder}: {name} cannot be written ({error.strerror or error})") from None
    return path


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
