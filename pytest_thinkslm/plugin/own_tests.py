"""Tests of a user's own tasks, found by reading the files of the current folder; nothing is imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from pytest_thinkslm.core import files

_MARK = "reasoning_task"

#: Entries of folders that are looked at, at most.
_ENTRIES = 20_000


def files_of(config: pytest.Config, patterns: Sequence[str], known: Sequence[str]) -> list[Path]:
    """The files that hold tests of tasks that match ``patterns`` and are none of ``known``, the suite's own.

    Looked for where pytest would: in ``testpaths``, else in the current folder, in files named as ``python_files`` has
    it. A test is found by its decorator, ``@reasoning_task("key")``.
    """
    if all(pattern in known for pattern in patterns):
        return []
    folder = config.invocation_params.dir
    roots = [folder / path for path in config.getini("testpaths")] or [folder]
    found = []
    for path in _python_files(config, roots):
        others = [key for key in _tasks_of(path) if key not in known]
        if any(fnmatchcase(key, pattern) for key in others for pattern in patterns):
            found.append(path)
    return found


def _python_files(config: pytest.Config, roots: Sequence[Path]) -> Iterator[Path]:
    names, passed_over = config.getini("python_files"), config.getini("norecursedirs")
    entries = 0
    for root in roots:
        if root.is_file():
            yield root
        for folder, folders, inside in os.walk(root):
            folders[:] = sorted(
                name
                for name in folders
                if not any(fnmatchcase(name, pattern) for pattern in passed_over)
                and not Path(folder, name, "pyvenv.cfg").exists()
            )
            entries += len(folders) + len(inside)
            if entries > _ENTRIES:
                return
            yield from (
                Path(folder, name) for name in sorted(inside) if any(fnmatchcase(name, pattern) for pattern in names)
            )


def _tasks_of(path: Path) -> list[str]:
    """The tasks that functions of a file are tests of; none where it cannot be read."""
    try:
        text = files.read_bytes(path)
        if _MARK.encode() not in text:
            return []
        module = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        str(call.args[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for call in node.decorator_list
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", getattr(call.func, "attr", "")) == _MARK
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ]
