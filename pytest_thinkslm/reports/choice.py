"""Which variant to take: what each costs and what it lost, certified or not, and the fronts of the two. Pure.

Points for drops; disk and memory in bytes, speed in output tokens a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_thinkslm.core.identity import VariantKey
from pytest_thinkslm.core.tables import (
    Cell,
    Column,
    Table,
    Tone,
    figure_columns,
    markdown_line,
    markdown_table,
    print_line,
    print_table,
    stdout_console,
    text_columns,
)
from pytest_thinkslm.gates.baselines import RecordedRun
from pytest_thinkslm.gates.certificate import ONE_LOOK, Levels
from pytest_thinkslm.reports.delta_tables import amount
from pytest_thinkslm.reports.deltas import own_costs
from pytest_thinkslm.reports.pareto import Point, front
from pytest_thinkslm.runs.types import CertificateJson, FigureRow, Results

#: What a variant can be best at: its word, and what is measured.
MEASURES: Mapping[str, str] = {
    "smallest": "disk_bytes",
    "leanest": "memory_bytes",
    "fastest": "tokens_per_second",
    "cheapest": "seconds_per_solved",
    "thriftiest": "joules_per_solved",
}
_HEADINGS = {
    "disk_bytes": "disk",
    "memory_bytes": "memory",
    "tokens_per_second": "tokens/s",
    "seconds_per_solved": "s/solved",
    "joules_per_solved": "J/solved",
}
_TONES: Mapping[str, Tone] = {"GO": "good", "NO-GO": "bad", "INCONCLUSIVE": "warning"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One variant.

    Attributes:
        costs: by measure; None is not known.
        certificate: against the reference; None of the reference itself.
        fronts: the measures by which no other variant takes less and lost no more.
    """

    run: str
    variant: VariantKey
    costs: Mapping[str, float | None]
    certificate: CertificateJson | None = None
    fronts: tuple[str, ...] = ()

    @property
    def certified(self) -> bool:
        """Whether what it lost is shown to be within the margin; the reference lost nothing."""
        return self.certificate is None or self.certificate["decision"] == "GO"

    @property
    def drop(self) -> float | None:
        """Mean drop over the tasks, as observed."""
        return 0.0 if self.certificate is None else self.certificate["mean_drop"]


@dataclass(frozen=True, slots=True)
class Choice:
    """All variants, the reference first, and the best certified one by each word of ``MEASURES``."""

    candidates: tuple[Candidate, ...]
    best: Mapping[str, Candidate]
    margin: float
    level: float
    remarks: tuple[str, ...]


def levels_for(variants: int) -> Levels:
    """Those at which the one that is chosen of several is not within the margin in at most 5% (Bonferroni)."""
    return replace(ONE_LOOK, go=ONE_LOOK.go / max(1, variants))


def costs_of(run: RecordedRun, variant: VariantKey) -> dict[str, float | None]:
    """What a variant of a run takes, by the measures."""
    return costs(run.results, variant, [row for key, row in run.rows.items() if key.variant == variant])


def costs(results: Results, variant: VariantKey, rows: Sequence[FigureRow]) -> dict[str, float | None]:
    """What a variant takes: disk, memory (of the GPU where it ran there), speed; time and energy a solved item."""
    measured = results.get("measured", {}).get("variants", {})
    own = own_costs(results["variants"], measured).get(variant, {})
    counts = [row.get("output_tokens") for row in rows]
    tokens = sum(count for count in counts if count is not None) if None not in counts else None
    solved, speed = sum(row["correct"] for row in rows), own.get("tokens_per_second")
    memory = own.get("peak_gpu_memory_bytes")
    mine = measured.get(f"{variant[0]}|{variant[1]}", {})
    joules, generated = mine.get("joules"), mine.get("output_tokens")
    return {
        "disk_bytes": own.get("disk_bytes"),
        "memory_bytes": own.get("peak_memory_bytes") if memory is None else memory,
        "tokens_per_second": speed,
        "seconds_per_solved": tokens / speed / solved if tokens and speed and solved else None,
        # energy was counted over what was generated, which a journal may have made less than all
        "joules_per_solved": joules / generated * tokens / solved
        if joules and generated and tokens and solved
        else None,
    }


def choose(candidates: Sequence[Candidate], margin: float, level: float, remarks: Sequence[str] = ()) -> Choice:
    """The best certified variant by each measure, and the fronts of costs and drops.

    The reference is one of them: where nothing certified takes less than it, it is the best. A variant whose cost is
    not known is neither best by it nor on its front. Of equal ones the one that lost less is taken.

    Args:
        candidates: the reference first.
        level: one-sided, of each certificate.
    """
    fronts = {name: _front(name, candidates) for name in MEASURES.values()}
    placed = tuple(
        replace(one, fronts=tuple(name for name, places in fronts.items() if str(place) in places))
        for place, one in enumerate(candidates)
    )
    best = {}
    for word, name in MEASURES.items():
        known = [one for one in placed if one.certified and one.costs.get(name) is not None]
        if known:
            best[word] = min(known, key=lambda one: (_burden(one, name), one.drop or 0.0))
    return Choice(placed, best, margin, level, tuple(remarks))


