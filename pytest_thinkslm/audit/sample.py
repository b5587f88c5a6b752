"""A stratified sample of a run's outcomes, for people to label. Pure: neither files nor pytest.

Allocation, in this order:

1. Outcomes on which parser and judge disagree come first: all of them, up to a stated share of the sample.
   They form strata of their own; so do the others.
2. The strata of either part are (task, verdict, source); where the sample is so small that they could not have two
   outcomes each, coarser ones: (task, verdict), then (task), then the part as a whole.
3. Tasks share a part equally, as in the study (1,000 over five data sets), strata within a task by their size; each
   stratum gets two outcomes at least, or all that it has.

Every outcome can be drawn, so that weighting by ``Stratum.weight`` gives the run's own totals back.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pytest_thinkslm.audit.run_items import AuditItem

#: Share of a sample that disagreements may take.
DISAGREEMENT_SHARE = 0.25

_S = TypeVar("_S", bound=Hashable)

_FIELDS: Mapping[str, Callable[[AuditItem], str]] = {
    "task": lambda item: item.key.task,
    "verdict": lambda item: item.verdict,
    "source": lambda item: item.source,
}
#: From fine to coarse; the last one always fits.
_PARTITIONS: tuple[tuple[str, ...], ...] = (("task", "verdict", "source"), ("task", "verdict"), ("task",), ())


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the run. ``name`` says which, by field; ``population`` outcomes, of which ``drawn`` are sampled."""

    name: Mapping[str, str]
    population: int
    drawn: int

    @property
    def weight(self) -> float:
        """How many outcomes of the run each drawn one stands for: the inverse of its inclusion probability."""
        return self.population / self.drawn


@dataclass(frozen=True, slots=True)
class Pick:
    """A drawn outcome: its opaque name, what it is, and the position of its stratum."""

    id: str
    item: AuditItem
    stratum: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The drawn outcomes, in random order, and the strata that they come from."""

    picks: tuple[Pick, ...]
    strata: tuple[Stratum, ...]


def draw(items: Sequence[AuditItem], n: int, *, seed: int = 0, share: float = DISAGREEMENT_SHARE) -> Sample:
    """Draw ``n`` outcomes, or all where there are no more than that.

    The same ``seed`` draws the same outcomes whatever the order of ``items``.

    Args:
        items: the run's outcomes.
        n: size of the sample, at least 1.
        seed: of the draw, of the order and of the ids.
        share: at most this part of the sample are disagreements between parser and judge, unless the other outcomes
            do not fill the rest. With 0 they are drawn like any other.

    Raises:
        ValueError: ``n`` below 1 or ``share`` outside 0 to below 1.
    """
    if n < 1 or not 0 <= share < 1:
        raise ValueError(f"n must be at least 1 and share from 0 to below 1, not {n} and {share}")
    strata: list[Stratum] = []
    picks: list[Pick] = []
    for disagreement, part, quota in _parts(items, min(n, len(items)), share):
        fields, groups = _partition(part, quota)
        by_task: dict[str, int] = defaultdict(int)
        for members in groups.values():
            by_task[_task(members, fields)] += len(members)
        sizes = {name: len(members) for name, members in groups.items()}
        targets = {name: len(members) / by_task[_task(members, fields)] for name, members in groups.items()}
        for name, drawn in allocate(sizes, targets, quota).items():
            label = {**dict(zip(fields, name, strict=True)), **disagreement}
            chosen = heapq.nsmallest(drawn, groups[name], key=lambda item: _hash(seed, "draw", item))
            picks += [Pick(f"i{_hash(seed, 'id', item)}", item, len(strata)) for item in chosen]
            strata.append(Stratum(label, sizes[name], drawn))
    return Sample(tuple(sorted(picks, key=lambda pick: pick.id)), tuple(strata))


def allocate(sizes: Mapping[_S, int], targets: Mapping[_S, float], n: int) -> dict[_S, int]:
    """Share ``n`` among strata in proportion to ``targets``, two at least each, none above its size.

    By highest averages with the divisors 1, 3, 5 ... (Sainte-Laguë). Needs ``n`` of at least the minima's sum and at
    most the sizes' sum.
    """
    shares = {name: min(size, 2 if len(sizes) > 1 else 1) for name, size in sizes.items()}
    order = {name: position for position, name in enumerate(sorted(sizes, key=repr))}
    queue = [(-targets[name] / (2 * share + 1), order[name], name) for name, share in shares.items()]
    queue = [entry for entry in queue if shares[entry[2]] < sizes[entry[2]]]
    heapq.heapify(queue)
    for _ in range(n - sum(shares.values())):
        _, position, name = heapq.heappop(queue)
        shares[name] += 1
        if shares[name] < sizes[name]:
            heapq.heappush(queue, (-targets[name] / (2 * shares[name] + 1), position, name))
    return shares


def _parts(
    items: Sequence[AuditItem], n: int, share: float
) -> list[tuple[Mapping[str, str], Sequence[AuditItem], int]]:
    """Disagreements and the others, each with its part of the sample; all in one where one would get nothing."""
    apart = [item for item in items if item.disagreement]
    others = [item for item in items if not item.disagreement]
    first = max(min(len(apart), int(share * n)), n - len(others))
    if share > 0 and 0 < first < n:
        return [({"disagreement": "yes"}, apart, first), ({"disagreement": "no"}, others, n - first)]
    return [({}, items, n)] if items else []


def _partition(items: Sequence[AuditItem], n: int) -> tuple[tuple[str, ...], dict[tuple[str, ...], list[AuditItem]]]:
    """The finest strata of which each can have two outcomes, or all that it has."""
    for fields in _PARTITIONS:
        groups: dict[tuple[str, ...], list[AuditItem]] = defaultdict(list)
        for item in items:
            groups[tuple(_FIELDS[field](item) for field in fields)].append(item)
        if not fields or sum(min(2, len(members)) for members in groups.values()) <= n:
            break
    return fields, dict(sorted(groups.items()))


def _task(members: Sequence[AuditItem], fields: Sequence[str]) -> str:
    return members[0].key.task if "task" in fields else ""


def _hash(seed: int, purpose: str, item: AuditItem) -> str:
    text = json.dumps([seed, purpose, *item.key, item.digest])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
