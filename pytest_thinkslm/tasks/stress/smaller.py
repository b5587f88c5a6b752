"""What of a failing item can be made smaller: fewer transformations, fewer options, fewer and smaller numbers. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress import apply

#: Sublists of one length that are tried, before single numbers are left out one by one.
_SUBLISTS = 16


@dataclass(frozen=True, slots=True)
class Reduced:
    """An item of a task, reduced.

    Attributes:
        item: the item as the data set has it.
        given: the list to sort, in place of the item's; empty: the item's own.
        keep: the letters of the options that are left; empty: all of them.
        forms: the changed forms (``names-1``) that are applied, one after the other.
    """

    item: Case
    given: tuple[int, ...] = ()
    keep: str = ""
    forms: tuple[str, ...] = ()

    def case(self, seed: int) -> Case | None:
        """The case that is asked, with the data seed of the run; None where a form cannot be applied to it."""
        case: Case | None = replace(self.item, auxiliary=())
        if self.given:
            case = _with_list(self.item, self.given)
        if self.keep:
            case = _with_options(self.item, self.keep)
        for form in self.forms:
            case = None if case is None else apply(case, form, seed)
        return case

    @property
    def options(self) -> list[str]:
        """The options of ``thinkslm shrink`` that name it."""
        found = [f"--given={','.join(map(str, self.given))}"] if self.given else []
        found += [f"--keep={','.join(self.keep)}"] if self.keep else []
        return [*found, *([f"--forms={','.join(self.forms)}"] if self.forms else [])]

    @property
    def key(self) -> tuple[object, ...]:
        """What tells reductions of one item apart."""
        return self.given, self.keep, self.forms


def smaller(reduced: Reduced, seed: int = 0) -> Iterator[Reduced]:
    """Everything that is smaller, the smallest first; the same for the same seed."""
    for count in range(len(reduced.forms)):
        for forms in combinations(reduced.forms, count):
            yield replace(reduced, forms=forms)
    if reduced.item.kind == "list":
        given = reduced.given or reduced.item.given
        for found in dict.fromkeys([*_shorter(given, seed), *_lesser(given)]):
            yield replace(reduced, given=found)
    elif reduced.item.kind == "choice" and isinstance(reduced.item.gold, str):
        letters = reduced.keep or reduced.item.letters
        for count in range(2, len(letters)):
            for kept in combinations(letters, count):
                if reduced.item.gold in kept:
                    yield replace(reduced, keep="".join(kept))


def _shorter(given: Sequence[int], seed: int) -> Iterator[tuple[int, ...]]:
    """Sublists, in the list's own order and not sorted, from two numbers up; then all that lack one number."""
    rng = random.Random(f"shrink|{seed}|{','.join(map(str, given))}")
    length = 2
    while length < len(given) - 1:
        for _ in range(_SUBLISTS):
            places = sorted(rng.sample(range(len(given)), length))
            yield from _unsorted(tuple(given[place] for place in places))
        length += max(1, length // 2)
    if len(given) > 2:
        for place in range(len(given)):
            yield from _unsorted((*given[:place], *given[place + 1 :]))


def _lesser(given: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Lists of the same length whose numbers are smaller: all at once in the same order, then each by itself."""
    size = sum(map(abs, given))
    ranks = {number: rank for rank, number in enumerate(sorted(set(given)))}
    for start in (0, 1, 10):
        found = tuple(ranks[number] + start for number in given)
        if sum(found) < size:
            yield found
    for place, number in enumerate(given):
        for less in dict.fromkeys((0, 1, number // 10, number // 2, number - 1 if number > 0 else number + 1)):
            found = (*given[:place], less, *given[place + 1 :])
            if abs(less) < abs(number) and len(set(found)) == len(found):
                yield from _unsorted(found)


def _unsorted(numbers: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if list(numbers) != sorted(numbers):
        yield numbers


def _with_list(case: Case, given: tuple[int, ...]) -> Case:
    shown, now = (", ".join(map(str, numbers)) for numbers in (case.given, given))
    question = case.question.replace(shown, now)
    return replace(case, question=question, given=given, gold=tuple(sorted(given)))


def _with_options(case: Case, keep: str) -> Case:
    options = tuple(case.options[case.letters.index(letter)] for letter in keep)
    return replace(case, options=options, gold=case.letters[keep.index(str(case.gold))])
