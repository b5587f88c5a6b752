"""What a variant of a run lost and gained against another: the delta report. Pure; ``delta_tables`` shows it.

The statistics are those of ``thinkslm compare``: both call ``gating.measure``. Fractions throughout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from pytest_thinkslm.core.identity import GroupKey, VariantKey, task_labels
from pytest_thinkslm.core.item_record import ItemLine, ItemRecord, VariantJson, group_json, group_key
from pytest_thinkslm.core.text import preview
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import Group, RunFigures, root_variant
from pytest_thinkslm.gates.comparing import prompt_misfits
from pytest_thinkslm.runs.breaks import breaks, broken
from pytest_thinkslm.runs.lengths import length_change, lengths
from pytest_thinkslm.runs.noise import noise_figures, outcomes
from pytest_thinkslm.runs.stressed import Stressed
from pytest_thinkslm.runs.types import (
    Change,
    ConsistencyChange,
    DeltaRow,
    Ending,
    Example,
    FigureRow,
    VariantFacts,
    VariantMeasured,
)
from pytest_thinkslm.statistics import PairedResult, compare_paired, holm

#: An item of a group, whatever its repeat.
ExampleKey = tuple[GroupKey, str]

#: Lost items, and as many gained ones, of a row of which the two outputs' ends are kept.
EXAMPLES = 3

#: Characters of an output's end, and of an answer, that an example keeps.
_ENDING, _ANSWER = 60, 40


def references(variants: Sequence[VariantKey]) -> dict[VariantKey, VariantKey]:
    """Against which variant each is held, in the run's order; the one that is held against none is left out.

    The uncompressed one (``none``) of the same model; for that one itself, and for models without one, the
    uncompressed one of the run's first model, else the run's first variant.
    """
    if not variants:
        return {}
    root = root_variant(variants)
    found = {}
    for variant in variants:
        own = (variant[0], "none")
        reference = own if own in variants and variant != own else root
        if variant != reference:
            found[variant] = reference
    return found


def deltas(
    variants: Sequence[VariantKey],
    rows: Sequence[FigureRow],
    groups: Mapping[GroupKey, Group],
    pairs: Mapping[VariantKey, VariantKey] | None = None,
) -> list[DeltaRow]:
    """One row a (variant, task, test, style): what changed against the variant's reference.

    Accuracies and what follows from them are over the items that both have without an error; rates and failure classes
    over all outcomes of either. ``p_corrected`` is Holm's over all rows. Nothing is stated of accuracies where one of
    the two is void, or where no item is in both: ``note`` then says so.

    Args:
        variants: of the run, in its order.
        rows: the figures of all its groups, as in results.json.
        groups: their item scores.
        pairs: the reference of each variant; by default as ``references`` has it.
    """
    figures = {group_key(row): row for row in rows}
    present = [variant for variant in variants if any(key.variant == variant for key in figures)]
    found: list[DeltaRow] = []
    for variant, reference in (references(present) if pairs is None else pairs).items():
        before = {key: row for key, row in figures.items() if key.variant == reference}
        now = {key: row for key, row in figures.items() if key.variant == variant}
        run = RunFigures(before, {key: groups.get(key, Group()) for key in before})
        for entry in gating.measure(groups, now, run, metrics=True):
            unfit = prompt_misfits(run, RunFigures(now, groups), entry)
            found.append(_delta(entry, reference, before, now[entry.key], unfit))
        found += [_absent(variant, reference, key) for key in before if key.of(variant) not in now]
    _label_and_correct(found)
    return found


def style_deltas(styles: Sequence[str], rows: Sequence[FigureRow], groups: Mapping[GroupKey, Group]) -> list[DeltaRow]:
    """One row a (variant, task, test, style): what changed against the same variant and task in its first style.

    As ``deltas``, but both sides are of one variant, and ``against_style`` names the other style. ``p_corrected`` is
    Holm's over all these rows. A task that was asked in one style alone has none.

    Args:
        styles: in the order in which they were asked for.
    """
    figures = {group_key(row): row for row in rows}
    pairs = gating.style_pairs(figures, styles)
    now = {key: figures[key] for key in pairs}
    before = {key: figures[key] for key in pairs.values()}
    run = RunFigures(before, {key: groups.get(key, Group()) for key in before})
    sides = {key: (other, run.groups[other]) for key, other in pairs.items()}
    found = []
    for entry in gating.measure(groups, now, run, sides=sides, metrics=True):
        row = _delta(entry, entry.key.variant, before, now[entry.key])
        row["against_style"] = pairs[entry.key].style
        found.append(row)
    _label_and_correct(found)
    return found


def wanted_examples(found: Iterable[DeltaRow]) -> set[ExampleKey]:
    """The items, of both sides, whose outputs ``add_examples`` needs."""
    return {(key, item) for row in found for key in (group_key(row), _against(row)) for item in _chosen(row)}


def add_examples(found: Iterable[DeltaRow], records: Iterable[ItemLine]) -> None:
    """Put into each row ``examples``: for the first items lost and gained what both outputs ended in.

    With repeats these are the first right and the first wrong one.

    Args:
        records: whole item records of at least the ``wanted_examples``, in order.
    """
    ends: dict[tuple[ExampleKey, bool], Ending] = {}
    for record in records:
        key = group_key(record), record["item"]
        ends.setdefault((key, record["verdict"] == "correct"), _end(record))
    for row in found:
        examples: list[Example] = []
        for item in _chosen(row):
            lost = item in row["lost"]
            group = group_key(row)
            before = ends.get(((_against(row), item), lost))
            now = ends.get(((group, item), not lost))
            if before is not None and now is not None:
                examples.append({"item": item, "change": "lost" if lost else "gained", "before": before, "now": now})
        if examples:
            row["examples"] = examples


def add_lengths(found: Iterable[DeltaRow], records: Iterable[ItemLine]) -> None:
    """Put into each row that compares something ``lengths``: what became of the outputs' tokens.

    Args:
        records: whole item records of the run, in order.
    """
    kept = lengths(records)
    for row in found:
        key = group_key(row)
        before, now = kept.get(_against(row)), kept.get(key)
        if row["n"] and before and now and (change := length_change(before, now, row["lost"])) is not None:
            row["lengths"] = change


def flips(found: Iterable[DeltaRow]) -> set[ExampleKey]:
    """The lost items of each row's variant and the gained ones of its reference: those that are wrong."""
    return {key for row in found for key in (*_wrong(row, "lost"), *_wrong(row, "gained"))}


