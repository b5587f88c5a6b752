"""The plots of a report as Vega-Lite specifications. Pure: the content of results.json in, dicts out.

The page draws them in the browser, ``python -m pytest_thinkslm.reports.page --svg`` makes an image of one. All values
are percent, or percentage points for differences. Intervals are those of results.json; of a group within a task
(a level, a list length) Wilson's, on its number of items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_thinkslm.execution.selection import short_name
from pytest_thinkslm.statistics import wilson

Results = Mapping[str, Any]
Row = Mapping[str, Any]
Spec = dict[str, Any]

#: Colours that stay apart for colour-blind readers, in light and in dark (after Okabe and Ito 2008).
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")

#: Verdicts in the order in which they are stacked, with their colours.
VERDICTS = {
    "correct": "#2a9d6f",
    "incorrect": "#d9822b",
    "unparsed": "#8e6bbf",
    "truncated": "#4c9bc9",
    "error": "#c0392b",
}

#: Failure classes; the last is for wrong items without one.
_CLASSES = (
    "#d9822b",
    "#4c9bc9",
    "#8e6bbf",
    "#c9a227",
    "#009e73",
    "#cc79a7",
    "#7a8793",
    "#b5533c",
    "#5b7db1",
    "#a3b04a",
)
UNCLASSIFIED = "no class fits"

#: Groups within a task: metric in results.json -> (name of the chart, its title, name of the axis).
_GROUPS = {
    "by_level": ("level", "by level", "level"),
    "by_subject": ("subject", "by subject", ""),
    "by_perturbation": ("perturbation", "by perturbation", ""),
    "by_question_type": ("question-type", "by question type", ""),
}

_ROW_HEIGHT = 16


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot: ``name`` for links and files, ``title`` and ``note`` for readers, ``spec`` for Vega-Lite."""

    name: str
    title: str
    note: str
    spec: Spec


def charts(results: Results) -> list[Chart]:
    """Every plot that the run has something for."""
    made: list[Chart] = []
    for suffix, title, rows, series in _panels(results):
        made += _accuracy(results, rows, series, suffix, title)
    made += [chart for chart in (_list_length(results), *_groups(results)) if chart]
    made += [_verdicts(results), *filter(None, [_failures(results)])]
    made += [chart for chart in (_deltas(results), _baseline(results)) if chart]
    return [chart for chart in made if chart.spec["data"]["values"]]


def variant_labels(results: Results) -> dict[tuple[str, str], str]:
    """A short name of each (model, quant): what tells the run's variants apart."""
    variants = list(dict.fromkeys((str(v["model"]), str(v["quant"])) for v in results["variants"]))
    variants = list(dict.fromkeys([*variants, *((str(r["model"]), str(r["quant"])) for r in results["results"])]))
    names = {model: short_name(model) for model, _ in variants}
    if len(set(names.values())) < len(names):
        names = {model: model for model in names}
    models, quants = {model for model, _ in variants}, {quant for _, quant in variants}
    if len(models) == 1 and len(quants) > 1:
        return {variant: variant[1] for variant in variants}
    if len(quants) == 1:
        return {variant: names[variant[0]] for variant in variants}
    return {variant: f"{names[variant[0]]}, {variant[1]}" for variant in variants}


def _panels(results: Results) -> Iterator[tuple[str, str, list[Row], Callable[[Row], str]]]:
    """Rows for one plot each, as (suffix of its name, of its title, rows, what its colours stand for).

    Colours are variants, or styles where there is one variant; several of both give a plot a style.
    """
    rows = list(results["results"])
    labels = variant_labels(results)
    styles = list(dict.fromkeys(str(row["style"]) for row in rows))

    def variant(row: Row) -> str:
        return labels[str(row["model"]), str(row["quant"])]

    if len(styles) == 1 or len(labels) == 1:
        yield "", "", rows, variant if len(labels) > 1 else lambda row: str(row["style"])
        return
    for style in styles:
        yield f"-{style}", f", {style}", [row for row in rows if row["style"] == style], variant


