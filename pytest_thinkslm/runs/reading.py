"""``results.json`` read back, held against its types."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pytest_thinkslm.core.run_file import read_results_file
from pytest_thinkslm.core.shapes import misfit
from pytest_thinkslm.runs import types

#: Of these a file may lack keys: earlier versions and other tools write fewer.
_LENIENT = (
    *(types.Results, types.SettingsJson, types.VariantFacts, types.FingerprintJson, types.RunMeasured),
    *(types.VariantMeasured, types.LoadedJson, types.RowData, types.JudgeBlock, types.Canaries, types.DeltaRow),
    types.Disagreement,
)

#: What an absent part of the file stands for.
_ABSENT: dict[str, object] = {name: {} for name in ("versions", "hardware", "measured")}
_ABSENT |= {name: [] for name in ("variants", "gates", "problems")}


def read_results(path: Path) -> types.Results:
    """The content of a run's ``results.json``.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, damaged, or of another version; says so with the file's name.
    """
    value = read_results_file(path)
    for rows in (value["results"], value.get("deltas"), value.get("reference")):
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and "task" in row:
                row.setdefault("test", f"test_{row['task']}")  # files of earlier versions lack it
    for variant in value.get("variants") or ():
        if isinstance(variant, dict) and variant.get("template_sha256", "") is None:
            del variant["template_sha256"]
    value = {**_ABSENT, **value}
    wrong = misfit(value, types.Results, _LENIENT)
    if wrong:
        raise ValueError(f"{path.name} is damaged: {wrong}")
    names = [(variant.get("model"), variant.get("quant")) for variant in value.get("variants", ())]
    if None in [part for name in names for part in name]:
        raise ValueError(f"{path.name} is damaged: one of its variants has no model or no quant")
    for row in value["results"]:
        if row["ci95"] is not None and len(row["ci95"]) != 2:
            raise ValueError(f"{path.name} is damaged: the interval of {row['task']} has not two ends")
    return cast("types.Results", value)