def wanted_breaks(found: Iterable[DeltaRow]) -> set[ExampleKey]:
    """Those of the ``flips`` whose answers are worked out: of numbers and expressions."""
    from pytest_thinkslm.tasks import registry

    known = registry.all_tasks()
    worked_out = {name for name, task in known.items() if task.kind in ("number", "expression")}
    return {(key, item) for key, item in flips(found) if key.task in worked_out}


def add_breaks(found: Iterable[DeltaRow], records: Iterable[ItemLine], wanted: Collection[ExampleKey]) -> None:
    """Put into each row with such items ``breaks``: where the outputs of lost and gained items broke.

    Args:
        records: whole item records of at least the ``wanted`` items, in order.
        wanted: the ``wanted_breaks``.
    """
    known = broken(records, wanted)
    for row in found:
        lost = {item: known[key, item] for key, item in _wrong(row, "lost") if (key, item) in known}
        gained = [known[key] for key in _wrong(row, "gained") if key in known]
        if lost or gained:
            row["breaks"] = breaks(lost, gained)


def _wrong(row: DeltaRow, change: Literal["lost", "gained"]) -> list[ExampleKey]:
    key = group_key(row) if change == "lost" else _against(row)
    return [(key, item) for item in row[change]]


def add_noise(found: Iterable[DeltaRow], records: Iterable[ItemRecord]) -> None:
    """Put into each row that is held against a variant with further runs ``noise``: which flips are beyond numerics.

    Args:
        records: item records of the run, roles ``item`` and ``noise``.
    """
    kept = outcomes(records)
    for row in found:
        key = group_key(row)
        first, now = kept.get(_against(row)), kept.get(key)
        if row["n"] and first and now and (figures := noise_figures(first, now.right)) is not None:
            row["noise"] = figures


