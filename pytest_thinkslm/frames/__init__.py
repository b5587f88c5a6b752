"""Recorded runs as pandas frames, for a notebook: ``items``, ``results`` and ``lost``.

    from pytest_thinkslm import frames
    df = frames.items(["reports/monday", "reports/today"])
    df.groupby(["run", "variant", "task"]).correct.mean()  # the report's accuracies

Shares are fractions. pandas (and pyarrow, for ``DataFrame.to_parquet``) come with the extra ``frames``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import GroupKey, VariantKey, matching
from pytest_thinkslm.core.item_record import ItemRecord, group_key, read_lines
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import RecordedRun, counterpart, load_run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["items", "lost", "results"]

Runs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

#: Columns of ``items`` and their dtypes, in order.
ITEM_COLUMNS = {
    **dict.fromkeys(("run", "model", "quant", "variant", "task", "test", "style", "item"), "string"),
    "repeat": "int64",
    "role": "category",
    "verdict": "category",
    "correct": "bool",
    "weight": "float64",
    **dict.fromkeys(("failure", "rule", "finish_reason"), "string"),
    **dict.fromkeys(("answer", "gold", "reason"), "string"),
    **dict.fromkeys(("prompt_tokens", "output_tokens", "attempts"), "Int64"),
    **dict.fromkeys(("thought", "source", "parser_verdict", "cluster"), "string"),
}
TEXT_COLUMNS = ("prompt", "output", "reasoning")

#: Columns of ``results`` and their dtypes, in order; further ones are the task's own metrics.
RESULT_COLUMNS = {
    **dict.fromkeys(("run", "model", "quant", "variant", "task", "test", "style"), "string"),
    **dict.fromkeys(("n", "items", "correct"), "int64"),
    **dict.fromkeys(("accuracy", "low", "high"), "Float64"),
    "void": "string",
    **dict.fromkeys(("incorrect_rate", "unparsed_rate", "truncated_rate", "error_rate"), "Float64"),
    **dict.fromkeys(("prompt_tokens", "output_tokens"), "Int64"),
    **dict.fromkeys(("tokens_per_second", "load_seconds"), "Float64"),
    **dict.fromkeys(("disk_bytes", "peak_memory_bytes", "peak_gpu_memory_bytes"), "Int64"),
}

#: Columns of ``lost`` and their dtypes, in order.
LOST_COLUMNS = {
    **dict.fromkeys(("change", "task", "test", "style", "item"), "string"),
    **dict.fromkeys(("score_before", "score_now"), "float64"),
    **dict.fromkeys(
        [f"{name}_{side}" for name in ("variant", "verdict", "answer", "failure") for side in ("before", "now")],
        "string",
    ),
    "gold": "string",
}


def items(runs: Runs, *, seeds: bool = False, forms: bool = False, text: bool = False) -> pd.DataFrame:
    """One row an output, in the order of the runs and of their ``items.jsonl``.

    ``correct`` is False for outputs that were wrong, cut, unread or errors, as in the report, so that
    ``groupby(["run", "variant", "task", "style"]).correct.mean()`` gives the report's accuracies. Repeats are rows of
    their own, told apart by ``repeat``; where items were not all asked equally often (a run that was cut short) the
    report's figure is the mean of ``correct`` weighted by ``weight``, which is 1 over the item's number of rows.
    A facet NAME of the items is a column ``facet_NAME``.

    Args:
        runs: a report folder, its ``results.json``, or several of them.
        seeds: also the seed questions that GSM-Plus asks beside its items (``role`` is ``seed``); they count in no
            accuracy of the report, so leave them out of one of yours.
        forms: also the changed forms of items (``--stress``; ``role`` is ``stress``), which a column ``stress`` names
            (``options-2``; missing for the items as they are); they count in no accuracy either.
        text: also ``prompt``, ``output`` and ``reasoning``, which are most of a run's bytes.

    Raises:
        UsageError: a run cannot be read, or pandas is not installed.
    """
    pandas = _pandas()
    read = list(_loaded(runs))
    roles = {"item", *["seed"] * seeds, *["stress"] * forms}
    rows = [row for name, place, run in read for row in _item_rows(name, place, run, roles=roles, text=text)]
    names = [*ITEM_COLUMNS, *["stress"] * forms, *(TEXT_COLUMNS if text else ())]
    facets = sorted({name for row in rows for name in row if name.startswith("facet_")})
    frame = pandas.DataFrame(rows, columns=[*names, *facets])
    return frame.astype({**ITEM_COLUMNS, **dict.fromkeys([*names[len(ITEM_COLUMNS) :], *facets], "string")})


def results(runs: Runs) -> pd.DataFrame:
    """One row of figures a (run, variant, task, test, style), as in ``results.json``.

    ``low`` and ``high`` bound the 95% interval of ``accuracy``; a void accuracy is missing and ``void`` says why. What
    was not measured is missing, never 0. ``tokens_per_second``, ``load_seconds``, bytes are the variant's, the same in
    each of its rows. A task's own figures are columns ``metric_NAME`` (``metric_pdr``, ``metric_macro.mr_score``);
    break-downs are a groupby of ``items`` by its ``facet_NAME``.

    Raises:
        UsageError: as ``items``.
    """
    pandas = _pandas()
    rows = [row for name, _, run in _loaded(runs) for row in _result_rows(name, run)]
    metrics = sorted({name for row in rows for name in row if name.startswith("metric_")})
    frame = pandas.DataFrame(rows, columns=[*RESULT_COLUMNS, *metrics])
    return frame.astype({**RESULT_COLUMNS, **dict.fromkeys(metrics, "Float64")})


def lost(before: str | os.PathLike[str], now: str | os.PathLike[str]) -> pd.DataFrame:
    """One row an item whose score differs between two runs: ``change`` is ``lost`` or ``gained``.

    A variant of ``now`` is held against its like in ``before`` as ``thinkslm compare`` does it, over the items that
    both have without an error; with repeats ``score_before`` and ``score_now`` are means over them, and verdict and
    answer those of the first output that differs.

    Raises:
        UsageError: as ``items``; nothing that the two share.
    """
    pandas = _pandas()
    (_, first_place, first), (_, second_place, second) = *_loaded(before), *_loaded(now)
    rows = list(_lost_rows(first, second, _outcomes(first_place), _outcomes(second_place)))
    if not any(_pairs(first, second)):
        raise UsageError(f"{before} and {now} share no task and style; give two runs of the same tasks")
    return pandas.DataFrame(rows, columns=list(LOST_COLUMNS)).astype(LOST_COLUMNS)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UsageError(
            "pytest_thinkslm.frames needs pandas, which is not installed: pip install 'pytest-thinkslm[frames]'"
        ) from None
    return pandas


def _loaded(runs: Runs) -> Iterator[tuple[str, Path, RecordedRun]]:
    """Each run's name (its folder's, with as much of the path as tells it from the others), place and content."""
    given = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    places = [Path(run) for run in given]
    folders = [(place if place.is_dir() else place.parent).absolute() for place in places]
    for place, folder in zip(places, folders, strict=True):
        parts = 1
        while parts < len(folder.parts) and any(
            other != folder and other.parts[-parts:] == folder.parts[-parts:] for other in folders
        ):
            parts += 1
        yield "/".join(folder.parts[-parts:]), folder, load_run(place, option="frames")


def _variant(model: str, quant: str) -> str:
    return f"{model} ({quant})"


def _item_rows(
    name: str, folder: Path, run: RecordedRun, *, roles: Collection[str], text: bool
) -> Iterator[dict[str, Any]]:
    counts = {(key, item): len(scores) for key, group in run.groups.items() for item, scores in group.scores.items()}
    for record in read_lines(folder / "items.jsonl"):
        if record["role"] not in roles:
            continue
        row: dict[str, Any] = {column: record.get(column) for column in (*ITEM_COLUMNS, "stress")}
        row |= {
            "run": name,
            "variant": _variant(record["model"], record["quant"]),
            "correct": record["verdict"] == "correct",
            "weight": 1 / counts.get((group_key(record), record["item"]), 1),
            "answer": _answer(record["answer"]),
            "gold": _answer(record["gold"]),
            "attempts": record.get("attempts", 1),
        }
        row |= {f"facet_{facet}": value for facet, value in record["facets"].items()}
        if text:
            turns = record["messages"]
            row |= {"prompt": "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns) or None}
            row |= {"output": record["output"], "reasoning": record.get("reasoning")}
        yield row


def _answer(value: object) -> str | None:
    """An answer as one text: lists as in a box, reviews as judgement and step."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(str(part) for part in (value["judgement"], value.get("first_error_step")) if part is not None)
    return None if value is None else str(value)


