"""``thinkslm docs``: the pages of the documentation, which are shipped with the package."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.tables import Column, Table, print_table, stdout_console, text_columns

HELP = "print pages of the documentation"
DESCRIPTION = """\
Print pages of the documentation, as they are for this version: they are installed with the package. Without a PAGE:
their names, what each is about, and the folder that they lie in."""

EXAMPLES = """\
examples:
  thinkslm docs
  thinkslm docs gates
  thinkslm docs options | less"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("pages", metavar="PAGE", nargs="*", help="name of a page, such as gates")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    folder = documentation()
    known = known_pages()
    if not known:
        raise UsageError(f"docs: there are no pages in {folder}; install the package again")
    if not arguments.pages:
        rows = [[name, _title(path)] for name, path in known.items()]
        print_table(stdout_console(80), Table([*text_columns("page"), Column("about", "left", wrap=True)], rows))
        print(f"\n`thinkslm docs PAGE` prints one; they lie in {folder}")
        return 0
    for name in arguments.pages:
        if _stem(name) not in known:
            raise UsageError(f"docs {name}: there is no such page; {nearest(name, known)}")
    print("\n\n".join(_text(known[_stem(name)]).strip() for name in arguments.pages))
    return 0


def known_pages() -> dict[str, Path]:
    """Every page by the name under which it is printed; in a checkout some lie beside ``docs``."""
    folder = documentation()
    beside = (folder.parent / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY"))
    found = [*folder.glob("*.md"), *folder.glob("*.ipynb"), *(path for path in beside if path.is_file())]
    return {_stem(path.name): path for path in sorted(found, key=lambda path: _stem(path.name))}


def _stem(name: str) -> str:
    return name.lower().removesuffix(".md").removesuffix(".ipynb")


def _text(path: Path) -> str:
    """A page; of a notebook its cells, without their outputs."""
    text = files.read_text(path)
    if path.suffix != ".ipynb":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells)


def documentation() -> Path:
    """The folder of the pages: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "docs"
    return installed if installed.is_dir() else package.parent / "docs"


def _title(path: Path) -> str:
    return next((line[2:] for line in _text(path).splitlines() if line.startswith("# ")), "")
