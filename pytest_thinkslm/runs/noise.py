"""Flips by numerics (``--noise-floor``), and what of a variant's flips is beyond them. Pure; fractions.

A further run of the first variant asks the same in other batches. What flips then flips by rounding alone, and would
have flipped without any compression.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import ItemRecord, group_key
from pytest_thinkslm.runs.types import NoiseJson
from pytest_thinkslm.statistics.clusters import ClusterSums
from pytest_thinkslm.statistics.permutation import sign_flip


@dataclass(slots=True)
class Outcomes:
    """Of one group: whether each item was right in its first repeat, and in each further run; errors are left out."""

    right: dict[str, bool] = field(default_factory=dict)
    again: dict[str, list[bool]] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)


def outcomes(records: Iterable[ItemRecord]) -> dict[GroupKey, Outcomes]:
    """What is kept of the records of a run (roles ``item`` and ``noise``), by group."""
    found: dict[GroupKey, Outcomes] = {}
    for record in records:
        own = found.setdefault(group_key(record), Outcomes())
        if record["verdict"] == "error" or (record["role"] == "item" and record["repeat"] != 1):
            continue
        item, right = record["item"], record["verdict"] == "correct"
        own.clusters[item] = record.get("cluster") or f"item {item}"
        if record["role"] == "noise":
            own.again.setdefault(item, []).append(right)
        else:
            own.right[item] = right
    return found


def noise_figures(first: Outcomes, now: Mapping[str, bool]) -> NoiseJson | None:
    """The flips of a variant beside those of the first variant's further runs; None where no item has both.

    Over the items that have both and the same number of further runs as most. The excess is the mean over items of
    (flipped now) - (share of further runs that flipped), its interval Student's over clusters; ``p`` is of an excess
    of 0 against a larger one, by flips of sign of whole clusters.

    Args:
        now: whether each item is right in the variant.
    """
    runs = max((len(again) for again in first.again.values()), default=0)
    items = [item for item in first.right if item in now and len(first.again.get(item, ())) == runs > 0]
    if not items:
        return None
    numerics = [sum(again != first.right[item] for again in first.again[item]) / runs for item in items]
    flipped = [float(now[item] != first.right[item]) for item in items]
    excess = [mine - theirs for mine, theirs in zip(flipped, numerics, strict=True)]
    clusters = [first.clusters[item] for item in items]
    return {
        "runs": runs,
        "items": len(items),
        "flips": _round(sum(flipped) / len(items)),
        "numerics": _round(sum(numerics) / len(items)),
        "numerics_ci95": _interval(ClusterSums.of(numerics, clusters), least=0.0),
        "compression": _round(sum(excess) / len(items)),
        "compression_ci95": _interval(ClusterSums.of(excess, clusters), least=-1.0),
        "p": float(f"{sign_flip(ClusterSums.of(excess, clusters).sums, runs).more:.6g}"),
    }


def _interval(sums: ClusterSums, least: float) -> list[float] | None:
    """Student's, within what is possible; where nothing varies, as far as the exact bound of "none of n" reaches."""
    if sums.count < 2:
        return None
    mean = sum(sums.sums) / sums.n
    reach = sums.reach() or 1 - 0.025 ** (1 / sums.count)
    return [_round(max(least, mean - reach)), _round(min(1.0, mean + reach))]


def _round(value: float) -> float:
    return round(value, 6)
