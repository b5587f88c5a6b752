"""``results.json``: the figures of a run, from its item records. Pure.

Everything volatile (seconds, tokens a second, memory) stands under ``measured``; the rest is the same
however often, and on however many workers, the same outputs are scored.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from pytest_thinkslm.core.errors import where_raised
from pytest_thinkslm.core.identity import GroupKey, task_labels
from pytest_thinkslm.core.item_record import ItemRecord, group_key
from pytest_thinkslm.core.records import VerdictName
from pytest_thinkslm.runs.cuts import cut_figures, stuck_warning
from pytest_thinkslm.runs.types import FigureRow, OpenedData, Repeats, RowData
from pytest_thinkslm.statistics import AccuracyInterval, accuracy_interval, majority_vote, mean_pass_at_k, run_spread
from pytest_thinkslm.statistics.clusters import FEWEST_CLUSTERS
from pytest_thinkslm.tasks.figures import CountedMetrics
from pytest_thinkslm.tasks.metrics import by_facets
from pytest_thinkslm.tasks.task import Task

_WRONG: Sequence[VerdictName] = ("incorrect", "unparsed", "truncated", "error")

#: Above this share of errors a task's accuracy is void.
VOID_ERRORS = 0.01


def summarise(
    key: GroupKey,
    records: Sequence[ItemRecord],
    seeds: Sequence[ItemRecord],
    data: OpenedData | None,
    *,
    thinking: bool = False,
) -> FigureRow:
    """The figures of one group; errors count as wrong. Rates are fractions of ``n``.

    The accuracy is the mean over items of each item's mean over its repeats, as its interval is: where items have
    unequal numbers of repeats, it is not ``correct`` of ``n``.

    Args:
        key: which group.
        records: its item records (role ``item``), every repeat a record.
        seeds: records of further cases asked beside them (role ``seed``).
        data: state of the data set, where it was opened.
        thinking: thoughts were asked for, so their rates are stated even where there is none.
    """
    from pytest_thinkslm.tasks import registry

    n = len(records)
    verdicts = Counter(record["verdict"] for record in records)
    correct = verdicts["correct"]
    errors = verdicts["error"]
    void = n > 0 and errors / n > VOID_ERRORS
    scores, clusters = scores_of(records)
    interval = interval_of(scores, clusters)
    task = registry.get(key.task)
    rates = {name: round(verdicts[name] / n, 6) if n else None for name in _WRONG}
    row: FigureRow = {
        "model": key.model,
        "quant": key.quant,
        "task": key.task,
        "test": key.test,
        "style": key.style,
        "label": key.task,
        "title": task.title,
        "n": n,
        "items": len(scores),
        "correct": correct,
        "accuracy": None if void or interval.estimate is None else round(interval.estimate, 6),
        "ci95": None if void or not n else [round(interval.low, 6), round(interval.high, 6)],
        "ci_method": interval.method,
        "n_effective": round(interval.n_effective, 3),
        "incorrect_rate": rates["incorrect"],
        "unparsed_rate": rates["unparsed"],
        "truncated_rate": rates["truncated"],
        "error_rate": rates["error"],
        "failures": _counted(record["failure"] for record in records),
        "rules": _counted(record["rule"] for record in records),
        "grading_timeouts": sum(1 for record in records if record.get("grading_timeout")),
        "output_tokens": _total(record.get("output_tokens") for record in records),
        "prompt_tokens": _total(record.get("prompt_tokens") for record in records),
    }
    if void:
        row["void"] = f"{errors} of {n} items are errors (more than {VOID_ERRORS:.0%}): no accuracy is stated"
    if n > len(scores) and not void:
        row["repeats"] = _repeats(records, scores)
    thoughts = _counted(record.get("thought") for record in records)
    if n and (thoughts or thinking):
        row["thought_rate"] = round(sum(thoughts.values()) / n, 6)
        row["unfinished_thought_rate"] = round(thoughts.get("unfinished", 0) / n, 6)
        row["closed_thought_rate"] = round(thoughts.get("closed", 0) / n, 6)
    if records:
        row["cut"], warning = cut_figures(records)
        if warning:
            row["cut_warning"] = warning
        if warning := stuck_warning(records):
            row["stuck_warning"] = warning
    if warning := _cluster_warning(scores, clusters):
        row["cluster_warning"] = warning
    if stopped := sum(record.get("stopped") == "loop" for record in records):
        row["loops_stopped"] = stopped
    if records and "parser_verdict" in records[0]:
        from pytest_thinkslm.runs.judged import row_judge

        row["judge"] = row_judge(records, void=void)
    if metrics := _metrics(task, [*records, *seeds]):
        row["metrics"] = metrics
    if task.note:
        row["note"] = task.note
    if data is not None:
        row["data"] = _row_data(data)
    return row


#: Among a row's metrics where its task's own function raised: what it raised, and where.
FAILED_METRICS = "not computed"


def failed_metrics(rows: Iterable[FigureRow]) -> list[str]:
    """One line for each user's task whose metrics raised: figures that were asked for and are not there."""
    found = ((row, row.get("metrics", {}).get(FAILED_METRICS)) for row in rows)
    return [f"{row['label']} ({row['style']}): {what['undefined']}" for row, what in found if isinstance(what, dict)]