def add_consistency(found: Iterable[DeltaRow], stressed: Stressed) -> None:
    """Put into each row how many items stay right, or wrong, in every form, paired by item (``--stress``)."""
    for row in found:
        key = group_key(row)
        now, before = (stressed.consistent.get(one) for one in (key, _against(row)))
        if not now or not before or not set(now) & set(before):
            continue
        row["consistency"] = consistency_json(compare_paired(before, now, stressed.clusters[key]))


def consistency_json(paired: PairedResult[str]) -> ConsistencyChange:
    """A paired change of consistency as it stands in results.json."""
    return {
        "n": paired.n,
        "before": round(paired.baseline, 6),
        "now": round(paired.candidate, 6),
        "difference": round(paired.difference, 6),
        "ci95": [round(end, 6) for end in paired.interval],
        "p": _significant(paired.change.p),
        "lost": list(paired.lost),
        "gained": list(paired.gained),
    }


def costs(
    variants: Sequence[VariantFacts], measured: Mapping[str, VariantMeasured], pairs: Mapping[VariantKey, VariantKey]
) -> dict[str, dict[str, Change]]:
    """Bits per weight, disk, memory and speed of each variant beside its reference, by "model|quant"; null: unknown.

    Bits are those of engines that measure them over all tensors.

    Args:
        variants: as in results.json.
        measured: its ``measured.variants``.
        pairs: from ``references``.
    """
    facts = own_costs(variants, measured)
    return {
        f"{variant[0]}|{variant[1]}": {
            name: {"before": facts[reference][name], "now": value}
            for name, value in facts[variant].items()
            if value is not None or facts[reference][name] is not None
        }
        for variant, reference in pairs.items()
    }


def own_costs(
    variants: Sequence[VariantFacts], measured: Mapping[str, VariantMeasured]
) -> dict[VariantKey, dict[str, float | None]]:
    """What each variant takes by itself, by the names of ``costs``."""
    facts: dict[VariantKey, dict[str, float | None]] = {}
    for variant in variants:
        compression = variant.get("compression")
        size = compression and compression["bytes"]
        own = measured.get(f"{variant['model']}|{variant['quant']}", {})
        measured_bits = compression["bits"] if compression and variant.get("engine") == "llamacpp" else None
        facts[_variant(variant)] = {
            "bits_per_weight": measured_bits,
            "disk_bytes": variant.get("disk_bytes") if size is None else size,
            "peak_memory_bytes": own.get("peak_memory_bytes"),
            "peak_gpu_memory_bytes": own.get("peak_gpu_memory_bytes"),
            "tokens_per_second": own.get("tokens_per_second"),
        }
    return facts


def _label_and_correct(found: Sequence[DeltaRow]) -> None:
    names = task_labels(group_key(row) for row in found)
    for row in found:
        row["label"] = names[group_key(row)]
    corrected = holm({place: row["p"] for place, row in enumerate(found) if row["p"] is not None})
    for place, p in corrected.items():
        found[place]["p_corrected"] = _significant(p)


def _against(row: DeltaRow) -> GroupKey:
    """The group that a row is held against."""
    return group_key(row).of(_variant(row["against"]))._replace(style=row.get("against_style", row["style"]))


