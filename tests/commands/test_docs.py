"""Help and messages send people to pages that an installed package has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_thinkslm import __main__
from pytest_thinkslm.__main__ import main
from pytest_thinkslm.commands.docs import documentation

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
    assert named <= {path.stem for path in documentation().glob("*.md")}


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
    assert all(path.stem in listed for path in documentation().glob("*.md"))
    assert main(["docs", "gates", "models.md"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Gates\n")
    assert "\n# Models\n" in printed
    assert main(["docs", "gate"]) == 4
    assert "did you mean 'gates'?" in capsys.readouterr().err