def counted_metrics(key: str) -> CountedMetrics | None:
    """A task's metrics that can be compared between two runs; None where it has none. Of a user's task: its facets."""
    from pytest_thinkslm.tasks import registry

    if not registry.is_of_the_suite(key):
        return by_facets if key in registry.registered() else None
    own = registry.get(key).metrics
    return own if isinstance(own, CountedMetrics) else None


def _metrics(task: Task, records: Sequence[ItemRecord]) -> dict[str, object]:
    """What the task reports beyond accuracy; of a user's task, accuracy by each of its facets, too."""
    from pytest_thinkslm.tasks import registry

    try:
        own = {} if task.metrics is None else dict(task.metrics(records))
    except Exception as error:
        if registry.is_of_the_suite(task.key):
            raise
        own = {FAILED_METRICS: {"value": None, "undefined": f"the task's metrics raised {where_raised(error)}"}}
    return own if registry.is_of_the_suite(task.key) else {**by_facets(records), **own}


def _row_data(data: OpenedData) -> RowData:
    notes = list(data["notes"])
    if data["pin"] == "accepted":
        notes.append(
            "the data fails its content pin and was accepted (--accept-data): "
            f"{len(data['differing'])} records differ, {len(data['missing'])} are missing, {data['new']} are new"
        )
    return {
        "source": data["source"],
        "records": data["records"],
        "expected": data["expected"],
        "partial": data["partial"],
        "pin": data["pin"],
        "digest": data["digest"],
        "unverified": [f"{item:04d}" for item in data["unverified"]],
        "notes": notes,
    }


def scores_of(records: Iterable[ItemRecord]) -> tuple[dict[str, list[float]], dict[str, str]]:
    """By item: its scores (1 for correct, else 0; one a repeat), and what it shares with others where it does."""
    scores: dict[str, list[float]] = {}
    clusters: dict[str, str] = {}
    for record in records:
        item = record["item"]
        scores.setdefault(item, []).append(1.0 if record["verdict"] == "correct" else 0.0)
        if record.get("cluster"):
            clusters[item] = record["cluster"]
    return scores, clusters


def interval_of(scores: Mapping[str, Sequence[float]], clusters: Mapping[str, str]) -> AccuracyInterval:
    """The accuracy of items, each with its scores over repeats, and its interval; by cluster where items share one."""
    means = [sum(values) / len(values) for values in scores.values()]
    repeats = max(map(len, scores.values()), default=1)
    groups = [("cluster", name) if (name := clusters.get(item)) else ("item", item) for item in scores]
    return accuracy_interval(means, groups if len(set(groups)) < len(groups) else None, repeats=repeats)


def cluster_note(n: int, clusters: int, effective: float) -> str:
    """A warning where ``n`` items come in few clusters, or in a few that hold most of them; empty where they do not.

    Args:
        effective: how many clusters of one size they are worth: n^2 over the sum of squared sizes.
    """
    if effective >= FEWEST_CLUSTERS or clusters in (0, n):
        return ""
    uneven = "" if effective > 0.8 * clusters else f", which are worth {effective:.0f} of equal size"
    return (
        f"few independent items: {clusters} cluster{'' if clusters == 1 else 's'}{uneven} (fewer than "
        f"{FEWEST_CLUSTERS}), so that interval and tests may err more often than they say"
    )


