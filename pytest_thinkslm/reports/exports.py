"""A run's items and figures in the forms of other tools: lm-evaluation-harness' sample logs, and Parquet."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.files import write_file, write_json
from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import ItemLine, group_key, read_lines
from pytest_thinkslm.core.redaction import redacted_json
from pytest_thinkslm.gates.baselines import RecordedRun, load_run
from pytest_thinkslm.tasks.prompts import SHOTS

FORMS = ("lm-eval", "parquet")

#: What lm-evaluation-harness calls a share of right answers, and a filter that does nothing.
_METRIC, _FILTER = "exact_match", "none"


def export(place: Path, form: str, out: Path) -> list[Path]:
    """Write a run in another form; returns the files.

    Args:
        place: the run's folder, or its ``results.json``.
        form: one of ``FORMS``.
        out: the folder that the files go to; made where it is not there.

    Raises:
        UsageError: the run cannot be read, or the files cannot be written.
    """
    run = load_run(place, "export")
    items = (place if place.is_dir() else place.parent) / "items.jsonl"
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _lm_eval(run, items, out) if form == "lm-eval" else _parquet(run, items, out)
    except OSError as error:
        raise UsageError(f"export: {out} cannot be written ({error.strerror or error})") from None


def _lm_eval(run: RecordedRun, items: Path, out: Path) -> list[Path]:
    """A folder a variant with ``results_DATE.json`` and ``samples_TASK_DATE.jsonl``, as lm_eval 0.4 writes them.

    A style other than direct, and a test of another name, are part of the task's name: ``gsm8k_cot``.
    """
    date = datetime.fromtimestamp(items.stat().st_mtime).isoformat().replace(":", "-")
    names = _task_names(run)
    written: list[Path] = []
    with contextlib.ExitStack() as stack:
        samples: dict[GroupKey, Any] = {}
        for line in _lines(items):
            key = group_key(line)
            if line["role"] != "item" or key not in names:
                continue
            if key not in samples:
                path = _folder(out, key) / f"samples_{names[key]}_{date}.jsonl"
                samples[key] = stack.enter_context(path.open("w", encoding="utf-8"))
                written.append(path)
            samples[key].write(json.dumps(_lm_eval_sample(line)) + "\n")
    variants: dict[Path, list[GroupKey]] = defaultdict(list)
    for key in names:
        variants[_folder(out, key)].append(key)
    for folder, keys in variants.items():
        path = folder / f"results_{date}.json"
        write_json(path, _lm_eval_results(run, {key: names[key] for key in keys}))
        written.append(path)
    return written


def _task_names(run: RecordedRun) -> dict[GroupKey, str]:
    names: dict[GroupKey, str] = {}
    for key in run.rows:
        name = key.task if key.style == "direct" else f"{key.task}_{key.style}"
        if key.test != f"test_{key.task}":
            name += f"_{key.test}"
        names[key] = "".join(char if char.isalnum() or char in "-_" else "_" for char in name)
    return names


def _folder(out: Path, key: GroupKey) -> Path:
    name = key.model if key.quant == "none" else f"{key.model}+{key.quant}"
    folder = out / "".join(char if char.isalnum() or char in "-_.+" else "_" for char in name.replace("/", "__"))
    folder.mkdir(exist_ok=True)
    return folder


def _lines(items: Path) -> Iterator[ItemLine]:
    """The lines of a run that may have been made by who did not know of this process's secrets."""
    for line in read_lines(items):
        yield redacted_json(line)


def _lm_eval_sample(line: ItemLine) -> dict[str, object]:
    gold, answer = _text(line["gold"]), _text(line["answer"])
    prompt = json.dumps(line["messages"])
    doc = {"item": line["item"], "question": line["messages"][-1]["content"] if line["messages"] else ""}
    doc |= {"gold": gold, **line["facets"]}
    return {
        "doc_id": int(line["item"]),
        "doc": doc,
        "target": gold,
        "arguments": {"gen_args_0": {"arg_0": [prompt], "arg_1": {"until": []}}},
        "resps": [[line["output"] or ""]],
        "filtered_resps": [answer],
        "filter": _FILTER,
        "metrics": [_METRIC],
        "doc_hash": _hash(json.dumps(doc)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(gold),
        _METRIC: float(line["verdict"] == "correct"),
        "repeat": line["repeat"],
        "verdict": line["verdict"],
    }


def _lm_eval_results(run: RecordedRun, names: Mapping[GroupKey, str]) -> dict[str, object]:
    results, counts = {}, {}
    for key, name in names.items():
        row = run.rows[key]
        accuracy, n = row["accuracy"], row["n"]
        # lm_eval's own: of independent items. results.json has the interval by cluster.
        deviation = None if accuracy is None or n < 2 else math.sqrt(accuracy * (1 - accuracy) / (n - 1))
        results[name] = {
            "alias": name,
            "sample_len": n,
            f"{_METRIC},{_FILTER}": accuracy,
            f"{_METRIC}_stderr,{_FILTER}": deviation,
        }
        counts[name] = {"original": n, "effective": n}
    first = next(iter(names))
    return {
        "results": results,
        "group_subtasks": {},
        "configs": {name: {"task": name, "output_type": "generate_until"} for name in names.values()},
        "versions": dict.fromkeys(names.values(), 1),
        "n-shot": {name: SHOTS.get(key.style, 0) for key, name in names.items()},
        "higher_is_better": {name: {_METRIC: True} for name in names.values()},
        "n-samples": counts,
        "config": {"model": "pytest-thinkslm", "model_args": {"model": first.model, "quant": first.quant}},
        "model_source": "pytest-thinkslm",
        "model_name": first.model if first.quant == "none" else f"{first.model}+{first.quant}",
    }


def _parquet(run: RecordedRun, items: Path, out: Path) -> list[Path]:
    """``items.parquet`` and ``results.parquet``; what is nested is JSON in text."""
    from datasets import Dataset, disable_progress_bars, enable_progress_bars, is_progress_bar_enabled

    names: dict[str, None] = {}
    for line in _lines(items):
        names.update(dict.fromkeys(line))

    def rows() -> Iterator[dict[str, object]]:
        for line in _lines(items):
            yield {name: _plain(line.get(name)) for name in names}

    figures = [{name: _plain(value) for name, value in row.items()} for row in run.results["results"]]
    columns = dict.fromkeys(name for row in figures for name in row)
    shown = is_progress_bar_enabled()
    disable_progress_bars()
    try:
        written = []
        for name, table in (
            ("items", list(rows())),
            ("results", [{c: row.get(c) for c in columns} for row in figures]),
        ):
            path = out / f"{name}.parquet"
            write_file(path, lambda draft, table=table: Dataset.from_list(table).to_parquet(str(draft)))  # type: ignore[misc]
            written.append(path)
    finally:
        if shown:
            enable_progress_bars()
    return written


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) or value is None else json.dumps(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
