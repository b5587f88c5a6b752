"""What gates ask: read from options and ini values. Pure; percent and percentage points throughout."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite
from typing import Literal, get_args

from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.settings.policies import Policy

RateKind = Literal["unparsed", "truncated", "error", "inconsistent"]
GateMode = Literal["regression", "noninferiority"]


@dataclass(frozen=True, slots=True)
class MinAccuracy:
    """At least ``percent`` right in the tasks that match ``task`` (a key or a glob).

    ``lower`` asks it of the lower end of the 95% interval instead of the accuracy itself. Where several match a
    task, the one with its exact key decides, else the first.
    """

    task: str
    percent: float
    lower: bool = False


@dataclass(frozen=True, slots=True)
class MaxRate:
    """At most ``percent`` of the items with this verdict, in every task.

    ``inconsistent``: of the items that were asked in changed forms, those right in one form and wrong in another.
    """

    kind: RateKind
    percent: float


@dataclass(frozen=True, slots=True)
class Margin:
    """No drop of more than ``points`` against the baseline.

    ``regression`` fails where a larger drop is shown; ``noninferiority`` fails unless a smaller one is shown.
    """

    points: float
    mode: GateMode = "regression"


@dataclass(frozen=True, slots=True)
class GateSpecs:
    """All gates of a run; ``certify`` is the policy of a certificate."""

    min_accuracy: tuple[MinAccuracy, ...] = ()
    max_rates: tuple[MaxRate, ...] = ()
    margin: Margin | None = None
    certify: Policy | None = None

    def __bool__(self) -> bool:
        return bool(self.min_accuracy or self.max_rates or self.margin or self.certify)


def parse_min_accuracy(text: str, tasks: Collection[str] = ()) -> tuple[MinAccuracy, ...]:
    """Read ``TASK=PCT,...``, where PCT is a percentage or ``lower:`` and one.

    Raises:
        UsageError: what cannot be read, a percentage outside 0..100, a task given twice, or one not in ``tasks``.
    """
    gates = []
    for task, value in _pairs("--min-accuracy", text, "gsm8k=40,math=lower:12"):
        if tasks and not any(fnmatchcase(known, task) for known in tasks):
            raise UsageError(f"--min-accuracy: there is no task {task!r}; {nearest(task, tasks)}")
        lower = value.startswith("lower:")
        percent = _percent(f"--min-accuracy {task}", value.removeprefix("lower:"), "40 or lower:40")
        gates.append(MinAccuracy(task, percent, lower))
    return tuple(gates)


def parse_max_rate(text: str) -> tuple[MaxRate, ...]:
    """Read ``KIND=PCT,...`` with KIND ``unparsed``, ``truncated``, ``error`` or ``inconsistent``.

    Raises:
        UsageError: what cannot be read, an unknown kind or one given twice, or a percentage outside 0..100.
    """
    kinds: Mapping[str, RateKind] = {kind: kind for kind in get_args(RateKind)}
    gates = []
    for kind, value in _pairs("--max-rate", text, "truncated=5,unparsed=10"):
        if kind not in kinds:
            raise UsageError(f"--max-rate: there is no kind {kind!r}; {nearest(kind, kinds)}")
        gates.append(MaxRate(kinds[kind], _percent(f"--max-rate {kind}", value, "5")))
    return tuple(gates)


def parse_margin(text: str, mode: GateMode = "regression") -> Margin:
    """Read the margin of ``--gate``, in percentage points.

    Raises:
        UsageError: no number from 0 to below 100, or 0 where non-inferiority is to be shown.
    """
    points = _percent("--gate", text, "2")
    if points >= 100:
        raise UsageError(f"--gate: a margin must be below 100 percentage points, not {text!r}")
    if mode == "noninferiority" and points == 0:
        raise UsageError("--gate 0 cannot be used with --gate-mode noninferiority: no run shows a drop below 0 points")
    return Margin(points, mode)


def _pairs(option: str, text: str, example: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise UsageError(f"{option}: cannot read {part.strip()!r}; write it like {example}")
        if key in seen:
            raise UsageError(f"{option}: {key!r} is given twice")
        seen.add(key)
        yield key, value


def _percent(option: str, text: str, example: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (isfinite(value) and 0 <= value <= 100):
        raise UsageError(f"{option}: {text.strip()!r} is no percentage from 0 to 100; write it like {example}")
    return value
