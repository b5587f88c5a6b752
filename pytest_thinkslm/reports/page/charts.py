"""The plots of a report as Vega-Lite specifications. Pure: the content of results.json in, dicts out.

The page draws them in the browser, ``thinkslm page --svg`` makes an image of one. All values
are in_percent, or percentage points for differences. Intervals are those of results.json; of a group within a task
(a level, a list length) Wilson's, on its number of items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, TypedDict, cast

from pytest_thinkslm.core.identity import GroupKey, short_names
from pytest_thinkslm.core.item_record import GroupJson, VariantJson, group_key
from pytest_thinkslm.core.shapes import misfit
from pytest_thinkslm.reports.choice import costs
from pytest_thinkslm.reports.page.vegalite import (
    ROW_HEIGHT,
    Spec,
    distinct,
    dot,
    dots,
    frame,
    in_percent,
    interval_ends,
    quantity,
    series_colour,
    stacked_bars,
    tooltip,
)
from pytest_thinkslm.reports.pareto import Point, front
from pytest_thinkslm.reports.summary import overall, row_name
from pytest_thinkslm.runs.types import FigureRow, Results
from pytest_thinkslm.statistics import wilson

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


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot: ``name`` for links and files, ``title`` and ``note`` for readers, ``spec`` for Vega-Lite."""

    name: str
    title: str
    note: str
    spec: Spec


def charts(results: Results) -> list[Chart]:
    """Every plot that the run has something for."""
    panels = list(_panels(results))
    made = [
        *(_accuracy(results, panel) for panel in panels),
        *(_list_length(results, panel) for panel in panels),
        *chain.from_iterable(zip_longest(*(_groups(results, panel) for panel in panels))),
        *chain.from_iterable(_budget_curves(results, panel) for panel in panels),
        *(_verdicts(panel) for panel in panels),
        *(_failures(panel) for panel in panels),
        *(_deltas(results, panel) for panel in panels),
        *chain.from_iterable(_costs(results, panel) for panel in panels),
        *(_baseline(results, panel) for panel in panels),
    ]
    return [chart for chart in made if chart and chart.spec["data"]["values"]]


def variant_labels(results: Results) -> dict[tuple[str, str], str]:
    """A short name of each (model, quant): what tells the run's variants apart."""
    variants = list(dict.fromkeys((str(v["model"]), str(v["quant"])) for v in results["variants"]))
    variants = list(dict.fromkeys([*variants, *((str(r["model"]), str(r["quant"])) for r in results["results"])]))
    names = short_names(model for model, _ in variants)
    models, quants = {model for model, _ in variants}, {quant for _, quant in variants}
    if len(models) == 1 and len(quants) > 1:
        return {variant: variant[1] for variant in variants}
    if len(quants) == 1:
        return {variant: names[variant[0]] for variant in variants}
    return {variant: f"{names[variant[0]]}, {variant[1]}" for variant in variants}


@dataclass(frozen=True, slots=True)
class _Panel:
    """The rows of one plot, and what its colours stand for: variants, or styles where the run has one variant.

    ``suffix`` and ``title`` are appended to the name and the title of its plots: the style where a run has several
    variants and styles, so that no plot shows both.
    """

    rows: list[FigureRow]
    series: Callable[[FigureRow], str]
    several: bool
    suffix: str = ""
    title: str = ""

    def bar(self, row: FigureRow) -> str:
        """The label of a row's bar."""
        return f"{row_name(row)} · {self.series(row)}" if self.several else row_name(row)


def _panels(results: Results) -> Iterator[_Panel]:
    labels = variant_labels(results)
    order = list(labels)
    # by task first, then in the run's order of variants
    tasks = list(dict.fromkeys(row["task"] for row in results["results"]))
    rows = sorted(results["results"], key=lambda row: (tasks.index(row["task"]), order.index(_variant(row))))
    styles = list(dict.fromkeys(str(row["style"]) for row in rows))
    if len(labels) == 1:
        yield _Panel(rows, lambda row: str(row["style"]), len(styles) > 1)
        return
    for style in styles:
        own = [row for row in rows if row["style"] == style]
        named = (f"-{style}", f", {style}") if len(styles) > 1 else ("", "")
        yield _Panel(own, lambda row: labels[_variant(row)], True, *named)


