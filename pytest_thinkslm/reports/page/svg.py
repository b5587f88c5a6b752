"""A plot as an SVG file, drawn by an installed Chromium or Chrome without a window and without network."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.reports.page.build import vendor_script

#: Names under which the browser is looked for.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

_SECONDS = 60

#: Flags for a browser that only draws: no sandbox of its own (containers), nothing sent anywhere.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--virtual-time-budget=20000",
    "--dump-dom",
)

_PAGE = """<!doctype html><meta charset="utf-8"><body><pre id="drawn"></pre><script>{vendor}</script><script>
const show = (text) => {{ document.getElementById("drawn").textContent = text; }};
vegaEmbed(document.createElement("div"), {spec}, {{ast: true, actions: false, renderer: "none", config: {config}}})
  .then(({{ view }}) => view.toSVG())
  .then((svg) => show("svg:" + btoa(String.fromCharCode(...new TextEncoder().encode(svg)))))
  .catch((error) => show("error:" + error));
</script>"""

#: Light, on a white ground, so that it can be read wherever it is shown.
_CONFIG = {
    "background": "white",
    "padding": 12,
    "font": "system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "gridColor": "#e3e6ea",
        "domainColor": "#c9ced5",
        "labelFontSize": 12,
        "titleFontWeight": "normal",
        "labelFlush": False,
    },
    "axisY": {"labelLimit": 220},
    "legend": {"orient": "top", "labelFontSize": 12, "symbolOpacity": 1, "symbolType": "circle"},
}


def write_svg(spec: Mapping[str, Any], target: Path, *, width: int = 720) -> None:
    """Draw a Vega-Lite specification, ``width`` pixels wide, and write the image.

    Raises:
        UsageError: no browser is installed, or it could not draw.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise UsageError(f"a plot is drawn by a browser, and none of {', '.join(BROWSERS)} is installed: install one")
    page = _PAGE.format(
        vendor=vendor_script(),
        spec=json.dumps({**spec, "width": width}).replace("</", "<\\/"),
        config=json.dumps(_CONFIG),
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "plot.html"
        source.write_text(page, encoding="utf-8")
        command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", source.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise UsageError(f"{browser} did not draw the plot within {_SECONDS} s") from None
    found = re.search(r'<pre id="drawn">(svg|error):([^<]*)</pre>', done.stdout)
    if found is None or found[1] == "error":
        reason = html.unescape(found[2]) if found else done.stderr.strip()[-300:] or f"exit status {done.returncode}"
        raise UsageError(f"{browser} could not draw the plot: {reason}")
    files.check_place(target)
    target.write_bytes(base64.b64decode(found[2]) + b"\n")
