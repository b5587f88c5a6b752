"""What collecting every item of all tasks costs: against bare pytest collecting as many parametrized no-op tests.

    python benchmarks/collection.py [--rounds 3] [--data-dir DIR]

Both collect with ``--collect-only -q`` in turns on the same machine. Prints a Markdown row: items, processor seconds
of each (the least of all rounds) and their ratio; the goal is at most 2. Without --data-dir the items are those of
the whole sets on the hub; no data is opened in either case.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from pytest_thinkslm.tasks import registry

BARE = """
import pytest

@pytest.mark.parametrize("index", range({count}), ids=[f"direct-{{i:04d}}" for i in range({count})])
def test_{name}(index):
    pass
"""
_ID = re.compile(r"::test_(\w+)\[", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="collection-") as name:
        workdir = Path(name)
        ours = workdir / "ours"
        bare = workdir / "bare"
        ours.mkdir()
        bare.mkdir()
        command = suite(ours, options.data_dir)
        counts = Counter(_ID.findall(collect(command, ours)[1]))
        for task, count in counts.items():
            (bare / f"test_{task}.py").write_text(BARE.format(count=count, name=task))
        plain = [sys.executable, "-m", "pytest", "-p", "no:thinkslm", "--collect-only", "-q"]
        rounds = [(collect(command, ours), collect(plain, bare)) for _ in range(options.rounds)]
    for (_, our_text), (_, bare_text) in rounds:
        assert Counter(_ID.findall(our_text)) == Counter(_ID.findall(bare_text)) == counts
    our_seconds = min(one[0] for one, _ in rounds)
    bare_seconds = min(one[0] for _, one in rounds)
    print("| items | tasks | bare pytest, s | this suite, s | ratio |")
    print("|---:|---:|---:|---:|---:|")
    ratio = our_seconds / bare_seconds
    print(f"| {counts.total()} | {len(counts)} | {bare_seconds:.2f} | {our_seconds:.2f} | {ratio:.2f} |")


def suite(folder: Path, data_dir: Path | None) -> list[str]:
    """The command that collects all tasks: on a file with one recorded output a task, so that no model is needed."""
    lines = [json.dumps({"task": key, "item": 0, "output": ""}) for key in registry.all_tasks()]
    (folder / "outputs.jsonl").write_text("\n".join(lines) + "\n")
    arguments = ["--model", "outputs.jsonl", "--engine", "replay", "--collect-only", "-q"]
    if data_dir is not None:
        arguments += ["--data-dir", str(data_dir.resolve())]
    return [sys.executable, "-m", "pytest", *arguments]


def collect(command: list[str], folder: Path) -> tuple[float, str]:
    """Processor seconds (user and system) of a command and its output; an error ends the benchmark."""
    before = os.times()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, done.stdout


if __name__ == "__main__":
    main()
