"""A whole run of many variants: every item of every task, replayed, with every kind of gate.

    python benchmarks/many_variants.py --data-dir DIR [--variants 24] [--limit N] [--workdir DIR]

One model, of more than twelve variants two, in as many quants each; the later a variant, the fewer of its answers are
right, and some have none. Prints a Markdown row: items, lines printed without -v, rows of a terminal of 80 columns that
they take, seconds, processor seconds and memory, and the size of the report folder. Outputs that lie in the work folder
already are replayed again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

from harness import FILLER, answer, measured

QUANTS = "none gptq8 gptq4 w8a8 w8a16 w4a16 fp8 fp8-dynamic awq4 sparse-2of4 q8_0 q4_0".split()
GATES = ("--gate=2", "--certify=1", "--min-accuracy=sort8_*=90", "--max-rate=error=1,unparsed=2", "--allow-unevaluated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--variants", type=int, default=24, help="at most 12, or an even number up to 24")
    parser.add_argument("--limit", type=int, default=100_000, help="items a task")
    parser.add_argument("--workdir", type=Path)
    options = parser.parse_args()
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="many-variants-"))
    workdir.mkdir(parents=True, exist_ok=True)
    if not (workdir / "outputs.jsonl").exists():
        write_outputs(workdir / "outputs.jsonl", options.variants, options.data_dir)
    os.environ["COLUMNS"] = "80"
    quants = ",".join(QUANTS[: options.variants // models_of(options.variants)])
    seconds, memory, processor = measured(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--engine=replay", "--model=outputs.jsonl",
         f"--quant={quants}", f"--data-dir={options.data_dir.resolve()}", f"--limit={options.limit}",
         "--report-dir=report", *GATES],
        workdir,
    )  # fmt: skip
    printed = (workdir / "stdout.txt").read_text().splitlines()
    lines, rows = len(printed), sum(max(1, -(-len(line) // 80)) for line in printed)
    reported = sum(row["n"] for row in json.loads((workdir / "report" / "results.json").read_text())["results"])
    size = sum(path.stat().st_size for path in (workdir / "report").iterdir()) / 1e6
    print(f"terminal and report in {workdir}")
    print("| items | variants | lines | rows | seconds | of processor | memory | report folder |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {reported:,} | {options.variants} | {lines} | {rows} | {seconds:.0f} | {processor:.0f} | {memory:.0f} MB |"
        f" {size:.0f} MB |"
    )


def models_of(variants: int) -> int:
    return 1 + (variants > len(QUANTS))


def write_outputs(path: Path, variants: int, data_dir: Path) -> None:
    """What each variant says to every item."""
    from pytest_thinkslm.data.reader import item_count, load_cases
    from pytest_thinkslm.tasks import registry

    chooser, models = random.Random(0), models_of(variants)
    with path.open("w") as file:
        for task in registry.all_tasks().values():
            cases = load_cases(task, range(item_count(task, data_dir)), data_dir, data_seed=0).cases
            for index, case in cases.items():
                for variant in range(variants):
                    model, quant = f"owner/model-{variant % models}", QUANTS[variant // models]
                    right = chooser.random() < 0.8 - 0.02 * (variant // models)
                    said = FILLER + answer(case.kind, case.gold, case.letters, right)
                    output = said if chooser.random() < 0.97 else "I like turtles."
                    line = {"task": task.key, "item": index, "model": model, "quant": quant, "output": output}
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
