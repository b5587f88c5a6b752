"""Hooks of the documentation site: pages made from the repository, and links that leave ``docs/``.

The pages are read on the forge as well, so their links are relative to the repository: README.md links to
``docs/gates.md``, docs/compression.md to ``../benchmarks/results/...``. Here README.md becomes the site's first page,
every file of the repository that a page links to is part of the site, and links are turned accordingly. A link to what
does not exist stays as it is, so that mkdocs says so (``--strict``).
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: Pages of the site that lie beside docs/ in the repository.
TOP = {"README.md": "index.md"} | {name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
#: Other files that pages link to are put under this folder.
OTHERS = "repository"

#: A paragraph of nothing but names of options, which becomes a table of them.
_OPTION_NAMES = re.compile(r"(?m)^(?:`--[\w-]+`\s)+$")
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])([^)\s#]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the top-level pages, and what any page links to."""
    waiting = [*TOP, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen: set[str] = set()
    while waiting:
        origin = waiting.pop()
        if origin in seen:
            continue
        seen.add(origin)
        place = _place(origin)
        if not origin.startswith("docs/"):
            level = InclusionLevel.NOT_IN_NAV if place.startswith(OTHERS) else InclusionLevel.UNDEFINED
            files.append(File.generated(config, place, abs_src_path=str(ROOT / origin), inclusion=level))
        if origin.endswith(".md"):
            text = (ROOT / origin).read_text(encoding="utf-8")
            waiting += filter(None, (_target(origin, match[1]) for match in _LINK.finditer(text)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fill in what is made from the code; turn the links."""
    if page.file.src_uri == "api.md":
        markdown = re.sub(r"<!-- names:.*?-->", _names(), markdown)
    if page.file.src_uri == "options.md":
        markdown = _OPTION_NAMES.sub(_options, markdown)
    origin = next((top for top, place in TOP.items() if place == page.file.src_uri), None)
    if origin is None:
        inside = page.file.src_uri.removeprefix(f"{OTHERS}/")
        origin = inside if inside != page.file.src_uri else f"docs/{inside}"

    def turned(match: re.Match[str]) -> str:
        target = _target(origin, match[1])
        if target is None:
            return match[0]
        return posixpath.relpath(_place(target), posixpath.dirname(page.file.src_uri) or ".") + (match[2] or "")

    return _LINK.sub(turned, markdown)


def _target(origin: str, link: str) -> str | None:
    """The file of the repository that a link in ``origin`` leads to; None where there is none."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    return target if not target.startswith("..") and (ROOT / target).is_file() else None


def _place(target: str) -> str:
    """Where a file of the repository lies in the site."""
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return TOP.get(target, f"{OTHERS}/{target}")


def _names() -> str:
    import pytest_thinkslm

    return "\n\n".join(f"::: pytest_thinkslm.{name}" for name in sorted(pytest_thinkslm.__all__))


def _options(names: re.Match[str]) -> str:
    from pytest_thinkslm.plugin.options import OPTIONS

    table = {option.short: option for option in OPTIONS}
    rows = ["| option | meaning |", "|---|---|"]
    for short in re.findall(r"`(--[\w-]+)`", names[0]):
        option = table[short]
        name = f"{option.short} {option.metavar}" if option.metavar else option.short
        cells = (f"`{name}`", option.help.replace("<", "&lt;").replace("*", "\\*"))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*rows, ""])
