"""A clock that runs while something is in hand, and stands still between two pieces of work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class BusyClock:
    """Seconds in which at least one request was in hand, up to the last that was answered.

    Times are those of one monotonic clock. Not thread-safe: callers hold a lock of theirs.
    """

    in_hand: int = 0
    _since: float = 0.0
    _before: float = 0.0
    _last: float = 0.0

    def begin(self, count: int, now: float) -> None:
        """So many requests have come."""
        if count and not self.in_hand:
            self._since = self._last = now
        self.in_hand += count

    def end(self, count: int, now: float) -> None:
        """So many were answered, or failed."""
        self._last = max(self._last, now)
        self.drop(count)

    def drop(self, count: int) -> None:
        """So many are not wanted any more: the time spent on them since the last answer does not count."""
        self.in_hand -= count
        if count and not self.in_hand:
            self._before += self._last - self._since
            self._since = self._last

    def seconds(self, now: float | None = None) -> float:
        """Seconds up to the last answer; with ``now`` up to then, where something is in hand."""
        if not self.in_hand:
            return self._before
        return self._before + (self._last if now is None else max(self._last, now)) - self._since