def _result_rows(name: str, run: RecordedRun) -> Iterator[dict[str, Any]]:
    disk = {(facts["model"], facts["quant"]): facts.get("disk_bytes") for facts in run.results.get("variants", ())}
    measured: Mapping[str, Any] = run.results.get("measured", {}).get("variants", {})
    for key, row in run.rows.items():
        low, high = row["ci95"] or (None, None)
        facts = {**row, **measured.get(f"{key.model}|{key.quant}", {}), "prompt_tokens": row.get("prompt_tokens")}
        facts |= {"output_tokens": row.get("output_tokens"), "disk_bytes": disk.get(key.variant)}
        value: dict[str, Any] = {column: facts.get(column) for column in RESULT_COLUMNS}
        value |= {"run": name, "variant": _variant(*key.variant), "test": key.test, "low": low, "high": high}
        value |= {f"metric_{name}": number for name, number in _numbers(row.get("metrics", {}))}
        yield value


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """A task's own figures by dotted name: plain numbers, and those with an interval. Break-downs are left out."""
    for name, figure in metrics.items():
        if name.startswith("by_"):
            continue
        number = figure.get("value") if isinstance(figure, Mapping) else figure
        if isinstance(number, int | float) and not isinstance(number, bool):
            yield name, number
        elif isinstance(figure, Mapping) and "value" not in figure:
            yield from ((f"{name}.{inner}", found) for inner, found in _numbers(figure))


