"""A bound on work that is the same on every machine: calls of Python and C functions, not seconds."""

from __future__ import annotations

import cProfile
from collections.abc import Callable

import pytest

#: A reader makes one to three on hostile text; what is quadratic makes thousands at 100 kB.
CALLS_A_CHARACTER = 20

#: Ends what backtracks inside one call of a regular expression, which no count sees.
ends_a_hang = pytest.mark.timeout(300)


def calls(work: Callable[[], object]) -> int:
    """How many functions ``work`` calls, those written in C included."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())
