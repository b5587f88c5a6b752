"""Write the content pins of every task from a folder of original data files.

Usage: ``python -m pytest_thinkslm.data.make_pins FOLDER [TASK ...]``. Run it when a data set or a builder
changes, and say in the change log why the pins moved. A file is taken as the item order as it stands; its byte size,
plain and as it lies there, is noted so that collection need not open it, and a hash of its
content, so that its records need not be held against their pins one by one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_thinkslm.data.local import content_of, find_file, read_jsonl
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.registry import select


def main(arguments: list[str]) -> int:
    """Pin the tasks named, or all whose file is in the folder; prints one line a task."""
    if not arguments:
        print("usage: python -m pytest_thinkslm.data.make_pins FOLDER [TASK ...]", file=sys.stderr)
        return 2
    folder, keys = Path(arguments[0]), arguments[1:]
    for task in select(keys):
        found = None if task.source is None else find_file(task, folder)
        if found is None or task.build is None:
            continue
        file, path = found
        records = [record for _, record in read_jsonl(path, task.key)]
        cases = [task.build(record, index) for index, record in enumerate(records)]
        content = content_of(path, task.key)
        sizes = {path.name: path.stat().st_size, path.name.removesuffix(".gz"): len(content)}
        written = pins.write(task.key, file.stem, cases, sizes, pins.PINS_FOLDER, pins.content_hash(content))
        print(f"{task.key}: {len(cases)} records of {path.name} -> {written.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
