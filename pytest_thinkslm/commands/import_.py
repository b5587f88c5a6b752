"""``thinkslm import``: other tools' sample logs as recorded outputs, their verdicts held against this suite's."""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.files import expanded, write_text
from pytest_thinkslm.core.tables import Cell, Table, figure_columns, markdown_table, print_table, stdout_console
from pytest_thinkslm.core.tables import text_columns as texts
from pytest_thinkslm.core.text import safe_line, safe_text
from pytest_thinkslm.data.foreign_items import Items, Matched
from pytest_thinkslm.data.foreign_logs import TOOLS, Sample, Their, read_log
from pytest_thinkslm.runs.items import plain
from pytest_thinkslm.tasks import registry

HELP = "make recorded outputs of other tools' sample logs, and compare verdicts"
DESCRIPTION = """\
Read sample logs of other tools, match each sample with an item by its question, and write the outputs for
'pytest --engine replay --model OUT'. The tool's own verdicts are kept beside each output and held against this suite's
reading of it; every difference is listed. Nothing is fetched: gold answers come from the logs (lm-eval keeps the
records) or from --data-dir.

Exit status: 0, 1 where samples are of no known item, 4 where a file cannot be used."""

EXAMPLES = """\
examples:
  thinkslm import lm-eval out/MODEL/samples_gsm8k_*.jsonl -o gsm8k.jsonl
  thinkslm import inspect logs/*.json --data-dir DATA --task gsm8k -o gsm8k.jsonl --differences differences.md
  thinkslm import evalscope outputs/*/reviews/MODEL/*.jsonl -o outputs.jsonl
  pytest --engine replay --model gsm8k.jsonl"""

#: Samples of no known item that are named.
_NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("tool", metavar="TOOL", choices=TOOLS, help=", ".join(TOOLS))
    parser.add_argument("files", metavar="FILE", nargs="+", help="its sample logs")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="where the recorded outputs go")
    parser.add_argument("--task", metavar="T,...", action="append", default=[], help="only these tasks (default: all)")
    parser.add_argument("--model", metavar="NAME", help="the model's name (default: what the logs say)")
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the data sets' files")
    parser.add_argument("--data-seed", metavar="N", type=int, default=0, help="of generated tasks (default: 0)")
    parser.add_argument("--differences", metavar="FILE", help="write the tables there, too, as Markdown")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    folder = expanded(arguments.data_dir) if arguments.data_dir else None
    if folder is not None and not folder.is_dir():
        raise UsageError(f"import: --data-dir {folder} is no folder: give the one that holds the data sets' files")
    patterns = [piece.strip() for given in arguments.task for piece in given.split(",") if piece.strip()]
    items = Items(registry.select(patterns), folder, arguments.data_seed)
    matched: list[Matched] = []
    unmatched: list[Sample] = []
    for file in arguments.files:
        samples = read_log(arguments.tool, expanded(file))
        found, left = items.match(samples)
        matched += found
        unmatched += left
    if not matched:
        hint = "no sample has an output" if not unmatched else f"{len(unmatched)} samples are of no known item"
        raise UsageError(f"import {arguments.tool}: nothing could be imported: {hint}; give --task and --data-dir")
    merged = _merged(matched)
    _write(Path(arguments.out), "".join(json.dumps(_line(arguments, each)) + "\n" for each in merged), "-o")
    _say(arguments, merged, unmatched)
    return 1 if unmatched else 0


def _merged(matched: Sequence[Matched]) -> list[Matched]:
    """Each output once: predictions and reviews of one sample are two lines, each with what the other lacks."""
    kept: dict[tuple[object, ...], Matched] = {}
    for each in matched:
        sample = each.sample
        key = (sample.model, each.task, each.index, sample.repeat)
        if key not in kept:
            kept[key] = each
        elif (known := kept[key].sample).output == sample.output:
            whole = replace(
                known,
                theirs=known.theirs or sample.theirs,
                reasoning=known.reasoning or sample.reasoning,
                ended=sample.ended if known.ended == "unknown" else known.ended,
            )
            kept[key] = replace(each, sample=whole)
        else:
            raise UsageError(
                f"import: two different outputs of {sample.model} for {each.task} {each.index:04d}: "
                f"{kept[key].sample.place} and {sample.place}; import runs one by one, with --model to tell them apart"
            )
    return list(kept.values())


