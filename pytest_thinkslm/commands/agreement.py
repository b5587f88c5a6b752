"""``thinkslm agreement``: parser and judge held against the people who labelled a sample."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from pytest_thinkslm.audit.agreement_tables import print_validation
from pytest_thinkslm.audit.audit_key import AuditKey
from pytest_thinkslm.audit.labelled import read_labelled
from pytest_thinkslm.audit.run_items import open_run
from pytest_thinkslm.audit.validation import Rater, key_raters, run_raters, validate
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.files import write_json

HELP = "how well parser and judge agree with people's labels"
DESCRIPTION = """\
Say how well the parser and the judge agree with people. LABELS are files of `thinkslm audit`, filled in: one an
annotator. Several annotators count by majority; ties and unclear outputs are left out and counted. All figures are
weighted back from the sample to the run."""

EXAMPLES = """\
examples:
  thinkslm agreement audit-qwen.csv
  thinkslm agreement audit-qwen.alice.csv audit-qwen.bob.csv --json agreement.json
  thinkslm agreement audit-qwen.*.csv --run reports/judged-by-a --run reports/judged-by-b

rho is Pearson's and Spearman's (the same for two yes-or-no readings); TPR and TNR are the shares of what people call
correct, or incorrect, that the rater calls so too; MAE is the mean over the tasks of the absolute difference between
the rater's accuracy and that of the people. What the data leave undefined is said, with the reason."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("labels", metavar="LABELS", nargs="+", help="label files, one an annotator")
    parser.add_argument(
        "--run",
        dest="runs",
        metavar="RUN",
        action="append",
        default=[],
        help="take the verdicts from this run of the same outputs (rescored, or judged by another model) in place of "
        "the audited one's; may be repeated",
    )
    parser.add_argument("--key", metavar="FILE", help="key file of the sample (default: beside the labels)")
    parser.add_argument(
        "--json", metavar="FILE", help="write every figure there too ('-': print it in place of tables)"
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    sample = read_labelled([Path(name) for name in arguments.labels], arguments.key and Path(arguments.key))
    validation = validate(sample.key, sample.labels, _raters(sample.key, arguments.runs), sample.reasons)
    if arguments.json == "-":
        print(json.dumps(validation.as_json(), indent=2))
        return 0
    if arguments.json:
        try:
            write_json(Path(arguments.json), validation.as_json())
        except OSError as error:
            raise UsageError(f"--json {arguments.json} cannot be written ({error.strerror or error})") from None
    print_validation(validation)
    return 0


def _raters(key: AuditKey, places: Sequence[str]) -> list[Rater]:
    if not places:
        return key_raters(key)
    raters = []
    for place in places:
        recorded = open_run(Path(place))
        raters += run_raters(key, recorded.items(), recorded.name, recorded.judge_model)
    return raters
