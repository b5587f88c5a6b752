"""Help and messages send people to pages that an installed package has."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_thinkslm import __main__
from pytest_thinkslm.__main__ import main
from pytest_thinkslm.commands.docs import known_pages

PACKAGE = Path(__main__.__file__).parent


def sources() -> Iterator[ast.Module]:
    for path in PACKAGE.rglob("*.py"):
        yield ast.parse(path.read_text(encoding="utf-8"))


def test_every_page_that_is_mentioned_is_there() -> None:
    calls = [node for tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {
        argument.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "pages"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    assert len(named) > 5
    assert named <= set(known_pages())


def test_no_text_that_a_user_sees_names_a_file_of_the_source() -> None:
    found = []
    for tree in sources():
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if re.search(r"docs/[a-z-]+\.md", node.value)
        ]
    assert found == []


def test_pages_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 0
    listed = capsys.readouterr().out
    assert {"changelog", "gates", "two-runs"} < set(known_pages())
    assert all(name in listed for name in known_pages())
    assert main(["docs", "gates", "models.md"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Gates\n")
    assert "\n# Models\n" in printed
    assert main(["docs", "two-runs", "SECURITY.md"]) == 0
    assert "```python\nimport" in capsys.readouterr().out
    assert main(["docs", "gate"]) == 4
    assert "did you mean 'gates'?" in capsys.readouterr().err


def test_what_a_package_index_shows_names_pages_that_are_there() -> None:
    """The README as the wheel's metadata has it: no link into a checkout, and every page is one of the command's."""
    root = PACKAGE.parent
    hook = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    text = (root / "README.md").read_text()
    for substitution in hook["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    assert [link for link in re.findall(r"\]\(([^)]*)\)", text) if not link.startswith("https://")] == []
    assert not re.search(r"^!|docs/[\w-]+\.md|[A-Z]{4,}\.md", text, re.MULTILINE)
    assert len(named := {name.lower() for name in re.findall(r"`thinkslm docs ([\w-]+)`", text)}) > 30
    assert named <= set(known_pages())