def _line(arguments: argparse.Namespace, each: Matched) -> Mapping[str, object]:
    sample, graded = each.sample, each.graded
    ours = None if graded is None else {"verdict": graded.verdict.name, "answer": plain(graded.answer.value)}
    return {
        "task": each.task,
        "item": each.index,
        "repeat": sample.repeat,
        "model": arguments.model or sample.model,
        "output": sample.output,
        **({"reasoning": sample.reasoning} if sample.reasoning else {}),
        "finish_reason": sample.ended,
        "source": {"tool": arguments.tool, "place": sample.place},
        "theirs": [{"scorer": their.scorer, "right": their.right, "answer": their.answer} for their in sample.theirs],
        "ours": ours,
    }


def _say(arguments: argparse.Namespace, matched: Sequence[Matched], unmatched: Sequence[Sample]) -> None:
    tables = [_summary(matched), _differences(matched)]
    console, out = stdout_console(100), safe_text(str(arguments.out))
    for table in tables:
        if table.rows:
            print_table(console, table)
    print(f"{len(matched)} outputs in {out}; score them with: pytest --engine replay --model {out}")
    if unmatched:
        named = ", ".join(sample.place for sample in unmatched[:_NAMED])
        more = f" and {len(unmatched) - _NAMED} more" if len(unmatched) > _NAMED else ""
        print(f"{len(unmatched)} samples are of no known item: {named}{more}")
    if arguments.differences:
        parts = [f"## {table.title}\n\n" + "\n".join(markdown_table(table)) + "\n" for table in tables if table.rows]
        notes = [note + "\n" for table in tables for note in table.notes if table.rows]
        _write(Path(arguments.differences), "\n".join([*parts, *notes]), "--differences")


def _summary(matched: Sequence[Matched]) -> Table:
    """By task and scorer: how often both say the same."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for each in matched:
        counts[each.task, ""]["n"] += 0
        for their in each.sample.theirs:
            counts[each.task, their.scorer][_comparison(each, their)] += 1
    rows = [
        [task, scorer, *(str(found[name]) for name in ("same", "theirs alone", "ours alone", "unknown"))]
        for (task, scorer), found in sorted(counts.items())
        if scorer
    ]
    columns = [
        *texts("task", "their scorer"),
        *figure_columns("same", "right for them alone", "for us alone", "unknown"),
    ]
    notes = ["unknown: a score between none and full, or a gold answer that is not at hand (--data-dir)"]
    return Table(columns, rows, title="Verdicts", notes=notes)


def _comparison(each: Matched, their: Their) -> str:
    if each.graded is None or their.right is None:
        return "unknown"
    ours = each.graded.verdict.name == "correct"
    return "same" if ours == their.right else "ours alone" if ours else "theirs alone"


def _differences(matched: Sequence[Matched]) -> Table:
    """Every sample on which a scorer and this suite differ, and why."""
    rows = list(_difference_rows(matched))
    headings = texts("task", "item", "scorer", "theirs", "read there", "ours", "read here", "why")
    return Table(headings, rows, title="Every difference")


def _difference_rows(matched: Sequence[Matched]) -> Iterator[list[Cell | str]]:
    for each in matched:
        for their in each.sample.theirs:
            if each.graded is None or _comparison(each, their) not in ("ours alone", "theirs alone"):
                continue
            verdict, answer = each.graded.verdict, each.graded.answer
            repeat = f" r{each.sample.repeat}" if each.sample.repeat > 1 else ""
            yield [
                each.task,
                f"{each.index:04d}{repeat}",
                their.scorer,
                "right" if their.right else "wrong",
                safe_line(their.answer, 30) or "nothing",
                verdict.name,
                "nothing" if answer.value is None else safe_line(str(plain(answer.value)), 30),
                safe_line(verdict.reason, 120),
            ]


def _write(path: Path, text: str, option: str) -> None:
    try:
        write_text(expanded(path), text)
    except OSError as error:
        raise UsageError(f"import: {option} {path} cannot be written ({error.strerror or error})") from None
