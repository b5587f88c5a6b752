"""Report folders for the page's tests: hand-made results.json and items.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recorded_runs import record

from pytest_thinkslm.core.item_record import item_key
from pytest_thinkslm.core.run_file import SCHEMA_VERSION
from pytest_thinkslm.runs.results import figures

SETTINGS: Mapping[str, Any] = {
    "models": ["m"],
    "styles": ["direct"],
    "repeats": 1,
    "temperature": 0.0,
    "top_p": 1.0,
    "max_tokens": None,
    "seed": 0,
    "data_seed": 0,
    "limit": None,
    "incorrect": "data",
}

#: A text of which nothing may come alive, with what breaks HTML, JSON, UTF-8 and reading direction.
HOSTILE = (
    "</script><img src=x onerror=\"window.hacked=1;console.error('alive')\"><script>window.hacked=2</script>"
    "<!-- {{ data }} --> \x00\x07 \ud800 \u202egnp.exe \u2028 <svg onload=window.hacked=3> ]]> %s ${x}"
)


def line(item: int, right: bool, output: str = "the output", **fields: Any) -> dict[str, Any]:
    """A whole line of items.jsonl, with its outputs."""
    own = {
        "output": output,
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "output_tokens": 7,
        "judge": None,
        "facets": {"length": "8"},
    }
    return {**record(item, right), **own, **fields}


def run_results(lines: Iterable[Mapping[str, Any]], **extra: Any) -> dict[str, Any]:
    """results.json of these lines; ``extra`` replaces or adds keys."""
    ordered = sorted(lines, key=item_key)
    variants = dict.fromkeys((each["model"], each["quant"]) for each in ordered)
    items = [each for each in ordered if each["role"] == "item"]
    styles = list(dict.fromkeys(each["style"] for each in items))
    return {
        "schema_version": SCHEMA_VERSION,
        "settings": {**SETTINGS, "styles": styles},
        "versions": {"python": "3.11"},
        "variants": [{"model": m, "quant": q, "display": m, "engine": "replay"} for m, q in variants],
        "hardware": {"cpus": 2},
        "selection": "full",
        "results": figures(items, (), {}),
        "gates": [],
        "problems": [],
        "measured": {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "variants": {}},
        **extra,
    }


def report_folder(folder: Path, lines: Iterable[Mapping[str, Any]], **extra: Any) -> Path:
    """A report folder with these items. The lines are not escaped: any JSON text may stand in them."""
    ordered = sorted(lines, key=item_key)
    folder.mkdir(parents=True)
    (folder / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in ordered))
    (folder / "results.json").write_text(json.dumps(run_results(ordered, **extra)))
    return folder


def delta(lost: Iterable[str] = (), gained: Iterable[str] = (), **fields: Any) -> dict[str, Any]:
    """A row of ``deltas``: q4 against none."""
    own = {
        "model": "m",
        "quant": "q4",
        "task": "sort8_positive",
        "style": "direct",
        "against": {"model": "m", "quant": "none"},
        "n": 4,
        "accuracy": 0.25,
        "accuracy_against": 0.5,
        "difference": -0.25,
        "ci95": [-0.6, 0.2],
        "p": 0.5,
        "p_corrected": 0.5,
        "kept": 0.5,
        "lost": list(lost),
        "gained": list(gained),
        "rates": {"unparsed": {"before": 0.0, "now": 0.25}},
        "failures": {"order": {"before": 0, "now": 1}},
        "method": "exact",
    }
    return {**own, **fields}
