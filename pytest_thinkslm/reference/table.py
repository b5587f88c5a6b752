"""The public leaderboard of the ThinkSLM paper (EMNLP 2025, arXiv 2502.11569), as data.

Every figure pools three runs over the whole split; prompts, temperature and token limits are not published.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

#: Column of the table -> (task, style). The paper names styles for GSM8K alone; the others are held against ``direct``.
COLUMNS: Mapping[str, tuple[str, str]] = {
    "gsm8k_direct": ("gsm8k", "direct"),
    "gsm8k_cot": ("gsm8k", "cot"),
    "gsm8k_5shot": ("gsm8k", "5shot"),
    "gsm8k_5shot_cot": ("gsm8k", "5shot-cot"),
    "gsm8k_8shot": ("gsm8k", "8shot"),
    "arc_easy": ("arc_easy", "direct"),
    "arc_challenge": ("arc_challenge", "direct"),
    "commonsenseqa": ("commonsenseqa", "direct"),
    "sort8_pos": ("sort8_positive", "direct"),
    "sort8_mixed": ("sort8_mixed", "direct"),
    "sort16_pos": ("sort16_positive", "direct"),
    "sort16_mixed": ("sort16_mixed", "direct"),
    "sort32_pos": ("sort32_positive", "direct"),
    "sort32_mixed": ("sort32_mixed", "direct"),
}

#: Items of the evaluated splits. The figures pool three runs of them, but runs of one item are not independent.
SPLIT_SIZES: Mapping[str, int] = {
    "gsm8k": 1319,
    "arc_easy": 2376,
    "arc_challenge": 1172,
    "commonsenseqa": 1221,
    **{f"sort{length}_{kind}": 100 for length in (8, 16, 32) for kind in ("positive", "mixed")},
}


#: Runs of each split that a figure pools.
RUNS = 3


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One model variant of the table.

    Attributes:
        model, quant: catalogue key and key of ``--quant``.
        hub_id: the checkpoint that fits the row; the paper names none.
        name, parameters, quantization: as the table words them.
        gpu_memory, disk: GiB; None where the table has none.
        accuracies: fractions by (task, style).
        sorting_average, overall_average: fractions as the table gives them. The first is the mean of the six sorting
            columns; by what rule the second was made is not published, and no mean of the columns gives it.
    """

    model: str
    quant: str
    hub_id: str
    name: str
    parameters: str
    quantization: str
    gpu_memory: float | None
    disk: float | None
    accuracies: Mapping[tuple[str, str], float]
    sorting_average: float | None
    overall_average: float | None


@cache
def paper_rows() -> tuple[PaperRow, ...]:
    """Every row of the table, in its order."""
    text = resources.files("pytest_thinkslm.reference").joinpath("thinkslm_leaderboard.csv").read_text("utf-8")
    return tuple(
        PaperRow(
            row["model_key"],
            row["quant_key"],
            row["hf_id"],
            row["model"],
            row["params"],
            row["quantization"],
            _number(row["gpu_memory_GB"]),
            _number(row["disk_GB"]),
            {cell: accuracy for column, cell in COLUMNS.items() if (accuracy := _fraction(row[column])) is not None},
            _fraction(row["sorting_average"]),
            _fraction(row["overall_average_asgiven"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


def paper_row(model: str, quant: str) -> PaperRow | None:
    """The row of a catalogue key with its quantization, or of a hub id; None where the paper has none."""
    wanted = model.lower()
    for row in paper_rows():
        if (row.model == wanted and row.quant == quant) or (
            row.hub_id.lower() == wanted and quant in ("none", row.quant)
        ):
            return row
    return None


def _number(cell: str) -> float | None:
    return None if cell in ("", "--") else float(cell)


def _fraction(cell: str) -> float | None:
    value = _number(cell)
    return None if value is None else round(value / 100, 6)
