"""What a certificate asks: margins, tiers of tasks, guards, rates. Read from ``--certify`` and ``--policy``. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import Literal, cast, get_args

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError, nearest, pages

Tier = Literal["critical", "supporting", "advisory"]
LimitedRate = Literal["truncated", "unparsed"]

#: A task with so many items is critical unless the policy says otherwise.
CRITICAL_ITEMS = 1000
#: The guard of a task unless the policy says otherwise, in margins.
GUARD_MARGINS = 3.0

_WHOLE = ("margin", "margin_relative", "guard", "guard_relative", "critical_items")
_RULES = ("min_items", "max_truncated", "max_unparsed")
_TASK = ("tier", "guard", "guard_relative", *_RULES)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How large a drop may be: so many ``points``, and at most ``relative`` percent of the baseline's accuracy."""

    points: float
    relative: float | None = None

    def of(self, baseline: float) -> float:
        """In points, below a baseline's accuracy (a fraction): the smaller of the two."""
        return self.points if self.relative is None else min(self.points, self.relative * baseline)


@dataclass(frozen=True, slots=True)
class TaskRule:
    """What the policy says of one task; None where it says nothing. Rates are percent."""

    tier: Tier | None = None
    guard: float | None = None
    guard_relative: float | None = None
    min_items: int | None = None
    max_truncated: float | None = None
    max_unparsed: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What is to be certified.

    Attributes:
        margin: of the unweighted mean of the task drops.
        guard: of every task without one of its own.
        critical_items: a task with so many items is critical, a smaller one supporting, unless ``tasks`` says.
        general: rules for every task; its tier is None.
        tasks: rules by task key or glob; an exact key wins, then the first glob that matches.
        name: of the file it was read from; empty without one.
    """

    margin: Allowance
    guard: Allowance
    critical_items: int = CRITICAL_ITEMS
    general: TaskRule = TaskRule()
    tasks: Mapping[str, TaskRule] = field(default_factory=dict)
    name: str = ""

    def rule(self, task: str) -> TaskRule:
        """What it says of a task, without what it says of all."""
        found = [rule for pattern, rule in self.tasks.items() if fnmatchcase(task, pattern)]
        return self.tasks.get(task, found[0] if found else TaskRule())

    def tier(self, task: str, size: int) -> Tier:
        """The tier of a task that has ``size`` items as a whole."""
        return self.rule(task).tier or ("critical" if size >= self.critical_items else "supporting")

    def guard_of(self, task: str, baseline: float) -> float:
        """The guard of a task in points, at this accuracy (a fraction) of its baseline."""
        rule = self.rule(task)
        points = self.guard.points if rule.guard is None else rule.guard
        relative = self.guard.relative if rule.guard_relative is None else rule.guard_relative
        return Allowance(points, relative).of(baseline)

    def min_items(self, task: str) -> int:
        """The fewest items that have to be compared."""
        return self.rule(task).min_items or self.general.min_items or 1

    def most(self, task: str, kind: LimitedRate) -> float | None:
        """The largest rate of outcomes of this kind, in percent; None where there is no limit."""
        for rule in (self.rule(task), self.general):
            value = rule.max_truncated if kind == "truncated" else rule.max_unparsed
            if value is not None:
                return value
        return None


def make_policy(
    certify: str | float | None, file: Path | None, tasks: Collection[str] = (), option: str = "--certify"
) -> Policy:
    """The policy of ``--certify`` (a margin in points) and ``--policy`` (a TOML file); the option's margin wins.

    Args:
        tasks: keys that there are; a name in the file that matches none of them is refused. Empty: not checked.
        option: the name under which ``certify`` was given.

    Raises:
        UsageError: neither gives a margin, or what cannot be read, is unknown or out of range.
    """
    given = None if certify is None or (certify == "" and file is not None) else _points(option, certify)
    stated = {} if file is None else _read(file)
    asked = f"--policy {file}"
    _known(asked, stated, (*_WHOLE, *_RULES, "tasks"))
    if given is None and "margin" not in stated:
        raise UsageError(
            f"{asked}: it states no margin: write 'margin = 1.0' in it, or give {option} MARGIN (in points)"
        )
    points = _points(f"{asked}: margin", stated["margin"]) if given is None else given
    guard = _points(f"{asked}: guard", stated["guard"]) if "guard" in stated else GUARD_MARGINS * points
    patterns = stated.get("tasks", {})
    if not isinstance(patterns, dict):
        raise UsageError(f"{asked}: 'tasks' is a table of tables, like [tasks.gsm8k]")
    rules = {}
    for pattern, value in patterns.items():
        where = f"{asked}: [tasks.{pattern}]"
        if tasks and not any(fnmatchcase(task, pattern) for task in tasks):
            raise UsageError(f"{where}: there is no task {pattern!r}; {nearest(pattern, tasks)}")
        if not isinstance(value, dict):
            raise UsageError(f"{where} is a table, like [tasks.gsm8k] with 'tier = \"critical\"' below it")
        _known(where, value, _TASK)
        rules[pattern] = _rule(where, value)
    general = {name: stated[name] for name in _RULES if name in stated}
    return Policy(
        Allowance(points, _relative(asked, stated, "margin_relative")),
        Allowance(guard, _relative(asked, stated, "guard_relative")),
        _whole_number(asked, stated, "critical_items", CRITICAL_ITEMS),
        _rule(asked, general),
        rules,
        "" if file is None else file.name,
    )


def _rule(where: str, value: Mapping[str, object]) -> TaskRule:
    tier = value.get("tier")
    if tier is not None and tier not in get_args(Tier):
        raise UsageError(f"{where}: tier {tier!r} is unknown: {nearest(str(tier), get_args(Tier))}")
    return TaskRule(
        cast("Tier | None", tier),
        None if "guard" not in value else _points(f"{where}: guard", value["guard"]),
        _relative(where, value, "guard_relative"),
        _whole_number(where, value, "min_items", 0) or None,
        _relative(where, value, "max_truncated"),
        _relative(where, value, "max_unparsed"),
    )


def _read(file: Path) -> dict[str, object]:
    try:
        return files.read_toml(file)
    except OSError as error:
        raise UsageError(f"--policy {file} cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise UsageError(f"--policy {file} is no TOML file: {error}; `{pages('gates')}` has one to copy") from None


def _known(where: str, value: Mapping[str, object], names: Collection[str]) -> None:
    for name in value:
        if name not in names:
            raise UsageError(f"{where}: there is no {name!r}; {nearest(name, names)}")


def _number(where: str, value: object) -> float:
    try:
        number = float("nan") if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    except (ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number):
        raise UsageError(f"{where}: {value!r} is no number")
    return number


def _points(where: str, value: object) -> float:
    number = _number(where, value)
    if not 0 < number < 100:
        raise UsageError(f"{where}: {value!r} is out of range: points of a drop, above 0 and below 100")
    return number


def _relative(where: str, value: Mapping[str, object], name: str) -> float | None:
    if name not in value:
        return None
    number = _number(f"{where}: {name}", value[name])
    if not 0 <= number <= 100:
        raise UsageError(f"{where}: {name} {value[name]!r} is no percentage from 0 to 100")
    return number


def _whole_number(where: str, value: Mapping[str, object], name: str, default: int) -> int:
    found = value.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise UsageError(f"{where}: {name} {found!r} is no whole number of items")
    return found
