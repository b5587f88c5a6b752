"""How far the readers agree with labelled outputs: by source and answer kind, with every disagreement.

    python benchmarks/label_agreement.py FOLDER [--kind KIND ...] [--data-dir DIR] [--quiet]

FOLDER holds JSONL files of labelled outputs. Three forms are known, by their fields:

* ``expected`` (``correct``, ``wrong``: anything but correct, ``none``: no answer may be read,
  ``judgement:correct``...) with ``kind``, ``gold``, ``options``, ``given``, ``output``; lines whose ``class`` is
  ``debatable`` or ``out-of-scope`` are counted apart.
* ``right`` (``correct`` or ``wrong``) with ``task``, ``item``, ``gold``, ``output``.
* ``verdict`` (a verdict's name) with ``task``, ``item``, ``gold``, ``output``, ``sure``; lines that are not sure are
  counted apart.

Questions and options that a line does not carry come from the data sets of ``--data-dir`` (default:
``THINKSLM_DATA_DIR``). A line whose options are nowhere is left out and counted. Prints two Markdown tables.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.records import UNANSWERABLE, AnswerKind, Case, Output, Review
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.verdicts import decide

APART = ("debatable", "out-of-scope")


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled output: where it comes from, its case and output, and what a careful reader said."""

    file: str
    number: int
    kind: AnswerKind
    source: str
    case: Case
    output: Output
    expected: str
    apart: bool
    remark: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A line with what was read, the verdict's name, whether it agrees with the label, and the seconds it took."""

    line: Line
    read: str
    verdict: str
    agrees: bool
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", nargs="+", help="only these answer kinds")
    parser.add_argument("--file", nargs="+", help="only files with these words in their names")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("THINKSLM_DATA_DIR"))
    parser.add_argument("--quiet", action="store_true", help="tables only")
    options = parser.parse_args()
    data_dir = Path(options.data_dir) if options.data_dir else None
    judged: list[Judged] = []
    left_out = 0
    for path in sorted(options.folder.glob("*.jsonl")):
        if options.file and not any(word in path.name for word in options.file):
            continue
        for line in lines(path, data_dir):
            if line is None:
                left_out += 1
            elif not options.kind or line.kind in options.kind:
                judged.append(judge(line))
    if not options.quiet:
        for one in judged:
            if not one.agrees:
                print(shown(one))
        print()
    print(table(judged, lambda one: (one.line.file, one.line.kind)))
    print(table(judged, lambda one: (f"{one.line.file}: {one.line.source}", one.line.kind)))
    slowest = max(judged, key=lambda one: one.seconds, default=None)
    if slowest:
        print(f"{sum(one.seconds for one in judged):.2f} s in all, slowest line {slowest.seconds:.2f} s "
              f"({slowest.line.file}:{slowest.line.number})")  # fmt: skip
    if left_out:
        print(f"{left_out} lines left out: their options or golds are in a data set that is not at hand")


def judge(line: Line) -> Judged:
    """Read one output and compare the verdict with the label."""
    started = time.perf_counter()
    answer = read_answer(line.case, line.output)
    verdict = decide(line.case, line.output, answer, prompt_text=line.case.question)
    seconds = time.perf_counter() - started
    if line.expected == "wrong":
        agrees = verdict.name != "correct"
    elif line.expected == "none":
        agrees = answer.value is None
    elif line.expected.startswith("judgement:"):
        agrees = isinstance(answer.value, Review) and answer.value.judgement == line.expected.partition(":")[2]
    else:
        agrees = verdict.name == line.expected
    return Judged(line, f"{answer.value!r} by {answer.rule}", verdict.name, agrees, seconds)


def shown(one: Judged) -> str:
    """A disagreement on one line: the label, the reading, gold and the output's end."""
    line = one.line
    text = line.output.text
    text = text if len(text) <= 260 else "... " + text[-256:]
    apart = " (apart)" if line.apart else ""
    return (
        f"{line.file}:{line.number} {line.kind}{apart} [{line.source}] label {line.expected}, read {one.read} "
        f"-> {one.verdict}, gold {line.case.gold!r}\n    {line.remark}\n    {text!r}"
    )


