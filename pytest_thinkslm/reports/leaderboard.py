"""Runs merged into one table in the layout of the ThinkSLM paper's. Pure.

What was measured under different conditions is kept apart: a ``RankedGroup`` holds variants of the same sampling,
selection and judge, whose shared (task, style)s were asked about the same items with the same prompts and data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Literal

from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.reference.table import COLUMNS as PAPER_CELLS
from pytest_thinkslm.reference.table import RUNS, SPLIT_SIZES, paper_rows
from pytest_thinkslm.reports.leaderboard_entries import Basis, CellKey, RunEntry, Score

#: The six columns of which ``sorting_average`` is the mean.
SORTING: Sequence[CellKey] = tuple(key for key in PAPER_CELLS.values() if key[0].startswith("sort"))

#: Which rows of the paper are shown beside the runs: all, those of the same models, none.
PaperRows = Literal["all", "same", "none"]


@dataclass(slots=True)
class Line:
    """One variant as it is shown: of the paper, or of one or more runs under the same conditions. Memory is in GiB."""

    model: str
    quant: str
    display: str
    parameters: str
    quantization: str
    gpu_memory: float | None
    disk: float | None
    cells: dict[CellKey, Score]
    runs: list[str] = field(default_factory=list)
    engines: list[str] = field(default_factory=list)
    started: str = ""
    overall_average: float | None = None
    speed: float | None = None

    @property
    def sorting_average(self) -> float | None:
        """Mean of the six sorting columns; None unless all six are there."""
        found = [cell.accuracy for key in SORTING if (cell := self.cells.get(key)) is not None]
        known = [accuracy for accuracy in found if accuracy is not None]
        return sum(known) / len(SORTING) if len(known) == len(SORTING) else None


@dataclass(slots=True)
class RankedGroup:
    """Variants that can be ranked together. ``differs``: what tells it from groups of the same conditions."""

    name: str
    conditions: Mapping[str, str]
    lines: list[Line] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    paper: bool = False

    @property
    def title(self) -> str:
        """For people: "A", or "paper"."""
        return "The paper" if self.paper else f"Group {self.name}"


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The groups, the runs' first; ``remarks`` state what was left out or must be known."""

    groups: tuple[RankedGroup, ...]
    remarks: tuple[str, ...]

    @property
    def columns(self) -> list[CellKey]:
        """(task, style)s: the paper's, then what runs have beside them, in the suite's order."""
        own = {key for group in self.groups for line in group.lines for key in line.cells}
        return [*PAPER_CELLS.values(), *sorted(own - set(PAPER_CELLS.values()), key=_suite_order)]


def merge(found: Iterable[RunEntry], paper: PaperRows = "all") -> Leaderboard:
    """The leaderboard of all entries.

    The figures of one variant from several runs under the same conditions make one line; where two runs have the same
    (task, style), the newer figure is shown and the older one named in the remarks. Under other conditions the variant
    has a line in each group.
    """
    groups: list[_Builder] = []
    remarks: list[str] = []
    models: set[str] = set()
    for entry in sorted(found, key=lambda entry: (entry.started, entry.run), reverse=True):
        home, reasons = _home(groups, entry)
        if home is None:
            home = _Builder(entry.conditions, reasons)
            groups.append(home)
        remarks += home.add(entry)
        models.add(entry.model.lower())
    groups.sort(key=lambda group: -len(group.lines))
    for place, group in enumerate(groups):
        group.name = _letters(place)
    result = [group.finish() for group in groups]
    if paper != "none":
        result += _paper_group(None if paper == "all" else models)
    if len(groups) > 1:
        remarks.insert(
            0,
            f"{len(groups)} groups of runs differ in prompts, sampling, selection or data: "
            "figures of one group are not to be ranked with those of another",
        )
    return Leaderboard(tuple(result), tuple(remarks))


