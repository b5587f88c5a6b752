"""Gates and a judge that failed its canaries: it decides none, and the run that let it decide a verdict fails. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import ItemRecord, group_key
from pytest_thinkslm.gates.outcomes import GateResult
from pytest_thinkslm.runs.types import FigureRow, Results

#: Rows that the sentence about a judge names; results.json has them all.
_NAMED = 6


def misjudged(results: Results) -> list[FigureRow]:
    """The rows in which a judge decided verdicts though it failed its canaries."""
    judge = results.get("judge")
    if judge is None or judge["canaries"]["trusted"]:
        return []
    return [row for row in results["results"] if "judge" in row and row["judge"]["decided"]]


def judge_gate(results: Results, label: str = "judge") -> GateResult | None:
    """The gate that fails a run whose judge failed its canaries and decided any verdict; None where all is well.

    Neither an option nor an interruption takes it back. The parser's accuracies stand in its sentence.
    """
    rows, judge = misjudged(results), results.get("judge")
    if not rows:
        beside = 0 if judge is None or judge["canaries"]["trusted"] else judge.get("decided_beside", 0)
        sentence = f"decided {beside} verdicts of changed forms, seed questions or further runs, so this run fails"
        return _against(label, f"{_failed_canaries(results)} and {sentence}", beside, beside) if beside else None
    decided, n = sum(row["judge"]["decided"] for row in rows), sum(row["n"] for row in rows)
    both = [
        f"{row['label']} ({row['style']}) {_percent(row['judge']['accuracy_parser'])} "
        f"(with the judge {_percent(row['accuracy'])})"
        for row in rows[:_NAMED]
    ]
    more = [f"and {len(rows) - _NAMED} more"] if len(rows) > _NAMED else []
    sentence = (
        f"{_failed_canaries(results)} and decided {decided} of {n} verdicts, so this run fails; accuracy by "
        f"the parser alone: {', '.join([*both, *more])}"
    )
    return _against(label, sentence, decided, n)


def _against(label: str, sentence: str, decided: int, n: int) -> GateResult:
    return GateResult(f"gate::{label}", "judge", label, False, f"{label}: {sentence}", {"decided": decided, "n": n})


def without_misjudged(
    decided: Iterable[GateResult],
    keys: Mapping[str, GroupKey],
    results: Results,
    by_parser: Mapping[str, GateResult] | None = None,
) -> tuple[GateResult, ...]:
    """No gate is decided by verdicts of a judge that failed its canaries.

    Args:
        keys: the group of each gate's label.
        results: of the run whose judge it is.
        by_parser: the same gates on the parser's verdicts, by name, to be said beside it.
    """
    judged = {group_key(row) for row in misjudged(results)}
    if not judged:
        return tuple(decided)
    return tuple(
        replace(
            gate,
            passed=False,
            sentence=f"{gate.label}: failed, it rests on verdicts of the judge: {_failed_canaries(results)}"
            + _said_by_parser((by_parser or {}).get(gate.name)),
            fields={},
            lost=(),
            gained=(),
        )
        if keys.get(gate.label) in judged
        else gate
        for gate in decided
    )


def parsers(records: Iterable[ItemRecord]) -> Iterator[ItemRecord]:
    """The records with the parser's verdicts in place of a judge's."""
    for record in records:
        verdict = record.get("parser_verdict")
        yield {**record, "verdict": verdict} if verdict else record


def _failed_canaries(results: Results) -> str:
    judge = results["judge"]
    canaries = judge["canaries"]
    return (
        f"{judge['model']} got {canaries['right']} of {canaries['n']} canaries right "
        f"(needed: {canaries['threshold']:.0%})"
    )


def _said_by_parser(gate: GateResult | None) -> str:
    return "" if gate is None else f"; by the parser alone: {gate.sentence.removeprefix(f'{gate.label}: ')}"


def _percent(value: float | None) -> str:
    return "void" if value is None else f"{100 * value:.1f}%"
