"""Looking at gates while the run goes on: what is decided, and which items are not needed any more. Pure.

Each gate is a group-sequential test (`statistics.sequential`) over the items that both runs have, in the fixed order of
the run. Outcomes may come in any order; what is looked at is a contiguous prefix of the order, so that outputs that
finish early (the short ones) weigh no more than others. So the decision, and the items that it rests on, are the same
however many processes generate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.records import VerdictName
from pytest_thinkslm.gates.baselines import Group
from pytest_thinkslm.gates.gating import compare_groups, counted_errors, worst_case
from pytest_thinkslm.gates.outcomes import ALPHA, Standing, counted
from pytest_thinkslm.generating.shards import COSTS
from pytest_thinkslm.runs.results import VOID_ERRORS
from pytest_thinkslm.runs.types import FigureRow
from pytest_thinkslm.settings.gate_specs import Margin
from pytest_thinkslm.statistics.power import assumed_discordance
from pytest_thinkslm.statistics.sequential import State, look, look_counts, nominal_levels

#: Share of items that are taken to change at least, where all or none are right in the baseline.
_LEAST_CHANGING = 0.02

#: Whom a group is compared with: the group of a recorded run, or that of another variant of this run.
Against = Group | GroupKey


@dataclass(slots=True)
class _Track:
    """One gate on its way: the prefixes of both sides, and the looks at them."""

    key: GroupKey
    of: int
    counts: tuple[int, ...]
    alpha: float
    now: Group = field(default_factory=Group)
    before: Group = field(default_factory=Group)
    items: int = 0
    looks: int = 0
    state: State = "open"

    @property
    def times(self) -> tuple[float, ...]:
        return tuple(count / self.of for count in self.counts)

    def standing(self) -> Standing:
        levels = nominal_levels(self.times, self.alpha)
        level = levels[max(0, min(self.looks, len(levels)) - 1)]
        return Standing(self.items, self.of, self.looks, len(self.counts), level, self.alpha, self.state)


def pace(task: str, before: FigureRow | None) -> float:
    """How fast a task's items are asked beside those of others: deviation of an item's change over root of its price.

    These rates give the smallest variance of the mean over the tasks for the tokens spent (`interleaved`): most of it
    sits in the small tasks, which so come early. The price is in output tokens, with a tenth of those of the prompt.

    Args:
        before: the task's figures in the baseline; without them every task is taken to change alike, at a usual price.
    """
    accuracy, price = None, 100 * COSTS.get(task, 1.0)
    if before is not None and before["n"]:
        accuracy, new, prompt = before["accuracy"], before.get("output_tokens"), before.get("prompt_tokens")
        if new:
            price = (new + (prompt or 0) / 10) / before["n"]
    changing = assumed_discordance(0.5 if accuracy is None else accuracy)
    return sqrt(max(_LEAST_CHANGING, changing) / price)


class Watch:
    """The margin gates of a run on their way to a decision.

    A regression gate ends when a drop is shown, and the run with it: it fails. Where the whole data would hardly show
    one any more it is given up, and the run goes on without it. A non-inferiority gate ends when the drop is ruled out,
    or is given up, and the run with it.

    Args:
        margin: of the gates.
        order: every item of the run, in the order in which they are asked.
        against: whom each group is compared with; groups that are not in it are asked in full.
    """

    def __init__(self, margin: Margin, order: Iterable[ItemKey], against: Mapping[GroupKey, Against]) -> None:
        self.margin = margin
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
        compared = [group for group in against if sizes.get(group)]
        self._unshared = any(group in compared and not self._comparable(group, item) for group, item in self._order)
        alpha = ALPHA / max(1, len(compared)) if margin.mode == "regression" else ALPHA
        self._tracks = {group: _Track(group, sizes[group], look_counts(sizes[group]), alpha) for group in compared}

    @property
    def family(self) -> int:
        """How many gates there are."""
        return len(self._tracks)

    def plan(self) -> str:
        """What will be done, in one line."""
        looks = max((len(track.counts) for track in self._tracks.values()), default=0)
        return (
            f"adaptive: up to {len(self._order)} items in a random order; {counted(self.family, 'gate')}, each looked "
            f"at up to {looks} times; the run ends when they are decided"
        )

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
        return track is None or (track.state == "open" and self._comparable(group, item))

    def kept(self, group: GroupKey, item: str) -> bool:
        """Whether an item's outcome counts in the reports: it lies in the prefix that the decision rests on."""
        track = self._tracks.get(group)
        if track is not None:
            return item in track.now.scores
        return self.decided is None or self._places.get((group, item), -1) < self._next

    def ended(self) -> list[GroupKey]:
        """The gates that need no more items."""
        return [key for key, track in self._tracks.items() if self.decided is not None or track.state != "open"]

    def standings(self) -> dict[GroupKey, Standing]:
        """Every gate's."""
        return {key: track.standing() for key, track in self._tracks.items()}

    def taken(self) -> dict[GroupKey, tuple[int, int]]:
        """By group of the run: how many of its items count, and how many it has."""
        found: dict[GroupKey, tuple[int, int]] = {}
        for group, item in self._order:
            items, of = found.get(group, (0, 0))
            # An item without an outcome (its record was left out) has had its turn.
            found[group] = items + (self.kept(group, item) or not self._repeats[group, item]), of + 1
        return found

    def before(self, group: GroupKey) -> Group | None:
        """The other side of a gate's prefix; None where the group has no gate."""
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
        return not isinstance(against, GroupKey) or self._finished((against, unit[1]))

    def _take(self, track: _Track, item: str) -> bool:
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
        if track.items < track.counts[track.looks]:
            return False
        self._look(track)
        track.looks += 1
        failing = "shown" if self.margin.mode == "regression" else "given up"
        if track.state == failing:
            self.decided = track.key
        return track.state != "open"

    def _look(self, track: _Track) -> None:
        last = track.looks == len(track.counts) - 1
        # Above this share of errors an accuracy is void and decides nothing; a look left out costs power alone.
        void = any(len(group.errors) > VOID_ERRORS * len(group.scores) for group in (track.now, track.before))
        if void or not track.now.scores:
            track.state = "given up" if last else "open"
            return
        mode, points = self.margin.mode, self.margin.points / 100
        errors = counted_errors(track.before, track.now, mode)
        tested = worst_case(track.before, track.now, mode) if errors else compare_groups(track.before, track.now)
        worse, not_worse = tested.worse(points).p, tested.not_worse(points).p
        p, opposite = (worse, not_worse) if mode == "regression" else (not_worse, worse)
        track.state = look(p, opposite, track.looks, track.times, track.alpha)


def _add(group: Group, item: str, outcomes: Mapping[int, tuple[VerdictName, str]]) -> None:
    for _, (verdict, cluster) in sorted(outcomes.items()):
        group.scores.setdefault(item, []).append(1.0 if verdict == "correct" else 0.0)
        if verdict == "error":
            group.errors.add(item)
        if cluster:
            group.clusters[item] = cluster
