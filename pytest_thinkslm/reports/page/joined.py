"""Several finished runs as one: what the page of several runs is made from.

A variant that more than one run has carries the run's name before its model's (``after/Qwen2.5-1.5B``); all others
keep theirs. What changed is computed anew, item by item: a variant of a later run against the same variant of the
first run that has it, every other one as within one run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from pytest_thinkslm.core import files
from pytest_thinkslm.core.identity import GroupKey, VariantKey
from pytest_thinkslm.core.item_record import ItemLine, group_key
from pytest_thinkslm.gates.baselines import RecordedRun, load_run
from pytest_thinkslm.gates.comparing import differences
from pytest_thinkslm.reports import deltas
from pytest_thinkslm.reports.summary import selection_of
from pytest_thinkslm.runs.types import Results

_Json = TypeVar("_Json")

#: Parts of results.json of which those of all runs stand one after another.
_LISTS = ("variants", "results", "style_deltas", "reference", "stress", "certificates")

#: The model's name on the page, by the variant's key in its run.
Names = Mapping[VariantKey, str]


@dataclass(frozen=True, slots=True)
class Joined:
    """``results`` as of one run; ``runs``: results.json of each by its name; where the items of each are, and names."""

    results: Results
    runs: Mapping[str, Results]
    items: Sequence[tuple[Path, Names]]

    def lines(self) -> Iterator[bytes]:
        """The lines of every ``items.jsonl``, run after run, under the models' names of the page."""
        for folder, names in self.items:
            for _, line in files.read_lines(folder / "items.jsonl"):
                yield json.dumps(_renamed(json.loads(line), names)).encode("ascii") + b"\n" if names else line

    def add_outputs(self) -> None:
        """Put into the deltas what the outputs tell of them: their lengths, both ends of some, where they broke."""
        rows = self.results.get("deltas", [])
        broken = deltas.wanted_breaks(rows)
        wanted, kept = broken | deltas.wanted_examples(rows), []

        def lines() -> Iterator[ItemLine]:
            for text in self.lines():
                line: ItemLine = json.loads(text)
                if line["role"] == "item":
                    if (group_key(line), line["item"]) in wanted:
                        kept.append(line)
                    yield line

        deltas.add_lengths(rows, lines())
        deltas.add_examples(rows, kept)
        deltas.add_breaks(rows, kept, broken)


def join(folders: Sequence[Path]) -> Joined:
    """Read the runs in these folders, in order; the first is what the others are held against.

    Raises:
        UsageError: a folder has no finished run.
    """
    recorded = [load_run(folder, "page") for folder in folders]
    plain = [folder.resolve().name for folder in folders]
    titles = [name if plain.count(name) == 1 else f"{name}, {place}" for place, name in enumerate(plain, 1)]
    holders: dict[VariantKey, list[int]] = {}
    for place, run in enumerate(recorded):
        for variant in run.variants:
            holders.setdefault(variant, []).append(place)
    names: list[dict[VariantKey, str]] = [
        {variant: f"{title}/{variant[0]}" for variant in run.variants if len(holders[variant]) > 1}
        for run, title in zip(recorded, titles, strict=True)
    ]
    runs = {
        title: _renamed_run(run, own, title) for title, run, own in zip(titles, recorded, names, strict=True)
    }  # fmt: skip
    results = _joined(list(runs.values()), _pairs(holders, names))
    joined = Joined(
        results, {title: run.results for title, run in runs.items()}, list(zip(folders, names, strict=True))
    )  # fmt: skip
    joined.add_outputs()
    return joined


def _pairs(holders: Mapping[VariantKey, Sequence[int]], names: Sequence[Names]) -> dict[VariantKey, VariantKey]:
    """Against which variant each is held, under the names of the page."""

    def shown(variant: VariantKey, place: int) -> VariantKey:
        return names[place].get(variant, variant[0]), variant[1]

    firsts = {variant: shown(variant, places[0]) for variant, places in holders.items()}
    found = {firsts[one]: firsts[other] for one, other in deltas.references(list(holders)).items()}
    again = {shown(variant, place): firsts[variant] for variant, places in holders.items() for place in places[1:]}
    return found | again


def _joined(runs: Sequence[RecordedRun], pairs: Mapping[VariantKey, VariantKey]) -> Results:
    """The whole as results.json has it of one run. What is about a single run (judge, gates, baseline) is left out."""
    first = runs[0]
    of_first = ("schema_version", "settings", "versions", "hardware", "selection")
    whole: dict[str, Any] = {name: first.results[name] for name in of_first}  # type: ignore[literal-required]
    selections = {run.name: selection_of(run.results) for run in runs}
    mixed = len(set(selections.values())) > 1
    if mixed:
        whole["selection"] = "partial"
    for name in _LISTS:
        if parts := [part for run in runs for part in cast("list[object]", run.results.get(name, []))]:
            whole[name] = parts
    styles = list(dict.fromkeys(style for run in runs for style in run.settings["styles"]))
    whole["settings"] = {**first.settings, "styles": styles}
    groups = {key: group for run in runs for key, group in run.groups.items()}
    whole["deltas"] = deltas.deltas([one for run in runs for one in run.variants], whole["results"], groups, pairs)
    measured = {key: own for run in runs for key, own in run.results["measured"]["variants"].items()}
    whole["measured"] = {
        "started": min(run.results["measured"]["started"] for run in runs),
        "seconds": sum(run.results["measured"]["seconds"] for run in runs),
        "variants": measured,
        "deltas": deltas.costs(whole["variants"], measured, pairs),
    }
    whole["gates"] = []
    whole["problems"] = [f"{run.name}: {problem}" for run in runs for problem in run.results["problems"]]
    whole["problems"] += [f"{name}: selection {selection}" for name, selection in selections.items() if mixed]
    for run in runs[1:]:
        whole["problems"] += [f"{run.name} beside {first.name}: {found}" for found in differences(first, run)]
    return cast("Results", whole)


def _renamed(value: _Json, names: Names) -> _Json:
    """JSON with the models' names of the page wherever a variant stands in it, as two fields or as "model|quant"."""
    if isinstance(value, list):
        return cast("_Json", [_renamed(each, names) for each in value])
    if not isinstance(value, dict):
        return value
    found = {_by_name(key, names): _renamed(each, names) for key, each in value.items()}
    model, quant = found.get("model"), found.get("quant")
    if isinstance(model, str) and isinstance(quant, str):
        found["model"] = names.get((model, quant), model)
    return cast("_Json", found)


def _by_name(key: str, names: Names) -> str:
    model, bar, quant = key.rpartition("|")
    return f"{names[model, quant]}|{quant}" if bar and (model, quant) in names else key


def _renamed_run(run: RecordedRun, names: Names, title: str) -> RecordedRun:
    def named(key: GroupKey) -> GroupKey:
        return key._replace(model=names.get(key.variant, key.model))

    results = _renamed(run.results, names)
    for variant, before in zip(results["variants"], run.results["variants"], strict=True):
        if variant["model"] != before["model"]:
            variant["display"] = f"{title}: {variant['display']}"
    return replace(
        run,
        name=title,
        rows={named(key): _renamed(row, names) for key, row in run.rows.items()},
        groups={named(key): group for key, group in run.groups.items()},
        results=results,
    )