def _accuracy(
    results: Results, rows: Sequence[Row], series: Callable[[Row], str], suffix: str, title: str
) -> Iterator[Chart]:
    values = [
        _point(str(row["task"]), series(row), row["accuracy"], row["ci95"], n=row["n"])
        for row in rows
        if row["accuracy"] is not None
    ]
    spec = _points(values, "accuracy (%)", domain=(0, 100))
    paper = {(r["task"], r["style"]): r["paper"] for r in results.get("reference", ()) if r.get("paper") is not None}
    ticks = [
        {"group": str(row["task"]), "series": series(row), "paper": _percent(paper[row["task"], row["style"]])}
        for row in rows
        if (row["task"], row["style"]) in paper
    ]
    note = "Bars are 95% intervals."
    if ticks:
        note += " The upright stroke is what the ThinkSLM paper reports."
        place = {name: value for name, value in spec["layer"][-1]["encoding"].items() if name != "color"}
        spec["layer"].append(
            {
                "data": {"values": ticks},
                "mark": {"type": "tick", "thickness": 2, "size": _ROW_HEIGHT - 2, "color": "#888888"},
                "encoding": {
                    **place,
                    "x": _quantity("paper", "accuracy (%)", (0, 100)),
                    "tooltip": [{"field": "group", "title": "of"}, {"field": "paper", "title": "paper (%)"}],
                },
            }
        )
    yield Chart(f"accuracy{suffix}", f"Accuracy{title}", note, spec)


def _list_length(results: Results) -> Chart | None:
    """Sorting: accuracy over the length of the list, a line each series and kind of list."""
    several = _several(results)
    values = []
    for row in results["results"]:
        condition = str(row["task"]).partition("_")[2] or str(row["task"])
        for length, share in _shares(row, "by_length"):
            values.append(
                {
                    **_point(str(length), several(row) or "accuracy", *share(results), n=share.n),
                    "length": int(length) if str(length).isdecimal() else length,
                    "list": condition,
                }
            )
    if not values:
        return None
    colour = _colour(values)
    x = {"field": "length", "type": "ordinal", "title": "length of the list", "axis": {"labelAngle": 0}}
    offset = {"xOffset": {"field": "list"}}
    spec = {
        **_frame(values),
        "height": 220,
        "encoding": {"x": x, "color": colour},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.45},
                "encoding": {**_span("y", "accuracy (%)", (0, 100)), **offset},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {
                    "y": _quantity("value", "accuracy (%)", (0, 100)),
                    "shape": {"field": "list", "type": "nominal", "title": None},
                    "tooltip": _tooltip({"list": "list"}),
                    **offset,
                },
            },
        ],
    }
    return Chart("list-length", "Sorting: accuracy by length of the list", "Bars are 95% intervals.", spec)


def _groups(results: Results) -> Iterator[Chart]:
    """Accuracy within a task: by level, subject, perturbation, question type."""
    several = _several(results)
    for metric, (name, title, axis) in _GROUPS.items():
        by_task: dict[str, list[dict[str, Any]]] = {}
        titles: dict[str, str] = {}
        for row in results["results"]:
            for group, share in _shares(row, metric):
                point = _point(str(group), several(row) or "accuracy", *share(results), n=share.n)
                by_task.setdefault(str(row["task"]), []).append(point)
                titles[str(row["task"])] = str(row["title"])
        for task, values in by_task.items():
            spec = _points(values, "accuracy (%)", domain=(0, 100), axis=axis)
            yield Chart(f"{task}-{name}", f"{titles[task]}: accuracy {title}", "Bars are 95% intervals.", spec)


def _verdicts(results: Results) -> Chart:
    label = _bar_labels(results)
    values = []
    for row in results["results"]:
        shares = {"correct": row["correct"] / row["n"] if row["n"] else None}
        shares |= {name: row[f"{name}_rate"] for name in VERDICTS if name != "correct"}
        values += [
            {"group": label(row), "class": name, "value": _percent(share), "n": row["n"], "order": place}
            for place, (name, share) in enumerate(shares.items())
            if share
        ]
    spec = _stacked(values, "share of all items (%)", VERDICTS)
    return Chart("verdicts", "Verdicts", "Truncated and unparsed answers were never graded: see what they hide.", spec)