Outcomes = dict[tuple[GroupKey, str], list[ItemRecord]]


def _outcomes(folder: Path) -> Outcomes:
    found: Outcomes = {}
    for record in read_lines(folder / "items.jsonl"):
        if record["role"] == "item":
            found.setdefault((group_key(record), record["item"]), []).append(record)
    return found


def _pairs(before: RecordedRun, now: RecordedRun) -> Iterator[tuple[GroupKey, GroupKey]]:
    """Groups of ``before`` and ``now`` that are held against each other."""
    for key in now.rows:
        variant: VariantKey | None = counterpart(key.variant, before.variants)
        against = None if variant is None else matching(key, variant, before.rows)
        if against is not None:
            yield against, key


def _lost_rows(before: RecordedRun, now: RecordedRun, old: Outcomes, new: Outcomes) -> Iterator[dict[str, Any]]:
    for against, key in _pairs(before, now):
        paired = gating.compare_groups(before.groups[against], now.groups[key])
        for change, names in (("lost", paired.lost), ("gained", paired.gained)):
            for item in names:
                first, second = old[against, item], new[key, item]
                row: dict[str, Any] = {"change": change, "task": key.task, "test": key.test, "style": key.style}
                row |= {"item": item, "score_before": _mean(first), "score_now": _mean(second)}
                for side, records, right in (("before", first, change == "lost"), ("now", second, change != "lost")):
                    record = next((one for one in records if (one["verdict"] == "correct") == right), records[0])
                    row |= {f"variant_{side}": _variant(record["model"], record["quant"])}
                    row |= {f"verdict_{side}": record["verdict"], f"failure_{side}": record["failure"]}
                    row |= {f"answer_{side}": _answer(record["answer"]), "gold": _answer(record["gold"])}
                yield row


def _mean(records: Sequence[ItemRecord]) -> float:
    right = [record for record in records if cast("str", record["verdict"]) == "correct"]
    return len(right) / len(records)
