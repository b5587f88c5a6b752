"""Word problems as templates with known answers, and kinds of things for questions with choices. Self-written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_thinkslm.core.records import Case


@dataclass(frozen=True, slots=True)
class Family:
    """A template.

    Attributes:
        key: its name.
        text: with ``{x}`` and ``{y}`` for people and the names of ``numbers`` and ``derived``.
        numbers: what is drawn, from and to.
        answer: of the numbers.
        doubles: the numbers whose doubling doubles the answer.
        derived: numbers in the text that follow from the drawn ones.
    """

    key: str
    text: str
    numbers: Mapping[str, tuple[int, int]]
    answer: Callable[[Mapping[str, int]], int]
    doubles: tuple[str, ...]
    derived: Mapping[str, Callable[[Mapping[str, int]], int]]


def _family(
    key: str,
    text: str,
    numbers: Mapping[str, tuple[int, int]],
    answer: Callable[[Mapping[str, int]], int],
    doubles: str,
    **derived: Callable[[Mapping[str, int]], int],
) -> Family:
    return Family(key, text, numbers, answer, tuple(doubles), derived)


FAMILIES: Mapping[str, Family] = {
    one.key: one
    for one in (
        _family(
            "sum",
            "{x} has {a} marbles and buys {b} more. How many marbles does {x} have now?",
            {"a": (2, 90), "b": (2, 90)},
            lambda n: n["a"] + n["b"],
            "ab",
        ),
        _family(
            "difference",
            "{x} bakes {t} rolls in the morning and sells {b} of them before noon. How many rolls does {x} have then?",
            {"a": (2, 60), "b": (2, 60)},
            lambda n: n["a"],
            "ab",
            t=lambda n: n["a"] + n["b"],
        ),
        _family(
            "product",
            "A shelf in the house of {x} holds {a} books. How many books do {b} such shelves hold?",
            {"a": (3, 40), "b": (2, 12)},
            lambda n: n["a"] * n["b"],
            "a",
        ),
        _family(
            "quotient",
            "{x} shares {t} stickers evenly among {b} friends. How many stickers does each friend get?",
            {"a": (2, 20), "b": (2, 12)},
            lambda n: n["a"],
            "a",
            t=lambda n: n["a"] * n["b"],
        ),
        _family(
            "prices",
            "A pen costs {a} dollars and a notebook costs {b} dollars. {x} buys {c} pens and {d} notebooks. How many "
            "dollars does {x} pay?",
            {"a": (2, 9), "b": (2, 12), "c": (2, 9), "d": (2, 9)},
            lambda n: n["a"] * n["c"] + n["b"] * n["d"],
            "ab",
        ),
        _family(
            "journey",
            "{x} rides at {a} kilometers an hour for {b} hours, then at {c} kilometers an hour for {d} hours. How many "
            "kilometers does {x} ride in all?",
            {"a": (8, 30), "b": (2, 6), "c": (8, 30), "d": (2, 6)},
            lambda n: n["a"] * n["b"] + n["c"] * n["d"],
            "ac",
        ),
        _family(
            "ages",
            "{x} is {a} years old. {y} is {b} times as old as {x}. How many years older than {x} is {y}?",
            {"a": (3, 20), "b": (2, 4)},
            lambda n: n["a"] * (n["b"] - 1),
            "a",
        ),
        _family(
            "change",
            "{x} buys {a} tickets for {b} dollars each and pays with {t} dollars. How many dollars does {x} get back?",
            {"a": (2, 9), "b": (2, 15), "d": (1, 20)},
            lambda n: n["d"],
            "bd",
            t=lambda n: n["a"] * n["b"] + n["d"],
        ),
        _family(
            "fence",
            "The garden of {x} is a rectangle, {a} meters long and {b} meters wide. How many meters of fence go around "
            "it?",
            {"a": (5, 60), "b": (3, 40)},
            lambda n: 2 * (n["a"] + n["b"]),
            "ab",
        ),
        _family(
            "wages",
            "{x} earns {a} dollars an hour and works {b} hours a day for {c} days. {y} borrows {d} dollars of it. How "
            "many dollars does {x} have of it then?",
            {"a": (10, 30), "b": (2, 8), "c": (2, 6), "d": (1, 30)},
            lambda n: n["a"] * n["b"] * n["c"] - n["d"],
            "ad",
        ),
    )
}

NAMES = ("Alice", "Peter", "Laura", "Victor", "Emily", "Oscar", "Nina", "Martin", "Helen", "Simon")

KINDS: Mapping[str, Sequence[str]] = {
    "a metal": ("iron", "copper", "tin", "zinc", "nickel"),
    "a fruit": ("apple", "pear", "plum", "cherry", "banana"),
    "a bird": ("sparrow", "eagle", "owl", "robin", "swan"),
    "a tool": ("hammer", "screwdriver", "wrench", "saw", "chisel"),
    "a musical instrument": ("violin", "piano", "trumpet", "flute", "drum"),
    "a country": ("Norway", "Brazil", "Kenya", "Japan", "Canada"),
    "a piece of furniture": ("chair", "table", "wardrobe", "bookcase", "sofa"),
}


def problem(family: str, names: Sequence[str], values: Mapping[str, int]) -> Case:
    """A family's problem with these names and numbers."""
    own = FAMILIES[family]
    shown = {**values, **{name: make(values) for name, make in own.derived.items()}}
    question = own.text.format(x=names[0], y=names[1], **shown)
    facets = {"family": family, "names": ",".join(names), "values": json.dumps(values, sort_keys=True)}
    return Case("generated", 0, "number", question, str(own.answer(values)), facets=facets)


def doubled(case: Case) -> Case | None:
    """The same problem with its amounts doubled, so that its answer is; None where the case is of no family."""
    family = FAMILIES.get(case.facets.get("family", ""))
    if family is None:
        return None
    values = {
        name: value * (2 if name in family.doubles else 1) for name, value in json.loads(case.facets["values"]).items()
    }
    return problem(family.key, case.facets["names"].split(","), values)