def table(judged: list[Judged], key: Any) -> str:
    """A Markdown table: labels that count and labels apart, with the share that agrees."""
    groups: dict[Any, list[Judged]] = defaultdict(list)
    for one in judged:
        groups[key(one)].append(one)
    rows = ["| source | kind | labels | agree | wrong read as right | right not read as right | apart, agree |"]
    rows.append("|---|---|---:|---:|---:|---:|---:|")
    for (source, kind), found in sorted(groups.items()):
        counted = [one for one in found if not one.line.apart]
        apart = [one for one in found if one.line.apart]
        agreeing = sum(one.agrees for one in counted)
        given = sum(not one.agrees and one.verdict == "correct" for one in counted)
        denied = sum(not one.agrees and one.line.expected == "correct" for one in counted)
        share = f"{agreeing / len(counted):.1%}" if counted else "-"
        beside = f"{sum(one.agrees for one in apart)} of {len(apart)}" if apart else ""
        rows.append(f"| {source} | {kind} | {len(counted)} | {share} | {given} | {denied} | {beside} |")
    return "\n".join(rows) + "\n"


def lines(path: Path, data_dir: Path | None) -> Iterator[Line | None]:
    """The labelled outputs of one file; None for one whose options are not at hand."""
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            label = json.loads(text)
            if "output" in label and (expected := _expected(label)) is not None:
                yield _line(path.stem, number, label, expected, data_dir)


def _expected(label: dict[str, Any]) -> str | None:
    for name in ("expected", "right", "verdict"):
        if name in label:
            return str(label[name])
    return None


def _line(file: str, number: int, label: dict[str, Any], expected: str, data_dir: Path | None) -> Line | None:
    kind = _kind(label)
    case = _case(kind, label, data_dir)
    if case is None:
        return None
    finish = label.get("finish_reason") or label.get("finish") or "stop"
    output = Output(label["output"], finish_reason=finish)
    apart = label.get("class") in APART or label.get("sure") is False
    remark = "; ".join(str(label[name]) for name in ("class", "fault", "table", "why", "note") if label.get(name))
    source = str(label.get("source", ""))
    return Line(file, number, kind, source, case, output, expected, apart, remark)


_KINDS: dict[str, AnswerKind] = {"gsm8k": "number", "gsm_plus": "number", "math": "expression"}


def _kind(label: dict[str, Any]) -> AnswerKind:
    if "kind" in label:
        kind: AnswerKind = label["kind"]
        return kind
    task = label["task"]
    if task in _KINDS:
        return _KINDS[task]
    if task.startswith("sort"):
        return "list"
    return "review" if task.startswith("mr_") else "choice"


def _case(kind: AnswerKind, label: dict[str, Any], data_dir: Path | None) -> Case | None:
    task, gold = label["task"], label["gold"]
    facets = {"unanswerable_possible": "yes"} if task == "gsm_plus" else {}
    if "subject" in label:
        facets["subject"] = str(label["subject"])
    known = _dataset_case(task, label.get("item"), data_dir)
    if kind == "choice" and not label.get("options"):
        return replace(known, gold=gold) if known else None
    question = str(label.get("question") or (known.question if known else ""))
    if kind == "number":
        gold = UNANSWERABLE if gold in (None, "None", UNANSWERABLE) else str(gold)
    elif kind == "list":
        gold = tuple(gold)
    elif kind == "review":
        pair = (gold["judgement"], gold["first_error_step"]) if isinstance(gold, dict) else tuple(gold)
        gold = Review(pair[0], None if pair[1] is None else str(pair[1]))
    steps = tuple(label.get("steps") or (known.steps if known else ()))
    return Case(
        task, 0, kind, question, gold, tuple(label.get("options") or ()), tuple(label.get("given") or ()), steps,
        facets=facets,
    )  # fmt: skip


def _dataset_case(task: str, item: object, data_dir: Path | None) -> Case | None:
    cases = _dataset(task, data_dir) if isinstance(item, int) else {}
    return cases.get(item)  # type: ignore[call-overload, no-any-return]


@functools.cache
def _dataset(task: str, data_dir: Path | None) -> dict[int, Case]:
    from pytest_thinkslm.data.reader import item_count, load_cases
    from pytest_thinkslm.tasks import registry

    found = {one.key: one for one in registry.all_tasks().values()}.get(task)
    if data_dir is None or found is None:
        return {}
    return dict(load_cases(found, range(item_count(found, data_dir)), data_dir, data_seed=0).cases)


if __name__ == "__main__":
    main()
