"""``--where`` and ``--shard``: what selects items, as it is typed and as it is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_thinkslm.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``index``-th, from 1, of ``of`` parts of a run."""

    index: int
    of: int

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def span(self, variants: int) -> tuple[int, int]:
        """The positions of the first and last of a run's variants that it may have items of (none: first > last).

        The run is laid out variant after variant, each of length 1, and cut into equal parts.
        """
        first = (self.index - 1) * variants // self.of
        return first, -(-self.index * variants // self.of) - 1

    def has(self, place: float, variants: int) -> bool:
        """Whether what lies at ``place``, from 0 to the number of variants, is in it: in one shard alone."""
        return min(int(place * self.of / variants), self.of - 1) == self.index - 1


def parse_shard(text: object) -> Shard | None:
    """``3/8``. Raises ``UsageError``."""
    if text is None or text == "":
        return None
    found = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", str(text))
    if found is None:
        raise UsageError(f"--shard {text!r}: give the number of the part and of all parts, e.g. 3/8")
    shard = Shard(int(found[1]), int(found[2]))
    if not 1 <= shard.index <= shard.of:
        raise UsageError(f"--shard {text}: parts are numbered from 1 to {shard.of}")
    return shard


def parse_where(pieces: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """``level=5``, ``subject=Algebra``: facets and the values wanted. Raises ``UsageError``."""
    wanted = []
    for piece in pieces:
        facet, equals, value = (part.strip() for part in piece.partition("="))
        if not (facet and equals and value):
            raise UsageError(
                f"--where {piece!r}: give FACET=VALUE, several separated by commas, e.g. level=5,subject=Algebra"
            )
        wanted.append((facet, value))
    return tuple(dict.fromkeys(wanted))
