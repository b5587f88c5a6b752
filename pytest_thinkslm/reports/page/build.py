"""``report.html``: one file with everything in it, built from a finished report folder."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import IO

from pytest_thinkslm.core import files
from pytest_thinkslm.core.tables import shown_in_html
from pytest_thinkslm.reports.page.broken import BrokeMark, looker
from pytest_thinkslm.reports.page.charts import charts
from pytest_thinkslm.reports.page.item_sets import item_sets
from pytest_thinkslm.reports.page.items import Index, pack
from pytest_thinkslm.reports.page.view import sections
from pytest_thinkslm.runs.reading import read_results
from pytest_thinkslm.runs.types import Results

#: The plotting library, in the order in which it is loaded.
VENDORED = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")

_INDEX_LEVEL = 6


def write_page(folder: Path) -> Path:
    """Write ``report.html`` from ``results.json`` and ``items.jsonl`` of a finished run, atomically.

    The items are streamed: memory does not grow with their texts. The page loads nothing from anywhere; its content
    security policy forbids it, and allows no script but its own two (by hash).

    Returns:
        The path of the page.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: a file is not what a run writes.
    """
    results = read_results(folder / "results.json")
    draft = folder / ".report.html.draft"
    try:
        with tempfile.TemporaryFile(dir=folder) as blocks, draft.open("wb") as page:
            broke, look = looker(results)
            index = pack((line for _, line in files.read_lines(folder / "items.jsonl")), _Counter(blocks).write, look)
            head, tail = _frame(results, index, broke)
            page.write(head)
            blocks.seek(0)
            shutil.copyfileobj(blocks, page)
            page.write(tail)
        return draft.replace(folder / "report.html")
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@lru_cache(maxsize=1)
def vendor_script() -> str:
    """The plotting library as one script, its licences in front."""
    folder = resources.files(__package__) / "vendor"
    licences = (folder / "LICENSES.txt").read_text(encoding="utf-8").replace("*/", "* /")
    scripts = [(folder / name).read_text(encoding="utf-8") for name in VENDORED]
    return "\n".join([f"/*\n{licences}*/", *scripts])


class _Counter:
    """Writes each block as an element of its own, numbered."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._number = 0

    def write(self, block: bytes) -> None:
        self._target.write(_element(f"block-{self._number}", block))
        self._number += 1


def _frame(results: Results, index: Index, broke: Mapping[int, BrokeMark]) -> tuple[bytes, bytes]:
    """What stands before and after the blocks."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    script = _source("page.js")
    vendor = vendor_script()
    data = {
        "charts": [
            {"name": chart.name, "spec": {**chart.spec, "description": chart.title}} for chart in charts(results)
        ],
        "sets": item_sets(results),
        "broke": broke,
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
        **sections(results, index),
        csp=_policy(script, vendor),
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
    last = [_element("data-vendor", zlib.compress(vendor.encode("utf-8"), _INDEX_LEVEL))]
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
