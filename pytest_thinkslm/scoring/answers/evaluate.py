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
import threading
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any, Literal

#: Longer expressions have no value here.
LENGTH_LIMIT = 600
_DEPTH_LIMIT = 40
#: Rationals up to so many bits are exact; larger ones are computed like irrational numbers.
_BITS = 200_000
_FACTORIAL = 5_000
_EXPONENT_LIMIT = 10**15
#: Digits that two irrational values agree in before they count as equal, and the most digits ever computed.
_AGREE = 40
_SPARE = 20
_MOST_DIGITS = 1_500

Decision = Literal["equal", "different", "too-large"]

_FUNCTIONS = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "ln", "log", "exp"})
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|\\(?P<command>[a-zA-Z]+)|(?P<name>[a-zA-Z](?:_(?:\w|\{\w{1,10}\}))?'?)"
    r"|(?P<sign>[-+*/^(){}\[\]!_]))"
)


class NotUnderstood(Exception):
    """The text is no expression of the kind that is evaluated."""


class TooLarge(NotUnderstood):
    """A step of the expression passes the bounds: a tower, a factorial of millions."""


def value_of(text: str) -> Fraction | float | None:
    """The value of an expression without variables: a ``Fraction``, or a float; None where it is not understood.

    ``text`` is normalised LaTeX. Never raises; values beyond a float's range are None unless they are rational.
    """
    try:
        value = _evaluate(_tokens(text), {}, _AGREE)[0]
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
        left, right = _tokens(one), _tokens(two)
        names = _names(left) | _names(right)
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
        left = [_tokens(side) for side in one]
        right = [_tokens(side) for side in two]
        names = set().union(*map(_names, left + right))
        if not names:
            return None
        ratios: list[Any] = []
        for point in _points(frozenset(names)):
            try:
                values = [_evaluate(side, point, 2 * _AGREE)[0] for side in left + right]
                up, down = _minus(values[0], values[1]), _minus(values[2], values[3])
                ratios.append(_over(up, down))
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
    return deepest > _DEPTH_LIMIT or bool(_COSTLY.search(text))


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
    digits = _AGREE + _SPARE
    while True:
        one, spread_one = _evaluate(left, point, digits)
        two, spread_two = _evaluate(right, point, digits)
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
    mp = _mp()
    with mp.workdps(digits + _SPARE):
        left, right = _float(one), _float(two)
        return bool(abs(left - right) <= mp.mpf(10) ** -digits * max(abs(left), abs(right), mp.mpf(10) ** -digits))


@cache
def _points(names: frozenset[str]) -> tuple[dict[str, Fraction], ...]:
    """Points that no constant of a question is likely to be a special one of: near 1, larger, and negative in turn."""
    chooser = random.Random(20_260_101)
    ranges = ((200, 3_000), (3_000, 12_000), (-3_000, -200))
    return tuple(
        {name: Fraction(chooser.randint(*ranges[number % 3]), 997) for name in sorted(names)} for number in range(24)
    )


def _names(tokens: list[str]) -> frozenset[str]:
    """The variables among the tokens: letters, with an index or a prime; e and i are constants."""
    return frozenset(token for token in tokens if token[0].isalpha() and token not in ("e", "i"))


def _tokens(text: str) -> list[str]:
    r"""The tokens of a text; commands keep their backslash."""
    if len(text) > LENGTH_LIMIT:
        raise NotUnderstood
    tokens: list[str] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotUnderstood
        token = match["number"] or match["name"] or match["sign"] or "\\" + match["command"]
        tokens.append("\\frac" if token == "\\dfrac" else token)
        position = match.end()
    if sum(map(len, _WORDS.findall(text))):
        raise NotUnderstood  # letters in a row are a word, not a product
    return tokens


_WORDS = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{4,}")


def _evaluate(tokens: list[str], point: Mapping[str, Fraction], digits: int) -> tuple[Any, float]:
    """The value, and how many decades apart the largest and the smallest value on the way to it were."""
    reader = _Reader(tokens, point)
    with _mp().workdps(digits + _SPARE):
        value = reader.sum(0)
    if not reader.done:
        raise NotUnderstood
    return value, reader.spread


_LOCAL = threading.local()


def _mp() -> Any:
    """This thread's context of mpmath: the precision of the shared one would be everybody's."""
    context = getattr(_LOCAL, "context", None)
    if context is None:
        import mpmath

        context = _LOCAL.context = mpmath.MPContext()
    return context


def _float(value: Any) -> Any:
    mp = _mp()
    return mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def _plus(one: Any, two: Any) -> Any:
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one + two
    return _float(one) + _float(two)


def _minus(one: Any, two: Any) -> Any:
    return _plus(one, -two)


def _times(one: Any, two: Any) -> Any:
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one * two
    return _float(one) * _float(two)


