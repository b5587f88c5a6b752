"""What an adaptive run says of itself: after how many items it ended, at which confidence, what it spared. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.gates.adaptive import Watch
from pytest_thinkslm.gates.outcomes import counted
from pytest_thinkslm.runs.types import AdaptiveGroup, AdaptiveJson, FigureRow
from pytest_thinkslm.statistics.sequential import CERTAINTY, FUTILITY, POWER_OF_TIME


def adaptive_block(
    watch: Watch,
    rows: Mapping[GroupKey, FigureRow],
    before: Mapping[GroupKey, FigureRow],
    labels: Mapping[GroupKey, str],
    data_seed: int,
) -> AdaptiveJson:
    """The block of results.json.

    Args:
        rows: the run's figures, whose output tokens were measured.
        before: figures of the baseline by group of the run, for what an item of a group costs of which none was run.
        labels: names of the gates.
        data_seed: fixes the order of the items.
    """
    groups = []
    for key, (items, of) in watch.taken().items():
        row = rows.get(key)
        tokens = None if row is None else row.get("output_tokens")
        mean = _mean_tokens(row) if items else _mean_tokens(before.get(key))
        left = 0 if items == of else None if mean is None else round(mean * (of - items))
        group: AdaptiveGroup = {
            "model": key.model,
            "quant": key.quant,
            "task": key.task,
            "test": key.test,
            "style": key.style,
            "items": items,
            "of": of,
            "tokens": 0 if row is None else tokens,
            "tokens_left": left,
        }
        standing = watch.standings().get(key)
        if standing is not None:
            group |= {"looks": standing.look, "state": standing.state, "level": standing.level}
        groups.append(group)
    block: AdaptiveJson = {
        "decided": watch.cut,
        "decider": None if watch.decided is None else labels.get(watch.decided),
        "items": sum(group["items"] for group in groups),
        "of": sum(group["of"] for group in groups),
        "tokens": _sum([group["tokens"] for group in groups]),
        "tokens_left": _sum([group["tokens_left"] for group in groups]),
        "order_seed": data_seed,
        "spending": f"alpha x t^{POWER_OF_TIME}",
        "certainty": CERTAINTY,
        "futility": FUTILITY,
        "sentence": "",
        "groups": groups,
    }
    block["sentence"] = _sentence(block, watch, labels)
    return block


def _sentence(block: AdaptiveJson, watch: Watch, labels: Mapping[GroupKey, str]) -> str:
    end = f"all {counted(block['of'], 'item')} were needed"
    if block["decided"]:
        end = f"ended after {block['items']} of {counted(block['of'], 'item')}, {watch.ending(labels)}"
    parts = [end, watch.confidence()]
    if block["tokens"] and block["decided"]:
        more = block["tokens_left"]
        spared = "an unknown number" if more is None else f"about {more:,}"
        share = "" if more is None else f" ({more / (more + block['tokens']):.0%} of it)"
        parts.append(
            f"{block['tokens']:,} output tokens, measured; the full run would take {spared} more{share}, estimated "
            "from each task's mean"
        )
    return "; ".join(parts)


def _mean_tokens(row: FigureRow | None) -> float | None:
    """Output tokens an item."""
    tokens = None if row is None else row.get("output_tokens")
    return None if row is None or tokens is None or not row["items"] else tokens / row["items"]


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
