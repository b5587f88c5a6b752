"""The figures of ``--stress``: what changed forms of items do to accuracy, and how far answers stay the same."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from pytest_thinkslm.core.identity import GroupKey, task_labels
from pytest_thinkslm.core.item_record import ItemRecord, group_key
from pytest_thinkslm.runs.types import PositionBiasJson, StressFigures, StressRow, VarianceJson
from pytest_thinkslm.statistics import holm, wilson
from pytest_thinkslm.statistics.forms import Tree, form_change, position_bias, variance_components
from pytest_thinkslm.tasks.stress import TRANSFORMATIONS

#: With fewer items the intervals of variance components cover less than they say (docs/stress.md).
_LEAST_ITEMS = 50

#: item -> transformation ("" for the item as it is) -> its outcomes, the forms in order, repeats of each together.
_Forms = dict[str, dict[str, list[ItemRecord]]]


@dataclass(frozen=True, slots=True)
class Stressed:
    """What is known of a run's changed forms.

    Attributes:
        rows: for results.json.
        consistent: of each group, by item, 1 where it is right in every form or in none, else 0.
        clusters: what items share, by item.
    """

    rows: list[StressRow]
    consistent: Mapping[GroupKey, Mapping[str, list[float]]]
    clusters: Mapping[GroupKey, Mapping[str, str]]


def stressed(items: Iterable[ItemRecord], forms: Iterable[ItemRecord]) -> Stressed:
    """The figures of a run that asked changed forms; a row a (model, quant, task, test, style) that has any.

    Args:
        items: item records of the run (role ``item``).
        forms: those of changed forms (role ``stress``), in order.

    An item counts where it and its changed form both came without an error.
    """
    groups: dict[GroupKey, _Forms] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    asked: dict[GroupKey, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    errors: Counter[GroupKey] = Counter()
    for record in forms:
        key, name = group_key(record), record.get("stress", "").rpartition("-")[0]
        asked[key][name].add(record["item"])
        if record["verdict"] == "error":
            errors[key] += 1
        else:
            groups[key][record["item"]][name].append(record)
    for record in items:
        key = group_key(record)
        if key in asked:
            asked[key][""].add(record["item"])
            if record["verdict"] != "error":
                groups[key][record["item"]][""].append(record)
    whole = {key: {item: by for item, by in groups[key].items() if by.get("") and len(by) > 1} for key in sorted(asked)}
    rows = [_row(key, found, asked[key], errors[key]) for key, found in whole.items()]
    _add_variance(rows, whole)
    figures = [one for row in rows for one in row["transformations"].values()]
    for place, p in holm({place: one["p"] for place, one in enumerate(figures)}).items():
        figures[place]["p_corrected"] = float(f"{p:.3g}")
    for key, label in task_labels(whole).items():
        next(row for row in rows if group_key(row) == key)["label"] = label
    return Stressed(
        rows,
        {
            key: {item: [float(_alike(chain.from_iterable(by.values())))] for item, by in found.items()}
            for key, found in whole.items()
        },
        {
            key: {item: name for item, by in found.items() if (name := by[""][0].get("cluster"))}
            for key, found in whole.items()
        },
    )


def _row(key: GroupKey, items: _Forms, asked: Mapping[str, set[str]], errors: int) -> StressRow:
    everything = [[record for records in by.values() for record in records] for by in items.values()]
    alike = sum(map(_alike, everything))
    share = wilson(alike, len(everything)) if everything else None
    row: StressRow = {
        "model": key.model,
        "quant": key.quant,
        "task": key.task,
        "test": key.test,
        "style": key.style,
        "items": len(items),
        "errors": errors,
        "consistency": _round(alike / len(everything)) if everything else None,
        "consistency_ci95": None if share is None else [_round(share.low), _round(share.high)],
        "transformations": {
            name: _figures([by for by in items.values() if by.get(name)], name, len(asked[""] - asked[name]))
            for name in sorted(filter(None, asked), key=_place)
        },
    }
    bias = _position_bias(items)
    if bias is not None:
        row["position_bias"] = bias
    return row


def _place(name: str) -> int:
    """Transformations stand in the order in which they are documented."""
    return list(TRANSFORMATIONS).index(name) if name in TRANSFORMATIONS else len(TRANSFORMATIONS)


def _add_variance(rows: Sequence[StressRow], groups: Mapping[GroupKey, _Forms]) -> None:
    """The variance components of each task and test, over all of its styles, put into each of its rows."""
    for row in rows:
        own = [found for key, found in groups.items() if key._replace(style=row["style"]) == group_key(row)]
        shared = [item for item in own[0] if all(item in found for found in own)]
        trees: list[Tree] = [[_tree(found[item]) for found in own] for item in shared]
        sources = ["item", "style", "transformation", "form", "repeat"]
        components = variance_components(trees, sources)
        if len(components) > 1 and len(shared) >= _LEAST_ITEMS:
            row["variance"] = [
                VarianceJson(
                    source=name, share=_round(one.share), ci95=[_round(one.interval.low), _round(one.interval.high)]
                )
                for name, one in components.items()
            ]


def _tree(by: Mapping[str, Sequence[ItemRecord]]) -> Tree:
    """The scores of an item, by transformation, form and repeat."""
    return [
        [[_score(record) for record in own] for _, own in groupby(records, key=lambda record: record.get("stress", ""))]
        for records in by.values()
        if records
    ]


def _figures(items: Sequence[Mapping[str, list[ItemRecord]]], name: str, unchanged: int) -> StressFigures:
    pairs = [(sum(map(_score, by[""])) / len(by[""]), [_score(record) for record in by[name]]) for by in items]
    clusters = [by[""][0].get("cluster") or number for number, by in enumerate(items)]
    change = form_change(pairs, clusters if len(set(clusters)) < len(clusters) else None)
    both = [[*by[""], *by[name]] for by in items]
    flips = len(both) - sum(map(_alike, both))
    share = wilson(flips, len(both)) if both else None
    return {
        "items": change.items,
        "unchanged": unchanged,
        "n": sum(len(by[name]) for by in items),
        "accuracy": _round(change.after),
        "before": _round(change.before),
        "change": _round(change.difference),
        "ci95": None if change.interval is None else [_round(change.interval.low), _round(change.interval.high)],
        "p": float(f"{change.p:.3g}"),
        "p_corrected": 1.0,
        "consistency": _round(1 - flips / len(both)) if both else None,
        "same_answer": _same_answer(both),
        "flips": flips,
        "flips_ci95": None if share is None else [_round(share.low), _round(share.high)],
    }


def _alike(records: Iterable[ItemRecord]) -> bool:
    """Whether all are right, or none is."""
    return len({record["verdict"] == "correct" for record in records}) == 1


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
