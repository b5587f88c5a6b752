"""Arithmetic of what expressions hold: rationals exactly, all else by mpmath; a step is bounded before it is taken."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from typing import Any

#: Rationals up to so many bits are exact; larger ones are computed like irrational numbers.
BITS = 200_000
#: Larger factorials and binomial coefficients are no integers here.
FACTORIAL = 5_000
#: Larger exponents, and factorials of larger numbers, are not computed at all.
EXPONENT_LIMIT = 10**15


class NotUnderstood(Exception):
    """The text is no expression of the kind that is evaluated."""


class TooLarge(NotUnderstood):
    """A step of the expression passes the bounds: a tower, a factorial of millions."""


_LOCAL = threading.local()


def mp_context() -> Any:
    """This thread's context of mpmath: the precision of the shared one would be everybody's."""
    context = getattr(_LOCAL, "context", None)
    if context is None:
        import mpmath

        context = _LOCAL.context = mpmath.MPContext()
    return context


def as_float(value: Any) -> Any:
    """A rational number as one of mpmath's; any other as it is."""
    mp = mp_context()
    return mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def plus(one: Any, two: Any) -> Any:
    """The sum."""
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one + two
    return as_float(one) + as_float(two)


def minus(one: Any, two: Any) -> Any:
    """The difference."""
    return plus(one, -two)


def times(one: Any, two: Any) -> Any:
    """The product."""
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one * two
    return as_float(one) * as_float(two)


def over(one: Any, two: Any) -> Any:
    """The quotient. Raises ``NotUnderstood``, or ``ZeroDivisionError`` for rationals, where there is none."""
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one / two
    if not two:
        raise NotUnderstood
    return as_float(one) / as_float(two)


def power(base: Any, exponent: Any) -> Any:
    """One raised to the other; real and complex numbers as far as one value is meant."""
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        times_itself = exponent.numerator
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(times_itself) * bits <= BITS:
            return base**times_itself
    if abs(exponent) > EXPONENT_LIMIT:
        raise TooLarge
    if not isinstance(base, Fraction) and hasattr(base, "imag") and base.imag:
        if not (isinstance(exponent, Fraction) and exponent.denominator == 1 and abs(exponent) <= 1_000):
            raise NotUnderstood
        return base ** int(exponent)
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        return as_float(base) ** exponent.numerator
    if hasattr(exponent, "imag") and not isinstance(exponent, Fraction) and exponent.imag:
        if isinstance(base, Fraction) or base <= 0:
            raise NotUnderstood
        return base**exponent
    if base < 0:
        raise NotUnderstood
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        exact = root_of(base, exponent.denominator)
        if exact is not None:
            return power(exact, Fraction(exponent.numerator))
    return as_float(base) ** as_float(exponent)


def factorial(value: Any) -> Any:
    """The factorial of a natural number."""
    if not isinstance(value, Fraction) or value.denominator != 1 or value < 0:
        raise NotUnderstood
    number = value.numerator
    if number <= FACTORIAL:
        return Fraction(math.factorial(number))
    if number > EXPONENT_LIMIT:
        raise TooLarge
    return mp_context().factorial(number)


def binomial(above: Any, below: Any) -> Any:
    """The binomial coefficient of natural numbers."""
    if not isinstance(above, Fraction) or not isinstance(below, Fraction):
        raise NotUnderstood
    if above.denominator != 1 or below.denominator != 1 or not 0 <= below <= above:
        raise NotUnderstood
    if above > FACTORIAL:
        if above > EXPONENT_LIMIT:
            raise TooLarge
        return mp_context().binomial(above.numerator, below.numerator)
    return Fraction(math.comb(above.numerator, below.numerator))


def root_of(value: Fraction, degree: int) -> Fraction | None:
    """The exact root of a rational number that is not negative, where it is rational."""
    above, below = integer_root(value.numerator, degree), integer_root(value.denominator, degree)
    return Fraction(above, below) if above is not None and below is not None else None


def integer_root(number: int, degree: int) -> int | None:
    """The exact root of a natural number, where it is one."""
    if degree == 2:
        root = math.isqrt(number)
        return root if root * root == number else None
    if number in (0, 1):
        return number
    if number.bit_length() > 2_000 or degree > number.bit_length():
        return None
    low, high = 1, 1 << (number.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**degree < number:
            low = middle + 1
        else:
            high = middle
    return low if low**degree == number else None
