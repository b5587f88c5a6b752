"""What a sweep of many models costs the machine that adds it up: recorded outputs of up to 72 models x 17 tasks.

    python benchmarks/sweep.py [--models 9,36,72] [--items 4] [--bytes 10000] [--shards 8] [--data-dir DIR]

Makes a file of recorded outputs (``--bytes`` each, different ones) and runs the suite over it, once for each number of
models, then the last number as one of ``--shards`` parts. Without --data-dir the items are the tour's (four a task);
with it up to 100 a task. Prints a Markdown table: seconds, peak memory of the process, what it left on the disk (and
the most that it had there at any time) beside the size of the outputs, and the lines that it printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
from pathlib import Path

from harness import FILLER, measured

from pytest_thinkslm.tasks import registry


def main() -> None:
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="sweep-", dir=arguments.workdir) as folder:
        work = Path(folder)
        (work / "tmp").mkdir()
        os.environ["TMPDIR"] = str(work / "tmp")
        print("| models | part | items | outputs | seconds | peak memory | left on disk | most on disk | lines |")
        print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
        numbers = [int(number) for number in arguments.models.split(",")]
        for models in numbers:
            outputs = work / f"{models}.jsonl"
            write(outputs, models, arguments.items, arguments.bytes)
            print(row(arguments, work, outputs, models, None), flush=True)
        print(row(arguments, work, outputs, numbers[-1], f"1/{arguments.shards}"), flush=True)


def row(arguments: argparse.Namespace, work: Path, outputs: Path, models: int, shard: str | None) -> str:
    report = work / f"report-{models}-{shard is not None}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--engine", "replay"]
    command += ["--model", str(outputs), "--report-dir", str(report), "--slm-journal-dir", str(work / "journal")]
    data = ["--data-dir", str(arguments.data_dir.resolve()), "--recorded-only"] if arguments.data_dir else []
    command += data or ["--preset", "tour"]
    command += ["--shard", shard] if shard else []
    stop, most, before = threading.Event(), [0], held(work)

    def watch() -> None:
        while not stop.wait(0.2):
            most[0] = max(most[0], held(work) - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        seconds, memory, _ = measured(command, work)
    finally:
        stop.set()
        watcher.join()
    items = sum(line["n"] for line in json.loads((report / "results.json").read_text(encoding="utf-8"))["results"])
    lines = len((work / "stdout.txt").read_text(encoding="utf-8").splitlines())
    made, left = outputs.stat().st_size / 1e6, held(report) / 1e6
    sizes = f"{made:.0f} MB | {seconds:.0f} | {memory:.0f} MB | {left:.0f} MB | {most[0] / 1e6:.0f} MB"
    return f"| {models} | {shard or 'all'} | {items} | {sizes} | {lines} |"


def held(folder: Path) -> int:
    """Bytes in a folder, while others write to it."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def write(path: Path, models: int, items: int, size: int) -> None:
    """Outputs that no two models share, none of which can be packed away as another's."""
    words, chooser = FILLER.split(), random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for model in range(models):
            for task in registry.all_tasks():
                for item in range(items):
                    text = " ".join(chooser.choices(words, k=size // 5))[: size - 40]
                    output = f"{text} \\boxed{{{chooser.randint(1, 99)}}}\nAnswer: {chooser.choice('ABCD')}"
                    line = {"model": f"model-{model:02d}", "task": task, "item": item, "output": output}
                    file.write(json.dumps(line) + "\n")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="9,36,72")
    parser.add_argument("--items", type=int, default=4, help="items a task")
    parser.add_argument("--bytes", type=int, default=10_000, help="length of an output")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--workdir", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
