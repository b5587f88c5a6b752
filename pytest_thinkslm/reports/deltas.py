"""What a variant of a run lost and gained against another: the delta report. Pure; ``delta_tables`` shows it.

The statistics are those of ``thinkslm compare``: both call ``gating.measure``. Fractions throughout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pytest_thinkslm.core.identity import GroupKey, VariantKey, task_labels
from pytest_thinkslm.core.text import preview
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import Group, RecordedRun
from pytest_thinkslm.runs.results import Record, group_key
from pytest_thinkslm.statistics import PairedResult, holm

Row = Mapping[str, Any]
#: An item of a group, whatever its repeat.
Example = tuple[GroupKey, str]

#: Lost items, and as many gained ones, of a row of which the two outputs' ends are kept.
EXAMPLES = 3

#: Characters of an output's end, and of an answer, that an example keeps.
_ENDING, _ANSWER = 60, 40

_RATES = ("unparsed", "truncated", "error")
_COSTS = ("peak_memory_bytes", "peak_gpu_memory_bytes", "tokens_per_second")


def references(variants: Sequence[VariantKey]) -> dict[VariantKey, VariantKey]:
    """Against which variant each is held, in the run's order; the one that is held against none is left out.

    The uncompressed one (``none``) of the same model; for that one itself, and for models without one, the
    uncompressed one of the run's first model, else the run's first variant.
    """
    if not variants:
        return {}
    plain = (variants[0][0], "none")
    root = plain if plain in variants else variants[0]
    found = {}
    for variant in variants:
        own = (variant[0], "none")
        reference = own if own in variants and variant != own else root
        if variant != reference:
            found[variant] = reference
    return found


def deltas(
    variants: Sequence[VariantKey], rows: Sequence[Row], groups: Mapping[GroupKey, Group]
) -> list[dict[str, Any]]:
    """One row a (variant, task, test, style): what changed against the variant's reference (``references``).

    Accuracies and what follows from them are over the items that both have without an error; rates and failure classes
    over all outcomes of either. ``p_corrected`` is Holm's over all rows. Nothing is stated of accuracies where one of
    the two is void, or where no item is in both: ``note`` then says so.

    Args:
        variants: of the run, in its order.
        rows: the figures of all its groups, as in results.json.
        groups: their item scores.
    """
    figures = {group_key(row): row for row in rows}
    present = [variant for variant in variants if any(key.variant == variant for key in figures)]
    found: list[dict[str, Any]] = []
    for variant, reference in references(present).items():
        before = {key: row for key, row in figures.items() if key.variant == reference}
        now = {key: row for key, row in figures.items() if key.variant == variant}
        run = RecordedRun("", {"results": list(before.values())}, {key: groups.get(key, Group()) for key in before})
        found += [_delta(entry, reference, before, now[entry.key]) for entry in gating.measure(groups, now, run)]
        found += [_absent(variant, reference, key) for key in before if key._replace(**_named(variant)) not in now]
    names = task_labels(group_key(row) for row in found)
    for row in found:
        row["label"] = names[group_key(row)]
    corrected = holm({place: row["p"] for place, row in enumerate(found) if row["p"] is not None})
    for place, p in corrected.items():
        found[place]["p_corrected"] = _significant(p)
    return found


def wanted_examples(found: Iterable[Row]) -> set[Example]:
    """The items, of both variants, whose outputs ``add_examples`` needs."""
    return {
        (key, item)
        for row in found
        for key in (group_key(row), group_key(row)._replace(**row["against"]))
        for item in _chosen(row)
    }


def add_examples(found: Iterable[dict[str, Any]], records: Iterable[Record]) -> None:
    """Put into each row ``examples``: for the first items lost and gained what both outputs ended in.

    With repeats these are the first right and the first wrong one.

    Args:
        records: whole item records of at least the ``wanted_examples``, in order.
    """
    ends: dict[tuple[Example, bool], dict[str, Any]] = {}
    for record in records:
        key = group_key(record), str(record["item"])
        ends.setdefault((key, record["verdict"] == "correct"), _end(record))
    for row in found:
        examples = []
        for item in _chosen(row):
            lost = item in row["lost"]
            group = group_key(row)
            before = ends.get(((group._replace(**row["against"]), item), lost))
            now = ends.get(((group, item), not lost))
            if before is not None and now is not None:
                change = "lost" if lost else "gained"
                examples.append({"item": item, "change": change, "before": before, "now": now})
        if examples:
            row["examples"] = examples


def costs(
    variants: Sequence[Row], measured: Mapping[str, Row], pairs: Mapping[VariantKey, VariantKey]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Disk, memory and speed of each variant beside those of its reference, by "model|quant"; null is not known.

    Args:
        variants: as in results.json.
        measured: its ``measured.variants``.
        pairs: from ``references``.
    """
    facts: dict[VariantKey, dict[str, Any]] = {}
    for variant in variants:
        size = (variant.get("compression") or {}).get("bytes")
        own = measured.get(f"{variant['model']}|{variant['quant']}", {})
        facts[_variant(variant)] = {
            "disk_bytes": variant.get("disk_bytes") if size is None else size,
            **{name: own.get(name) for name in _COSTS},
        }
    return {
        f"{variant[0]}|{variant[1]}": {
            name: {"before": facts[reference][name], "now": value}
            for name, value in facts[variant].items()
            if value is not None or facts[reference][name] is not None
        }
        for variant, reference in pairs.items()
    }


