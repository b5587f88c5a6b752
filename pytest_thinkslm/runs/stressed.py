"""The figures of ``--stress``: what changed forms of items do to accuracy, and how far answers stay the same."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import ItemRecord, group_key
from pytest_thinkslm.runs.types import PositionBiasJson, StressFigures, StressRow, VarianceJson
from pytest_thinkslm.statistics import wilson
from pytest_thinkslm.statistics.forms import form_change, position_bias, variance_components

#: item -> transformation ("" for the item as it is) -> its outcomes, the forms in order.
_Forms = dict[str, dict[str, list[ItemRecord]]]


def stress_rows(items: Iterable[ItemRecord], forms: Iterable[ItemRecord]) -> list[StressRow]:
    """One row a (model, quant, task, test, style) that was asked in changed forms.

    Args:
        items: item records of the run (role ``item``).
        forms: those of changed forms (role ``stress``).

    An item counts where it and its changed form both came without an error.
    """
    groups: dict[GroupKey, _Forms] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for record in forms:
        if record["verdict"] != "error":
            name = record.get("stress", "").rpartition("-")[0]
            groups[group_key(record)][record["item"]][name].append(record)
    for record in items:
        key = group_key(record)
        if key in groups and record["item"] in groups[key] and record["verdict"] != "error":
            groups[key][record["item"]][""].append(record)
    return [_row(key, {item: by for item, by in found.items() if by[""]}) for key, found in sorted(groups.items())]


def _row(key: GroupKey, items: _Forms) -> StressRow:
    names = dict.fromkeys(name for by in items.values() for name in by if name)
    row: StressRow = {
        "model": key.model,
        "quant": key.quant,
        "task": key.task,
        "test": key.test,
        "style": key.style,
        "items": len(items),
        "consistency": _consistency(
            [[record for records in by.values() for record in records] for by in items.values()]
        ),
        "transformations": {name: _figures([by for by in items.values() if by.get(name)], name) for name in names},
    }
    components = variance_components(
        {
            item: {name: [_score(record) for record in records] for name, records in by.items()}
            for item, by in items.items()
        }
    )
    if components:
        row["variance"] = [
            VarianceJson(
                source=name, share=_round(one.share), ci95=[_round(one.interval.low), _round(one.interval.high)]
            )
            for name, one in components.items()
        ]
    bias = _position_bias(items)
    if bias is not None:
        row["position_bias"] = bias
    return row


def _figures(items: Sequence[dict[str, list[ItemRecord]]], name: str) -> StressFigures:
    pairs = [(sum(map(_score, by[""])) / len(by[""]), [_score(record) for record in by[name]]) for by in items]
    clusters = [by[""][0].get("cluster") or number for number, by in enumerate(items)]
    change = form_change(pairs, clusters if len(set(clusters)) < len(clusters) else None)
    both = [[*by[""], *by[name]] for by in items]
    flips = sum(len({_score(record) for record in records}) > 1 for records in both)
    share = wilson(flips, len(both)) if both else None
    return {
        "items": change.items,
        "n": sum(len(by[name]) for by in items),
        "accuracy": _round(change.after),
        "before": _round(change.before),
        "change": _round(change.difference),
        "ci95": None if change.interval is None else [_round(change.interval.low), _round(change.interval.high)],
        "p": float(f"{change.p:.3g}"),
        "consistency": _consistency(both),
        "same_answer": _same_answer(both),
        "flips": flips,
        "flips_ci95": None if share is None else [_round(share.low), _round(share.high)],
    }


def _consistency(items: Sequence[Sequence[ItemRecord]]) -> float | None:
    """Share of items whose verdict is right in every form, or in none."""
    alike = sum(len({_score(record) for record in records}) == 1 for records in items)
    return _round(alike / len(items)) if items else None


def _same_answer(items: Sequence[Sequence[ItemRecord]]) -> float | None:
    """Share of items of which every form was answered, and alike (options by their texts, not their letters)."""
    alike = 0
    for records in items:
        answers = {json.dumps(record.get("plain_answer", record["answer"])) for record in records}
        alike += len(answers) == 1 and "null" not in answers
    return _round(alike / len(items)) if items else None


def _position_bias(items: _Forms) -> PositionBiasJson | None:
    """Of items with a letter as gold: with reordered options where there are any, else as they are.

    Reordered, a model that takes the same option wherever it stands shows no preference of a position.
    """
    picks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for item, by in items.items():
        for record in by.get("options") or by[""]:
            answer, gold = record["answer"], record["gold"]
            if not (isinstance(gold, str) and len(gold) == 1 and gold.isupper()):
                return None
            if isinstance(answer, str) and len(answer) == 1 and answer.isupper():
                picks[item].append((ord(answer) - ord("A"), ord(gold) - ord("A")))
    positions = 1 + max((max(pair) for pairs in picks.values() for pair in pairs), default=0)
    found = position_bias(picks, positions) if positions > 1 else None
    if found is None:
        return None
    return {
        "picked": [_round(share) for share in found.picked],
        "expected": [_round(share) for share in found.expected],
        "p": float(f"{found.p:.3g}"),
    }


def _score(record: ItemRecord) -> float:
    return 1.0 if record["verdict"] == "correct" else 0.0


def _round(value: float) -> float:
    return round(value, 6)
