"""docs/first-hour.md as its readers follow it: its files are written, its commands run, but those of a real model."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs_commands import ROOT, Command, shown, without_redirection

PAGE = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
SHOWN = [
    command for command in shown() if command.page == "first-hour.md" and command.program in ("pytest", "thinkslm")
]
#: Of the embedded model, and of what these make: run in test_docs_commands.py, with a stand-in for it.
OF_EMBEDDED = [command for command in SHOWN if {"embedded", "reports/q8_0"} & set(command.words)]
COMMANDS = [command for command in SHOWN if command not in OF_EMBEDDED]
#: A line that ends in the name of a file, and the block below it that is its content.
FILE = re.compile(r"`([\w.]+)`\)?:\n\n```\w+\n(.*?)```", re.DOTALL)


def test_a_reader_comes_to_the_end(tmp_path: Path) -> None:
    """The sections in order; a new folder where a section begins with new files of the same name."""
    folder, ran = tmp_path / "0", []
    folder.mkdir()
    lines = PAGE.splitlines(keepends=True)
    starts = [sum(map(len, lines[: command.line - 1])) for command in COMMANDS]
    steps: list[tuple[int, Command | tuple[str, str]]] = list(zip(starts, COMMANDS, strict=True))
    steps += [(match.start(), (match[1], match[2])) for match in FILE.finditer(PAGE)]
    for _, step in sorted(steps, key=lambda entry: entry[0]):
        if not isinstance(step, Command):
            name, content = step
            if (folder / name).exists():
                folder = tmp_path / str(len(ran))
                folder.mkdir()
            (folder / name).write_text(content)
            continue
        done = _run(without_redirection(step.words), folder)
        assert done.returncode == (1 if "worse" in step.words or "compare" in step.words else 0), done.stdout
        ran.append(done.stdout)
    assert len(ran) == len(COMMANDS)
    assert "1 passed, 1 incorrect" in ran[0]
    assert "unit time" in ran[0]
    assert "certificate: GO" in ran[-3]
    assert "certificate: NO-GO" in ran[-2]
    assert "certificate: NO-GO" in ran[-1]


def _run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    module = {"pytest": "pytest", "thinkslm": "pytest_thinkslm"}[words[0]]
    command = [sys.executable, "-m", module, *words[1:]]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)


@pytest.mark.parametrize("name", ["conftest.py", "test_engine.py"])
def test_the_page_has_its_files(name: str) -> None:
    assert name in [match[1] for match in FILE.finditer(PAGE)]


def test_the_page_needs_nothing_of_the_source() -> None:
    assert not re.search(r"fixtures/|\.ci/|pip install -e", PAGE)
    assert shutil.which("pytest")