def _burden(candidate: Candidate, name: str) -> float:
    """A cost such that less is better; infinite where it is not known."""
    value = candidate.costs.get(name)
    if value is None:
        return float("inf")
    return -value if name == "tokens_per_second" else value


def _front(name: str, candidates: Sequence[Candidate]) -> set[str]:
    """The places among the candidates of those that no other one beats in this cost and its drop."""
    points = [
        Point(str(place), _burden(one, name), -one.drop)
        for place, one in enumerate(candidates)
        if one.drop is not None and one.costs.get(name) is not None
    ]
    return {point.name for point in front(points)}


# --- as it is printed


def _table(choice: Choice) -> Table:
    known = [name for name in MEASURES.values() if any(one.costs.get(name) is not None for one in choice.candidates)]
    columns = [
        *text_columns("variant", "decision"),
        *figure_columns("drop", "at least", "at most"),
        *(Column(_HEADINGS[name]) for name in known),
        Column("on the front of", "left"),
    ]
    rows = [
        [
            Cell(_name(choice, one)),
            Cell("reference") if one.certificate is None else _decision(one.certificate["decision"]),
            *map(Cell, _drops(one)),
            *(Cell(_cost(name, one.costs.get(name))) for name in known),
            Cell(", ".join(_HEADINGS[name] for name in one.fronts) or "–"),
        ]
        for one in choice.candidates
    ]
    notes = [
        f"drop: mean of the tasks, in points; at most at one-sided {100 * (1 - choice.level):.4g}%, at least at 97.5%",
        "front: no other variant takes less and lost no more, as measured",
        *([] if known else ["neither size nor speed of any variant is known: recorded outputs have none"]),
        *choice.remarks,
    ]
    return Table(columns, rows, f"Within {choice.margin:g} points of {_name(choice, choice.candidates[0])}", notes)


def _decision(decision: str) -> Cell:
    return Cell(decision, _TONES.get(decision, ""))


def _drops(one: Candidate) -> list[str]:
    bounds = None if one.certificate is None else one.certificate["bounds"]
    shown = [one.drop if one.certificate is not None else None, *(bounds or (None, None))]
    return ["–" if value is None else f"{value:+.1f}" for value in shown]


def _cost(name: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if name.endswith("_per_solved") else amount(name, value)


def _name(choice: Choice, one: Candidate) -> str:
    """A variant by its name, with its run where another one has the same name."""
    alike = sum(other.variant == one.variant for other in choice.candidates) > 1
    name = f"{one.variant[0]} ({one.variant[1]})"
    return f"{name} of {one.run}" if alike else name


def _sentences(choice: Choice) -> list[str]:
    reference, *others = choice.candidates
    certified = [one for one in others if one.certified]
    if not certified:
        return [f"none: no variant is certified within {choice.margin:g} points of {_name(choice, reference)}"]
    found = []
    for word, name in MEASURES.items():
        if (best := choice.best.get(word)) is not None:
            whose = ", the reference itself" if best is reference else ""
            found.append(f"{word}: {_name(choice, best)}{whose} ({_HEADINGS[name]} {_cost(name, best.costs[name])})")
    return found or ["certified: " + ", ".join(_name(choice, one) for one in certified)]


def as_text(choice: Choice) -> str:
    """For a terminal."""
    console = stdout_console(120)
    with console.capture() as capture:
        print_table(console, _table(choice))
        for line in _sentences(choice):
            print_line(console, line, "strong")
        for one in choice.candidates:
            if one.certificate is not None and not one.certified:
                print_line(console, f"{_name(choice, one)}: {one.certificate['sentence']}", "quiet")
    return capture.get()


def as_markdown(choice: Choice) -> str:
    """For a comment or a file."""
    table = _table(choice)
    lines = [f"### {markdown_line(table.title)}", "", *markdown_table(table), ""]
    lines += [f"- **{markdown_line(line)}**" for line in _sentences(choice)]
    lines += [
        f"- {markdown_line(_name(choice, one))}: {markdown_line(one.certificate['sentence'])}"
        for one in choice.candidates
        if one.certificate is not None and not one.certified
    ]
    return "\n".join([*lines, "", *(f"> {markdown_line(note)}  " for note in table.notes)]).rstrip() + "\n"


def as_json(choice: Choice) -> str:
    """All of it."""
    value = {
        "within": choice.margin,
        "level": choice.level,
        "variants": [
            {
                **_identity(one),
                "certified": one.certified,
                "drop": one.drop,
                "costs": dict(one.costs),
                "fronts": list(one.fronts),
                "certificate": one.certificate,
            }
            for one in choice.candidates
        ],
        **{word: _identity(choice.best[word]) if word in choice.best else None for word in MEASURES},
        "remarks": list(choice.remarks),
    }
    return json.dumps(value, indent=2) + "\n"


def _identity(one: Candidate) -> dict[str, str]:
    return {"run": one.run, "model": one.variant[0], "quant": one.variant[1]}


#: How a choice is printed, by name.
WRITERS: Mapping[str, Callable[[Choice], str]] = {"rich": as_text, "markdown": as_markdown, "json": as_json}
