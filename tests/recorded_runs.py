"""Report folders made without running anything: item records in, results.json and items.jsonl out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.item_record import item_key
from pytest_thinkslm.core.run_file import SCHEMA_VERSION
from pytest_thinkslm.runs.items import to_line
from pytest_thinkslm.runs.results import figures

SETTINGS: Mapping[str, Any] = {"temperature": 0.0, "top_p": 1.0, "max_tokens": None, "data_seed": 0}


def record(
    item: int,
    right: bool,
    *,
    task: str = "sort8_positive",
    style: str = "direct",
    model: str = "m",
    quant: str = "none",
    repeat: int = 1,
    prompt: str = "Sort.",
    cluster: str = "",
    **fields: object,
) -> dict[str, object]:
    """One line of items.jsonl."""
    return {
        "model": model,
        "quant": quant,
        "task": task,
        "style": style,
        "item": f"{item:04d}",
        "repeat": repeat,
        "role": "item",
        "messages": [{"role": "user", "content": f"{prompt} {item}"}],
        "answer": "1" if right else "2",
        "rule": "boxed",
        "gold": "1",
        "verdict": "correct" if right else "incorrect",
        "reason": "",
        "failure": None,
        "judge": None,
        "facets": {},
        "cluster": cluster,
        **fields,
    }


def write_run(
    folder: Path,
    records: Iterable[Mapping[str, object]],
    *,
    settings: Mapping[str, Any] = SETTINGS,
    selection: str = "full",
    template: str | None = None,
) -> Path:
    """A report folder with these items."""
    lines = sorted(records, key=item_key)
    folder.mkdir(parents=True)
    (folder / "items.jsonl").write_text("".join(map(to_line, lines)))
    variants = dict.fromkeys((str(line["model"]), str(line["quant"])) for line in lines)
    results = {
        "schema_version": SCHEMA_VERSION,
        "settings": dict(settings),
        "variants": [{"model": model, "quant": quant, "template_sha256": template} for model, quant in variants],
        "selection": selection,
        "results": figures([line for line in lines if line["role"] == "item"], (), {}),
    }
    (folder / "results.json").write_text(json.dumps(results))
    return folder
