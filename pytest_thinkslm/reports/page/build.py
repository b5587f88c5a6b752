"""``report.html``: one file with everything in it, built from a finished report folder."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import IO

from pytest_thinkslm.core import files
from pytest_thinkslm.core.redaction import redacted_line
from pytest_thinkslm.core.tables import shown_in_html
from pytest_thinkslm.reports.page.broken import BrokeMark, looker
from pytest_thinkslm.reports.page.charts import charts
from pytest_thinkslm.reports.page.item_sets import item_sets
from pytest_thinkslm.reports.page.items import Index, pack
from pytest_thinkslm.reports.page.joined import join
from pytest_thinkslm.reports.page.view import sections
from pytest_thinkslm.runs.reading import read_results
from pytest_thinkslm.runs.types import Results

#: The plotting library, in the order in which it is loaded.
VENDORED = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")

#: What draws formulas, as MathML.
FORMULAS = ("katex.min.js",)

_INDEX_LEVEL = 6


def write_page(folder: Path) -> Path:
    """Write ``report.html`` from ``results.json`` and ``items.jsonl`` of a finished run, atomically.

    The items are streamed: memory does not grow with their texts. The page loads nothing from anywhere; its content
    security policy forbids it, and allows no script but its own three (by hash).

    Returns:
        The path of the page.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: a file is not what a run writes.
    """
    results = read_results(folder / "results.json")
    return _write(folder / "report.html", results, (line for _, line in files.read_lines(folder / "items.jsonl")))


def write_joined_page(folders: Sequence[Path], target: Path) -> Path:
    """Write one page of several finished runs, the first of them what the others are held against.

    Returns, raises: as ``write_page``; ``UsageError`` where a folder has no finished run.
    """
    joined = join(folders)
    return _write(target, joined.results, joined.lines(), joined.runs)


def _write(target: Path, results: Results, lines: Iterable[bytes], runs: Mapping[str, Results] | None = None) -> Path:
    files.check_place(target)
    draft = target.with_name(f".{target.name}.draft")
    try:
        with tempfile.TemporaryFile(dir=target.parent) as blocks, draft.open("wb") as page:
            broke, look = looker(results)
            index = pack(map(redacted_line, lines), _Counter(blocks).write, look)
            head, tail = _frame(results, index, broke, runs or {})
            page.write(head)
            blocks.seek(0)
            shutil.copyfileobj(blocks, page)
            page.write(tail)
        return draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@lru_cache(maxsize=1)
def vendor_script() -> str:
    """The plotting library as one script, its licences in front."""
    return _vendored("LICENSES.txt", VENDORED)


@lru_cache(maxsize=1)
def formula_script() -> str:
    """The library that draws formulas, its licence in front."""
    return _vendored("KATEX_LICENSE.txt", FORMULAS)


def formulas_source() -> str:
    """The script that finds formulas in texts and has the library draw them."""
    return _source("formulas.js")


def _vendored(licence: str, names: Sequence[str]) -> str:
    folder = resources.files(__package__) / "vendor"
    licences = (folder / licence).read_text(encoding="utf-8").replace("*/", "* /")
    scripts = [(folder / name).read_text(encoding="utf-8") for name in names]
    return "\n".join([f"/*\n{licences}*/", *scripts])


class _Counter:
    """Writes each block as an element of its own, numbered."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._number = 0

    def write(self, block: bytes) -> None:
        self._target.write(_element(f"block-{self._number}", block))
        self._number += 1


def _frame(
    results: Results, index: Index, broke: Mapping[int, BrokeMark], runs: Mapping[str, Results]
) -> tuple[bytes, bytes]:
    """What stands before and after the blocks."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    script = f"{formulas_source()}{_source('page.js')}"
    vendor = {"data-vendor": vendor_script(), "data-formulas": formula_script()}
    data = {
        "charts": [
            {"name": chart.name, "spec": {**chart.spec, "description": chart.title}} for chart in charts(results)
        ],
        "sets": item_sets(results),
        "broke": broke,
        "variants": [f"{variant['model']}|{variant['quant']}" for variant in results["variants"]],
    }
    environment = Environment(
        loader=PackageLoader("pytest_thinkslm.reports.page", "."),
        autoescape=True,
        finalize=shown_in_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("page.html").render(
        **sections(results, index, runs),
        csp=_policy(script, *vendor.values()),
        style=_source("page.css"),
        script=script,
        mark=_MARK,
    )
    before, _, after = text.partition(_MARK)
    first = [
        _element("data-index", zlib.compress(index.to_json(), _INDEX_LEVEL)),
        _element("data-page", zlib.compress(json.dumps(data).encode("ascii"), _INDEX_LEVEL)),
    ]
    middle, _, end = after.partition(_MARK)
    last = [_element(name, zlib.compress(each.encode("utf-8"), _INDEX_LEVEL)) for name, each in vendor.items()]
    return (
        before.encode("utf-8", "replace") + b"".join(first) + middle.encode("utf-8", "replace"),
        b"".join(last) + end.encode("utf-8", "replace"),
    )


#: Where data goes into the template; no text of a run can contain it, since the template escapes its angle brackets.
_MARK = "<!-- data -->"


def _source(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _element(name: str, content: bytes) -> bytes:
    """Compressed bytes as an element that no browser runs; base64 has no character that could end it."""
    return b'<script type="application/octet-stream" id="%s">%s</script>\n' % (
        name.encode(),
        base64.b64encode(content),
    )


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
