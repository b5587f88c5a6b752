"""Runs as they were recorded: read back from their files, and whether one can be the baseline of another.

Imports neither pytest nor an engine. A run is read from ``results.json`` and the ``items.jsonl`` beside it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import GroupKey, ItemKey, VariantKey
from pytest_thinkslm.core.item_record import ItemLine, ItemRecord, VariantJson, group_key, item_key, read_lines
from pytest_thinkslm.core.records import Message, VerdictName
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.runs.reading import read_results
from pytest_thinkslm.runs.results import counted_metrics
from pytest_thinkslm.runs.types import FigureRow, Results, Selection, SettingsJson
from pytest_thinkslm.tasks.sampling import Method

_Value = TypeVar("_Value")

#: ``--baseline`` value that means the published table.
PAPER = "paper"

#: The option that names a run's baseline.
BASELINE = "--baseline"

#: Settings that change what a model says to the same question (the seed does so by chance alone), with what they are
#: where a run does not state them.
_SAMPLING = {
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
    "max_tokens": None,
    "thinking": None,
    "system": None,
}
#: Those that mean nothing at temperature 0.
_OF_NOISE = frozenset({"top_p", "top_k", "min_p"})


@dataclass(slots=True)
class Group:
    """The items of one (model, quant, task, test, style), by item name.

    Attributes:
        scores: 1 for a correct outcome, else 0, one a repeat.
        clusters: what an item shares with others; only where it shares something.
        prompts: digest of the messages that were asked.
        verdicts: number of outcomes, every repeat one.
        errors: items of which an outcome is an ``error``: they say nothing about the model and are not compared.
        records: what the task's own metrics are counted of, where it has any that can be compared: the records of the
            items and of what was asked beside them, without their texts.
        forms: of an item asked in changed forms (``--stress``), each form's prompt and whether its outcomes are right.
    """

    scores: dict[str, list[float]] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, bytes] = field(default_factory=dict)
    verdicts: Counter[VerdictName] = field(default_factory=Counter)
    errors: set[str] = field(default_factory=set)
    records: list[ItemRecord] = field(default_factory=list)
    forms: dict[str, dict[str, tuple[bytes, list[bool]]]] = field(default_factory=dict)

    def comparable(self) -> dict[str, list[float]]:
        """The scores of all items without an error."""
        return {item: scores for item, scores in self.scores.items() if item not in self.errors}


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What runs are compared by: the figures and the items of each group."""

    rows: Mapping[GroupKey, FigureRow]
    groups: Mapping[GroupKey, Group]

    @property
    def variants(self) -> list[VariantKey]:
        """Its (model, quant) pairs, in order."""
        return list(dict.fromkeys(key.variant for key in self.groups))

    def of(self, variant: VariantKey) -> RunFigures:
        """One variant of it alone."""
        return RunFigures(
            {key: row for key, row in self.rows.items() if key.variant == variant},
            {key: group for key, group in self.groups.items() if key.variant == variant},
        )


@dataclass(frozen=True, slots=True)
class RecordedRun(RunFigures):
    """A finished run: ``name`` of its folder, the content of its ``results.json``, its items by group."""

    name: str
    results: Results

    @property
    def settings(self) -> SettingsJson:
        """What the run was asked to do."""
        return self.results["settings"]

    @property
    def selection(self) -> Selection:
        """full, limit or partial."""
        return self.results["selection"]

    def alone(self, variant: VariantKey) -> RecordedRun:
        """One variant of it, as a run of its own."""
        own = self.of(variant)
        name = f"{self.name}: {variant[0]} ({variant[1]})"
        return RecordedRun(own.rows, own.groups, name, self.results)

    def templates(self) -> dict[VariantKey, str | None]:
        """Hash of the chat template by variant; None where it is not known (recorded outputs)."""
        return {
            (variant["model"], variant["quant"]): variant.get("template_sha256")
            for variant in self.results.get("variants", ())
        }


