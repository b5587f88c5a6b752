"""A run's figures beside those of the published table. Unpaired: only the table's figures are known. Fractions."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.reference.gates import published_figure
from pytest_thinkslm.reference.table import RUNS
from pytest_thinkslm.runs.types import FigureRow, ReferenceRow, VariantFacts
from pytest_thinkslm.statistics import difference_interval

#: What every comparison with the table leaves open.
CAVEAT = (
    "unpaired; the paper's prompts, temperature and token limits are not published, and its figures pool "
    f"{RUNS} sampled runs of the split, which count here with the n of one"
)


def against_paper(rows: Sequence[FigureRow], variants: Sequence[VariantFacts]) -> list[ReferenceRow]:
    """One row for each group that the table has; empty where it has none.

    The paper's figure counts with the items of one split: three runs of the same items tell less than three times as
    many items, and how much less is not published. Ours counts with its effective n.

    Args:
        rows: figures of a run, as in results.json.
        variants: its variants; ``compression.source`` tells a checkpoint made on demand from the published one.
    """
    sources = {
        (v["model"], v["quant"]): compression["source"] for v in variants if (compression := v.get("compression"))
    }
    found = []
    for row in rows:
        key = group_key(row)
        figure = published_figure(key)
        if figure is None:
            continue
        paper, paper_n = figure
        value: ReferenceRow = {
            "model": key.model,
            "quant": key.quant,
            "task": key.task,
            "test": key.test,
            "style": key.style,
            "paper": paper,
            "paper_n": paper_n,
            "accuracy": row["accuracy"],
            "n": row["n"],
            "difference": None,
            "ci95": None,
            "note": "; ".join(_notes(row, paper_n, sources.get(key.variant))),
        }
        if row["accuracy"] is not None and row["n_effective"] > 0:
            interval = difference_interval(paper, paper_n, row["accuracy"], row["n_effective"])
            value["difference"] = round(row["accuracy"] - paper, 6)
            value["ci95"] = [round(end, 6) for end in interval]
        found.append(value)
    return found


def _notes(row: FigureRow, paper_n: int, source: object) -> list[str]:
    notes = []
    if row.get("void"):
        notes.append(f"void: {row['void']}")
    if row["items"] < paper_n:
        notes.append(f"this run asked {row['items']} of the split's {paper_n} items")
    if row["items"] > paper_n:
        notes.append(f"this run asked {row['items']} items, the split has {paper_n}")
    if source == "on-demand":
        notes.append("compressed on demand, not the published checkpoint of the table")
    return [*notes, CAVEAT]
