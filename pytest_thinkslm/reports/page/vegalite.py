"""Building blocks of the plots: Vega-Lite specifications of dots with intervals and of stacked bars. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Spec = dict[str, Any]

#: Colours that stay apart for colour-blind readers, in light and in dark (after Okabe and Ito 2008).
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")

#: Pixels between two dots of a group.
ROW_HEIGHT = 16


def frame(values: list[dict[str, Any]]) -> Spec:
    """A plot as wide as its place, with its values."""
    fit = {"type": "fit-x", "contains": "padding", "resize": True}
    return {"width": "container", "autosize": fit, "data": {"values": values}}


def dots(
    values: list[dict[str, Any]],
    title: str,
    *,
    domain: tuple[float, float] | None = None,
    zero: bool = False,
    axis: str = "",
) -> Spec:
    """A dot with its interval for each group and series, groups from top to bottom in their order."""
    series = list(dict.fromkeys(value["series"] for value in values))
    y = {"field": "group", "type": "nominal", "sort": distinct(values, "group"), "title": axis or None, "axis": _LABELS}
    marks: list[Spec] = [
        {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6}, "encoding": interval_ends("x", title, domain)},
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {"x": quantity("value", title, domain), "tooltip": tooltip()},
        },
    ]
    encoding: Spec = {"y": y, "color": series_colour(values)}
    if len(series) > 1:
        encoding["yOffset"] = {"field": "series", "sort": series}
    layers: list[Spec] = [{"encoding": encoding, "layer": marks}]
    if zero:
        layers.insert(0, {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}})
    height = max(22, ROW_HEIGHT * len(series) + 6) * len(distinct(values, "group"))
    return {**frame(values), "height": height, "layer": layers}


def stacked_bars(values: list[dict[str, Any]], title: str, colours: Mapping[str, str]) -> Spec:
    """Stacked bars of shares, one a group, classes in the order of ``colours``."""
    present = [name for name in colours if any(value["class"] == name for value in values)]
    return {
        **frame(values),
        "height": 20 * len(distinct(values, "group")),
        "mark": {"type": "bar", "height": {"band": 0.8}},
        "encoding": {
            "y": {
                "field": "group", "type": "nominal", "sort": distinct(values, "group"), "title": None, "axis": _LABELS,
            },
            "x": {**quantity("value", title, (0, 100)), "stack": "zero"},
            "order": {"field": "order"},
            "color": {
                "field": "class",
                "type": "nominal",
                "title": None,
                "scale": {"domain": present, "range": [colours[name] for name in present]},
            },
            "tooltip": [
                {"field": "group", "title": "task"},
                {"field": "class", "title": "class"},
                {"field": "value", "title": "share (%)", "format": ".1f"},
                {"field": "n", "title": "items"},
            ],
        },
    }  # fmt: skip


_LABELS = {"labelPadding": 6, "ticks": False, "domain": False}


def dot(group: str, series: str, value: float, interval: Sequence[float] | None, *, n: object) -> dict[str, Any]:
    """A value with its interval, as fractions in and percent out."""
    low, high = interval or (value, value)
    return {
        "group": group,
        "series": series,
        "value": in_percent(value),
        "low": in_percent(low),
        "high": in_percent(high),
        "n": n,
    }


def quantity(field: str, title: str, domain: tuple[float, float] | None = None) -> Spec:
    """An axis of numbers."""
    scale = {"scale": {"domain": list(domain)}} if domain else {}
    return {"field": field, "type": "quantitative", "title": title, **scale}


def interval_ends(axis: str, title: str, domain: tuple[float, float] | None) -> Spec:
    """Where a rule over an interval begins and ends."""
    return {axis: quantity("low", title, domain), f"{axis}2": {"field": "high"}}


def series_colour(values: Iterable[Mapping[str, Any]]) -> Spec:
    """A colour a series; no legend for a single one."""
    names = list(dict.fromkeys(value["series"] for value in values))
    colours = [PALETTE[index % len(PALETTE)] for index in range(len(names))]
    scale = {"domain": names, "range": colours}
    legend = {} if len(names) > 1 else {"legend": None}
    return {"field": "series", "type": "nominal", "title": None, "scale": scale, **legend}


def tooltip(more: Mapping[str, str] | None = None) -> list[Spec]:
    """What is shown at a dot; ``more`` adds fields with their titles."""
    own = [{"field": field, "title": title} for field, title in (more or {}).items()]
    ends = [{"field": f, "title": t, "format": ".1f"} for f, t in (("value", "%"), ("low", "from"), ("high", "to"))]
    return [{"field": "group", "title": "of"}, {"field": "series", "title": "series"}, *own, *ends, {"field": "n"}]


def distinct(values: Iterable[Mapping[str, Any]], field: str) -> list[Any]:
    """The different values of a field, in order of appearance."""
    return list(dict.fromkeys(value[field] for value in values))


def in_percent(share: float | None) -> float | None:
    """A fraction as percent."""
    return None if share is None else round(100 * share, 3)
