"""Recorded outputs of a known accuracy: a replay file whose items are right as often as asked, against another one.

    python benchmarks/recorded_accuracy.py OUT.jsonl --task T,... [--accuracy 0.8] [--drop 0.1] [--changing 0.1]
        [--only T,...] [--seed 0] [--data-dir DIR]

Every item is right at random with the accuracy; then a share of ``--changing`` items changes, lost and gained so that
the accuracy falls by ``--drop`` (in the tasks of ``--only``, else in all). With one seed files of drop 0 and of any
other drop are runs of the same baseline: ``--drop 0 --changing 0`` is that baseline itself. Sorting tasks need no data.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.data.reader import item_count, load_cases
from pytest_thinkslm.tasks import registry


def answer(case: Case, *, right: bool) -> str:
    """An output with the right answer of a list, choice or number, or with a wrong one."""
    gold = case.gold
    if isinstance(gold, tuple):
        return rf"\boxed{{{', '.join(map(str, gold if right else gold[::-1]))}}}"
    if case.kind == "choice":
        return f"Answer: {gold if right else next(letter for letter in case.letters if letter != gold)}"
    return rf"\boxed{{{gold if right else '-98765432.125'}}}"


def main(arguments: list[str]) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", default="sort8_positive,sort8_mixed,sort16_positive,sort16_mixed")
    parser.add_argument("--accuracy", type=float, default=0.8)
    parser.add_argument("--drop", type=float, default=0.0)
    parser.add_argument("--changing", type=float, default=0.1)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args(arguments)
    with given.out.open("w", encoding="utf-8") as out:
        for key in given.task.split(","):
            task = registry.get(key)
            count = item_count(task, given.data_dir)
            cases = load_cases(task, range(count), given.data_dir, data_seed=0).cases
            base, change = (random.Random(f"{given.seed}|{key}|{part}") for part in ("base", "change"))
            drop = given.drop if not given.only or key in given.only.split(",") else 0.0
            changing = max(given.changing, drop)
            lost, gained = (changing + drop) / 2 / given.accuracy, (changing - drop) / 2 / (1 - given.accuracy)
            for index, case in sorted(cases.items()):
                right = base.random() < given.accuracy
                right = right != (change.random() < (lost if right else gained))
                tokens = base.randrange(100, 300)
                line = {"task": key, "item": index, "output": answer(case, right=right), "output_tokens": tokens}
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