def load_run(place: Path, option: str = BASELINE) -> RecordedRun:
    """Read a run from its report folder or its ``results.json``.

    Args:
        place: the folder, or one of its two files.
        option: what the user gave it to, for messages.

    Raises:
        UsageError: a file is missing or damaged, or the two do not belong together.
    """
    path = (
        place / "results.json"
        if place.is_dir()
        else place.with_name("results.json" if place.name == "items.jsonl" else place.name)
    )
    asked = f"{option} {place}"
    results = _read_results(path, asked, paper=option == BASELINE)
    items = path.with_name("items.jsonl")
    groups: dict[GroupKey, Group]
    try:
        groups = collect(_once(read_lines(items), items.name))
    except OSError as error:
        raise UsageError(
            f"{asked}: {items.name} beside {path.name} cannot be read ({error.strerror or error}); a run is compared "
            "item by item, so keep the whole report folder"
        ) from None
    except ValueError as error:
        raise UsageError(f"{asked}: {error}") from None
    counted = {key: sum(group.verdicts.values()) for key, group in groups.items()}
    stated = {group_key(row): row["n"] for row in results["results"]}
    if counted != stated:
        key = next(key for key in {**stated, **counted} if stated.get(key) != counted.get(key))
        raise UsageError(
            f"{asked}: items.jsonl does not belong to results.json: {key.task} ({key.style}) has {counted.get(key, 0)} "
            f"outcomes in the one and {stated.get(key, 0)} in the other; give the folder of one run"
        )
    rows = {group_key(row): row for row in results["results"]}
    variants = results.get("variants", ())
    return RecordedRun(in_order(rows, variants), in_order(groups, variants), path.absolute().parent.name, results)


def _once(lines: Iterable[ItemLine], name: str) -> Iterator[ItemLine]:
    """The lines; ``ValueError`` at the second one of an item, which would count as a repeat of it."""
    seen: set[ItemKey] = set()
    for line in lines:
        key = item_key(line)
        if key in seen:
            raise ValueError(f"{name} has two lines of item {key.item} of {key.task} ({key.style}): make the run again")
        seen.add(key)
        yield line


def collect(records: Iterable[ItemRecord], beside: Iterable[ItemRecord] = ()) -> dict[GroupKey, Group]:
    """Item records by group, those of changed forms (role ``stress``) beside them.

    ``beside`` and the records themselves may have further cases (role ``seed``).
    """
    groups: dict[GroupKey, Group] = {}
    for _ in collecting(records, groups, beside):
        pass
    return {key: group for key, group in groups.items() if group.scores}


def collecting(
    records: Iterable[ItemRecord], groups: dict[GroupKey, Group], beside: Iterable[ItemRecord] = ()
) -> Iterator[ItemRecord]:
    """The records as they come, each also added to ``groups``: two uses of one pass."""
    seeds: dict[GroupKey, list[ItemRecord]] = {}
    for record in records:
        role = record.get("role", "item")
        if role == "item":
            key = group_key(record)
            group = groups.setdefault(key, Group())
            _collect(group, record)
            if counted_metrics(key.task) is not None:
                group.records.append(_counted(record))
        elif role == "stress" and record["verdict"] != "error":
            _collect_form(groups.setdefault(group_key(record), Group()), record)
        elif role == "seed":
            _add_seed(seeds, record)
        yield record
    for record in beside:
        _add_seed(seeds, record)
    for key, group in groups.items():
        if group.records:
            group.records += seeds.get(key._replace(task=""), ())


def _add_seed(seeds: dict[GroupKey, list[ItemRecord]], record: ItemRecord) -> None:
    """A seed counts for every task that its test asked for the same variant and style."""
    seeds.setdefault(group_key(record)._replace(task=""), []).append(_counted(record))


