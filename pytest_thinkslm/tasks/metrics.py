"""What a task reports beyond accuracy: pure functions over its item records.

All records are of one (model, quant, task, style), seed records
included. A value is ``{"value": float, "n": int}``, shares as fractions of 1; where it cannot be
computed it is ``{"value": None, "undefined": reason}``. Items whose verdict is ``error`` are left out of every value.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NotRequired, TypedDict

from pytest_thinkslm.core.item_record import AnswerJson, ItemRecord, RulingJson
from pytest_thinkslm.statistics import Interval, accuracy_interval
from pytest_thinkslm.statistics.counts import function_interval, mean_interval


class Value(TypedDict):
    """A metric: its value, on how many items it rests, and its 95% interval by cluster; or why it is undefined."""

    value: float | None
    n: NotRequired[int]
    ci95: NotRequired[list[float]]
    undefined: NotRequired[str]


#: The most values of a facet that is broken down by itself.
FACET_VALUES = 50
#: GSM-Plus's perturbation that makes a question unanswerable.
CRITICAL_THINKING = "critical thinking"
#: MR-Ben's subject in which its script compares no steps.
CODING = "coding"


def math_metrics(records: Sequence[ItemRecord]) -> Mapping[str, object]:
    """Accuracy by subject and by level (MATH, Hendrycks et al. 2021)."""
    return {"by_subject": accuracy_by(records, "subject"), "by_level": accuracy_by(records, "level")}


def by_facets(records: Sequence[ItemRecord]) -> Mapping[str, object]:
    """Accuracy by each facet of a user's task; one of more than ``FACET_VALUES`` values (an id) breaks nothing down."""
    values: dict[str, set[str]] = defaultdict(set)
    for record in _items(records):
        for facet, value in record["facets"].items():
            values[facet].add(value)
    return {
        f"by_{facet}": accuracy_by(records, facet)
        for facet, found in sorted(values.items())
        if len(found) <= FACET_VALUES
    }


def sorting_metrics(records: Sequence[ItemRecord]) -> Mapping[str, object]:
    """Share of each error class among all items, and accuracy by list length.

    The classes are the ``failure`` of wrong items (order, dropped, invented, wrong-length, ...); a wrong item without
    one counts under its verdict (unparsed, truncated, incorrect).
    """
    items = _items(records)
    classes = Counter(_error_class(item) for item in items if not _right(item))
    return {
        "by_error": {
            name: _rate([not _right(item) and _error_class(item) == name for item in items], items, "no items")
            for name in sorted(classes)
        },
        "by_length": accuracy_by(records, "length"),
    }


def gsm_plus_metrics(records: Sequence[ItemRecord]) -> Mapping[str, object]:
    """Accuracy by perturbation, PDR and ASP (GSM-Plus, Li et al. 2024, section 3).

    PDR = (accuracy on the seed questions - accuracy on the variations) / accuracy on the seed questions. ASP is the
    share of (seed, variation) pairs with both right. Only variations whose seed was asked in the same repeat count,
    and only the seeds of these: a sample's seeds and variations are of the same questions. A seed counts once a
    repeat, however many variations it has. ``without_critical_thinking`` are the same figures over the seven
    perturbations that leave the question answerable: published tables have either reading.
    """
    seeds = {
        (f"gsm8k-{record['item']}", record.get("repeat", 1)): _right(record)
        for record in records
        if record.get("role") == "seed" and record["verdict"] != "error"
    }
    items = _items(records)
    pairs = [(item, (str(item.get("cluster", "")), item.get("repeat", 1))) for item in items]
    pairs = [(item, seed) for item, seed in pairs if seed in seeds]
    paired = [item for item, _ in pairs]
    no_seeds = "no variation has its seed question beside it"
    asked = {seed for _, seed in pairs}
    seed_accuracy = _with(
        _share(sum(seeds[seed] for seed in asked), len(asked), no_seeds), _seed_interval(seeds, asked)
    )
    both = [_right(item) and seeds[seed] for item, seed in pairs]
    metrics = {
        "by_perturbation": accuracy_by(records, "perturbation"),
        "seed_accuracy": seed_accuracy,
        "pdr": _pdr(seed_accuracy, pairs, seeds),
        "asp": _rate(both, paired, no_seeds),
    }
    answerable = [record for record in records if _facet(record, "perturbation") != CRITICAL_THINKING]
    if len(answerable) < len(records):
        without = gsm_plus_metrics(answerable)
        left = _items(answerable)
        accuracy = _rate(list(map(_right, left)), left, "no answerable questions")
        metrics["without_critical_thinking"] = {
            "accuracy": accuracy,
            **{name: without[name] for name in ("seed_accuracy", "pdr", "asp")},
        }
    return metrics


