"""``thinkslm certify``: one decision over all tasks of recorded runs, each against the first of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_thinkslm.commands import compare
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.gates.baselines import RecordedRun, load_run
from pytest_thinkslm.gates.comparing import compare as hold
from pytest_thinkslm.gates.outcomes import ALLOW
from pytest_thinkslm.reports.deltas import references

HELP = "one decision over all tasks: GO, NO-GO or INCONCLUSIVE"
DESCRIPTION = """\
Decide whether a run lost more than is allowed, over all of its tasks together: GO where a drop of the mean of MARGIN
points is ruled out, and so is one beyond its guard in every critical task; NO-GO where such a drop is shown; else
INCONCLUSIVE, with what it would take.

The first run is the baseline. Of a single run with several variants each is held against the uncompressed one. Exit
status: 0 for GO alone; 1 for NO-GO and INCONCLUSIVE; 2 where a run is not complete; 4 where nothing could be compared
or runs do not fit."""

EXAMPLES = """\
examples:
  thinkslm certify reports/none reports/w8a8 --margin 1
  thinkslm certify reports/none reports/w8a8 --policy policy.toml --format markdown > comment.md
  thinkslm certify reports/all-variants --margin 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the baseline, then the runs that are held against it")
    parser.add_argument("--format", choices=compare.FORMATS, default="rich", help="how to print it (default: rich)")
    compare.add_certificate_arguments(parser, "--margin")
    parser.add_argument(
        ALLOW, action="store_true", help="tasks that could not be evaluated are left out of the decision"
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    policy = compare.needed_policy(arguments, "certify", "--margin")
    allow = bool(arguments.allow_unevaluated)
    first, *others = (load_run(Path(place), "certify") for place in arguments.runs)
    pairs = [(first, other) for other in others] or _within(first)
    comparisons = [hold(before, now, None, policy, allow_unevaluated=allow) for before, now in pairs]
    return compare.report(first, comparisons, arguments.format, decides=True, allow=allow, command="certify")


def _within(run: RecordedRun) -> list[tuple[RecordedRun, RecordedRun]]:
    """Each variant of a run beside the one that it is held against."""
    pairs = references(run.variants)
    if not pairs:
        raise UsageError(
            f"certify {run.name}: it has one variant, and nothing to hold it against: give the baseline's run first"
        )
    return [(run.alone(reference), run.alone(variant)) for variant, reference in pairs.items()]
