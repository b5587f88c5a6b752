"""The judge's part in a row of figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def row_judge(records: Sequence[Record], *, void: bool = False) -> dict[str, object]:
    """The judge's part in one row: counts, and the accuracies by the parser and with the judge (None where void).

    Where the judge was not asked, cannot tell, or gave no ruling, ``accuracy_judge`` takes the parser's verdict.
    """
    asked = [record for record in records if record.get("judge")]
    rulings = [record["judge"] for record in asked]
    review = any(is_review(record) for record in records)
    compared = [differ(record) for record in asked if record["judge"]["verdict"] and not review]
    by_parser = [record["parser_verdict"] == "correct" for record in records]
    by_judge = [
        record["judge"]["verdict"] == "correct" if record.get("judge") and record["judge"]["verdict"] else right
        for record, right in zip(records, by_parser, strict=True)
    ]
    return {
        "asked": len(asked),
        "judged": sum(ruling["status"] == "judged" for ruling in rulings),
        "unjudged": sum(ruling["status"] != "judged" for ruling in rulings),
        "cannot_tell": sum(ruling["status"] == "judged" and not ruling["verdict"] for ruling in rulings),
        "decided": sum(record.get("source") == "judge" for record in records),
        "agree": None if review else compared.count(False),
        "disagree": None if review else compared.count(True),
        "accuracy_parser": None if void else _share(by_parser),
        "accuracy_judge": None if void or review else _share(by_judge),
    }


def differ(record: Record) -> bool:
    """Whether parser and judge call the item differently."""
    return bool((record["judge"]["verdict"] == "correct") != (record["parser_verdict"] == "correct"))


def is_review(record: Record) -> bool:
    """Whether the record is of a task that reviews solutions."""
    return isinstance(record.get("gold"), Mapping)


def _share(right: Sequence[bool]) -> float | None:
    return round(sum(right) / len(right), 6) if right else None
