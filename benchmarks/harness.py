"""What the harness itself costs: replayed items against bare pytest no-op tests of the same number.

    python benchmarks/harness.py [--items 45000] [--data-dir DIR] [--workdir DIR] [--prose]

Both run in one go on the same machine, with JUnit; ours with all its reports, half of the answers wrong, 1 kB
an output. Without --data-dir the items are sorting lists (repeated); with it, all tasks in the styles direct and
cot. --prose replays reasoning that differs from item to item and states its answer in a sentence of its own, by the
task's kind, in place of the form that the prompts ask for: what grading then costs is what free text costs. Prints a
Markdown row: seconds and peak memory of each, and the ratios.
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_thinkslm.core.records import Case

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
    parser.add_argument("--prose", action="store_true", help="free text in place of the form asked for")
    parser.add_argument("--keep", action="store_true", help="print where the files are")
    options = parser.parse_args()
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="harness-"))
    workdir.mkdir(parents=True, exist_ok=True)
    arguments, count = write_outputs(workdir / "outputs.jsonl", options.items, options.data_dir, options.prose)
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


def write_outputs(path: Path, wanted: int, data_dir: Path | None, in_prose: bool) -> tuple[list[str], int]:
    """A replay file of about ``wanted`` outputs; returns the options that select them and their number."""
    from pytest_thinkslm.data.reader import item_count, load_cases
    from pytest_thinkslm.tasks import registry

    tasks = [task for task in registry.all_tasks().values() if data_dir or task.source is None]
    counts = {task.key: item_count(task, data_dir) for task in tasks}
    styles = ["direct", "cot"]
    total = sum(counts.values()) * len(styles)
    repeats = max(1, round(wanted / total))
    limit = next(
        n for n in (10, 30, 100, 300, 1_000, 100_000) if _selected(counts, n) * len(styles) >= min(wanted, total)
    )
    chooser = random.Random(0)
    with path.open("w") as file:
        for task in tasks:
            cases = load_cases(task, range(counts[task.key]), data_dir, data_seed=0).cases
            for style in styles:
                for index, case in cases.items():
                    for repeat in range(1, repeats + 1):
                        right = chooser.random() < 0.5
                        if in_prose:
                            output = prose(case, right, chooser)
                        else:
                            output = FILLER * 9 + answer(case.kind, case.gold, case.letters, right)
                        line = {"task": task.key, "item": index, "style": style, "repeat": repeat, "output": output}
                        file.write(json.dumps(line) + "\n")
    options = ["--style", ",".join(styles), "--limit", str(limit)]
    count = _selected(counts, limit) * len(styles) * repeats
    if data_dir:
        options += ["--data-dir", str(data_dir.resolve())]
    if repeats > 1:
        options += ["--repeats", str(repeats), "--temperature", "1"]
    return options, count


def _selected(counts: dict[str, int], limit: int) -> int:
    return sum(min(count, limit) for count in counts.values())


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


STEPS = (
    "First, I note that there are {a} of the first kind and {b} of the second.",
    "**Step {s}:** {a} + {b} = {c}, which is what the question asks us to keep in mind.",
    "Next we multiply: $ {a} \\times {b} = {d} $, since every one of them counts {b} times.",
    "Option {l} looks plausible at first, but it does not agree with what is said about the {a} others.",
    "- Let $x = {a}$ and $y = {b}$; then $x + y = {c}$.",
    "This means that after {a} days, {b} of the {d} are left, so we have to go on.",
    "Looking at the choices again, {l} would need more than {c} of them; that cannot be.",
)
NUMBER_ENDS = (
    "Therefore, it takes {g} of them to reach {w} in {a} days.",
    "So the final answer is **{g}** dollars.",
    "In total that makes {g}.",
    "Answer: She has {g} left after {a} days.",
    "Hence $x = {g}$ is what we were looking for.",
)
EXPRESSION_ENDS = (
    "Therefore the value is $ {g} $.",
    "**Final Answer:** $x = {g}$",
    "Thus, we find \\[ x = {g}. \\]",
    "So the answer is ${g}$, as claimed.",
)
CHOICE_ENDS = (
    "Therefore, the best choice is {g}: {t}.",
    "So it has to be **{g}**.",
    "The correct option is ({g}) {t}.",
    "This leaves {t} as the only one that fits.",
)
LIST_ENDS = ("The sorted list is {g}.", "In ascending order: {c}", "After the last swap we have {c}.")


def prose(case: Case, right: bool, chooser: random.Random) -> str:
    """About 1 kB of reasoning and a final statement in a sentence, right or wrong."""
    lines = []
    for step in range(1, 11):
        a, b = chooser.randint(2, 40), chooser.randint(2, 40)
        template = chooser.choice(STEPS)
        lines.append(template.format(a=a, b=b, c=a + b, d=a * b, s=step, l=chooser.choice("ABCDE")))
    return "\n".join([*lines, "", _prose_end(case, right, chooser)])


def _prose_end(case: Case, right: bool, chooser: random.Random) -> str:
    gold: Any = case.gold
    if case.kind == "choice":
        letter = gold if right else next(letter for letter in case.letters if letter != gold)
        return chooser.choice(CHOICE_ENDS).format(g=letter, t=case.options[case.letters.index(letter)])
    if case.kind == "list":
        values = list(gold) if right else list(gold)[::-1]
        return chooser.choice(LIST_ENDS).format(g=values, c=", ".join(map(str, values)))
    if case.kind == "review" or gold == "unanswerable":
        return answer(case.kind, gold, case.letters, right)
    ends = NUMBER_ENDS if case.kind == "number" else EXPRESSION_ENDS
    return chooser.choice(ends).format(g=gold if right else "123456789", w=977, a=chooser.randint(2, 40))


if __name__ == "__main__":
    main()
