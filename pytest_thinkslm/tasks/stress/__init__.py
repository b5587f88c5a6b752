"""Transformations of a case that keep its gold: ``--stress``.

After the metamorphic tests of software (Chen et al., 1998) and the perturbation of benchmarks (GSM-Plus, Li et al.,
2024; GSM-Symbolic, Mirzadeh et al., 2024): what must not matter is changed, and the answer must stay. Each
transformation is a pure function of a case and a random generator; it returns None for a case that it could harm,
rather than a case whose gold is in doubt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.records import AnswerKind, Case
from pytest_thinkslm.tasks.stress import choices, layout, names, numbers, order, sentences, typos
from pytest_thinkslm.tasks.task import Task

#: (case, random generator) -> the changed case, or None where the case gives nothing to change safely.
Change = Callable[[Case, random.Random], Case | None]


@dataclass(frozen=True, slots=True)
class Transformation:
    """A transformation that keeps the gold.

    Attributes:
        key: what ``--stress`` takes.
        says: what it changes, in a few words.
        why: why the gold stays.
        kinds: of the answers of the tasks that it fits.
        change: the function.
    """

    key: str
    says: str
    why: str
    kinds: frozenset[AnswerKind]
    change: Change


def _kinds(*kinds: AnswerKind) -> frozenset[AnswerKind]:
    return frozenset(kinds)


TRANSFORMATIONS: Mapping[str, Transformation] = {
    one.key: one
    for one in (
        Transformation(
            "options",
            "the order of the choices",
            "the gold follows its option; options that speak of others ('all of the above') are left alone",
            _kinds("choice"),
            choices.reorder,
        ),
        Transformation(
            "labels",
            "the labels of the choices: 1 to 4, (a) to (d), bullets",
            "the gold is a position, and every form is read back to it",
            _kinds("choice"),
            choices.relabel,
        ),
        Transformation(
            "numbers",
            "number words and digits, thousands separators",
            "each number keeps its value; numbers that are parts of others, of dates, times or formulas are left alone",
            _kinds("number"),
            numbers.respell,
        ),
        Transformation(
            "names",
            "people and places, exchanged for others throughout",
            "a name stands for nobody outside of the question; a new name is none that is in it already",
            _kinds("number"),
            names.exchange,
        ),
        Transformation(
            "distractor",
            "a true sentence about something else",
            "it has no number and shares no content word with the question or its options",
            _kinds("number", "choice", "list"),
            sentences.distract,
        ),
        Transformation(
            "typos",
            "two neighbouring letters in a few words",
            "never in numbers, names, options, formulas or short words",
            _kinds("number", "choice"),
            typos.mistype,
        ),
        Transformation(
            "order",
            "the order of the list to sort, of sentences that do not depend on each other",
            "a sorted list does not depend on it; sentences move only where neither refers to another",
            _kinds("number", "list"),
            order.reorder,
        ),
        Transformation(
            "layout",
            "white space, line breaks, Markdown",
            "the words stay, in their order; formulas and code are left alone",
            _kinds("number", "choice", "list", "expression"),
            layout.lay_out,
        ),
    )
}

#: Seeded variants of an item for each transformation where ``--stress`` names no number.
VARIANTS = 3
#: At most so many.
MOST = 100


#: Draws of a further variant that differs from those before it.
_TRIES = 30


def changed(case: Case, name: str, variant: int, seed: int) -> Case | None:
    """The ``variant``-th (from 1) case that a transformation makes of an item, different from those before it.

    None where the item cannot be changed safely, or not in so many ways. The same for the same data seed, task, item
    and transformation.
    """
    known: list[Case] = []
    for number in range(1, variant + 1):
        found = _another(case, name, f"stress|{seed}|{case.task}|{case.index}|{name}|{number}", known)
        if found is None:
            return None
        known.append(found)
    return known[-1]


def _another(case: Case, name: str, seed: str, known: Sequence[Case]) -> Case | None:
    rng = random.Random(seed)
    for _ in range(_TRIES):
        found = TRANSFORMATIONS[name].change(case, rng)
        if found is None:
            return None
        found = replace(found, auxiliary=())
        if found not in known:
            return found
    return None


def parse(values: Sequence[str]) -> tuple[str, ...]:
    """The changed forms that ``--stress T[:K],...`` asks for, each as ``TRANSFORMATION-VARIANT``.

    Raises:
        UsageError: an unknown transformation, one that is named twice, or a number that is none.
    """
    found: dict[str, int] = {}
    for value in values:
        name, colon, number = value.partition(":")
        if name not in TRANSFORMATIONS:
            raise UsageError(f"--stress {value}: {nearest(name, TRANSFORMATIONS)}")
        if name in found:
            raise UsageError(f"--stress: {name} is named twice; {name}:K asks for K variants of each item")
        if colon and not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= MOST):
            raise UsageError(f"--stress {value}: after the colon stands how many variants of each item, 1 to {MOST}")
        found[name] = int(number) if colon else VARIANTS
    return tuple(f"{name}-{variant}" for name, count in found.items() for variant in range(1, count + 1))


def fits(task: Task, form: str) -> bool:
    """Whether a changed form is one for a task: by its answers' kind, or as the task itself says."""
    name = form.rpartition("-")[0]
    return name in task.stress if task.stress is not None else task.kind in TRANSFORMATIONS[name].kinds


def apply(case: Case, form: str, seed: int) -> Case | None:
    """The case of a changed form (``options-2``), or None: see ``changed``."""
    name, _, variant = form.rpartition("-")
    return changed(case, name, int(variant), seed)