def _accuracy(results: Results, panel: _Panel) -> Chart:
    rows, series = panel.rows, panel.series
    values = [
        dot(row_name(row), series(row), row["accuracy"], row["ci95"], n=row["n"])
        for row in rows
        if row["accuracy"] is not None
    ]
    spec = dots(values, "accuracy (%)", domain=(0, 100))
    paper = {group_key(row): row["paper"] for row in results.get("reference") or ()}
    keys = [(row, group_key(row)) for row in rows]
    ticks = [
        {"group": row_name(row), "series": series(row), "paper": in_percent(paper[key])}
        for row, key in keys
        if paper.get(key) is not None
    ]
    note = "Bars are 95% intervals."
    if ticks:
        note += " The upright stroke is what the ThinkSLM paper reports."
        place = {name: value for name, value in spec["layer"][-1]["encoding"].items() if name != "color"}
        spec["layer"].append(
            {
                "data": {"values": ticks},
                "mark": {"type": "tick", "thickness": 2, "size": ROW_HEIGHT - 2, "color": "#888888"},
                "encoding": {
                    **place,
                    "x": quantity("paper", "accuracy (%)", (0, 100)),
                    "tooltip": [{"field": "group", "title": "of"}, {"field": "paper", "title": "paper (%)"}],
                },
            }
        )
    return Chart(f"accuracy{panel.suffix}", f"Accuracy{panel.title}", note, spec)


def _list_length(results: Results, panel: _Panel) -> Chart | None:
    """Sorting: accuracy over the length of the list."""
    values = []
    for row in panel.rows:
        condition = str(row["task"]).partition("_")[2] or str(row["task"])
        for length, share in _shares(row, "by_length"):
            values.append(
                {
                    **dot(str(length), panel.series(row), *share(results), n=share.n),
                    "length": int(length) if str(length).isdecimal() else length,
                    "list": condition,
                    "place": f"{condition}, {panel.series(row)}",
                }
            )
    if not values:
        return None
    colour = series_colour(values)
    series, lists = distinct(values, "series"), sorted(distinct(values, "list"))
    places = [f"{each}, {name}" for each in lists for name in series]
    x = {"field": "length", "type": "ordinal", "title": "length of the list", "axis": {"labelAngle": 0}}
    offset = {"xOffset": {"field": "place", "sort": places}}
    spec = {
        **frame(values),
        "height": 220,
        "encoding": {"x": x, "color": colour},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.45},
                "encoding": {**interval_ends("y", "accuracy (%)", (0, 100)), **offset},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {
                    "y": quantity("value", "accuracy (%)", (0, 100)),
                    "shape": {"field": "list", "type": "nominal", "title": None},
                    "tooltip": tooltip({"list": "list"}),
                    **offset,
                },
            },
        ],
    }
    title = f"Sorting: accuracy by length of the list{panel.title}"
    return Chart(f"list-length{panel.suffix}", title, "Bars are 95% intervals.", spec)


def _groups(results: Results, panel: _Panel) -> Iterator[Chart]:
    """Accuracy within a task: by level, subject, perturbation, question type."""
    for metric, (name, title, axis) in _GROUPS.items():
        by_task: dict[str, list[dict[str, Any]]] = {}
        titles: dict[str, str] = {}
        for row in panel.rows:
            for group, share in _shares(row, metric):
                point = dot(str(group), panel.series(row), *share(results), n=share.n)
                by_task.setdefault(str(row["task"]), []).append(point)
                titles[str(row["task"])] = str(row["title"])
        for task, values in by_task.items():
            spec = dots(values, "accuracy (%)", domain=(0, 100), axis=axis)
            full = f"{titles[task]}: accuracy {title}{panel.title}"
            yield Chart(f"{task}-{name}{panel.suffix}", full, "Bars are 95% intervals.", spec)


