"""Margin gates that are looked at while a run goes on: each a group-sequential test of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.gates.adaptive import Against, Track, Watch
from pytest_thinkslm.gates.gating import compare_groups, counted_errors, worst_case
from pytest_thinkslm.gates.outcomes import ALPHA, Standing, confidence_text, counted
from pytest_thinkslm.settings.gate_specs import Margin
from pytest_thinkslm.statistics.sequential import State, item_levels, look, look_counts


class GateWatch(Watch):
    """The margin gates of a run on their way to a decision.

    A regression gate ends when a drop is shown, and the run with it: it fails. Where the whole data would hardly show
    one any more it is given up, and the run goes on without it. A non-inferiority gate ends when the drop is ruled out,
    or is given up, and the run with it.

    Args:
        margin: of the gates.
        order, against: as in `Watch`.
    """

    def __init__(self, margin: Margin, order: Iterable[ItemKey], against: Mapping[GroupKey, Against]) -> None:
        super().__init__(order, against)
        self._margin = margin
        family = len(self._tracks) if margin.mode == "regression" else 1
        self._alpha = ALPHA / max(1, family)
        self._counts = {key: look_counts(track.of) for key, track in self._tracks.items()}
        self._looks = dict.fromkeys(self._tracks, 0)
        self._states: dict[GroupKey, State] = dict.fromkeys(self._tracks, "open")

    def plan(self) -> str:
        """What will be done, in one line."""
        looks = max((len(counts) for counts in self._counts.values()), default=0)
        return (
            f"adaptive: up to {len(self._order)} items in a random order; {counted(len(self._tracks), 'gate')}, each "
            f"looked at up to {looks} times; the run ends when they are decided"
        )

    def ending(self, labels: Mapping[GroupKey, str]) -> str:
        """What ended the run before all of its items, in words."""
        if self.decided is None:
            return "when every gate was decided"
        looks = f"look {self._looks[self.decided]} of {len(self._counts[self.decided])}"
        return f"decided by {labels.get(self.decided, self.decided.task)} at {looks}"

    def confidence(self) -> str:
        """At which confidence it is decided, in words."""
        several = self._margin.mode == "regression" and len(self._tracks) > 1
        over = f"and {len(self._tracks)} gates" if several else "of each gate"
        return f"{confidence_text(ALPHA)} confidence over all looks {over}"

    def standings(self) -> dict[GroupKey, Standing]:
        """How far each gate has come."""
        found = {}
        for key, track in self._tracks.items():
            looks, counts = self._looks[key], self._counts[key]
            level = item_levels(counts, self._alpha)[max(0, looks - 1)]
            found[key] = Standing(track.items, track.of, looks, len(counts), level, self._alpha, self._states[key])
        return found

    def _look(self, track: Track) -> bool:
        key = track.key
        if track.items < self._counts[key][self._looks[key]]:
            return False
        state = self._states[key] = self._seen(track)
        self._looks[key] += 1
        track.ended = state != "open"
        if state == ("shown" if self._margin.mode == "regression" else "given up"):
            self.decided = key
        return track.ended

    def _seen(self, track: Track) -> State:
        looks, counts = self._looks[track.key], self._counts[track.key]
        if track.void:
            return "given up" if looks == len(counts) - 1 else "open"
        mode, points = self._margin.mode, self._margin.points / 100
        errors = counted_errors(track.before, track.now, mode)
        tested = worst_case(track.before, track.now, mode) if errors else compare_groups(track.before, track.now)
        worse, not_worse = tested.worse(points).p, tested.not_worse(points).p
        p, opposite = (worse, not_worse) if mode == "regression" else (not_worse, worse)
        return look(p, opposite, looks, counts, self._alpha)
