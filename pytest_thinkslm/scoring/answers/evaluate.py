r"""The value of a LaTeX expression: exact where it is rational, else to as many digits as it takes; and equality by it.

Only what is surely understood is evaluated: numbers, variables, ``+ - * / ^ !``, ``\frac``, ``\sqrt``, ``\binom``,
``\pi``, ``e``, ``i``, the common functions, parentheses, and products without a sign. Anything else, and what can be
read in two ways (``3\frac{1}{2}``, ``\log 100``), has no value here and is left to symbolic comparison.

Why not symbolic comparison alone: it compares numbers in floating point with an absolute tolerance, so that all tiny
values are equal to it, and a tower or a large factorial costs it seconds. Here every step is bounded before it is
taken, and a difference is seen however small it is beside the terms: rationals are exact, others are computed to more
digits than the largest and the smallest intermediate value differ by. Expressions in variables are equal where they
agree at several points drawn by a fixed seed (two rational functions that differ do so almost everywhere).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any, Literal

from pytest_thinkslm.scoring.answers.arithmetic import NotUnderstood, TooLarge, as_float, minus, mp_context, over
from pytest_thinkslm.scoring.answers.formula import DEPTH_LIMIT, SPARE, evaluate, names_in, tokens_of

#: Digits that two irrational values agree in before they count as equal, and the most digits ever computed.
_AGREE = 40
_MOST_DIGITS = 1_500

Decision = Literal["equal", "different", "too-large"]


def value_of(text: str) -> Fraction | float | None:
    """The value of an expression without variables: a ``Fraction``, or a float; None where it is not understood.

    ``text`` is normalised LaTeX. Never raises; values beyond a float's range are None unless they are rational.
    """
    try:
        value = evaluate(tokens_of(text), {}, _AGREE)[0]
    except (NotUnderstood, ArithmeticError, ValueError):
        return None
    if isinstance(value, Fraction):
        return value
    try:
        number = float(value)
    except (TypeError, OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def same_value(one: str, two: str) -> Decision | None:
    """Whether two normalised expressions have one value, at every point where both are defined; None: not understood.

    ``too-large``: a value passes every bound, and the two texts are not understood to be different otherwise.
    """
    try:
        left, right = tokens_of(one), tokens_of(two)
        names = names_in(left) | names_in(right)
        if not names:
            return _compare(left, right, {})
        return _at_points(left, right, names)
    except TooLarge:
        return "too-large"
    except (NotUnderstood, ArithmeticError, ValueError):
        return None


def same_equation(one: tuple[str, str], two: tuple[str, str]) -> Decision | None:
    """Whether two equations, each given by its sides, are one another's multiple; None where that is not known.

    Equations that are no multiples may still have the same solutions, so ``different`` is never said.
    """
    try:
        left = [tokens_of(side) for side in one]
        right = [tokens_of(side) for side in two]
        names = set().union(*map(names_in, left + right))
        if not names:
            return None
        ratios: list[Any] = []
        for point in _points(frozenset(names)):
            try:
                values = [evaluate(side, point, 2 * _AGREE)[0] for side in left + right]
                up, down = minus(values[0], values[1]), minus(values[2], values[3])
                ratios.append(over(up, down))
            except (NotUnderstood, ArithmeticError, ValueError):
                continue
            if not _close(ratios[0], ratios[-1], _AGREE) or not ratios[0]:
                return None
            if len(ratios) == 4:
                return "equal"
    except (NotUnderstood, ArithmeticError, ValueError):
        pass
    return None


_COSTLY = re.compile(
    r"\\(?:prod|sum|int|lim)[^A-Za-z]*[_^]\{?[^{}]*\d{4}|\d{4,}\)?!|\\binom\s*\{\d{5}|\^\s*\{?\(?\d{6}|\^\{[^{}]*\^\{[^{}]*\^"
)


def is_costly(text: str) -> bool:
    """Whether symbolic comparison would take seconds: long sums, large factorials, towers, hundreds of brackets."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest > DEPTH_LIMIT or bool(_COSTLY.search(text))


def _at_points(left: list[str], right: list[str], names: frozenset[str]) -> Decision | None:
    agreed = 0
    for point in _points(names):
        try:
            said = _compare(left, right, point)
        except TooLarge:
            raise
        except (NotUnderstood, ArithmeticError, ValueError):
            continue
        if said != "equal":
            return said
        agreed += 1
        if agreed == 5:
            return "equal"
    return None


def _compare(left: list[str], right: list[str], point: Mapping[str, Fraction]) -> Decision | None:
    digits = _AGREE + SPARE
    while True:
        one, spread_one = evaluate(left, point, digits)
        two, spread_two = evaluate(right, point, digits)
        if isinstance(one, Fraction) and isinstance(two, Fraction):
            return "equal" if one == two else "different"
        # Values may differ by a term as small as the smallest, and have lost as many digits to cancellation.
        spread = int(max(spread_one, spread_two))
        needed = _AGREE + 2 * spread
        if needed <= digits:
            return "equal" if _close(one, two, _AGREE - 10 + spread) else "different"
        if needed > _MOST_DIGITS:
            return "too-large" if _close(one, two, _AGREE) else "different"
        digits = needed


def _close(one: Any, two: Any, digits: int) -> bool:
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one == two
    mp = mp_context()
    with mp.workdps(digits + SPARE):
        left, right = as_float(one), as_float(two)
        return bool(abs(left - right) <= mp.mpf(10) ** -digits * max(abs(left), abs(right), mp.mpf(10) ** -digits))


@cache
def _points(names: frozenset[str]) -> tuple[dict[str, Fraction], ...]:
    """Points that no constant of a question is likely to be a special one of: near 1, larger, and negative in turn."""
    chooser = random.Random(20_260_101)
    ranges = ((200, 3_000), (3_000, 12_000), (-3_000, -200))
    return tuple(
        {name: Fraction(chooser.randint(*ranges[number % 3]), 997) for name in sorted(names)} for number in range(24)
    )
