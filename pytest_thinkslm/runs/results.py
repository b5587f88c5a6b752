"""``results.json``: the figures of a run, from its item records. Pure, but for the writing.

Everything volatile (seconds, tokens a second, memory) stands under ``measured``; the rest is the same
however often, and on however many workers, the same outputs are scored.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import cast

from pytest_thinkslm.core.identity import GroupKey, task_labels
from pytest_thinkslm.runs.cuts import cut_figures
from pytest_thinkslm.statistics import AccuracyInterval, accuracy_interval, majority_vote, mean_pass_at_k, run_spread

SCHEMA_VERSION = 1

Record = Mapping[str, object]

#: Above this share of errors a task's accuracy is void.
VOID_ERRORS = 0.01


def group_key(record: Record) -> GroupKey:
    """The row that a record counts in. Files of earlier versions name no test: it is the suite's own then."""
    task = str(record["task"])
    test = str(record.get("test") or f"test_{task}")
    return GroupKey(str(record["model"]), str(record["quant"]), task, test, str(record["style"]))


def summarise(
    key: GroupKey, records: Sequence[Record], seeds: Sequence[Record], data: Record | None, *, thinking: bool = False
) -> dict[str, object]:
    """The figures of one group. Accuracy and rates are fractions of ``n``; errors count in ``n``.

    Args:
        key: which group.
        records: its item records (role ``item``), every repeat a record.
        seeds: records of further cases asked beside them (role ``seed``).
        data: state of the data set, where it was opened.
        thinking: thoughts were asked for, so their rates are stated even where there is none.
    """
    from pytest_thinkslm.tasks import registry

    n = len(records)
    verdicts = Counter(str(record["verdict"]) for record in records)
    correct = verdicts["correct"]
    errors = verdicts["error"]
    void = n > 0 and errors / n > VOID_ERRORS
    scores, clusters = scores_of(records)
    interval = interval_of(scores, clusters)
    row: dict[str, object] = {**key._asdict(), "label": key.task}
    task = registry.get(key.task)
    row["title"] = task.title
    row["n"] = n
    row["items"] = len(scores)
    row["correct"] = correct
    row["accuracy"] = None if void or not n else round(correct / n, 6)
    row["ci95"] = None if void or not n else [round(interval.low, 6), round(interval.high, 6)]
    row["ci_method"] = interval.method
    row["n_effective"] = round(interval.n_effective, 3)
    if void:
        row["void"] = f"{errors} of {n} items are errors (more than {VOID_ERRORS:.0%}): no accuracy is stated"
    for name in ("incorrect", "unparsed", "truncated", "error"):
        row[f"{name}_rate"] = round(verdicts[name] / n, 6) if n else None
    if n > len(scores) and not void:
        row["repeats"] = _repeats(records, scores)
    row["failures"] = dict(sorted(Counter(str(r["failure"]) for r in records if r.get("failure")).items()))
    row["rules"] = dict(sorted(Counter(str(r["rule"]) for r in records if r.get("rule")).items()))
    thoughts = Counter(str(record["thought"]) for record in records if record.get("thought"))
    if n and (thoughts or thinking):
        row["thought_rate"] = round(sum(thoughts.values()) / n, 6)
        row["unfinished_thought_rate"] = round(thoughts["unfinished"] / n, 6)
        row["closed_thought_rate"] = round(thoughts["closed"] / n, 6)
    row |= cut_figures(records)
    if stopped := sum(record.get("stopped") == "loop" for record in records):
        row["loops_stopped"] = stopped
    row["grading_timeouts"] = sum(1 for record in records if record.get("grading_timeout"))
    row["output_tokens"] = _total(records, "output_tokens")
    row["prompt_tokens"] = _total(records, "prompt_tokens")
    if records and "parser_verdict" in records[0]:
        from pytest_thinkslm.runs.judged import row_judge

        row["judge"] = row_judge(records, void=void)
    if task.metrics is not None:
        row["metrics"] = dict(task.metrics([*records, *seeds]))
    if task.note:
        row["note"] = task.note
    if data is not None:
        row["data"] = {name: data[name] for name in ("source", "records", "expected", "partial", "pin", "digest")}
        unverified = cast("Sequence[int]", data.get("unverified", ()))
        row["data"]["unverified"] = [f"{item:04d}" for item in unverified]  # type: ignore[index]
        notes = list(data["notes"])  # type: ignore[call-overload]
        if data["pin"] == "accepted":
            notes.append(
                "the data fails its content pin and was accepted (--accept-data): "
                f"{len(data['differing'])} records differ, "  # type: ignore[arg-type]
                f"{len(data['missing'])} are missing, {data['new']} are new"  # type: ignore[arg-type]
            )
        row["data"]["notes"] = notes  # type: ignore[index]
    return row


def scores_of(records: Iterable[Record]) -> tuple[dict[str, list[float]], dict[str, str]]:
    """By item: its scores (1 for correct, else 0; one a repeat), and what it shares with others where it does."""
    scores: dict[str, list[float]] = {}
    clusters: dict[str, str] = {}
    for record in records:
        item = str(record["item"])
        scores.setdefault(item, []).append(1.0 if record["verdict"] == "correct" else 0.0)
        if record.get("cluster"):
            clusters[item] = str(record["cluster"])
    return scores, clusters


def interval_of(scores: Mapping[str, Sequence[float]], clusters: Mapping[str, str]) -> AccuracyInterval:
    """The accuracy of items, each with its scores over repeats, and its interval; by cluster where items share one."""
    means = [sum(values) / len(values) for values in scores.values()]
    repeats = max(map(len, scores.values()), default=1)
    groups = [("cluster", name) if (name := clusters.get(item)) else ("item", item) for item in scores]
    return accuracy_interval(means, groups if len(set(groups)) < len(groups) else None, repeats=repeats)


def figures(
    records: Iterable[Record], seeds: Iterable[Record], data: Mapping[str, Record], *, thinking: bool = False
) -> list[dict[str, object]]:
    """One row a (model, quant, task, test, style), sorted by model and quant, then task order, test and style.

    Args:
        records: item records sorted by their keys, so that one group at a time is in memory.
        seeds: records of role ``seed``, in any order.
        data: states of the data sets by task.
        thinking: as in ``summarise``.
    """
    beside: dict[tuple[str, ...], list[Record]] = defaultdict(list)
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


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(value, indent=2, sort_keys=False, ensure_ascii=True) + "\n", encoding="utf-8")
    draft.replace(path)


def _repeats(records: Sequence[Record], scores: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Several runs side by side: each run's accuracy, their mean and deviation, pooled, pass@k and majority vote."""
    runs: dict[int, list[float]] = {}
    answers: dict[str, list[str | None]] = {}
    right: set[tuple[str, str | None]] = set()
    for record in records:
        item, verdict = str(record["item"]), record["verdict"]
        runs.setdefault(int(str(record["repeat"])), []).append(1.0 if verdict == "correct" else 0.0)
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


def _judged_answer(record: Record) -> str | None:
    """The answer that the judge read where the parser found none."""
    judge = record.get("judge")
    answer = judge.get("answer") if isinstance(judge, Mapping) else None
    return None if answer is None else json.dumps(answer)


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


def _total(records: Sequence[Record], field: str) -> int | None:
    values = [value for record in records if isinstance(value := record.get(field), int)]
    return sum(values) if values else None
