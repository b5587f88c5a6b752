"""What two workers gain: `-n 2` against one process on the replay engine with simulated latency.

    python benchmarks/workers.py [--latency 0.05] [--repeats 2]

The 600 sorting items, each output handed out after the latency. Prints a Markdown row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_thinkslm.tasks import registry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    tasks = [task for task in registry.all_tasks().values() if task.source is None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "outputs.jsonl").open("w") as file:
            for task in tasks:
                for item in range(task.count):
                    file.write(json.dumps({"task": task.key, "item": item, "output": "\\boxed{1, 2, 3}"}) + "\n")
        one = run(folder, options, [])
        two = run(folder, options, ["-n2"])
    items = sum(task.count for task in tasks) * options.repeats
    print("| items | latency | one process | -n 2 | ratio |")
    print("|---:|---:|---:|---:|---:|")
    print(f"| {items} | {options.latency * 1000:.0f} ms | {one:.1f} s | {two:.1f} s | {one / two:.2f} |")


def run(folder: Path, options: argparse.Namespace, extra: list[str]) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "--model=outputs.jsonl", "--engine=replay", "--report-dir=report"]
    command += [f"--engine-args=latency={options.latency}", f"--repeats={options.repeats}", "--temperature=1", *extra]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