def _cluster_warning(scores: Mapping[str, Sequence[float]], clusters: Mapping[str, str]) -> str:
    sizes = Counter(("cluster", name) if (name := clusters.get(item)) else ("item", item) for item in scores)
    squares = sum(size * size for size in sizes.values())
    return cluster_note(len(scores), len(sizes), len(scores) ** 2 / squares if squares else 0.0)


def figures(
    records: Iterable[ItemRecord],
    seeds: Iterable[ItemRecord],
    data: Mapping[str, OpenedData],
    *,
    thinking: bool = False,
) -> list[FigureRow]:
    """One row a (model, quant, task, test, style), sorted by model and quant, then task order, test and style.

    Args:
        records: item records sorted by their keys, so that one group at a time is in memory.
        seeds: records of role ``seed``, in any order.
        data: states of the data sets by task.
        thinking: as in ``summarise``.
    """
    beside: dict[tuple[str, ...], list[ItemRecord]] = defaultdict(list)
    for record in seeds:
        seed = group_key(record)
        beside[(*seed.variant, seed.test, seed.style)].append(record)
    rows = {
        key: summarise(
            key,
            list(group),
            beside.get((*key.variant, key.test, key.style), ()),
            data.get(key.task),
            thinking=thinking,
        )
        for key, group in groupby(records, key=group_key)
    }
    for key, label in task_labels(rows).items():
        rows[key]["label"] = label
    return [rows[key] for key in sorted(rows, key=_order)]


def _repeats(records: Sequence[ItemRecord], scores: Mapping[str, Sequence[float]]) -> Repeats:
    """Several runs side by side: each run's accuracy, their mean and deviation, pooled, pass@k and majority vote."""
    runs: dict[int, list[float]] = {}
    answers: dict[str, list[str | None]] = {}
    right: set[tuple[str, str | None]] = set()
    for record in records:
        item, verdict = record["item"], record["verdict"]
        runs.setdefault(record["repeat"], []).append(1.0 if verdict == "correct" else 0.0)
        read = verdict in ("correct", "incorrect") and record["answer"] is not None
        answer = json.dumps(record["answer"]) if read else None
        if record.get("source") == "judge" and record["answer"] is None:
            answer = _judged_answer(record)
        answers.setdefault(item, []).append(answer)
        if verdict == "correct":
            right.add((item, answer))
    spread = run_spread([runs[number] for number in sorted(runs)])
    most = max(map(len, scores.values()))
    passed = {k: mean_pass_at_k(list(scores.values()), k) for k in dict.fromkeys((1, most))}
    voted = [(item, majority_vote(given)) in right for item, given in answers.items()]
    total = sum(map(len, scores.values()))
    correct = round(sum(map(sum, scores.values())))
    return {
        "runs": [_rounded(accuracy) for accuracy in spread.runs],
        "mean": _rounded(spread.mean),
        "deviation": _rounded(spread.deviation),
        "pooled": {"correct": correct, "n": total, "accuracy": _rounded(correct / total)},
        "pass_at": {str(k): _rounded(value) for k, value in passed.items()},
        "majority_vote": {"correct": sum(voted), "n": len(voted), "accuracy": _rounded(sum(voted) / len(voted))},
    }


def _judged_answer(record: ItemRecord) -> str | None:
    """The answer that the judge read where the parser found none."""
    judge = record["judge"]
    return None if judge is None or judge["answer"] is None else json.dumps(judge["answer"])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _order(key: GroupKey) -> tuple[str, str, int, str, str, int]:
    from pytest_thinkslm.tasks import registry
    from pytest_thinkslm.tasks.prompts import STYLES

    tasks = list(registry.all_tasks())
    return (
        *key.variant,
        tasks.index(key.task) if key.task in tasks else len(tasks),
        key.task,
        key.test,
        STYLES.index(key.style) if key.style in STYLES else len(STYLES),
    )


def _counted(names: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(name for name in names if name).items()))


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