def _failures(results: Results) -> Chart | None:
    """Wrong items by failure class; the rest of a bar up to 100% was right."""
    label = _bar_labels(results)
    totals: dict[str, int] = {}
    for row in results["results"]:
        for name, count in row["failures"].items():
            totals[name] = totals.get(name, 0) + count
    if not totals:
        return None
    names = [*sorted(totals, key=lambda name: (-totals[name], name)), UNCLASSIFIED]
    colours = dict(zip(names, (_CLASSES[i % len(_CLASSES)] for i in range(len(names))), strict=True))
    colours[UNCLASSIFIED] = "#b8bfc6"
    values = []
    for row in results["results"]:
        counts = {**row["failures"], UNCLASSIFIED: row["n"] - row["correct"] - sum(row["failures"].values())}
        values += [
            {"group": label(row), "class": name, "value": _percent(counts[name] / row["n"]), "n": row["n"], "order": i}
            for i, name in enumerate(names)
            if counts.get(name, 0) > 0
        ]
    spec = _stacked(values, "share of all items (%)", colours)
    return Chart("failures", "Failure classes of wrong items", "What is missing to 100% was right.", spec)


def _deltas(results: Results) -> Chart | None:
    """Change of accuracy against the first variant."""
    deltas = results.get("deltas") or ()
    if not deltas:
        return None
    labels = variant_labels(results)
    several_styles = len({row["style"] for row in deltas}) > 1
    references = list(dict.fromkeys(labels[_variant(row["against"])] for row in deltas))
    values = []
    for row in deltas:
        if row["difference"] is None:
            continue
        series = labels[_variant(row)]
        if len(references) > 1:
            series += f" against {labels[_variant(row['against'])]}"
        series += f", {row['style']}" if several_styles else ""
        values.append(_point(str(row["task"]), series, row["difference"], row["ci95"], n=row["n"]))
    first = references[0] if len(references) == 1 else "the reference"
    spec = _points(values, f"change of accuracy against {first} (points)", zero=True)
    return Chart("deltas", f"Change against {first}", "Paired over the items; bars are 95% intervals.", spec)


def _baseline(results: Results) -> Chart | None:
    """Change of accuracy against the baseline, from its gates."""
    several = _several(results)
    values = []
    for gate in results["gates"]:
        fields = gate["fields"]
        if gate["kind"] in ("regression", "noninferiority", "paper") and isinstance(
            fields.get("difference"), float | int
        ):
            ends = [fields["low"] / 100, fields["high"] / 100] if "low" in fields else None
            series = several(gate) or "change"
            values.append(_point(str(gate["task"]), series, fields["difference"] / 100, ends, n=fields.get("n")))
    if not values:
        return None
    name = (results.get("baseline") or {}).get("name", "the baseline")
    spec = _points(values, f"change of accuracy against {name} (points)", zero=True)
    return Chart("baseline", f"Change against the baseline {name}", "Bars are 95% intervals.", spec)


# -- building blocks ----------------------------------------------------------------------------------------------


def _frame(values: list[dict[str, Any]]) -> Spec:
    fit = {"type": "fit-x", "contains": "padding"}
    return {"width": "container", "autosize": fit, "data": {"values": values}}


def _points(
    values: list[dict[str, Any]],
    title: str,
    *,
    domain: tuple[float, float] | None = None,
    zero: bool = False,
    axis: str = "",
) -> Spec:
    """A dot with its interval for each group and series, groups from top to bottom in their order."""
    series = list(dict.fromkeys(value["series"] for value in values))
    y = {"field": "group", "type": "nominal", "sort": _order(values, "group"), "title": axis or None, "axis": _LABELS}
    marks: list[Spec] = [
        {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6}, "encoding": _span("x", title, domain)},
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {"x": _quantity("value", title, domain), "tooltip": _tooltip()},
        },
    ]
    encoding: Spec = {"y": y, "color": _colour(values)}
    if len(series) > 1:
        encoding["yOffset"] = {"field": "series", "sort": series}
    layers: list[Spec] = [{"encoding": encoding, "layer": marks}]
    if zero:
        layers.insert(0, {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}})
    height = max(22, _ROW_HEIGHT * len(series) + 6) * len(_order(values, "group"))
    return {**_frame(values), "height": height, "layer": layers}


