"""``thinkslm data check``: which records of a data set are not the pinned ones, and which part of each differs."""

from __future__ import annotations

import argparse
import sys

from pytest_thinkslm.core.errors import DataError, UsageError
from pytest_thinkslm.data.check import Checked, check
from pytest_thinkslm.settings.values import checked_path
from pytest_thinkslm.tasks import registry

HELP = "hold data sets against their content pins"
DESCRIPTION = """\
Hold data sets against their content pins, record by record: what a run would find, before it.

Every record that differs is printed with the parts that differ (question, options, steps, gold, groups) as the source
has them; so is every one that is missing, new, or cannot be built. Exit status: 0 where all pinned records are there
and match, 1 where not, or where a data set cannot be had; 4 for a wrong argument."""

EXAMPLES = """\
examples:
  thinkslm data check gsm8k
  thinkslm data check 'arc_*' --data-dir ~/data
  thinkslm data check mr_ben --hub-id mr_ben=owner/copy"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    checking = actions.add_parser(
        "check",
        help="print every record that differs, and which part of it",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    checking.add_argument("tasks", metavar="TASK", nargs="*", help="task keys, globs allowed (default: all)")
    checking.add_argument("--data-dir", metavar="DIR", help="folder with the data sets' files (default: the hub)")
    checking.add_argument(
        "--hub-id",
        metavar="TASK=ID",
        action="append",
        default=[],
        help="another hub data set for a task (owner/name, or owner/name@revision); can be given several times",
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    folder = checked_path(arguments.data_dir, "data-dir") if arguments.data_dir else None
    if folder is not None and not folder.is_dir():
        raise UsageError(f"data check: --data-dir {folder} is no folder: give the one that holds the data sets' files")
    hub = dict(map(_hub_id, arguments.hub_id))
    tasks = registry.select(arguments.tasks)
    if arguments.tasks and all(task.source is None for task in tasks):
        raise UsageError(f"data check: {', '.join(task.key for task in tasks)} is generated: there is no data to check")
    same = True
    for task in tasks:
        if task.source is None:
            continue
        try:
            found = check(task, folder, hub)
        except DataError as error:
            sys.stdout.write(f"{error}\n")
            same = False
            continue
        sys.stdout.write(_text(found))
        same = same and found.same
    return 0 if same else 1


def _hub_id(text: str) -> tuple[str, str]:
    key, equals, hub_id = text.partition("=")
    if not equals or not hub_id.strip():
        raise UsageError(f"data check: --hub-id {text!r}: expected TASK=OWNER/NAME")
    return registry.get(key.strip()).key, hub_id.strip()


def _text(found: Checked) -> str:
    lines = [f"{found.task}: {found.source}, {found.records} records: {found.summary}"]
    if found.note:
        lines.append(f"  {found.note}")
    for one in found.differences:
        lines.append("  " + "  ".join(filter(None, (f"{one.item:4}", one.place, one.what))))
    return "\n".join(lines) + "\n"
