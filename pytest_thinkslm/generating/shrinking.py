"""From a failing input to the smallest that still fails, asking many at a time within a budget. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shrunk(Generic[T]):
    """What was found.

    Attributes:
        value: the smallest input that fails.
        steps: the inputs on the way there, each smaller than the one before.
        asked: how many inputs were asked.
        complete: nothing smaller fails of what was proposed; False where the budget ended before that was known.
    """

    value: T
    steps: tuple[T, ...]
    asked: int
    complete: bool


def shrink(
    start: T,
    smaller: Callable[[T], Iterable[T]],
    fails: Callable[[Sequence[T]], Sequence[bool]],
    *,
    key: Callable[[T], Hashable],
    budget: int,
    batch: int = 32,
) -> Shrunk[T]:
    """Take the first of the smaller inputs that fails, again and again; greedy, as Hypothesis and delta debugging
    (Zeller and Hildebrandt, 2002) are.

    Args:
        start: an input that fails.
        smaller: proposals for an input, those that are wanted most first. Those asked before are not asked again.
        fails: asks a batch at once; whether each fails. What it says must depend on the input alone.
        key: tells inputs apart.
        budget: inputs that are asked at most.
        batch: as many are asked at a time.
    """
    current, steps, asked = start, [start], 0
    seen = {key(start)}
    while True:
        found = None
        proposals = _fresh(smaller(current), key, seen)
        while found is None and (tried := list(islice(proposals, min(batch, budget - asked)))):
            asked += len(tried)
            found = next((one for one, failed in zip(tried, fails(tried), strict=True) if failed), None)
        if found is None:
            complete = next(proposals, None) is None
            return Shrunk(current, tuple(steps), asked, complete)
        current = found
        steps.append(found)


def _fresh(proposals: Iterable[T], key: Callable[[T], Hashable], seen: set[Hashable]) -> Iterator[T]:
    for one in proposals:
        if key(one) not in seen:
            seen.add(key(one))
            yield one
