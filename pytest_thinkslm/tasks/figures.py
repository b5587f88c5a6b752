"""Figures that are counted over item records: their value with its interval, their change between runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import NotRequired, TypedDict

from pytest_thinkslm.core.item_record import ItemRecord
from pytest_thinkslm.statistics import Interval, accuracy_interval
from pytest_thinkslm.statistics.counts import function_change, function_interval, mean_interval
from pytest_thinkslm.statistics.paired import paired_interval


class Value(TypedDict):
    """A metric: its value, on how many items it rests, and its 95% interval by cluster; or why it is undefined."""

    value: float | None
    n: NotRequired[int]
    ci95: NotRequired[list[float]]
    undefined: NotRequired[str]


class ValueChange(TypedDict):
    """A figure in two runs, both over the items that both have; ``ci95`` is the difference's, paired by cluster."""

    before: float
    now: float
    difference: float
    n: int
    ci95: list[float] | None


#: What is counted once: an item (or a question beside it) and its repeat.
Unit = tuple[str, int]
#: Figures by name, in groups of groups where they are broken down.
Figures = Mapping[str, "Figure | Mean | Figures"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A function of counts that are summed over units; a share of the units where there is no ``function``.

    Attributes:
        rows: what each unit adds to each count; of a share, 0 or 1.
        clusters: what each unit shares with those that it is not independent of.
        function: of the sums, the same for all sums times a constant.
        bounds: between which the figure lies.
        n: on how many items it rests, where these are not the units.
        undefined: why it cannot be computed; empty where it can.
    """

    rows: Mapping[Unit, Sequence[float]]
    clusters: Mapping[Unit, str]
    function: Callable[[Sequence[float]], float] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    n: int | None = None
    undefined: str = ""

    def value(self) -> Value:
        """The figure as it stands in results.json."""
        if self.undefined:
            return {"value": None, "undefined": self.undefined}
        rows, names = list(self.rows.values()), [self.clusters[unit] for unit in self.rows]
        n = len(rows) if self.n is None else self.n
        if self.function is not None:
            found = function_interval(rows, names, self.function, bounds=self.bounds)
            return _with({"value": self._of(rows), "n": n}, found)
        flags = [row[0] for row in rows]
        interval = accuracy_interval(flags, names if len(set(names)) < len(names) else None)
        return _with({"value": sum(flags) / len(flags), "n": n}, Interval(interval.low, interval.high))

    def change(self, now: Figure) -> ValueChange | None:
        """From this one to ``now``, on the units that both have; None where it is not defined in both.

        A share has Tango's interval of a paired difference, on effective counts with clusters or repeats; a function
        that of the delta method over the differences of the clusters. Of the latter there is none where nothing
        changed.
        """
        if self.undefined or now.undefined:
            return None
        units = [unit for unit in self.rows if unit in now.rows]
        rows, after = [self.rows[unit] for unit in units], [now.rows[unit] for unit in units]
        names = [self.clusters[unit] for unit in units]
        if not units:
            return None
        interval: Sequence[float] | None
        if self.function is None:
            was, is_ = (sum(row[0] for row in side) / len(side) for side in (rows, after))
            interval = paired_interval([row[0] for row in rows], [row[0] for row in after], names)
        else:
            was, is_ = self._of(rows), self._of(after)
            low, high = self.bounds
            interval = function_change(rows, after, names, self.function, bounds=(low - high, high - low))
        n = len(units) if self.n is None or now.n is None else min(self.n, now.n)
        return _change(was, is_, n, interval)

    def none(self) -> Figure:
        """The same units with nothing counted."""
        return replace(self, rows={unit: [0.0] * len(row) for unit, row in self.rows.items()})

    def _of(self, rows: Sequence[Sequence[float]]) -> float:
        assert self.function is not None
        return self.function([sum(column) for column in zip(*rows, strict=True)])


@dataclass(frozen=True, slots=True)
class Mean:
    """The unweighted mean of figures of independent groups, by name; undefined where one of them is, or is absent."""

    parts: Mapping[str, Figure | None]

    def value(self) -> Value:
        """The mean as it stands in results.json."""
        numbers, intervals = [], []
        for name, part in self.parts.items():
            if part is None:
                return {"value": None, "undefined": f"not judged in {name}"}
            value = part.value()
            if value["value"] is None:
                return {"value": None, "undefined": f"undefined in {name}: {value['undefined']}"}
            numbers.append(value["value"])
            intervals.append(value.get("ci95"))
        found: Value = {"value": sum(numbers) / len(numbers), "n": len(numbers)}
        return _with(found, mean_interval(numbers, intervals))

    def change(self, now: Mean) -> ValueChange | None:
        """From this one to ``now``; None where it is not defined in both. A group that did not change adds no doubt."""
        pairs = [(part, now.parts.get(name)) for name, part in self.parts.items()]
        if not pairs or len(now.parts) != len(pairs):
            return None
        found = [None if a is None or b is None else a.change(b) for a, b in pairs]
        changes = [change for change in found if change is not None]
        if len(changes) < len(pairs):
            return None
        differences = [change["difference"] for change in changes]
        ends = [change["ci95"] or [change["difference"]] * 2 for change in changes]
        moved = any(change["ci95"] for change in changes)
        was, is_ = (sum(change[side] for change in changes) / len(changes) for side in ("before", "now"))
        interval = mean_interval(differences, ends, (-inf, inf)) if moved else None
        return _change(was, is_, len(changes), interval)


@dataclass(frozen=True, slots=True)
class CountedMetrics:
    """A task's metrics of which every one is a `Figure` or a `Mean`: a function of records, as ``Task.metrics`` is.

    Attributes:
        figures: from the records to the figures.
        classes: names of groups that are made of what was found, so that a class which one run lacks is none there.
    """

    figures: Callable[[Sequence[ItemRecord]], Figures]
    classes: frozenset[str] = field(default_factory=frozenset)

    def __call__(self, records: Sequence[ItemRecord]) -> dict[str, object]:
        """The values, as they stand in results.json."""
        return _values(self.figures(records))

    def changes(self, before: Sequence[ItemRecord], now: Sequence[ItemRecord]) -> dict[str, ValueChange]:
        """Every figure's change by its dotted name, on what was asked in both runs and is an error in neither."""
        both = _asked(before) & _asked(now)
        sides = [
            dict(_flat(self.figures([record for record in records if _unit(record) in both])))
            for records in (before, now)
        ]
        found = {}
        for name in dict.fromkeys((*sides[0], *sides[1])):
            a, b = (side.get(name) for side in sides)
            if name.split(".")[0] in self.classes:
                a, b = a or (b.none() if isinstance(b, Figure) else b), b or (a.none() if isinstance(a, Figure) else a)
            change = None
            if isinstance(a, Mean):
                change = a.change(b) if isinstance(b, Mean) else None
            elif isinstance(a, Figure):
                change = a.change(b) if isinstance(b, Figure) else None
            if change is not None:
                found[name] = change
        return found


def _values(figures: Figures) -> dict[str, object]:
    return {
        name: _values(figure) if isinstance(figure, Mapping) else figure.value() for name, figure in figures.items()
    }


def _flat(figures: Figures, prefix: str = "") -> Iterator[tuple[str, Figure | Mean]]:
    for name, figure in figures.items():
        if isinstance(figure, Mapping):
            yield from _flat(figure, f"{prefix}{name}.")
        else:
            yield prefix + name, figure


def _unit(record: ItemRecord) -> tuple[str, str, int]:
    return record.get("role", "item"), record["item"], record.get("repeat", 1)


def _asked(records: Iterable[ItemRecord]) -> set[tuple[str, str, int]]:
    return {_unit(record) for record in records if record["verdict"] != "error"}


def _with(value: Value, interval: Interval | None) -> Value:
    return value if interval is None else {**value, "ci95": [round(end, 6) for end in interval]}


def _change(was: float, is_: float, n: int, interval: Sequence[float] | None) -> ValueChange:
    ends = None if interval is None else [round(end, 6) for end in interval]
    return {
        "before": round(was, 6),
        "now": round(is_, 6),
        "difference": round(is_ - was, 6),
        "n": n,
        "ci95": ends,
    }
