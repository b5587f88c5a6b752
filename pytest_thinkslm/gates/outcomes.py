"""What gates decide on, and what they say. Pure; percent and percentage points throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor, log10

from pytest_thinkslm.core.records import VerdictName
from pytest_thinkslm.runs.types import GateKind
from pytest_thinkslm.statistics import AccuracyInterval, PairedResult
from pytest_thinkslm.statistics.sequential import State

FieldValue = str | int | float | None

#: One-sided level of the regression and non-inferiority gates.
ALPHA = 0.05

#: The option that lets gates pass that could not be evaluated.
ALLOW = "--allow-unevaluated"


@dataclass(frozen=True, slots=True)
class GatedGroup:
    """What was measured for one member of the family (task x style x variant).

    Attributes:
        label: its name in reports and gates, unique in a run: the task, with style and variant where there are several.
        task: task key.
        accuracy: per-item accuracy with its interval.
        verdicts: number of outcomes by verdict, repeats counted.
        comparison: against the baseline, keyed by item name; None where the baseline has none of it.
        note: shown at the end of the sentence of accuracy gates, e.g. the change of the task's own metric.
        void: why the accuracy does not count (too many errors), else empty.
        unfit: why a margin gate cannot be decided, though there may be a comparison to show; else empty.
        worst: the comparison with errors counted against the run; None where there are none.
        errors: how many shared items ``worst`` counts so.
        inconsistent: items whose verdict is not the same in every form (``--stress``), and of how many; None where no
            changed form came.
        no_forms: why the command asks no changed form of it; empty where it does.
        reference: whether other cells of the run are compared with this one, which then has no margin gate.
        standing: where the run was looked at while it went on: how far this cell's margin gate has come.
    """

    label: str
    task: str
    accuracy: AccuracyInterval
    verdicts: Mapping[VerdictName, int] = field(default_factory=dict)
    comparison: PairedResult[str] | None = None
    note: str = ""
    void: str = ""
    unfit: str = ""
    worst: PairedResult[str] | None = None
    errors: int = 0
    inconsistent: tuple[int, int] | None = None
    no_forms: str = ""
    reference: bool = False
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the group-sequential test of a margin gate has come.

    ``items`` of ``of`` comparable items are in its prefix; ``look`` of ``looks`` looks were taken. At the last of them
    a one-sided p-value of ``level`` counts as shown, which makes ``alpha`` over all of them. ``decider`` is the label
    of another gate that decided the run before this one was.
    """

    items: int
    of: int
    look: int
    looks: int
    level: float
    alpha: float
    state: State
    decider: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """Outcome of one gate: ``passed`` is None where it could not be evaluated.

    ``name`` is ``gate::<label>``, with the gate's kind appended where a label has several. ``fields`` are the numbers
    of the sentence by name (percent and points), for JSON and JUnit. An ``advisory`` gate never fails a run.
    ``excused`` says why one that was not evaluated fails none either; empty where it does.
    """

    name: str
    kind: GateKind
    label: str
    passed: bool | None
    sentence: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    advisory: bool = False
    excused: str = ""

    @property
    def fails(self) -> bool:
        """Whether the run fails by it: what was asked for and could not be checked is a failure."""
        return not self.advisory and (self.passed is False or (self.passed is None and not self.excused))


def any_failed(results: Sequence[GateResult]) -> bool:
    """Whether a gate fails the run."""
    return any(result.fails for result in results)


def excuse(results: Iterable[GateResult], why: str) -> tuple[GateResult, ...]:
    """Let no gate that was not evaluated fail the run."""
    return tuple(replace(result, excused=why) if result.passed is None else result for result in results)


def p_text(p: float) -> str:
    """A p-value in a sentence."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.3g}"


def confidence_text(level: float) -> str:
    """The confidence of a test at this level, in percent: as many digits as tell it from 100%."""
    digits = 1 - floor(log10(100 * level)) if level > 0 else 0
    return f"{round(100 * (1 - level), max(1, digits)):.12g}%"


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
