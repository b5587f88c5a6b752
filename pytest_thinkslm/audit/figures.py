"""A statistic that may be undefined, and then says why."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_thinkslm.statistics import Interval


@dataclass(frozen=True, slots=True)
class Figure:
    """A statistic.

    Attributes:
        value: None where it is undefined.
        interval: 95%, two-sided; None where there is none.
        why: why ``value`` (or else ``interval``) is undefined; empty where both are there or no interval is stated.
    """

    value: float | None
    interval: Interval | None = None
    why: str = ""

    def as_json(self) -> dict[str, object]:
        """The figure as plain values, never NaN."""
        value: dict[str, object] = {"value": self.value}
        if self.interval is not None:
            value["ci95"] = list(self.interval)
        if self.why:
            value["undefined" if self.value is None else "no_interval"] = self.why
        return value
