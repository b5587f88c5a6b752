"""``thinkslm audit``: a sample of a run for people to label, blinded to the verdicts."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pytest_thinkslm.audit.audit_key import AuditKey
from pytest_thinkslm.audit.labels import COLUMNS, NO_REASON, REASON, guarded, key_path, write_rows
from pytest_thinkslm.audit.run_items import AuditedRun, AuditItem, open_run
from pytest_thinkslm.audit.sample import DISAGREEMENT_SHARE, draw
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.files import write_json
from pytest_thinkslm.core.tables import Column, Table, figure_columns, print_table, stdout_console
from pytest_thinkslm.core.text import safe_line, safe_text

HELP = "draw a sample of a run for people to label"
DESCRIPTION = """\
Draw a stratified sample of a run's outputs into a CSV that people label as correct or incorrect, to see how far the
parser and the judge can be trusted. The CSV shows task, question, gold and output, in random order; model, verdicts
and weights stand in a key file beside it, which annotators must not see before they are done."""

EXAMPLES = """\
strata: task x verdict x who decided it, disagreements of parser and judge apart. Disagreements come first, up to a
share of the sample; tasks share the rest equally, strata within a task by their size, at least two outputs each.

examples:
  thinkslm audit reports/qwen-all                      # 1,000 outputs into audit-qwen-all.csv
  thinkslm audit reports/qwen-all --n 200 --task gsm8k,arc_* --out labels.csv
  thinkslm label labels.csv --annotator alice          # then label them, and
  thinkslm agreement labels.*.csv                      # see how well parser and judge agree with people"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("run_folder", metavar="RUN", help="report folder of a run")
    parser.add_argument("--n", type=int, default=1000, help="size of the sample (default: 1000, as in the study)")
    parser.add_argument("--out", metavar="FILE", help="CSV to write (default: audit-<name of the run>.csv)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the draw and the order (default: 0)")
    parser.add_argument("--task", metavar="T,...", help="of these tasks alone; globs allowed (default: all)")
    parser.add_argument(
        "--disagreements",
        metavar="PCT",
        type=float,
        default=100 * DISAGREEMENT_SHARE,
        help="at most this part of the sample are disagreements of parser and judge (default: %(default)g)",
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    if arguments.n < 1:
        raise UsageError(f"--n {arguments.n}: a sample has at least one output")
    if not 0 <= arguments.disagreements < 100:
        raise UsageError(f"--disagreements {arguments.disagreements:g}: give percent, from 0 to below 100")
    recorded = open_run(Path(arguments.run_folder))
    out = Path(arguments.out or f"audit-{recorded.name}.csv")
    for path in (out, key_path(out)):
        if path.exists():
            raise UsageError(
                f"--out {out}: {path} is there already and may hold labels; give another --out, or remove it yourself"
            )
    progress = _Progress()
    progress(f"reading {recorded.folder / 'items.jsonl'}")
    items, errors = _read(recorded)
    chosen, tasks = _of_tasks(items, arguments.task)
    share = arguments.disagreements / 100
    key = AuditKey(
        draw(chosen, arguments.n, seed=arguments.seed, share=share),
        recorded.name,
        recorded.judge_model,
        arguments.seed,
        share,
        tuple(tasks),
    )
    progress(f"writing {out}")
    _write(recorded, key, out)
    progress.done()
    _tell(key, chosen, errors, arguments.n, out)
    return 0


def _read(recorded: AuditedRun) -> tuple[list[AuditItem], int]:
    """The outputs of a run, and how many errors stand beside them."""
    found = list(recorded.items())
    items = [item for item in found if not item.is_error]
    if not items:
        raise UsageError(f"{recorded.folder} has no output to label ({len(found)} of its items are errors)")
    return items, len(found) - len(items)


def _of_tasks(items: Sequence[AuditItem], asked: str | None) -> tuple[Sequence[AuditItem], list[str]]:
    """The items of the tasks asked for, and the keys of these tasks (none where all are)."""
    if asked is None:
        return items, []
    there = sorted({item.key.task for item in items})
    wanted: set[str] = set()
    for pattern in filter(None, map(str.strip, asked.split(","))):
        matches = fnmatch.filter(there, pattern)
        if not matches:
            raise UsageError(f"--task {pattern}: the run has no such task; {nearest(pattern, there)}")
        wanted.update(matches)
    if not wanted:
        raise UsageError(f"--task {asked!r} names no task; valid: {', '.join(there)}")
    return [item for item in items if item.key.task in wanted], sorted(wanted)


def _write(recorded: AuditedRun, key: AuditKey, out: Path) -> None:
    texts = recorded.texts({pick.item.key for pick in key.sample.picks})
    rows = []
    for pick in key.sample.picks:
        shown = texts[pick.item.key]
        cells = (pick.id, pick.item.key.task, shown.question, shown.gold, shown.output, "", "")
        rows.append(dict(zip(COLUMNS, map(guarded, cells), strict=True)))
    columns: tuple[str, ...] = COLUMNS
    if any(shown.wrong_solution for shown in texts.values()):
        columns = (*COLUMNS[:-1], REASON, COLUMNS[-1])
        for pick, row in zip(key.sample.picks, rows, strict=True):
            row[REASON] = "" if texts[pick.item.key].wrong_solution else NO_REASON
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(key_path(out), key.as_json())
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written ({error.strerror or error})") from None
    write_rows(out, rows, columns)


def _tell(key: AuditKey, items: Sequence[AuditItem], errors: int, n: int, out: Path) -> None:
    """What was drawn, and what to do next."""
    picks = key.sample.picks
    apart = sum(item.disagreement for item in items)
    taken = sum(pick.item.disagreement for pick in picks)
    strata = f"{len(key.sample.strata)} strata (seed {key.seed})"
    print(f"{len(picks):,} of {len(items):,} outputs of {key.run} drawn, {strata}")
    if len(picks) < n:
        print(f"that is all there is: --n {n:,} is more than the run has")
    if key.judge is None and not any(item.judge for item in items):
        print("no judge in this run: only the parser can be audited")
    else:
        print(f"{taken:,} of {apart:,} disagreements of parser and judge are among them")
    if errors:
        print(f"left out: {errors:,} errors (no output)")
    _print_tasks(Counter(item.key.task for item in items), Counter(pick.item.key.task for pick in picks))
    shown, verdicts = safe_text(str(out)), safe_text(str(key_path(out)))
    print(f"files: {shown} (for annotators), {verdicts} (the verdicts: not for annotators)")
    command = f"thinkslm label {shown}"
    print(f"next:  {command} --annotator NAME, once for each annotator; or fill in the column 'label' in a spreadsheet")
    own = safe_text(str(out.with_name(f"{out.stem}.*{out.suffix}")))
    print(f"then:  thinkslm agreement {own} (or {shown}, where that was filled in)")


def _print_tasks(there: Counter[str], drawn: Counter[str]) -> None:
    rows = [[safe_line(task), f"{there[task]:,}", f"{drawn[task]:,}"] for task in sorted(there)]
    print_table(stdout_console(80), Table([Column("task", "left"), *figure_columns("outputs", "drawn")], rows), gap=2)


class _Progress:
    """One line on a terminal that says what takes so long; nothing where nobody looks."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str) -> None:
        if self._shown:
            print(f"\r\x1b[K{text} ...", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
