"""The judge's part in a row of figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from pytest_thinkslm.core.item_record import ItemRecord
from pytest_thinkslm.runs.types import JudgeFigures


def row_judge(records: Sequence[ItemRecord], *, void: bool = False) -> JudgeFigures:
    """The judge's part in one row: counts, and the accuracies by the parser and with the judge (None where void).

    Where the judge was not asked, cannot tell, or gave no ruling, ``accuracy_judge`` takes the parser's verdict.
    """
    rulings = [ruling for record in records if (ruling := record["judge"])]
    review = any(is_review(record) for record in records)
    by_parser = [record["parser_verdict"] == "correct" for record in records]
    by_judge = [_by_judge(record) for record in records]
    compared = [
        judge != right
        for record, judge, right in zip(records, by_judge, by_parser, strict=True)
        if record["judge"] and record["judge"]["verdict"] and not review
    ]
    return {
        "asked": len(rulings),
        "judged": sum(ruling["status"] == "judged" for ruling in rulings),
        "unjudged": sum(ruling["status"] != "judged" for ruling in rulings),
        "cannot_tell": sum(ruling["status"] == "judged" and not ruling["verdict"] for ruling in rulings),
        "decided": sum(record.get("source") == "judge" for record in records),
        "agree": None if review else compared.count(False),
        "disagree": None if review else compared.count(True),
        "accuracy_parser": None if void else _accuracy(records, by_parser),
        "accuracy_judge": None if void or review else _accuracy(records, by_judge),
    }


def differ(record: ItemRecord) -> bool:
    """Whether parser and judge call the item differently."""
    return _by_judge(record) != (record["parser_verdict"] == "correct")


def is_review(record: ItemRecord) -> bool:
    """Whether the record is of a task that reviews solutions."""
    return isinstance(record.get("gold"), Mapping)


def _by_judge(record: ItemRecord) -> bool:
    """Whether the item is correct by the judge, or where it has no verdict by the parser."""
    ruling = record["judge"]
    verdict = ruling["verdict"] if ruling else None
    return (verdict or record["parser_verdict"]) == "correct"


def _accuracy(records: Sequence[ItemRecord], right: Sequence[bool]) -> float | None:
    """Over items, each with its mean over repeats, as in the row."""
    by_item: dict[str, list[bool]] = {}
    for record, value in zip(records, right, strict=True):
        by_item.setdefault(record["item"], []).append(value)
    return round(fmean(fmean(values) for values in by_item.values()), 6) if by_item else None