def mr_gsm_metrics(records: Sequence[ItemRecord]) -> Mapping[str, object]:
    """MCC, ACC_step and, with a judge, ACC_reason and MR-Score; accuracy by question type (MR-GSM8K, section 4)."""
    return {**review_metrics(records), "by_question_type": accuracy_by(records, "question_type")}


def mr_ben_metrics(records: Sequence[ItemRecord]) -> Mapping[str, object]:
    """The review metrics by subject and their unweighted mean over subjects (MR-Ben, Zeng et al. 2024, section 4).

    A mean is undefined where it is undefined in a subject. Two readings of the subject coding: in ``by_subject`` and
    ``macro`` its steps are lines of code and compared as in any other subject; ``script`` holds what the benchmark's
    own script computes, which compares no line there (see ``script_review_metrics``). The second is the one to set
    beside published tables; it needs a judge.
    """
    judged = _judged(records)
    groups = _groups(records, "subject")
    subjects = {name: review_metrics(items, judged) for name, items in groups.items()}
    metrics = {"by_subject": subjects, "macro": _means(subjects)}
    if CODING in groups:
        scripted = {CODING: script_review_metrics(groups[CODING], judged)}
        metrics["script"] = {"by_subject": scripted, "macro": _means({**subjects, **scripted})}
    return metrics


def script_review_metrics(records: Sequence[ItemRecord], judged: bool | None = None) -> dict[str, Value]:
    """The metrics of reviews of code as MR-Ben's ``script/evaluate.py`` computes them (commit 0f495fe).

    No line is compared: a wrong solution judged wrong counts for ACC_step and ACC_reason alike where the judge accepts
    the reason. One oddity of the script is not repeated: where the labelled line is blank (13 of its records) and the
    reason is not accepted, it counts any step that is no number as right.
    """
    items = _items(records)
    wrong = [item for item in items if _judgement(item["gold"]) == "wrong"]
    found = [item for item in wrong if _judgement(item["answer"]) == "wrong"]
    mcc = _mcc(items)
    if not (_judged(records) if judged is None else judged):
        return {"mcc": mcc, "acc_step": _undefined("no judge: in coding a step counts where its reason is accepted")}
    rulings = [_accepted(item.get("judge")) for item in found]
    steps: set[int] = set()
    if None in rulings:
        accepted = _undefined(f"the judge left {rulings.count(None)} of {len(rulings)} reasons open")
    else:
        reasons = _among(found, rulings)
        accepted = _rate([id(item) in reasons for item in wrong], wrong, "no wrong solutions in the data")
        steps = reasons
    metrics = {"mcc": mcc, "acc_step": accepted, "acc_reason": accepted}
    metrics["mr_score"] = _mr_score(metrics, items, steps, steps)
    return metrics


def review_metrics(records: Sequence[ItemRecord], judged: bool | None = None) -> dict[str, Value]:
    """MCC, ACC_step, ACC_reason and MR-Score of reviews of solutions.

    MR-Score = 0.2 max(0, MCC) + 0.3 ACC_step + 0.5 ACC_reason. The positive class is a correct solution; an unparsed
    judgement is a miss of either class. ACC_step and ACC_reason are shares of all wrong solutions, so that ACC_reason
    cannot pass ACC_step. The last two need a judge and are absent without one; where the judge left a reason open
    they are undefined. ``judged`` says whether there was a judge; None: where any record has a ruling.
    """
    items = _items(records)
    wrong = [item for item in items if _judgement(item["gold"]) == "wrong"]
    no_wrong = "no wrong solutions in the data"
    found = [item for item in wrong if _judgement(item["answer"]) == "wrong" and _right(item)]
    steps, reasons = {id(item) for item in found}, set[int]()
    metrics = {"mcc": _mcc(items), "acc_step": _rate([id(item) in steps for item in wrong], wrong, no_wrong)}
    if not (_judged(records) if judged is None else judged):
        return metrics
    rulings = [_accepted(item.get("judge")) for item in found]
    if None in rulings:
        left = rulings.count(None)
        metrics["acc_reason"] = _undefined(f"the judge left {left} of {len(rulings)} reasons open")
    else:
        reasons = _among(found, rulings)
        metrics["acc_reason"] = _rate([id(item) in reasons for item in wrong], wrong, no_wrong)
    metrics["mr_score"] = _mr_score(metrics, items, steps, reasons)
    return metrics


