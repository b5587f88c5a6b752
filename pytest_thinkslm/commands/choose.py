"""``thinkslm choose``: of several variants the smallest, fastest or cheapest that is certified within a margin."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_thinkslm.commands import compare
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.gates.baselines import RecordedRun, load_run, root_variant
from pytest_thinkslm.gates.comparing import compare as hold
from pytest_thinkslm.gates.outcomes import ALLOW
from pytest_thinkslm.reports.choice import WRITERS, Candidate, choose, costs_of, levels_for

HELP = "the smallest, fastest or cheapest variant that is certified within a margin"
DESCRIPTION = """\
Choose a variant: each is held against the reference, as thinkslm certify does, and of those that are certified within
MARGIN points the one with the least disk, the least memory, the most tokens a second, and the least generating time
for each item solved is named. Each certificate is given at 5% divided by the number of variants, so that the one
that is chosen holds at 5%.

The reference is the first run's uncompressed variant, else its first one. Exit status: 0 where at least one other
variant is certified; 1 where none is; 2 where a run is not complete; 4 where nothing could be compared or runs do not
fit."""

EXAMPLES = """\
examples:
  thinkslm choose reports/all-variants --within 1
  thinkslm choose reports/none reports/w8a8 reports/gptq4 --within 2 --format markdown > comment.md"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="runs of the variants, that of the reference first")
    parser.add_argument("--format", choices=tuple(WRITERS), default="rich", help="how to print it (default: rich)")
    compare.add_certificate_arguments(parser, "--within")
    parser.add_argument(
        ALLOW, action="store_true", help="tasks that could not be evaluated are left out of the decisions"
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    policy = compare.needed_policy(arguments, "choose", "--within")
    runs = [load_run(Path(place), "choose") for place in arguments.runs]
    if not runs[0].variants:
        raise UsageError(f"choose {runs[0].name}: it has no outcome; give the run of the reference first")
    reference = root_variant(runs[0].variants)
    others = [
        (run, variant)
        for place, run in enumerate(runs)
        for variant in run.variants
        if (place, variant) != (0, reference)
    ]
    if not others:
        raise UsageError(f"choose {runs[0].name}: it has one variant: give runs of others, too")
    levels, allow = levels_for(len(others)), bool(arguments.allow_unevaluated)
    before = runs[0].alone(reference)
    candidates = [Candidate(runs[0].name, reference, costs_of(runs[0], reference))]
    apart, complete = [], True
    for run, variant in others:
        held = hold(before, run.alone(variant), None, policy, allow_unevaluated=allow, levels=levels)
        complete &= held.complete
        apart += [] if held.rows_compared else [held.name]
        candidates.append(Candidate(run.name, variant, costs_of(run, variant), held.certificate))
    margins = [one.certificate["margin"] for one in candidates if one.certificate is not None]
    choice = choose(candidates, max(margins, default=policy.margin.points), levels.go, _remarks(runs))
    sys.stdout.write(WRITERS[arguments.format](choice))
    if apart and not allow:
        raise compare.nothing_compared("choose", before, apart)
    if not complete:
        return 2
    return 0 if any(one.certified for one in choice.candidates[1:]) else 1


def _remarks(runs: list[RecordedRun]) -> list[str]:
    """What forbids to hold the speeds side by side."""
    places: dict[str, list[str]] = {}
    for run in runs:
        measured = run.results.get("measured", {}).get("variants", {})
        devices = {(str(own.get("device")), str(own.get("threads"))) for own in measured.values()}
        places.setdefault(f"{run.results.get('hardware')} {sorted(devices)}", []).append(run.name)
    if len(places) < 2:
        return []
    groups = "; ".join(", ".join(names) for names in places.values())
    return [f"speeds and memory were measured on different machines or devices: {groups}"]
