"""Looking at a run while it goes on: the prefix of its items that is looked at, and which items are still needed. Pure.

Outcomes may come in any order; what is looked at is a contiguous prefix of the order in which items are asked, so that
outputs that finish early (the short ones) weigh no more than others. So the decision, and the items that it rests on,
are the same however many processes generate. What is looked for is said by `adaptive_gates` and `adaptive_certificate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.records import VerdictName
from pytest_thinkslm.gates.baselines import Group
from pytest_thinkslm.gates.outcomes import Standing
from pytest_thinkslm.generating.shards import COSTS
from pytest_thinkslm.runs.results import VOID_ERRORS
from pytest_thinkslm.runs.types import FigureRow
from pytest_thinkslm.statistics.power import assumed_discordance

#: Share of items that are taken to change at least, where all or none are right in the baseline.
_LEAST_CHANGING = 0.02

#: Whom a group is compared with: the group of a recorded run, or that of another variant of this run.
Against = Group | GroupKey


@dataclass(slots=True)
class Track:
    """The prefixes of both sides of a comparison: ``items`` of ``of`` comparable ones."""

    key: GroupKey
    of: int
    now: Group = field(default_factory=Group)
    before: Group = field(default_factory=Group)
    items: int = 0
    ended: bool = False

    @property
    def void(self) -> bool:
        """Whether there are too many errors to decide anything (a look left out costs power alone), or no items."""
        sides = (self.now, self.before)
        return not self.now.scores or any(len(side.errors) > VOID_ERRORS * len(side.scores) for side in sides)


def changing(before: FigureRow | None) -> float:
    """Share of a task's items whose verdict is taken to change, from its figures in the baseline."""
    accuracy = None if before is None or not before["n"] else before["accuracy"]
    return max(_LEAST_CHANGING, assumed_discordance(0.5 if accuracy is None else accuracy))


def pace(task: str, before: FigureRow | None) -> float:
    """How fast a task's items are asked beside those of others: deviation of an item's change over root of its price.

    These rates give the smallest variance of the mean over the tasks for the tokens spent (`interleaved`): most of it
    sits in the small tasks, which so come early. The price is in output tokens, with a tenth of those of the prompt.

    Args:
        before: the task's figures in the baseline; without them every task is taken to change alike, at a usual price.
    """
    price = 100 * COSTS.get(task, 1.0)
    if before is not None and before["n"] and (new := before.get("output_tokens")):
        price = (new + (before.get("prompt_tokens") or 0) / 10) / before["n"]
    return sqrt(changing(before) / price)


