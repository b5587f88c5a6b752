"""Accuracy against what it costs, as inline SVG: which variants no other one beats in both. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_thinkslm.core.tables import escape

_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 24, 36
#: Width of a letter of a name, about, and height of its line.
_LETTER, _LINE = 5.6, 11


@dataclass(frozen=True, slots=True)
class Point:
    """A variant: its cost (or speed), above 0 where it is drawn, and its accuracy as a fraction.

    ``front`` takes any figure of which more is better for the accuracy.
    """

    name: str
    cost: float
    accuracy: float


def front(points: Sequence[Point], *, more_is_better: bool = False) -> list[Point]:
    """The points that no other one beats: none is as accurate and cheaper, nor as cheap and more accurate.

    Equal ones do not beat one another.

    Args:
        more_is_better: ``cost`` is a speed.
    """
    sign = -1 if more_is_better else 1
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (sign * point.cost, -point.accuracy)):
        last = found[-1] if found else point
        if point.accuracy > last.accuracy or (point.cost, point.accuracy) == (last.cost, last.accuracy):
            found.append(point)
    return found


def pareto_svg(points: Sequence[Point], axis: str, *, more_is_better: bool = False) -> str:
    """One panel: cost on a logarithmic axis, accuracy in percent, the front joined; empty below two points."""
    known = [point for point in points if point.cost > 0]
    if len(known) < 2:
        return ""
    costs, accuracies = [point.cost for point in known], [point.accuracy for point in known]
    low, high = math.log10(min(costs)), math.log10(max(costs))
    bottom, top = min(accuracies), max(accuracies)
    wide, tall = max(high - low, 0.05), max(top - bottom, 0.01)

    def place(point: Point) -> tuple[float, float]:
        along = (math.log10(point.cost) - low + 0.05 * wide) / (1.1 * wide)
        up = (point.accuracy - bottom + 0.05 * tall) / (1.1 * tall)
        return _LEFT + along * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    best = front(known, more_is_better=more_is_better)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, best))
    base = _HEIGHT - _BOTTOM
    label = f"Accuracy against {escape(axis)}"
    parts = [
        f'<svg class="pareto" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">',
        f'<text x="{_LEFT}" y="14">accuracy, % against {escape(axis)}</text>',
        f'<path class="axis" d="M{_LEFT} {_TOP}V{base}H{_WIDTH - _RIGHT}"/>',
    ]
    for value in dict.fromkeys((bottom, top)):
        y = place(Point("", min(costs), value))[1]
        parts.append(f'<text class="tick" x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{100 * value:.1f}</text>')
    for cost in dict.fromkeys((min(costs), max(costs))):
        x = place(Point("", cost, bottom))[0]
        parts.append(f'<text class="tick" x="{x:.1f}" y="{base + 16}" text-anchor="middle">{cost:.3g}</text>')
    parts.append(f'<polyline class="front" points="{line}"/>')
    for point in known:
        x, y = place(point)
        css = ' class="best"' if point in best else ""
        title = f"{point.name}: {100 * point.accuracy:.1f}%, {point.cost:.3g}"
        parts.append(f'<circle{css} cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(title)}</title></circle>')
    written: list[tuple[float, float, float]] = []
    for point in best:
        x, y = place(point)
        end, anchor = (x - 6, "end") if x > _WIDTH / 2 else (x + 6, "start")
        taken = _LETTER * len(point.name)
        begin = end - taken if anchor == "end" else end
        if any(abs(y - other) < _LINE and begin < last and first < begin + taken for first, last, other in written):
            continue  # no name over another: it is said where the point is pointed at
        written.append((begin, begin + taken, y))
        parts.append(
            f'<text class="name" x="{end:.1f}" y="{y - 6:.1f}" text-anchor="{anchor}">{escape(point.name)}</text>'
        )
    return "".join([*parts, "</svg>"])
