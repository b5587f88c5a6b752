"""What a task reports beyond accuracy: pure functions over its item records.

All records are of one (model, quant, task, style), seed records
included. A value is ``{"value": float, "n": int}``, shares as fractions of 1; where it cannot be
computed it is ``{"value": None, "undefined": reason}``. Items whose verdict is ``error`` are left out of every value.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired, TypedDict

from pytest_thinkslm.core.item_record import AnswerJson, ItemRecord, RulingJson


class Value(TypedDict):
    """A metric: its value and on how many items it rests, or why it is undefined."""

    value: float | None
    n: NotRequired[int]
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
    classes = Counter(str(item.get("failure") or item["verdict"]) for item in items if not _right(item))
    return {
        "by_error": {name: _share(count, len(items), "no items") for name, count in sorted(classes.items())},
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
    no_seeds = "no variation has its seed question beside it"
    asked = {seed for _, seed in pairs}
    seed_accuracy = _share(sum(seeds[seed] for seed in asked), len(asked), no_seeds)
    both = sum(_right(item) and seeds[seed] for item, seed in pairs)
    metrics = {
        "by_perturbation": accuracy_by(records, "perturbation"),
        "seed_accuracy": seed_accuracy,
        "pdr": _pdr(seed_accuracy, [_right(item) for item, _ in pairs]),
        "asp": _share(both, len(pairs), no_seeds),
    }
    answerable = [record for record in records if _facet(record, "perturbation") != CRITICAL_THINKING]
    if len(answerable) < len(records):
        without = gsm_plus_metrics(answerable)
        right = [_right(item) for item in _items(answerable)]
        accuracy = _share(sum(right), len(right), "no answerable questions")
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
    if None in rulings:
        accepted = _undefined(f"the judge left {rulings.count(None)} of {len(rulings)} reasons open")
    else:
        accepted = _share(rulings.count(True), len(wrong), "no wrong solutions in the data")
    metrics = {"mcc": mcc, "acc_step": accepted, "acc_reason": accepted}
    metrics["mr_score"] = _mr_score(metrics)
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
    metrics = {"mcc": _mcc(items), "acc_step": _share(len(found), len(wrong), no_wrong)}
    if not (_judged(records) if judged is None else judged):
        return metrics
    rulings = [_accepted(item.get("judge")) for item in found]
    if None in rulings:
        left = rulings.count(None)
        metrics["acc_reason"] = _undefined(f"the judge left {left} of {len(rulings)} reasons open")
    else:
        metrics["acc_reason"] = _share(rulings.count(True), len(wrong), no_wrong)
    metrics["mr_score"] = _mr_score(metrics)
    return metrics


def accuracy_by(records: Sequence[ItemRecord], facet: str) -> dict[str, Value]:
    """Accuracy of the items in each group of a facet, groups in order of name."""
    return {
        name: _share(sum(map(_right, items)), len(items), "no items") for name, items in _groups(records, facet).items()
    }


def matthews(true_positive: int, false_negative: int, false_positive: int, true_negative: int) -> float:
    """Matthews correlation coefficient of a 2 x 2 table; 0 where its denominator is 0 (Matthews 1975)."""
    tp, fn, fp, tn = true_positive, false_negative, false_positive, true_negative
    denominator = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / denominator if denominator else 0.0


def _mcc(items: Sequence[ItemRecord]) -> Value:
    table: Counter[tuple[bool, bool]] = Counter()
    for item in items:
        positive = _judgement(item["gold"]) == "correct"
        table[positive, _judgement(item["answer"]) == _judgement(item["gold"])] += 1
    positives = table[True, True] + table[True, False]
    if not items or positives in (0, len(items)):
        only = "no items" if not items else "wrong solutions only" if not positives else "correct solutions only"
        return _undefined(f"{only} in the data: a correlation needs both classes")
    value = matthews(table[True, True], table[True, False], table[False, False], table[False, True])
    return {"value": value, "n": len(items)}


def _mr_score(metrics: Mapping[str, Value]) -> Value:
    parts = []
    for name, weight in (("mcc", 0.2), ("acc_step", 0.3), ("acc_reason", 0.5)):
        value = metrics[name]["value"]
        if value is None:
            return _undefined(f"{name} is undefined: {metrics[name]['undefined']}")
        parts.append(weight * max(0.0, value))
    return {"value": sum(parts), "n": metrics["mcc"]["n"]}


def _means(subjects: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    names = list(dict.fromkeys(name for values in subjects.values() for name in values))
    return {name: _macro({subject: values.get(name) for subject, values in subjects.items()}) for name in names}


def _macro(values: Mapping[str, Value | None]) -> Value:
    numbers = []
    for subject, value in values.items():
        if value is None:
            return _undefined(f"not judged in {subject}")
        if value["value"] is None:
            return _undefined(f"undefined in {subject}: {value['undefined']}")
        numbers.append(value["value"])
    return {"value": sum(numbers) / len(numbers), "n": len(numbers)}


def _pdr(seed_accuracy: Value, variations: Sequence[bool]) -> Value:
    seed = seed_accuracy["value"]
    if seed is None:
        return _undefined(seed_accuracy["undefined"])
    if seed == 0:
        return _undefined("no seed question was answered right: a drop from 0 is undefined")
    return {"value": (seed - sum(variations) / len(variations)) / seed, "n": len(variations)}


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


def _undefined(reason: str) -> Value:
    return {"value": None, "undefined": reason}