def _delta(
    entry: gating.Measured,
    reference: VariantKey,
    before: Mapping[GroupKey, FigureRow],
    row: FigureRow,
    other_prompts: Sequence[str] = (),
) -> DeltaRow:
    value = _head(entry.key, reference)
    names = f"{reference[0]} ({reference[1]})", f"{entry.key.model} ({entry.key.quant})"
    if entry.against is not None and entry.against.style != entry.key.style:
        names = entry.against.style, entry.key.style
    if entry.against is None:
        value["note"] = f"not compared: {names[0]} has no outcome of it"
        return value
    old, paired = before[entry.against], entry.cell.comparison
    value["outcomes"] = {"before": old["n"], "now": row["n"]}
    value["rates"] = {
        "unparsed": {"before": old["unparsed_rate"], "now": row["unparsed_rate"]},
        "truncated": {"before": old["truncated_rate"], "now": row["truncated_rate"]},
        "error": {"before": old["error_rate"], "now": row["error_rate"]},
    }
    classes = sorted({*old["failures"], *row["failures"]})
    value["failures"] = {
        name: {"before": old["failures"].get(name, 0), "now": row["failures"].get(name, 0)} for name in classes
    }
    void = [
        f"the accuracy of {name} is void: {own['void']}"
        for name, own in zip(names, (old, row), strict=True)
        if own.get("void")
    ]
    unfit = [*void, *(f"other {prompts}" for prompts in other_prompts)]
    if unfit or paired is None:
        reason = "; ".join(unfit) or f"{names[0]} and {names[1]} share no item without an error"
        value["note"] = f"not compared: {reason}"
        return value
    _fill(value, paired)
    if entry.metrics:
        value["metrics"] = dict(entry.metrics)
    notes = [
        gating.selection_note(paired, *names),
        gating.disagreement_note(paired),
        *gating.metric_notes(entry.metrics),
    ]
    if note := "; ".join(filter(None, notes)):
        value["note"] = note
    return value


def _fill(value: DeltaRow, paired: PairedResult[str]) -> None:
    counts = "" if paired.repeats == 1 and paired.clusters == paired.n else " on effective counts"
    value["n"] = paired.n
    value["accuracy"] = round(paired.candidate, 6)
    value["accuracy_against"] = round(paired.baseline, 6)
    value["difference"] = round(paired.difference, 6)
    value["ci95"] = [round(end, 6) for end in paired.interval]
    value["p"] = _significant(paired.change.p)
    value["kept"] = round(paired.candidate / paired.baseline, 6) if paired.baseline > 0 else None
    value["flips"] = round(paired.flips, 6)
    lost, gained = len(paired.lost), len(paired.gained)
    value["flips_ci95"], value["lost_ci95"], value["gained_ci95"] = (
        [round(end, 6) for end in paired.share_interval(count)] for count in (lost + gained, lost, gained)
    )
    value["lost"] = list(paired.lost)
    value["gained"] = list(paired.gained)
    value["method"] = f"{paired.change.test}; interval: Tango's paired score test{counts}"


def _absent(variant: VariantKey, reference: VariantKey, key: GroupKey) -> DeltaRow:
    value = _head(key.of(variant), reference)
    value["note"] = f"not compared: {variant[0]} ({variant[1]}) has no outcome of it"
    return value


def _head(key: GroupKey, reference: VariantKey) -> DeltaRow:
    """A row of which nothing is known yet."""
    return {
        **group_json(key),  # type: ignore[typeddict-item]  # five names, no others: TypedDicts cannot say so
        "label": key.task,
        "against": {"model": reference[0], "quant": reference[1]},
        "n": 0,
        "accuracy": None,
        "accuracy_against": None,
        "difference": None,
        "ci95": None,
        "p": None,
        "p_corrected": None,
        "kept": None,
        "lost": [],
        "gained": [],
        "rates": {},
        "failures": {},
        "method": None,
    }


def _variant(row: VariantJson) -> VariantKey:
    return row["model"], row["quant"]


def _chosen(row: DeltaRow) -> Collection[str]:
    return [*row["lost"][:EXAMPLES], *row["gained"][:EXAMPLES]]


def _end(record: ItemLine) -> Ending:
    output = record.get("output")
    text = None if output is None else " ".join(str(output)[-8 * _ENDING :].split())
    if text is not None and (len(text) > _ENDING or len(str(output)) > 8 * _ENDING):
        text = "…" + text[-_ENDING:]
    return {"verdict": record["verdict"], "answer": preview(record.get("answer"), _ANSWER), "ending": text}


def _significant(p: float) -> float:
    return float(f"{p:.6g}")
