"""What the harness itself costs: replayed items against bare pytest no-op tests of the same number.

    python benchmarks/harness.py [--items 45000] [--data-dir DIR] [--workdir DIR]

Both run in one go on the same machine, with JUnit; ours with all its reports, half of the answers wrong, 1 kB
an output. Without --data-dir the items are sorting lists (repeated); with it, all tasks in the styles direct and
cot. Prints a Markdown row: seconds and peak memory of each, and the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILLER = "First I look at what is given, then I work through it one step at a time and check each of the steps. "
BARE = """
import pytest

@pytest.mark.parametrize("index", range({count}), ids=[f"direct-{{i:05d}}" for i in range({count})])
def test_noop(index):
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=45_000)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--keep", action="store_true", help="print where the files are")
    options = parser.parse_args()
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="harness-"))
    workdir.mkdir(parents=True, exist_ok=True)
    arguments, count = write_outputs(workdir / "outputs.jsonl", options.items, options.data_dir)
    (workdir / "bare").mkdir(exist_ok=True)
    (workdir / "bare" / "test_bare.py").write_text(BARE.format(count=count))
    bare = measured(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:thinkslm", "--junitxml=junit.xml"], workdir / "bare"
    )
    ours = measured(
        [sys.executable, "-m", "pytest", "-q", "--model", str(workdir / "outputs.jsonl"), "--engine", "replay",
         "--report-dir", str(workdir / "report"), *arguments],
        workdir,
    )  # fmt: skip
    results = json.loads((workdir / "report" / "results.json").read_text())
    reported = sum(row["n"] for row in results["results"])
    right = sum(row["correct"] for row in results["results"])
    print(f"\n{reported} items, {right} correct; report files in {workdir / 'report'}" if options.keep else "")
    print(
        "| items | bare pytest | this suite | time ratio | processor ratio | bare memory | this suite | memory ratio |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {reported} | {bare[0]:.1f} s | {ours[0]:.1f} s | {ours[0] / bare[0]:.2f} | {ours[2] / bare[2]:.2f} | "
        f"{bare[1]:.0f} MB | {ours[1]:.0f} MB | {ours[1] / bare[1]:.2f} |"
    )


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Wall seconds, peak resident memory (MB) and processor seconds of one command."""
    # Bytecode is cached, as in an installed package; whoever forbids it measures the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with (folder / "stdout.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}: see {folder / 'stdout.txt'}")
    return seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def write_outputs(path: Path, wanted: int, data_dir: Path | None) -> tuple[list[str], int]:
    """A replay file of about ``wanted`` outputs; returns the options that select them and their number."""
    from pytest_thinkslm.data.reader import item_count, load_cases
    from pytest_thinkslm.tasks import registry

    tasks = [task for task in registry.all_tasks().values() if data_dir or task.source is None]
    counts = {task.key: item_count(task, data_dir) for task in tasks}
    styles = ["direct", "cot"]
    total = sum(counts.values()) * len(styles)
    repeats = max(1, round(wanted / total))
    chooser = random.Random(0)
    count = 0
    with path.open("w") as file:
        for task in tasks:
            cases = load_cases(task, range(counts[task.key]), data_dir, data_seed=0).cases
            for style in styles:
                for index, case in cases.items():
                    for repeat in range(1, repeats + 1):
                        output = FILLER * 9 + answer(case.kind, case.gold, case.letters, chooser.random() < 0.5)
                        line = {"task": task.key, "item": index, "style": style, "repeat": repeat, "output": output}
                        file.write(json.dumps(line) + "\n")
                        count += 1
    options = ["--style", ",".join(styles)]
    if data_dir:
        options += ["--data-dir", str(data_dir.resolve())]
    if repeats > 1:
        options += ["--repeats", str(repeats), "--temperature", "1"]
    return options, count


def answer(kind: str, gold: object, letters: str, right: bool) -> str:
    """A final statement, right or wrong, in the format that the prompts ask for."""
    if kind == "choice":
        return f"\nAnswer: {gold if right else next(letter for letter in letters if letter != gold)}"
    if kind == "list":
        values = list(gold)  # type: ignore[call-overload]
        return f"\n\\boxed{{{values if right else values[::-1]}}}"
    if kind == "review":
        judgement = gold.judgement if right else {"correct": "wrong", "wrong": "correct"}[gold.judgement]  # type: ignore[attr-defined]
        step = (gold.first_error_step or "N/A") if right else "N/A"  # type: ignore[attr-defined]
        return f"\nFinal Judgement: {judgement}\nFirst Error Step: {step}\nError Analysis: as said."
    if gold == "unanswerable":
        return "\nThe question cannot be answered." if right else "\n\\boxed{7}"
    return f"\n\\boxed{{{gold}}}" if right else "\n\\boxed{123456789}"


if __name__ == "__main__":
    main()