def _stacked(values: list[dict[str, Any]], title: str, colours: Mapping[str, str]) -> Spec:
    """Stacked bars of shares, one a group, classes in the order of ``colours``."""
    present = [name for name in colours if any(value["class"] == name for value in values)]
    return {
        **_frame(values),
        "height": 20 * len(_order(values, "group")),
        "mark": {"type": "bar", "height": {"band": 0.8}},
        "encoding": {
            "y": {
                "field": "group", "type": "nominal", "sort": _order(values, "group"), "title": None, "axis": _LABELS,
            },
            "x": {**_quantity("value", title, (0, 100)), "stack": "zero"},
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


_LABELS = {"labelLimit": 190, "ticks": False, "domain": False}


def _point(group: str, series: str, value: float, interval: Sequence[float] | None, *, n: object) -> dict[str, Any]:
    low, high = interval or (value, value)
    return {
        "group": group,
        "series": series,
        "value": _percent(value),
        "low": _percent(low),
        "high": _percent(high),
        "n": n,
    }


def _quantity(field: str, title: str, domain: tuple[float, float] | None = None) -> Spec:
    scale = {"scale": {"domain": list(domain)}} if domain else {}
    return {"field": field, "type": "quantitative", "title": title, **scale}


def _span(axis: str, title: str, domain: tuple[float, float] | None) -> Spec:
    return {axis: _quantity("low", title, domain), f"{axis}2": {"field": "high"}}


def _colour(values: Iterable[Mapping[str, Any]]) -> Spec:
    names = list(dict.fromkeys(value["series"] for value in values))
    colours = [PALETTE[index % len(PALETTE)] for index in range(len(names))]
    scale = {"domain": names, "range": colours}
    legend = {} if len(names) > 1 else {"legend": None}
    return {"field": "series", "type": "nominal", "title": None, "scale": scale, **legend}


def _tooltip(more: Mapping[str, str] | None = None) -> list[Spec]:
    own = [{"field": field, "title": title} for field, title in (more or {}).items()]
    ends = [{"field": f, "title": t, "format": ".1f"} for f, t in (("value", "%"), ("low", "from"), ("high", "to"))]
    return [{"field": "group", "title": "of"}, {"field": "series", "title": "series"}, *own, *ends, {"field": "n"}]


def _variant(row: Row) -> tuple[str, str]:
    return str(row["model"]), str(row["quant"])


def _order(values: Iterable[Mapping[str, Any]], field: str) -> list[Any]:
    return list(dict.fromkeys(value[field] for value in values))


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 3)


def _several(results: Results) -> Callable[[Row], str]:
    """Names a row's variant and style, as far as the run has several; empty where it has one of each."""
    labels = variant_labels(results)
    styles = {row["style"] for row in results["results"]}

    def label(row: Row) -> str:
        variant = labels.get((str(row.get("model")), str(row.get("quant"))), str(row.get("quant")))
        parts = [variant] * (len(labels) > 1) + [str(row.get("style"))] * (len(styles) > 1)
        return ", ".join(parts)

    return label


def _bar_labels(results: Results) -> Callable[[Row], str]:
    several = _several(results)
    return lambda row: f"{row['task']} · {name}" if (name := several(row)) else str(row["task"])


@dataclass(frozen=True, slots=True)
class _Share:
    """A group's accuracy and its number of outcomes, repeats counted."""

    value: float
    n: int

    def __call__(self, results: Results) -> tuple[float, list[float]]:
        """The accuracy and its interval: repeats of an item do not count as further items."""
        items = self.n / max(1, int(results["settings"].get("repeats") or 1))
        interval = wilson(min(self.value, 1.0) * items, items)
        return self.value, [interval.low, interval.high]


def _shares(row: Row, metric: str) -> Iterator[tuple[str, _Share]]:
    """The groups of a metric such as ``by_level`` that have an accuracy."""
    for group, value in (row.get("metrics") or {}).get(metric, {}).items():
        if isinstance(value, Mapping) and isinstance(value.get("value"), float | int) and value.get("n"):
            yield group, _Share(float(value["value"]), int(value["n"]))