def _budget_curves(results: Results, panel: _Panel) -> Iterator[Chart]:
    """Accuracy over the length of the thought, a plot a task."""
    curves = {group_key(curve): curve for curve in results.get("budget_curves") or ()}
    by_task: dict[str, list[dict[str, Any]]] = {}
    titles: dict[str, str] = {}
    for row in panel.rows:
        curve = curves.get(group_key(row))
        for point in curve["points"] if curve is not None else ():
            if point["accuracy"] is not None:
                own = dot(str(point["budget"]), panel.series(row), point["accuracy"], point["ci95"], n=point["n"])
                by_task.setdefault(row["task"], []).append({**own, "budget": point["budget"]})
                titles[row["task"]] = row["title"]
    for task, values in by_task.items():
        x = {
            **quantity("budget", "tokens of the thought, at most"),
            "scale": {"type": "log", "nice": False, "padding": 16},
            "axis": {"grid": False},
        }
        y = quantity("value", "accuracy (%)", (0, 100))
        marks = [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.45},
                "encoding": interval_ends("y", "accuracy (%)", (0, 100)),
            },
            {"mark": {"type": "line", "opacity": 0.6}, "encoding": {"y": y}},
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"y": y, "tooltip": tooltip({"budget": "tokens"})},
            },
        ]
        spec = {**frame(values), "height": 200, "encoding": {"x": x, "color": series_colour(values)}, "layer": marks}
        note = "Thoughts are closed at so many tokens and the answer asked for. Bars are 95% intervals."
        yield Chart(
            f"{task}-budget{panel.suffix}",
            f"{titles[task]}: accuracy by the length of the thought{panel.title}",
            note,
            spec,
        )


def _verdicts(panel: _Panel) -> Chart:
    values = []
    for row in panel.rows:
        shares = {
            "correct": row["correct"] / row["n"] if row["n"] else None,
            "incorrect": row["incorrect_rate"],
            "unparsed": row["unparsed_rate"],
            "truncated": row["truncated_rate"],
            "error": row["error_rate"],
        }
        values += [
            {"group": panel.bar(row), "class": name, "value": in_percent(share), "n": row["n"], "order": place}
            for place, (name, share) in enumerate(shares.items())
            if share
        ]
    spec = stacked_bars(values, "share of all items (%)", VERDICTS)
    note = "Unparsed and truncated answers were not graded: they count as wrong."
    return Chart(f"verdicts{panel.suffix}", f"Verdicts{panel.title}", note, spec)


def _failures(panel: _Panel) -> Chart | None:
    """Wrong items by failure class; the rest of a bar up to 100% was right."""
    totals: dict[str, int] = {}
    for row in panel.rows:
        for name, count in row["failures"].items():
            totals[name] = totals.get(name, 0) + count
    if not totals:
        return None
    names = [*sorted(totals, key=lambda name: (-totals[name], name)), UNCLASSIFIED]
    colours = dict(zip(names, (_CLASSES[i % len(_CLASSES)] for i in range(len(names))), strict=True))
    colours[UNCLASSIFIED] = "#b8bfc6"
    values = []
    for row in panel.rows:
        counts = {**row["failures"], UNCLASSIFIED: row["n"] - row["correct"] - sum(row["failures"].values())}
        values += [
            {
                "group": panel.bar(row),
                "class": name,
                "value": in_percent(counts[name] / row["n"]),
                "n": row["n"],
                "order": i,
            }
            for i, name in enumerate(names)
            if counts.get(name, 0) > 0
        ]
    spec = stacked_bars(values, "share of all items (%)", colours)
    title = f"Failure classes of wrong items{panel.title}"
    return Chart(f"failures{panel.suffix}", title, "What is missing to 100% was right.", spec)


def _deltas(results: Results, panel: _Panel) -> Chart | None:
    """Change of accuracy of each variant against its reference."""
    rows = {group_key(row): row for row in results.get("deltas") or ()}
    labels = variant_labels(results)
    references = list(dict.fromkeys(labels[_variant(row["against"])] for row in rows.values()))
    changes = {
        key: (row["difference"], row["ci95"], row["n"]) for key, row in rows.items() if row["difference"] is not None
    }
    against = references[0] if len(references) == 1 else "the reference"
    return _changes("deltas", panel, changes, against, "Paired over the items; bars are 95% intervals.")


#: What accuracy is drawn over: name of the chart, cost, its unit and axis, and whether more of it is better.
_COSTS = (
    ("disk", "disk_bytes", 2**30, "disk (GiB)", False),
    ("memory", "memory_bytes", 2**30, "peak memory (GiB)", False),
    ("speed", "tokens_per_second", 1, "tokens a second", True),
    ("energy", "joules_per_solved", 1, "joules a solved item", False),
)