class _Builder:
    """A group in the making."""

    def __init__(self, conditions: Mapping[str, str], differs: Sequence[tuple[_Builder, str]]) -> None:
        self.name = ""
        self.conditions = conditions
        self.lines: dict[tuple[str, ...], Line] = {}
        self._differs = list(differs)
        self._asked: dict[CellKey, Basis] = {}

    def refuses(self, entry: RunEntry) -> str:
        """Why an entry of the same conditions does not belong here; empty where it does."""
        reasons: dict[str, list[str]] = {}
        for key, asked in entry.asked.items():
            other = self._asked.get(key)
            if other is not None and (reason := _difference(asked, other)):
                reasons.setdefault(reason, []).append(f"{key[0]} ({key[1]})")
        return "; ".join(f"{reason} in {_some(cells)}" for reason, cells in reasons.items())

    def add(self, entry: RunEntry) -> Iterator[str]:
        """Take an entry, older than all before; yields what of it is not shown."""
        for key, asked in entry.asked.items():
            self._asked.setdefault(key, asked)
        line = self.lines.get(entry.identity)
        if line is None:
            line = self.lines[entry.identity] = Line(
                entry.model,
                entry.quant,
                entry.display,
                entry.parameters,
                entry.quantization,
                entry.gpu_memory,
                entry.disk,
                {},
                started=entry.started,
            )
        line.gpu_memory = entry.gpu_memory if line.gpu_memory is None else line.gpu_memory
        line.disk = entry.disk if line.disk is None else line.disk
        line.speed = entry.speed if line.speed is None else line.speed
        old = [key for key in entry.cells if key in line.cells]
        line.cells |= {key: cell for key, cell in entry.cells.items() if key not in line.cells}
        if len(old) < len(entry.cells):
            line.runs.append(entry.run)
            line.engines += [entry.engine] if entry.engine not in line.engines else []
        if old:
            names = _some([f"{task} ({style})" for task, style in old])
            yield f"{entry.model} ({entry.quant}): {names} of run {entry.run} is older than what is shown, and left out"

    def finish(self) -> RankedGroup:
        """The group with its lines in order, and what tells it from others of the same conditions."""
        found = dict.fromkeys(f"against group {other.name}: {reason}" for other, reason in self._differs)
        return RankedGroup(self.name, self.conditions, sorted(self.lines.values(), key=_line_order), list(found))


def _home(groups: Sequence[_Builder], entry: RunEntry) -> tuple[_Builder | None, list[tuple[_Builder, str]]]:
    """The first group that an entry belongs to, else why those of its conditions refuse it."""
    reasons = []
    for group in groups:
        if group.conditions == entry.conditions:
            reason = group.refuses(entry)
            if not reason:
                return group, []
            reasons.append((group, reason))
    return None, reasons


def _paper_group(models: Collection[str] | None) -> list[RankedGroup]:
    """Its rows, or those of whose model one of these names (in lower case) is the key or the hub id of a row."""
    rows = paper_rows()
    if models is not None:
        same = {row.model for row in rows if row.model in models or row.hub_id.lower() in models}
        rows = tuple(row for row in rows if row.model in same)
    lines = [
        Line(
            row.name,
            row.quant,
            row.hub_id,
            row.parameters,
            row.quantization,
            row.gpu_memory,
            row.disk,
            {key: Score(accuracy, None, SPLIT_SIZES[key[0]]) for key, accuracy in row.accuracies.items()},
            overall_average=row.overall_average,
        )
        for row in rows
    ]
    conditions = {
        "source": "ThinkSLM, EMNLP 2025, as published",
        "runs": f"{RUNS} sampled runs of the full split, pooled",
        "prompts, temperature, token limits": "not published",
    }
    return [RankedGroup("paper", conditions, lines, paper=True)] if lines else []


def _line_order(line: Line) -> tuple[str, int, str]:
    schemes = list(SCHEMES)
    return line.model.lower(), schemes.index(line.quant) if line.quant in schemes else len(schemes), line.quant


def _suite_order(key: CellKey) -> tuple[int, str, int, str]:
    from pytest_thinkslm.tasks import registry
    from pytest_thinkslm.tasks.prompts import STYLES

    tasks, styles = list(registry.all_tasks()), list(map(str, STYLES))
    return (
        tasks.index(key[0]) if key[0] in tasks else len(tasks),
        key[0],
        styles.index(key[1]) if key[1] in styles else len(styles),
        key[1],
    )


def _letters(place: int) -> str:
    """A to Z, then AA, AB ..."""
    first, last = divmod(place, len(ascii_uppercase))
    return (_letters(first - 1) if first else "") + ascii_uppercase[last]


def _difference(asked: Basis, other: Basis) -> str:
    """What differs between what two figures rest on; empty where they are of the same items, data and prompts."""
    if asked.items != other.items:
        return f"other items ({len(asked.items)}, not {len(other.items)})"
    if asked.data != other.data:
        return f"other data ({_state(asked.data)}, not {_state(other.data)})"
    shared = asked.prompts.keys() & other.prompts.keys()
    return "other prompts" if any(asked.prompts[item] != other.prompts[item] for item in shared) else ""


def _some(names: Sequence[str]) -> str:
    """The first few of many."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _state(data: Sequence[str]) -> str:
    return " ".join(filter(None, data)) or "unknown"