def _over(one: Any, two: Any) -> Any:
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one / two
    if not two:
        raise NotUnderstood
    return _float(one) / _float(two)


class _Reader:
    """Recursive descent over the tokens, bounded in depth and in the size of every value."""

    def __init__(self, tokens: list[str], point: Mapping[str, Fraction]) -> None:
        self._tokens = tokens
        self._at = 0
        self._point = point
        self._low = self._high = 0.0

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    @property
    def spread(self) -> float:
        return self._high - self._low

    def sum(self, depth: int) -> Any:
        if depth > _DEPTH_LIMIT:
            raise NotUnderstood
        value = self._product(depth)
        while self._next() in ("+", "-"):
            sign = self._take()
            term = self._product(depth)
            value = self._kept(_plus(value, term if sign == "+" else -term))
        return value

    def _product(self, depth: int) -> Any:
        negative = False
        while self._next() in ("+", "-"):
            negative ^= self._take() == "-"
        value = self._power(depth)
        while True:
            token = self._next()
            if token in ("*", "\\cdot", "\\times"):
                self._take()
                value = self._kept(_times(value, self._signed(depth)))
            elif token in ("/", "\\div"):
                self._take()
                value = self._kept(_over(value, self._signed(depth)))
            elif token is None or token in (")", "}", "]", "+", "-", "^", "!", "{", "["):
                return -value if negative else value
            elif token == "\\frac" or token[0].isdigit() or token[0] == ".":
                before = self._tokens[self._at - 1]
                if before[0].isdigit() or before[0] == "." or token != "\\frac":
                    raise NotUnderstood  # a mixed number, or a product of figures: "3\frac12", "2 3", "x2"
                value = self._kept(_times(value, self._power(depth)))
            else:
                value = self._kept(_times(value, self._power(depth)))

    def _signed(self, depth: int) -> Any:
        negative = False
        while self._next() in ("+", "-"):
            negative ^= self._take() == "-"
        value = self._power(depth)
        return -value if negative else value

    def _power(self, depth: int) -> Any:
        base = self._atom(depth)
        while self._next() == "!":
            self._take()
            base = self._kept(_factorial(base))
        if self._next() != "^":
            return base
        self._take()
        value = self._kept(self._raise(base, self._argument(depth)))
        if self._next() in ("^", "!"):
            raise NotUnderstood
        return value

    def _raise(self, base: Any, exponent: Any) -> Any:
        if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
            power = exponent.numerator
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if abs(power) * bits <= _BITS:
                return base**power
        if abs(exponent) > _EXPONENT_LIMIT:
            raise TooLarge
        if not isinstance(base, Fraction) and hasattr(base, "imag") and base.imag:
            if not (isinstance(exponent, Fraction) and exponent.denominator == 1 and abs(exponent) <= 1_000):
                raise NotUnderstood
            return base ** int(exponent)
        if isinstance(exponent, Fraction) and exponent.denominator == 1:
            return _float(base) ** exponent.numerator
        if hasattr(exponent, "imag") and not isinstance(exponent, Fraction) and exponent.imag:
            if isinstance(base, Fraction) or base <= 0:
                raise NotUnderstood
            return base**exponent
        if base < 0:
            raise NotUnderstood
        if isinstance(base, Fraction) and isinstance(exponent, Fraction):
            exact = _root(base, exponent.denominator)
            if exact is not None:
                return self._raise(exact, Fraction(exponent.numerator))
        return _float(base) ** _float(exponent)

    def _atom(self, depth: int) -> Any:
        token = self._take()
        if token == "(":
            return self._closed(")", depth)
        if token == "{":
            return self._closed("}", depth)
        if token[0].isdigit() or token[0] == ".":
            return Fraction(token)
        if token in self._point:
            if self._next() == "(" and token in ("f", "g", "h", "F", "G", "P", "Q", "p", "q"):
                raise NotUnderstood
            return self._point[token]
        mp = _mp()
        if token == "\\pi":
            return +mp.pi
        if token == "e":
            return +mp.e
        if token == "i":
            return mp.mpc(0, 1)
        if token == "\\frac":
            above = self._argument(depth)
            return self._kept(_over(above, self._argument(depth)))
        if token == "\\sqrt":
            return self._square_root(depth)
        if token == "\\binom":
            above = self._argument(depth)
            return self._kept(_binomial(above, self._argument(depth)))
        if token[1:] in _FUNCTIONS:
            return self._kept(self._function(token[1:], depth))
        raise NotUnderstood

    def _square_root(self, depth: int) -> Any:
        degree: Any = Fraction(2)
        if self._next() == "[":
            self._take()
            degree = self._closed("]", depth)
        radicand = self._atom(depth) if self._next() == "(" else self._argument(depth)
        if not isinstance(degree, Fraction) or degree.denominator != 1 or not 1 <= degree <= 1_000:
            raise NotUnderstood
        if isinstance(radicand, Fraction) and radicand < 0 and degree == 2:
            return self._raise(-radicand, Fraction(1, 2)) * _mp().mpc(0, 1)
        if not isinstance(radicand, Fraction) and hasattr(radicand, "imag") and radicand.imag:
            raise NotUnderstood
        if radicand < 0:
            raise NotUnderstood
        if not radicand:
            return Fraction(0)
        return self._raise(radicand, 1 / degree)

    def _function(self, name: str, depth: int) -> Any:
        mp = _mp()
        power: Any = None
        base: Any = None
        if name == "log" and self._next() == "_":
            self._take()
            base = self._argument(depth)
        while self._next() in ("^",):
            self._take()
            power = self._argument(depth)
            if power == -1:
                raise NotUnderstood
        argument = self._function_argument(depth)
        if name == "log" and (not isinstance(base, Fraction) or base <= 0 or base == 1):
            raise NotUnderstood  # of which base?
        if isinstance(argument, Fraction) and name not in ("ln", "log", "exp") and not self._point and argument:
            raise NotUnderstood  # degrees, most likely: the sign has been dropped
        value = _float(argument)
        if hasattr(value, "imag") and value.imag:
            raise NotUnderstood
        if name in ("ln", "log") and value <= 0:
            raise NotUnderstood
        if name in ("arcsin", "arccos") and abs(value) > 1:
            raise NotUnderstood
        if name == "exp" and abs(value) > _EXPONENT_LIMIT:
            raise TooLarge
        table = {"arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan, "ln": mp.ln}
        if name == "log":
            result = mp.ln(value) / mp.ln(_float(base))
        else:
            result = table[name](value) if name in table else getattr(mp, name)(value)
        return result if power is None else self._raise(result, power)

    def _function_argument(self, depth: int) -> Any:
        r"""``(x+1)``, ``{x}``, or a product without a sign as far as it goes: ``\sin 2x``."""
        if depth > _DEPTH_LIMIT:
            raise NotUnderstood
        if self._next() in ("(", "{"):
            return self._power(depth + 1)
        value: Any = None
        while (token := self._next()) is not None and (
            token[0].isdigit() or token[0] == "." or token in self._point or token in ("\\pi", "\\frac", "\\sqrt", "e")
        ):
            factor = self._power(depth + 1)
            value = factor if value is None else _times(value, factor)
        if value is None:
            raise NotUnderstood
        return value

    def _argument(self, depth: int) -> Any:
        r"""``{...}``, or one figure or letter as TeX takes it: ``\frac12``, ``2^10`` is 2^1 and a 0."""
        token = self._next()
        if token == "{":
            self._take()
            return self._closed("}", depth)
        if token is not None and len(token) == 1 and token.isdigit():
            self._take()
            return Fraction(token)
        if token is not None and (token in self._point or token in ("\\pi", "i", "e")):
            return self._atom(depth)
        raise NotUnderstood

    def _closed(self, bracket: str, depth: int) -> Any:
        value = self.sum(depth + 1)
        if self._take() != bracket:
            raise NotUnderstood
        return value

    def _kept(self, value: Any) -> Any:
        """The value, once its size has been noted."""
        if not value:
            return value
        if isinstance(value, Fraction):
            bits = value.numerator.bit_length() - value.denominator.bit_length()
            if value.numerator.bit_length() + value.denominator.bit_length() > 4 * _BITS:
                raise TooLarge
            decades = 0.30103 * bits
        else:
            decades = 0.30103 * float(_mp().mag(value))
        self._low, self._high = min(self._low, decades), max(self._high, decades)
        return value

    def _next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self._next()
        if token is None:
            raise NotUnderstood
        self._at += 1
        return token


def _factorial(value: Any) -> Any:
    if not isinstance(value, Fraction) or value.denominator != 1 or value < 0:
        raise NotUnderstood
    number = value.numerator
    if number <= _FACTORIAL:
        return Fraction(math.factorial(number))
    if number > _EXPONENT_LIMIT:
        raise TooLarge
    return _mp().factorial(number)


def _binomial(above: Any, below: Any) -> Any:
    if not isinstance(above, Fraction) or not isinstance(below, Fraction):
        raise NotUnderstood
    if above.denominator != 1 or below.denominator != 1 or not 0 <= below <= above:
        raise NotUnderstood
    if above > _FACTORIAL:
        if above > _EXPONENT_LIMIT:
            raise TooLarge
        return _mp().binomial(above.numerator, below.numerator)
    return Fraction(math.comb(above.numerator, below.numerator))


def _root(value: Fraction, degree: int) -> Fraction | None:
    """The exact root of a rational number that is not negative, where it is rational."""
    above, below = _integer_root(value.numerator, degree), _integer_root(value.denominator, degree)
    return Fraction(above, below) if above is not None and below is not None else None


def _integer_root(number: int, degree: int) -> int | None:
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
