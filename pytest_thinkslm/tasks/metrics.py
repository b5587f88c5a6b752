"""What a task reports beyond accuracy: pure functions over its item records.

All records are of one (model, quant, task, style), seed records included. A metric is a function of records; what it
gives are values, ``{"value": float, "n": int}``, shares as fractions of 1; where one cannot be computed it is
``{"value": None, "undefined": reason}``. Items whose verdict is ``error`` are left out of every value.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from pytest_thinkslm.core.item_record import AnswerJson, ItemRecord, RulingJson
from pytest_thinkslm.tasks.figures import CountedMetrics, Figure, Figures, Mean, Unit

#: The most values of a facet that is broken down by itself.
FACET_VALUES = 50
#: GSM-Plus's perturbation that makes a question unanswerable.
CRITICAL_THINKING = "critical thinking"
#: MR-Ben's subject in which its script compares no steps.
CODING = "coding"


@CountedMetrics
def math_metrics(records: Sequence[ItemRecord]) -> Figures:
    """Accuracy by subject and by level (MATH, Hendrycks et al. 2021)."""
    return {"by_subject": accuracy_by(records, "subject"), "by_level": accuracy_by(records, "level")}


@CountedMetrics
def by_facets(records: Sequence[ItemRecord]) -> Figures:
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


def _sorting(records: Sequence[ItemRecord]) -> Figures:
    """Share of each error class among all items, and accuracy by list length.

    The classes are the ``failure`` of wrong items (order, dropped, invented, wrong-length, ...); a wrong item without
    one counts under its verdict (unparsed, truncated, incorrect).
    """
    items = _items(records)
    classes = Counter(_error_class(item) for item in items if not _right(item))
    return {
        "by_error": {
            name: _rate(items, lambda item, name=name: not _right(item) and _error_class(item) == name)  # type: ignore[misc]
            for name in sorted(classes)
        },
        "by_length": accuracy_by(records, "length"),
    }


sorting_metrics = CountedMetrics(_sorting, frozenset({"by_error"}))


@CountedMetrics
def gsm_plus_metrics(records: Sequence[ItemRecord]) -> Figures:
    """Accuracy by perturbation, PDR and ASP (GSM-Plus, Li et al. 2024, section 3).

    PDR = (accuracy on the seed questions - accuracy on the variations) / accuracy on the seed questions. ASP is the
    share of (seed, variation) pairs with both right. Only variations whose seed was asked in the same repeat count,
    and only the seeds of these: a sample's seeds and variations are of the same questions. A seed counts once a
    repeat, however many variations it has. ``without_critical_thinking`` are the same figures over the seven
    perturbations that leave the question answerable: published tables have either reading.
    """
    metrics: dict[str, Figure | Mean | Figures] = {
        "by_perturbation": accuracy_by(records, "perturbation"),
        **_beside_seeds(records),
    }
    answerable = [record for record in records if _facet(record, "perturbation") != CRITICAL_THINKING]
    if len(answerable) < len(records):
        metrics["without_critical_thinking"] = {
            "accuracy": _rate(_items(answerable), _right, "no answerable questions"),
            **_beside_seeds(answerable),
        }
    return metrics


def _beside_seeds(records: Sequence[ItemRecord]) -> dict[str, Figure]:
    seeds: dict[Unit, bool] = {
        (f"gsm8k-{record['item']}", record.get("repeat", 1)): _right(record)
        for record in records
        if record.get("role") == "seed" and record["verdict"] != "error"
    }
    pairs = [(item, (str(item.get("cluster", "")), item.get("repeat", 1))) for item in _items(records)]
    pairs = [(item, seed) for item, seed in pairs if seed in seeds]
    asked = list({seed: None for _, seed in pairs})
    none = "" if pairs else "no variation has its seed question beside it"
    own = {seed: seed[0] for seed in asked}
    clusters = {_unit(item): name for item, (name, _) in pairs}
    # Right seeds, seeds, right variations, variations: a seed counts once a repeat.
    rows: dict[Unit, Sequence[float]] = {seed: (float(seeds[seed]), 1.0, 0.0, 0.0) for seed in asked}
    rows |= {_unit(item): (0.0, 0.0, float(_right(item)), 1.0) for item, _ in pairs}
    without = none or ("" if any(seeds[seed] for seed in asked) else _NO_RIGHT_SEED)
    return {
        "seed_accuracy": Figure({seed: [float(seeds[seed])] for seed in asked}, own, undefined=none),
        "pdr": Figure(rows, {**own, **clusters}, _drop_rate, (-math.inf, 1.0), len(pairs), without),
        "asp": Figure(
            {_unit(item): [float(_right(item) and seeds[seed])] for item, seed in pairs},
            {_unit(item): _cluster(item) for item, _ in pairs},
            undefined=none,
        ),
    }


_NO_RIGHT_SEED = "no seed question was answered right: a drop from 0 is undefined"


def _drop_rate(sums: Sequence[float]) -> float:
    seed = sums[0] / sums[1]
    return (seed - sums[2] / sums[3]) / seed


@CountedMetrics
def mr_gsm_metrics(records: Sequence[ItemRecord]) -> Figures:
    """MCC, ACC_step and, with a judge, ACC_reason and MR-Score; accuracy by question type (MR-GSM8K, section 4)."""
    return {**review_figures(records), "by_question_type": accuracy_by(records, "question_type")}


@CountedMetrics
def mr_ben_metrics(records: Sequence[ItemRecord]) -> Figures:
    """The review metrics by subject and their unweighted mean over subjects (MR-Ben, Zeng et al. 2024, section 4).

    A mean is undefined where it is undefined in a subject. Two readings of the subject coding: in ``by_subject`` and
    ``macro`` its steps are lines of code and compared as in any other subject; ``script`` holds what the benchmark's
    own script computes, which compares no line there (see ``script_review_figures``). The second is the one to set
    beside published tables; it needs a judge.
    """
    judged = _judged(records)
    groups = _groups(records, "subject")
    subjects = {name: review_figures(items, judged) for name, items in groups.items()}
    metrics: dict[str, Figures] = {"by_subject": subjects, "macro": _means(subjects)}
    if CODING in groups:
        scripted = {CODING: script_review_figures(groups[CODING], judged)}
        metrics["script"] = {"by_subject": scripted, "macro": _means({**subjects, **scripted})}
    return metrics


def script_review_figures(records: Sequence[ItemRecord], judged: bool | None = None) -> dict[str, Figure]:
    """The metrics of reviews of code as MR-Ben's ``script/evaluate.py`` computes them (commit 0f495fe).

    No line is compared: a wrong solution judged wrong counts for ACC_step and ACC_reason alike where the judge accepts
    the reason. One oddity of the script is not repeated: where the labelled line is blank (13 of its records) and the
    reason is not accepted, it counts any step that is no number as right.
    """
    items = _items(records)
    mcc = _mcc(items)
    if not (_judged(records) if judged is None else judged):
        return {"mcc": mcc, "acc_step": _undefined("no judge: in coding a step counts where its reason is accepted")}
    accepted, steps = _accepted_reasons(items, lambda item: True)
    metrics = {"mcc": mcc, "acc_step": accepted, "acc_reason": accepted}
    metrics["mr_score"] = _mr_score(metrics, items, steps, steps)
    return metrics


def review_figures(records: Sequence[ItemRecord], judged: bool | None = None) -> dict[str, Figure]:
    """MCC, ACC_step, ACC_reason and MR-Score of reviews of solutions.

    MR-Score = 0.2 max(0, MCC) + 0.3 ACC_step + 0.5 ACC_reason. The positive class is a correct solution; an unparsed
    judgement is a miss of either class. ACC_step and ACC_reason are shares of all wrong solutions, so that ACC_reason
    cannot pass ACC_step. The last two need a judge and are absent without one; where the judge left a reason open
    they are undefined. ``judged`` says whether there was a judge; None: where any record has a ruling.
    """
    items = _items(records)
    wrong = [item for item in items if _judgement(item["gold"]) == "wrong"]
    steps = {_unit(item) for item in wrong if _judgement(item["answer"]) == "wrong" and _right(item)}
    metrics = {"mcc": _mcc(items), "acc_step": _rate(wrong, lambda item: _unit(item) in steps, _NO_WRONG)}
    if not (_judged(records) if judged is None else judged):
        return metrics
    metrics["acc_reason"], reasons = _accepted_reasons(items, _right)
    metrics["mr_score"] = _mr_score(metrics, items, steps, reasons)
    return metrics


review_metrics = CountedMetrics(review_figures)

_NO_WRONG = "no wrong solutions in the data"


def _accepted_reasons(
    items: Sequence[ItemRecord], where: Callable[[ItemRecord], bool]
) -> tuple[Figure, Collection[Unit]]:
    """Among the wrong solutions those judged wrong whose reason the judge accepts; and which these are."""
    wrong = [item for item in items if _judgement(item["gold"]) == "wrong"]
    found = [item for item in wrong if _judgement(item["answer"]) == "wrong" and where(item)]
    rulings = [_accepted(item.get("judge")) for item in found]
    if None in rulings:
        return _undefined(f"the judge left {rulings.count(None)} of {len(rulings)} reasons open"), set()
    reasons = {_unit(item) for item, ruling in zip(found, rulings, strict=True) if ruling}
    return _rate(wrong, lambda item: _unit(item) in reasons, _NO_WRONG), reasons


def accuracy_by(records: Sequence[ItemRecord], facet: str) -> dict[str, Figure]:
    """Accuracy of the items in each group of a facet, groups in order of name."""
    return {name: _rate(items, _right) for name, items in _groups(records, facet).items()}


def matthews(true_positive: float, false_negative: float, false_positive: float, true_negative: float) -> float:
    """Matthews correlation coefficient of a 2 x 2 table; 0 where its denominator is 0 (Matthews 1975)."""
    tp, fn, fp, tn = true_positive, false_negative, false_positive, true_negative
    denominator = math.sqrt(max(0.0, (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    return (tp * tn - fp * fn) / denominator if denominator > 0 else 0.0


def _mcc(items: Sequence[ItemRecord]) -> Figure:
    positives = sum(_judgement(item["gold"]) == "correct" for item in items)
    if not items or positives in (0, len(items)):
        only = "no items" if not items else "wrong solutions only" if not positives else "correct solutions only"
        return _undefined(f"{only} in the data: a correlation needs both classes")
    rows = {_unit(item): _confusion(item) for item in items}
    return Figure(rows, _clusters(items), lambda sums: matthews(*sums), (-1.0, 1.0))


def _confusion(item: ItemRecord) -> tuple[float, float, float, float]:
    """Whether it is a true positive, a false negative, a false positive, a true negative."""
    positive = _judgement(item["gold"]) == "correct"
    right = _judgement(item["answer"]) == _judgement(item["gold"])
    places = (positive and right, positive and not right, not positive and not right, not positive and right)
    return tuple(map(float, places))  # type: ignore[return-value]


def _mr_score(
    metrics: Mapping[str, Figure], items: Sequence[ItemRecord], steps: Collection[Unit], reasons: Collection[Unit]
) -> Figure:
    """From MCC, ACC_step and ACC_reason, which count the records in ``steps`` and ``reasons``."""
    for name in ("mcc", "acc_step", "acc_reason"):
        if metrics[name].undefined:
            return _undefined(f"{name} is undefined: {metrics[name].undefined}")
    rows = {
        _unit(item): (
            *_confusion(item),
            float(_unit(item) in steps),
            float(_unit(item) in reasons),
            float(_judgement(item["gold"]) == "wrong"),
        )
        for item in items
    }
    return Figure(rows, _clusters(items), _weighted)


def _weighted(sums: Sequence[float]) -> float:
    return 0.2 * max(0.0, matthews(*sums[:4])) + (0.3 * sums[4] + 0.5 * sums[5]) / max(sums[6], 1e-9)


def _means(subjects: Mapping[str, Mapping[str, Figure]]) -> dict[str, Mean]:
    names = list(dict.fromkeys(name for figures in subjects.values() for name in figures))
    return {name: Mean({subject: figures.get(name) for subject, figures in subjects.items()}) for name in names}


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


def _rate(items: Sequence[ItemRecord], counts: Callable[[ItemRecord], bool], none: str = "no items") -> Figure:
    """The share of the items that count."""
    rows = {_unit(item): [float(counts(item))] for item in items}
    return Figure(rows, _clusters(items), undefined="" if rows else none)


def _unit(item: ItemRecord) -> Unit:
    return item["item"], item.get("repeat", 1)


def _cluster(item: ItemRecord) -> str:
    """What a record shares with others: its cluster, else the item that it is a repeat of."""
    return item.get("cluster") or f"item {item['item']}"


def _clusters(items: Sequence[ItemRecord]) -> dict[Unit, str]:
    return {_unit(item): _cluster(item) for item in items}


def _undefined(reason: str) -> Figure:
    return Figure({}, {}, undefined=reason)


def _error_class(item: ItemRecord) -> str:
    return str(item.get("failure") or item["verdict"])