def accuracy_by(records: Sequence[ItemRecord], facet: str) -> dict[str, Value]:
    """Accuracy of the items in each group of a facet, groups in order of name."""
    return {name: _rate(list(map(_right, items)), items, "no items") for name, items in _groups(records, facet).items()}


def matthews(true_positive: float, false_negative: float, false_positive: float, true_negative: float) -> float:
    """Matthews correlation coefficient of a 2 x 2 table; 0 where its denominator is 0 (Matthews 1975)."""
    tp, fn, fp, tn = true_positive, false_negative, false_positive, true_negative
    denominator = math.sqrt(max(0.0, (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    return (tp * tn - fp * fn) / denominator if denominator > 0 else 0.0


def _mcc(items: Sequence[ItemRecord]) -> Value:
    rows = list(map(_confusion, items))
    table = [sum(column) for column in zip(*rows, strict=True)] or [0.0] * 4
    positives = table[0] + table[1]
    if not items or positives in (0, len(items)):
        only = "no items" if not items else "wrong solutions only" if not positives else "correct solutions only"
        return _undefined(f"{only} in the data: a correlation needs both classes")
    interval = function_interval(rows, _clusters(items), lambda sums: matthews(*sums), bounds=(-1.0, 1.0))
    return _with({"value": matthews(*table), "n": len(items)}, interval)


def _confusion(item: ItemRecord) -> tuple[float, float, float, float]:
    """Whether it is a true positive, a false negative, a false positive, a true negative."""
    positive = _judgement(item["gold"]) == "correct"
    right = _judgement(item["answer"]) == _judgement(item["gold"])
    places = (positive and right, positive and not right, not positive and not right, not positive and right)
    return tuple(map(float, places))  # type: ignore[return-value]


def _mr_score(
    metrics: Mapping[str, Value], items: Sequence[ItemRecord], steps: Collection[int], reasons: Collection[int]
) -> Value:
    """From MCC, ACC_step and ACC_reason, which count the records whose ``id`` is in ``steps`` and ``reasons``."""

    def score(sums: Sequence[float]) -> float:
        return 0.2 * max(0.0, matthews(*sums[:4])) + (0.3 * sums[4] + 0.5 * sums[5]) / max(sums[6], 1e-9)

    parts = []
    for name, weight in (("mcc", 0.2), ("acc_step", 0.3), ("acc_reason", 0.5)):
        value = metrics[name]["value"]
        if value is None:
            return _undefined(f"{name} is undefined: {metrics[name]['undefined']}")
        parts.append(weight * max(0.0, value))
    rows = [
        (
            *_confusion(item),
            float(id(item) in steps),
            float(id(item) in reasons),
            float(_judgement(item["gold"]) == "wrong"),
        )
        for item in items
    ]
    return _with({"value": sum(parts), "n": metrics["mcc"]["n"]}, function_interval(rows, _clusters(items), score))


def _means(subjects: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    names = list(dict.fromkeys(name for values in subjects.values() for name in values))
    return {name: _macro({subject: values.get(name) for subject, values in subjects.items()}) for name in names}


def _macro(values: Mapping[str, Value | None]) -> Value:
    numbers, intervals = [], []
    for subject, value in values.items():
        if value is None:
            return _undefined(f"not judged in {subject}")
        if value["value"] is None:
            return _undefined(f"undefined in {subject}: {value['undefined']}")
        numbers.append(value["value"])
        intervals.append(value.get("ci95"))
    found: Value = {"value": sum(numbers) / len(numbers), "n": len(numbers)}
    return _with(found, mean_interval(numbers, intervals))


def _seed_interval(seeds: Mapping[tuple[str, int], bool], asked: Collection[tuple[str, int]]) -> Interval | None:
    return _interval([seeds[seed] for seed in asked], [name for name, _ in asked]) if asked else None


def _pdr(
    seed_accuracy: Value,
    pairs: Sequence[tuple[ItemRecord, tuple[str, int]]],
    seeds: Mapping[tuple[str, int], bool],
) -> Value:
    variations = [_right(item) for item, _ in pairs]
    seed = seed_accuracy["value"]
    if seed is None:
        return _undefined(seed_accuracy["undefined"])
    if seed == 0:
        return _undefined("no seed question was answered right: a drop from 0 is undefined")
    # Right seeds, seeds, right variations, variations: a seed counts once a repeat.
    asked = list({seed: None for _, seed in pairs})
    rows = [(float(seeds[key]), 1.0, 0.0, 0.0) for key in asked]
    rows += [(0.0, 0.0, float(right), 1.0) for right in variations]
    clusters = [name for name, _ in asked] + [name for _, (name, _) in pairs]
    interval = function_interval(rows, clusters, lambda s: 1 - (s[2] / s[3]) / (s[0] / s[1]), bounds=(-math.inf, 1.0))
    return _with({"value": (seed - sum(variations) / len(variations)) / seed, "n": len(variations)}, interval)


def _groups(records: Sequence[ItemRecord], facet: str) -> dict[str, list[ItemRecord]]:
    groups: dict[str, list[ItemRecord]] = defaultdict(list)
    for item in _items(records):
        groups[_facet(item, facet)].append(item)
    return dict(sorted(groups.items(), key=lambda group: _numeric_first(group[0])))


def _facet(record: ItemRecord, facet: str) -> str:
    return (record.get("facets") or {}).get(facet, "?")


def _numeric_first(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _items(records: Iterable[ItemRecord]) -> list[ItemRecord]:
    return [record for record in records if record.get("role", "item") == "item" and record["verdict"] != "error"]


def _right(record: ItemRecord) -> bool:
    return record["verdict"] == "correct"


def _judgement(review: AnswerJson) -> str | None:
    return review["judgement"] if isinstance(review, dict) else None


def _judged(records: Iterable[ItemRecord]) -> bool:
    return any(record.get("judge") or "parser_verdict" in record for record in records)


def _accepted(ruling: RulingJson | None) -> bool | None:
    """Whether a judge accepts the reason; None where it was not asked or its reply was not readable."""
    verdict = ruling and ruling["verdict"]
    return None if verdict is None else verdict == "correct"


def _share(count: int, total: int, none: str) -> Value:
    return {"value": count / total, "n": total} if total else _undefined(none)


def _rate(flags: Sequence[bool], items: Sequence[ItemRecord], none: str) -> Value:
    """The share of items with a flag, with its interval by cluster."""
    value = _share(sum(flags), len(flags), none)
    return _with(value, _interval(flags, _clusters(items)) if flags else None)


def _interval(flags: Sequence[bool], clusters: Sequence[str]) -> Interval:
    alone = len(set(clusters)) == len(clusters)
    found = accuracy_interval(list(map(float, flags)), None if alone else clusters)
    return Interval(found.low, found.high)


def _clusters(items: Sequence[ItemRecord]) -> list[str]:
    """What each record shares with others: its cluster, else the item that it is a repeat of."""
    return [item.get("cluster") or f"item {item['item']}" for item in items]


def _among(found: Sequence[ItemRecord], rulings: Sequence[bool | None]) -> set[int]:
    """The records, by ``id``, whose reason the judge accepts."""
    return {id(item) for item, ruling in zip(found, rulings, strict=True) if ruling}


def _error_class(item: ItemRecord) -> str:
    return str(item.get("failure") or item["verdict"])


def _with(value: Value, interval: Interval | None) -> Value:
    if interval is None or value["value"] is None:
        return value
    return {**value, "ci95": [round(end, 6) for end in interval]}


def _undefined(reason: str) -> Value:
    return {"value": None, "undefined": reason}