def _costs(results: Results, panel: _Panel) -> Iterator[Chart]:
    """Accuracy over what a variant takes, with the front: those that no other one beats in both."""
    rows: dict[tuple[str, str], list[FigureRow]] = {}
    for row in panel.rows:
        rows.setdefault(_variant(row), []).append(row)
    sizes = {len(own) for own in rows.values()}
    if len(rows) < 2 or len(sizes) > 1:
        return
    takes = {variant: costs(results, variant, own) for variant, own in rows.items()}
    for name, cost, unit, axis, more_is_better in _COSTS:
        values = []
        for variant, own in rows.items():
            taken = takes[variant][cost]
            accuracy, ends = _mean(own)
            if taken and accuracy is not None:
                point = dot(panel.series(own[0]), panel.series(own[0]), accuracy, ends, n=sum(row["n"] for row in own))
                values.append({**point, "cost": float(f"{taken / unit:.4g}")})
        if len(values) < 2:
            continue
        points = [Point(value["series"], value["cost"], value["value"]) for value in values]
        best = {point.name for point in front(points, more_is_better=more_is_better)}
        for value in values:
            value["front"] = value["series"] in best
        x = {
            **quantity("cost", axis),
            "scale": {"type": "log", "nice": False, "padding": 16},
            "axis": {"grid": False, "format": "~g"},
        }
        y = {**quantity("value", "accuracy (%)"), "scale": {"zero": False}}
        spec = {
            **frame(values),
            "height": 220,
            "encoding": {"x": x},
            "layer": [
                {
                    "transform": [{"filter": "datum.front"}],
                    "mark": {"type": "line", "strokeDash": [4, 3], "opacity": 0.7, "color": "#888888"},
                    "encoding": {"y": y, "order": {"field": "cost"}},
                },
                {
                    "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.45},
                    "encoding": {**interval_ends("y", "accuracy (%)", None), "color": series_colour(values)},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                    "encoding": {"y": y, "color": series_colour(values), "tooltip": tooltip({"cost": axis})},
                },
            ],
        }
        note = "Mean of the tasks, bars are 95% intervals; dashed: the front. Which one is certified: thinkslm choose."
        yield Chart(f"cost-{name}{panel.suffix}", f"Accuracy over {axis}{panel.title}", note, spec)


def _mean(rows: Sequence[FigureRow]) -> tuple[float | None, Sequence[float] | None]:
    """The accuracy of one row, or the mean of several and its interval; None where one of them has none."""
    if len(rows) == 1:
        return rows[0]["accuracy"], rows[0]["ci95"]
    means = overall(rows)
    return (means[0].accuracy, means[0].ci95) if means and means[0].tasks == len(rows) else (None, None)


def _baseline(results: Results, panel: _Panel) -> Chart | None:
    """Change of accuracy against the baseline, from its gates; variants against each other have their own chart."""
    if "baseline" not in results:
        return None
    changes = {}
    for gate in results["gates"]:
        fields = {name: value for name, value in gate["fields"].items() if isinstance(value, float | int)}
        if "task" in gate and "difference" in fields:
            ends = [fields["low"] / 100, fields["high"] / 100] if "low" in fields else None
            key = group_key(cast("GroupJson", gate))
            changes[key] = (fields["difference"] / 100, ends, fields.get("n"))
    against = f"the baseline {results['baseline']['name']}"
    return _changes("baseline", panel, changes, against, "Bars are 95% intervals.")


def _changes(
    name: str,
    panel: _Panel,
    changes: Mapping[GroupKey, tuple[float, Sequence[float] | None, object]],
    against: str,
    note: str,
) -> Chart | None:
    """Differences, their intervals and n, by (model, quant, task, style)."""
    values = []
    for row in panel.rows:
        change = changes.get(group_key(row))
        if change is not None:
            values.append(dot(row_name(row), panel.series(row), change[0], change[1], n=change[2]))
    if not values:
        return None
    spec = dots(values, f"change of accuracy against {against} (points)", zero=True)
    return Chart(f"{name}{panel.suffix}", f"Change against {against}{panel.title}", note, spec)


def _variant(row: VariantJson) -> tuple[str, str]:
    return str(row["model"]), str(row["quant"])


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


class _ShareJson(TypedDict):
    """Such a group in results.json; a user's task may have others."""

    value: float
    n: int


def _shares(row: FigureRow, metric: str) -> Iterator[tuple[str, _Share]]:
    """The groups of a metric such as ``by_level`` that have an accuracy."""
    groups = (row.get("metrics") or {}).get(metric)
    for group, value in groups.items() if isinstance(groups, Mapping) else ():
        if isinstance(value, Mapping) and not misfit(value, _ShareJson) and value["n"] > 0:
            yield group, _Share(float(value["value"]), value["n"])