def _delta(entry: gating.Measured, reference: VariantKey, before: Mapping[GroupKey, Row], row: Row) -> dict[str, Any]:
    value = _head(entry.key, reference)
    names = f"{reference[0]} ({reference[1]})", f"{entry.key.model} ({entry.key.quant})"
    if entry.against is None:
        return {**value, "note": f"not compared: {names[0]} has no outcome of it"}
    old, paired = before[entry.against], entry.cell.comparison
    value["outcomes"] = {"before": old["n"], "now": row["n"]}
    value["rates"] = {name: {"before": old[f"{name}_rate"], "now": row[f"{name}_rate"]} for name in _RATES}
    classes = sorted({*old["failures"], *row["failures"]})
    value["failures"] = {
        name: {"before": old["failures"].get(name, 0), "now": row["failures"].get(name, 0)} for name in classes
    }
    void = [
        f"the accuracy of {name} is void: {own['void']}"
        for name, own in zip(names, (old, row), strict=True)
        if own.get("void")
    ]
    if void or paired is None:
        reason = "; ".join(void) or f"{names[0]} and {names[1]} share no item without an error"
        return {**value, "note": f"not compared: {reason}"}
    value.update(_paired(paired))
    notes = [gating.selection_note(paired, *names), *gating.metric_notes(old, row)]
    if note := "; ".join(filter(None, notes)):
        value["note"] = note
    return value


def _paired(paired: PairedResult[str]) -> dict[str, Any]:
    counts = "" if paired.repeats == 1 and paired.clusters == paired.n else " on effective counts"
    return {
        "n": paired.n,
        "accuracy": round(paired.candidate, 6),
        "accuracy_against": round(paired.baseline, 6),
        "difference": round(paired.difference, 6),
        "ci95": [round(end, 6) for end in paired.interval],
        "p": _significant(paired.change.p),
        "kept": round(paired.candidate / paired.baseline, 6) if paired.baseline > 0 else None,
        "lost": list(paired.lost),
        "gained": list(paired.gained),
        "method": f"{paired.change.test}; interval: Tango's paired score test{counts}",
    }


def _absent(variant: VariantKey, reference: VariantKey, key: GroupKey) -> dict[str, Any]:
    note = f"not compared: {variant[0]} ({variant[1]}) has no outcome of it"
    return {**_head(key._replace(**_named(variant)), reference), "note": note}


def _head(key: GroupKey, reference: VariantKey) -> dict[str, Any]:
    """A row of which nothing is known yet."""
    return {
        **key._asdict(),
        "label": key.task,
        "against": _named(reference),
        "n": 0,
        **dict.fromkeys(("accuracy", "accuracy_against", "difference", "ci95", "p", "p_corrected", "kept")),
        "lost": [],
        "gained": [],
        "rates": {},
        "failures": {},
        "method": None,
    }


def _named(variant: VariantKey) -> dict[str, str]:
    return {"model": variant[0], "quant": variant[1]}


def _variant(row: Row) -> VariantKey:
    return row["model"], row["quant"]


def _chosen(row: Row) -> Collection[str]:
    return [*row["lost"][:EXAMPLES], *row["gained"][:EXAMPLES]]


def _end(record: Record) -> dict[str, Any]:
    output = record.get("output")
    text = None if output is None else " ".join(str(output)[-8 * _ENDING :].split())
    if text is not None and (len(text) > _ENDING or len(str(output)) > 8 * _ENDING):
        text = "…" + text[-_ENDING:]
    return {"verdict": record["verdict"], "answer": preview(record.get("answer"), _ANSWER), "ending": text}


def _significant(p: float) -> float:
    return float(f"{p:.6g}")
