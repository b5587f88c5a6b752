"""``thinkslm compare``: existing runs held against the first of them, item by item."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from pytest_thinkslm.core.errors import UsageError, pages
from pytest_thinkslm.gates.baselines import (
    RecordedRun,
    load_run,
)
from pytest_thinkslm.gates.comparing import Comparison, compare, compare_styles
from pytest_thinkslm.gates.outcomes import ALLOW, any_failed
from pytest_thinkslm.reports.comparison_tables import WRITERS
from pytest_thinkslm.settings.gate_specs import GateMode, parse_margin
from pytest_thinkslm.settings.policies import Policy, make_policy
from pytest_thinkslm.settings.values import resolve_path

FORMATS = tuple(WRITERS)

HELP = "compare existing runs item by item"
DESCRIPTION = """\
Compare runs that have been made: each with the first one, on the items that both have.

A run is its report folder (or its results.json, with items.jsonl beside it). Runs are paired item by item, so
that far smaller changes show than by comparing two accuracies. Exit status: 0, or with --gate or --certify 1
when it fails or could not be evaluated and 2 when a run is not complete; 4 when nothing could be compared, or runs do
not fit."""

EXAMPLES = """\
examples:
  thinkslm compare reports/before reports/after
  thinkslm compare reports/none reports/gptq4 reports/w8a8 --format markdown > comment.md
  thinkslm compare --by style reports/direct-and-cot
  thinkslm compare baseline now --gate 2 --gate-mode noninferiority"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("baseline", metavar="RUN_A", help="the run that the others are held against")
    parser.add_argument("runs", metavar="RUN_B", nargs="*", help="one or more further runs")
    parser.add_argument("--by", choices=["style"], help="compare the prompt styles of one run with its first one")
    parser.add_argument("--format", choices=FORMATS, default="rich", help="how to print it (default: rich)")
    parser.add_argument("--gate", metavar="MARGIN", help="fail where a drop of more than MARGIN points is shown")
    parser.add_argument(
        "--gate-mode",
        choices=get_args(GateMode),
        help="regression (default): fail where a larger drop is shown; noninferiority: fail unless it is ruled out",
    )
    add_certificate_arguments(parser)
    parser.add_argument(
        ALLOW,
        action="store_true",
        help="nothing or too little to compare, a task that is missing, or too many errors do not fail the comparison",
    )


def add_certificate_arguments(parser: argparse.ArgumentParser, name: str = "--certify") -> None:
    """Add what a certificate takes; its margin under this name."""
    parser.add_argument(
        name,
        dest="certify",
        metavar="MARGIN",
        help="one decision over all tasks, GO, NO-GO or INCONCLUSIVE: whether the mean of accuracies fell by less than "
        "MARGIN percentage points",
    )
    parser.add_argument(
        "--policy", metavar="FILE", help=f"TOML file with margin, guards of single tasks and tiers ({pages('gates')})"
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    if arguments.gate is None and arguments.gate_mode:
        raise UsageError("--gate-mode is about --gate, which is not given: add --gate MARGIN (in points)")
    if arguments.by:
        return _by_style(arguments)
    if not arguments.runs:
        raise UsageError("compare: give two runs or more, or one with --by style")
    mode = cast("GateMode", arguments.gate_mode or "regression")
    margin = None if arguments.gate is None else parse_margin(arguments.gate, mode)
    policy = policy_of(arguments)
    first = load_run(Path(arguments.baseline), "compare")
    others = [load_run(Path(place), "compare") for place in arguments.runs]
    allow = bool(arguments.allow_unevaluated)
    comparisons = [compare(first, other, margin, policy, allow_unevaluated=allow) for other in others]
    return report(first, comparisons, arguments.format, decides=margin is not None or policy is not None, allow=allow)


def _by_style(arguments: argparse.Namespace) -> int:
    if arguments.runs or arguments.gate is not None or arguments.certify is not None or arguments.policy is not None:
        raise UsageError("compare --by style: takes one run, and neither --gate nor --certify")
    run = load_run(Path(arguments.baseline), "compare")
    comparisons = compare_styles(run)
    if not comparisons:
        raise UsageError(
            f"compare --by style: {run.name} has each task in one style alone; run it with --style direct,cot"
        )
    return report(run, comparisons, arguments.format, decides=False, allow=bool(arguments.allow_unevaluated))


def policy_of(arguments: argparse.Namespace, option: str = "--certify") -> Policy | None:
    """What is to be certified, its margin given as ``option``; None where nothing is. Raises ``UsageError``."""
    from pytest_thinkslm.tasks import registry

    if arguments.certify is None and arguments.policy is None:
        return None
    return make_policy(arguments.certify, resolve_path(arguments.policy, "policy"), tuple(registry.all_tasks()), option)


def needed_policy(arguments: argparse.Namespace, command: str, option: str) -> Policy:
    """``policy_of`` for a command that certifies nothing without one. Raises ``UsageError``, where it is not given."""
    policy = policy_of(arguments, option)
    if policy is None:
        raise UsageError(
            f"{command}: say how much may be lost: {option} MARGIN (in points), or --policy FILE with one in it"
        )
    return policy


def nothing_compared(command: str, first: RecordedRun, apart: Sequence[str]) -> UsageError:
    """The error of runs (``apart``, by name) that share nothing with the first one."""
    return UsageError(
        f"{command}: nothing could be compared with {first.name}: {', '.join(apart)} shares no item with it that "
        f"was asked alike; give runs of the same tasks and items, or {ALLOW}"
    )


def report(
    first: RecordedRun,
    comparisons: Sequence[Comparison],
    how: str,
    *,
    decides: bool,
    allow: bool,
    command: str = "compare",
) -> int:
    """Print comparisons; the exit status. Raises ``UsageError`` where nothing could be compared.

    Args:
        decides: whether a gate or a certificate is asked for.
        command: what the user typed, for the message.
    """
    sys.stdout.write(WRITERS[how](first, comparisons))
    apart = [comparison.name for comparison in comparisons if not comparison.rows_compared]
    if apart and not allow:
        raise nothing_compared(command, first, apart)
    if any(any_failed(comparison.gates) for comparison in comparisons):
        return 1
    return 2 if decides and not all(comparison.complete for comparison in comparisons) else 0
