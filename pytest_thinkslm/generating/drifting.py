"""``--drift``: after a run, each variant is led along the outputs of the one that it is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.identity import GroupKey, ItemKey, VariantKey, rank
from pytest_thinkslm.core.item_record import ItemLine, group_key
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.engines.scoring import Forced, Scored
from pytest_thinkslm.runs.drift import ItemDrift, answer_span, drift_figures, item_drift
from pytest_thinkslm.runs.types import DriftJson


@dataclass(frozen=True, slots=True)
class _Item:
    key: GroupKey
    cluster: str
    forced: Forced


def chosen(keys: Sequence[ItemKey], each: int, data_seed: int) -> set[ItemKey]:
    """``each`` items of every group, drawn by the data seed: the same ones in every style; the first repeat alone."""
    groups: dict[GroupKey, list[ItemKey]] = {}
    for key in keys:
        if key.role == "item" and key.repeat == 1:
            groups.setdefault(key.group, []).append(key)
    return {
        key
        for own in groups.values()
        for key in sorted(own, key=lambda key: (rank(key.task, int(key.item), data_seed, "drift"), key))[:each]
    }


def measure(
    factory: EngineFactory,
    lines: Callable[[Callable[[ItemKey], bool]], Iterator[ItemLine]],
    pairs: Mapping[VariantKey, VariantKey],
    log: TextIO | None,
) -> tuple[dict[GroupKey, DriftJson], list[str]]:
    """The drift of each variant, by group, and what went wrong, in sentences.

    A reference's distributions are held in memory until its variants have been scored: one model at a time is loaded.

    Args:
        lines: the wanted item lines of the run.
        pairs: against which variant each is held (``deltas.references``).
    """
    wanted, thinking = factory.settings.drift or 0, factory.settings.thinking
    found: dict[GroupKey, DriftJson] = {}
    problems: list[str] = []
    places = {(variant.model, variant.quant): place for place, variant in enumerate(factory.variants)}
    for reference in dict.fromkeys(pairs.values()):
        keys: list[ItemKey] = []
        for line in lines(lambda key, own=reference: key.group.variant == own and key.role == "item"):  # type: ignore[misc]
            if line["verdict"] != "error" and line["output"] is not None:
                keys.append(_key(line))
        drawn = chosen(keys, wanted, factory.settings.data_seed)
        items = [_item(line, thinking) for line in lines(lambda key, drawn=drawn: key in drawn)]  # type: ignore[misc]
        if not items:
            problems.append(f"--drift: {_name(reference)} has no output that could be scored")
            continue
        scored, failed = _score(factory, places[reference], [item.forced for item in items], log)
        problems += _failures(reference, failed, len(items))
        known = [
            replace(item, forced=replace(item.forced, against=one.distributions))
            for item, one in zip(items, scored, strict=True)
            if one is not None
        ]
        for variant in (own for own, other in pairs.items() if other == reference and known):
            results, failed = _score(factory, places[variant], [item.forced for item in known], log)
            problems += _failures(variant, failed, len(known))
            groups: dict[GroupKey, list[ItemDrift]] = {}
            for item, one in zip(known, results, strict=True):
                if one is not None:
                    ended = item.forced.ended and one.tokens[-1].kind == "end"
                    groups.setdefault(item.key.of(variant), []).append(
                        item_drift(one.tokens, item.cluster, ended=ended)
                    )
            for key, own in groups.items():
                found[key] = drift_figures(own)
                if factory.scored_as is not None:
                    found[key]["scored_as"] = factory.scored_as
    return found, problems


def _score(
    factory: EngineFactory, place: int, texts: Sequence[Forced], log: TextIO | None
) -> tuple[list[Scored | None], list[str]]:
    """Each text's score, None where it failed; and why those did."""
    results: list[Scored | None] = []
    failed: list[str] = []
    engine = factory.scorer(place, log)
    try:
        for future in engine.score(texts):
            try:
                results.append(future.result())
            except EngineError as error:
                results.append(None)
                failed.append(str(error))
    finally:
        engine.close()
    return results, failed


def _item(line: ItemLine, thinking: str | None) -> _Item:
    key = group_key(line)
    request = Request(
        tuple(Message(turn["role"], turn["content"]) for turn in line["messages"]),
        Sampling(),
        label=f"{key.task} {line['item']} ({key.style})",
        task=key.task,
        item=line["item"],
        style=key.style,
        thinking=thinking,
    )
    text = line["output"] or ""
    forced = Forced(request, text, line["finish_reason"] == "stop", answer=answer_span(text, line.get("answer")))
    return _Item(key, line.get("cluster") or f"{key.task} {line['item']}", forced)


def _key(line: ItemLine) -> ItemKey:
    return ItemKey(*group_key(line), line["item"], line["repeat"])


def _failures(variant: VariantKey, failed: Sequence[str], texts: int) -> list[str]:
    if not failed:
        return []
    return [f"--drift: {len(failed)} of {texts} outputs could not be scored by {_name(variant)}: {failed[0]}"]


def _name(variant: VariantKey) -> str:
    return f"{variant[0]} ({variant[1]})"