def in_order(found: Mapping[GroupKey, _Value], variants: Iterable[VariantJson]) -> dict[GroupKey, _Value]:
    """Ordered as the run has its variants, the first of which others are held against; files are sorted by name."""
    order = {(variant["model"], variant["quant"]): place for place, variant in enumerate(variants)}
    return dict(sorted(found.items(), key=lambda entry: order.get(entry[0].variant, len(order))))


def prompt_digest(messages: Sequence[Message]) -> bytes:
    """Digest of the messages of a request, equal to that of the same messages in a record."""
    return _digest((message.role, safe_text(message.content)) for message in messages)


def counterpart(variant: VariantKey, baseline: Collection[VariantKey]) -> VariantKey | None:
    """Which variant of a baseline one of this run is compared with.

    The same (model, quant); else the same model as it is (``none``), or the only variant that there is.
    """
    if variant in baseline:
        return variant
    if (variant[0], "none") in baseline:
        return variant[0], "none"
    return next(iter(baseline)) if len(baseline) == 1 else None


def root_variant(variants: Sequence[VariantKey]) -> VariantKey:
    """What a run's other variants are held against: the uncompressed one of its first model, else its first variant."""
    plain = (variants[0][0], "none")
    return plain if plain in variants else variants[0]


def misfits(
    baseline: RecordedRun,
    settings: SettingsJson,
    templates: Mapping[VariantKey, str | None],
    styles: Collection[str],
    *,
    allow_unevaluated: bool = False,
) -> list[str]:
    """What makes ``baseline`` unfit for a run, as far as its settings tell: each difference with both values.

    Args:
        settings: of the run, by the names of results.json.
        templates: hash of the run's chat templates by variant, None where unknown.
        styles: prompt styles of the run.
        allow_unevaluated: whether two samples drawn differently are held against each other all the same.
    """
    found = []
    if baseline.selection == "partial":
        found.append("selection (baseline: partial, interrupted or narrowed by hand; only full and limit can be one)")
    theirs = list(dict.fromkeys(key.style for key in baseline.groups))
    if styles and theirs and not set(styles) & set(theirs):
        found.append(difference("style", ", ".join(theirs), ", ".join(styles)))
    found += sampling_differences(baseline.settings, settings)
    if not allow_unevaluated:
        found += _other_sample(baseline, settings)
    judges = _judge(baseline.settings), _judge(settings)
    if judges[0] != judges[1]:
        found.append(difference("judge", *judges))
    known = baseline.templates()
    for variant, mine in templates.items():
        other = counterpart(variant, baseline.variants)
        before = known.get(other) if other else None
        if mine and before and mine != before:
            found.append(difference("template_sha256", before[:12], mine[:12]))
    return list(dict.fromkeys(found))


def drawn(run: RecordedRun) -> Method | None:
    """How ``--limit`` drew a run's items; None where it drew none. Runs that do not say so were drawn by hash."""
    return run.settings.get("sample") or "hash" if run.settings.get("limit") is not None else None


def _other_sample(baseline: RecordedRun, settings: SettingsJson) -> list[str]:
    """The data seed and the way of drawing, where both runs are samples (--limit): others asked other items."""
    before = drawn(baseline)
    if before is None or settings.get("limit") is None:
        return []
    pairs = {
        "data_seed": (baseline.settings.get("data_seed"), settings.get("data_seed")),
        "sample": (before, settings.get("sample") or "hash"),
    }
    return [difference(name, *values) for name, values in pairs.items() if values[0] != values[1]]


def _judge(settings: SettingsJson) -> str:
    """Who decides verdicts beside the parser: another one moves accuracy by itself."""
    judge = settings.get("judge")
    return f"{Path(str(judge)).name}, policy {settings.get('judge_policy')}" if judge else "none"


def data_differences(before: FigureRow, digest: str, pin: str) -> list[str]:
    """What differs between the data of a baseline's row and a data set with this pin digest and pin state."""
    data = before.get("data")
    if not data:
        return []
    task = before["task"]
    found = []
    if data["digest"] != digest:
        found.append(difference(f"data pins of {task}", data["digest"][:12] or "none", digest[:12] or "none"))
    if data["pin"] != pin:
        found.append(difference(f"state of the data of {task}", data["pin"], pin))
    return found