class Watch(ABC):
    """A run on its way to a decision.

    Args:
        order: every item of the run, in the order in which they are asked.
        against: whom each group is compared with; groups that are not in it are asked in full.
    """

    def __init__(self, order: Iterable[ItemKey], against: Mapping[GroupKey, Against]) -> None:
        #: The gate that has decided the whole run.
        self.decided: GroupKey | None = None
        self._against = against
        self._repeats: dict[tuple[GroupKey, str], set[int]] = {}
        for key in order:
            self._repeats.setdefault((key.group, key.item), set()).add(key.repeat)
        self._order = list(self._repeats)
        self._places = {unit: place for place, unit in enumerate(self._order)}
        self._next = 0
        self._outcomes: dict[tuple[GroupKey, str], dict[int, tuple[VerdictName, str]]] = {}
        sizes: dict[GroupKey, int] = {}
        for group, item in self._order:
            sizes[group] = sizes.get(group, 0) + self._comparable(group, item)
        self._tracks = {group: Track(group, sizes[group]) for group in against if sizes.get(group)}
        self._unshared = any(group in self._tracks and not self._comparable(group, item) for group, item in self._order)

    @abstractmethod
    def plan(self) -> str:
        """What will be done, in one line."""

    @abstractmethod
    def ending(self, labels: Mapping[GroupKey, str]) -> str:
        """What ended the run before all of its items, in words."""

    @abstractmethod
    def confidence(self) -> str:
        """At which confidence it is decided, in words."""

    @abstractmethod
    def _look(self, track: Track) -> bool:
        """Look, where a look is due now that ``track`` has an item more; whether anything was decided."""

    def standings(self) -> dict[GroupKey, Standing]:
        """How far each margin gate has come; empty where there is none."""
        return {}

    def reported(self, key: ItemKey, verdict: VerdictName, cluster: str = "") -> bool:
        """An item's outcome; whether it decided anything. Of several of one item the last before a look counts."""
        self._outcomes.setdefault((key.group, key.item), {})[key.repeat] = verdict, cluster
        return self._advance()

    def absent(self, key: ItemKey) -> bool:
        """An item that has no outcome (its record was left out); whether that decided anything."""
        if not self.needed(key.group, key.item):
            return False
        self._repeats.get((key.group, key.item), set()).discard(key.repeat)
        return self._advance()

    def needed(self, group: GroupKey, item: str) -> bool:
        """Whether an item's outcome still matters."""
        if self.decided is not None:
            return False
        track = self._tracks.get(group)
        return track is None or not (track.ended or not self._comparable(group, item))

    def kept(self, group: GroupKey, item: str) -> bool:
        """Whether an item's outcome counts in the reports: it lies in the prefix that the decision rests on."""
        track = self._tracks.get(group)
        if track is not None:
            return item in track.now.scores
        return self.decided is None or self._places.get((group, item), -1) < self._next

    def ended(self) -> list[GroupKey]:
        """The groups that need no more items."""
        return [key for key, track in self._tracks.items() if self.decided is not None or track.ended]

    def taken(self) -> dict[GroupKey, tuple[int, int]]:
        """By group of the run: how many of its items count, and how many it has."""
        found: dict[GroupKey, tuple[int, int]] = {}
        for group, item in self._order:
            items, of = found.get(group, (0, 0))
            # An item without an outcome (its record was left out) has had its turn.
            found[group] = items + (self.kept(group, item) or not self._repeats[group, item]), of + 1
        return found

    def before(self, group: GroupKey) -> Group | None:
        """The other side of a group's prefix; None where nothing is compared."""
        track = self._tracks.get(group)
        return None if track is None else track.before

    @property
    def cut(self) -> bool:
        """Whether any item was not needed."""
        open_ends = any(track.items < track.of for track in self._tracks.values())
        return open_ends or self._next < len(self._order) or self._unshared

    def _comparable(self, group: GroupKey, item: str) -> bool:
        against = self._against.get(group)
        if isinstance(against, GroupKey):
            return (against, item) in self._repeats
        return against is not None and item in against.scores

    def _advance(self) -> bool:
        """Take what is finished into the prefix, unit by unit, and look wherever a look is due."""
        changed = False
        while self._next < len(self._order) and self.decided is None:
            group, item = unit = self._order[self._next]
            track = self._tracks.get(group)
            if track is None or self.needed(group, item):
                if not self._finished(unit):
                    break
                if track is not None:
                    changed = self._take(track, item) or changed
            self._next += 1
        return changed

    def _finished(self, unit: tuple[GroupKey, str]) -> bool:
        if not self._repeats[unit] <= self._outcomes.get(unit, {}).keys():
            return False
        against = self._against.get(unit[0])
        if not isinstance(against, GroupKey):
            return True
        # An item that the other side did not need is not compared.
        return not self.needed(against, unit[1]) or self._finished((against, unit[1]))

    def _take(self, track: Track, item: str) -> bool:
        _add(track.now, item, self._outcomes.get((track.key, item), {}))
        against = self._against[track.key]
        if isinstance(against, GroupKey):
            _add(track.before, item, self._outcomes.get((against, item), {}))
        else:
            track.before.scores[item] = against.scores[item]
            if item in against.errors:
                track.before.errors.add(item)
            if item in against.clusters:
                track.before.clusters[item] = against.clusters[item]
        track.items += 1
        return self._look(track)


def _add(group: Group, item: str, outcomes: Mapping[int, tuple[VerdictName, str]]) -> None:
    for _, (verdict, cluster) in sorted(outcomes.items()):
        group.scores.setdefault(item, []).append(1.0 if verdict == "correct" else 0.0)
        group.verdicts[verdict] += 1
        if verdict == "error":
            group.errors.add(item)
        if cluster:
            group.clusters[item] = cluster
