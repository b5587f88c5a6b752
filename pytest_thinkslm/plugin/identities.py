"""Which item each collected test is, as data: a file that xdist workers write and the controller reads.

xdist tells its controller ids alone. So each worker is given a path in ``workerinput``; the first one that has
collected writes the table there, before xdist hears of its collection, and the controller takes it in then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pytest_thinkslm.core import files
from pytest_thinkslm.core.identity import ItemKey


def write(path: Path, keys: Mapping[str, ItemKey]) -> None:
    """Write the keys of the tests of tasks, by test id; atomically, and only where no other worker has done so."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(keys, ensure_ascii=True, separators=(",", ":")), encoding="ascii")
    draft.replace(path)


def read(path: Path) -> dict[str, ItemKey]:
    """The keys by test id. The file stays until the run ends: a worker that collects later would make it again.

    Raises:
        OSError: it is not there (a worker on another machine, with another file system; a full disk).
        ValueError: it is damaged.
    """
    content = files.read_json(path)
    return {nodeid: ItemKey(*key) for nodeid, key in content.items()}