def prompt_differences(label: str, before: Mapping[str, bytes], now: Mapping[str, bytes]) -> list[str]:
    """How many items that are in both were asked with other messages."""
    shared = [item for item in now if item in before]
    other = [item for item in shared if before[item] != now[item]]
    return (
        [f"prompts of {label} ({len(other)} of {len(shared)} shared items, the first is {other[0]})"] if other else []
    )


def sampling_differences(baseline: SettingsJson, run: SettingsJson) -> list[str]:
    """The settings that differ, each with both values; top-p, top-k and min-p mean nothing at temperature 0."""
    greedy = baseline.get("temperature") == run.get("temperature") == 0
    pairs = {name: (baseline.get(name, usual), run.get(name, usual)) for name, usual in _SAMPLING.items()}
    return [
        difference(name, before, now)
        for name, (before, now) in pairs.items()
        if before != now and not (greedy and name in _OF_NOISE)
    ]


def difference(name: str, baseline: object, run: object) -> str:
    """One field that differs, with both values."""
    return f"{name} (baseline: {_shown(baseline)}; this run: {_shown(run)})"


def refused(asked: str, found: Sequence[str]) -> UsageError:
    """The error that names every difference."""
    return UsageError(
        f"{asked} does not fit this run; these differ: {', '.join(found)}. "
        "Compare like with like: give this run the baseline's settings, or make a new baseline with this run's"
    )


#: What metrics are counted of.
_COUNTED = ("role", "item", "repeat", "verdict", "failure", "answer", "gold", "judge", "facets", "cluster")


def _counted(record: ItemRecord) -> ItemRecord:
    kept = {name: value for name in _COUNTED if (value := record.get(name)) is not None}
    for name in ("answer", "gold", "judge"):
        kept.setdefault(name, None)
    if "parser_verdict" in record:  # there was a judge
        kept["parser_verdict"] = record["parser_verdict"]
    return cast("ItemRecord", kept)


def _collect(group: Group, record: ItemRecord) -> None:
    item, verdict = record["item"], record["verdict"]
    group.scores.setdefault(item, []).append(1.0 if verdict == "correct" else 0.0)
    group.verdicts[verdict] += 1
    if verdict == "error":
        group.errors.add(item)
    if record.get("cluster"):
        group.clusters[item] = record["cluster"]
    if (digest := _asked(record)) is not None:
        group.prompts[item] = digest


def _collect_form(group: Group, record: ItemRecord) -> None:
    if (digest := _asked(record)) is not None:
        forms = group.forms.setdefault(record["item"], {})
        forms.setdefault(record.get("stress", ""), (digest, []))[1].append(record["verdict"] == "correct")


def _asked(record: ItemRecord) -> bytes | None:
    """Digest of the messages that were asked; None where they are not known."""
    messages = record.get("messages")
    if isinstance(messages, list) and messages:
        return _digest((turn["role"], turn["content"]) for turn in messages)
    return None


def _shown(value: object) -> str:
    return "by default" if value is None else str(value)


def _digest(turns: Iterable[tuple[str, str]]) -> bytes:
    digest = hashlib.blake2b(digest_size=8)
    for role, content in turns:
        digest.update(f"{role}\0{content}\0".encode("utf-8", "surrogatepass"))
    return digest.digest()


def _read_results(path: Path, asked: str, *, paper: bool) -> Results:
    try:
        return read_results(path)
    except OSError as error:
        or_paper = f", or '{PAPER}'" if paper else ""
        raise UsageError(
            f"{asked}: {path} cannot be read ({error.strerror or error}); give a report folder, or a results.json "
            f"with its items.jsonl beside it{or_paper}"
        ) from None
    except ValueError as error:
        raise UsageError(f"{asked}: {error}") from None
