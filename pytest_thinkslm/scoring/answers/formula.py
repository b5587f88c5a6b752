r"""The value of a formula at a point: its tokens, and recursive descent over them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from pytest_thinkslm.scoring.answers.arithmetic import (
    BITS,
    EXPONENT_LIMIT,
    NotUnderstood,
    TooLarge,
    as_float,
    binomial,
    factorial,
    mp_context,
    over,
    plus,
    power,
    times,
)

#: Longer expressions have no value here.
LENGTH_LIMIT = 600
#: Neither have those that are nested deeper.
DEPTH_LIMIT = 40
#: Digits that are computed beyond those that are asked for.
SPARE = 20

_FUNCTIONS = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "ln", "log", "exp"})
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|\\(?P<command>[a-zA-Z]+)|(?P<name>[a-zA-Z](?:_(?:\w|\{\w{1,10}\}))?'?)"
    r"|(?P<sign>[-+*/^(){}\[\]!_]))"
)


def names_in(tokens: list[str]) -> frozenset[str]:
    """The variables among the tokens: letters, with an index or a prime; e and i are constants."""
    return frozenset(token for token in tokens if token[0].isalpha() and token not in ("e", "i"))


def tokens_of(text: str) -> list[str]:
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
    if _WORDS.search(text):
        raise NotUnderstood  # letters in a row are a word, not a product
    return tokens


_WORDS = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{4,}")


def evaluate(tokens: list[str], point: Mapping[str, Fraction], digits: int) -> tuple[Any, float]:
    """The value, and how many decades apart the largest and the smallest value on the way to it were."""
    reader = _Reader(tokens, point)
    with mp_context().workdps(digits + SPARE):
        value = reader.sum(0)
    if not reader.done:
        raise NotUnderstood
    return value, reader.spread


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
        if depth > DEPTH_LIMIT:
            raise NotUnderstood
        value = self._product(depth)
        while self._next() in ("+", "-"):
            sign = self._take()
            term = self._product(depth)
            value = self._kept(plus(value, term if sign == "+" else -term))
        return value

    def _product(self, depth: int) -> Any:
        value = self._signed(depth)
        while True:
            token = self._next()
            if token in ("*", "\\cdot", "\\times"):
                self._take()
                value = self._kept(times(value, self._signed(depth)))
            elif token in ("/", "\\div"):
                self._take()
                value = self._kept(over(value, self._signed(depth)))
            elif token is None or token in (")", "}", "]", "+", "-", "^", "!", "{", "["):
                return value
            elif token == "\\frac" or token[0].isdigit() or token[0] == ".":
                before = self._tokens[self._at - 1]
                if before[0].isdigit() or before[0] == "." or token != "\\frac":
                    raise NotUnderstood  # a mixed number, or a product of figures: "3\frac12", "2 3", "x2"
                value = self._kept(times(value, self._power(depth)))
            else:
                value = self._kept(times(value, self._power(depth)))

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
            base = self._kept(factorial(base))
        if self._next() != "^":
            return base
        self._take()
        value = self._kept(power(base, self._argument(depth)))
        if self._next() in ("^", "!"):
            raise NotUnderstood
        return value

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
        mp = mp_context()
        if token == "\\pi":
            return +mp.pi
        if token == "e":
            return +mp.e
        if token == "i":
            return mp.mpc(0, 1)
        if token == "\\frac":
            above = self._argument(depth)
            return self._kept(over(above, self._argument(depth)))
        if token == "\\sqrt":
            return self._square_root(depth)
        if token == "\\binom":
            above = self._argument(depth)
            return self._kept(binomial(above, self._argument(depth)))
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
            return power(-radicand, Fraction(1, 2)) * mp_context().mpc(0, 1)
        if not isinstance(radicand, Fraction) and hasattr(radicand, "imag") and radicand.imag:
            raise NotUnderstood
        if radicand < 0:
            raise NotUnderstood
        if not radicand:
            return Fraction(0)
        return power(radicand, 1 / degree)

    def _function(self, name: str, depth: int) -> Any:
        mp = mp_context()
        exponent: Any = None
        base: Any = None
        if name == "log" and self._next() == "_":
            self._take()
            base = self._argument(depth)
        while self._next() == "^":
            self._take()
            exponent = self._argument(depth)
            if exponent == -1:
                raise NotUnderstood
        argument = self._function_argument(depth)
        if name == "log" and (not isinstance(base, Fraction) or base <= 0 or base == 1):
            raise NotUnderstood  # of which base?
        if isinstance(argument, Fraction) and name not in ("ln", "log", "exp") and not self._point and argument:
            raise NotUnderstood  # degrees, most likely: the sign has been dropped
        value = as_float(argument)
        if hasattr(value, "imag") and value.imag:
            raise NotUnderstood
        if name in ("ln", "log") and value <= 0:
            raise NotUnderstood
        if name in ("arcsin", "arccos") and abs(value) > 1:
            raise NotUnderstood
        if name == "exp" and abs(value) > EXPONENT_LIMIT:
            raise TooLarge
        table = {"arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan, "ln": mp.ln}
        if name == "log":
            result = mp.ln(value) / mp.ln(as_float(base))
        else:
            result = table[name](value) if name in table else getattr(mp, name)(value)
        return result if exponent is None else power(result, exponent)

    def _function_argument(self, depth: int) -> Any:
        r"""``(x+1)``, ``{x}``, or a product without a sign as far as it goes: ``\sin 2x``."""
        if depth > DEPTH_LIMIT:
            raise NotUnderstood
        if self._next() in ("(", "{"):
            return self._power(depth + 1)
        value: Any = None
        while (token := self._next()) is not None and (
            token[0].isdigit() or token[0] == "." or token in self._point or token in ("\\pi", "\\frac", "\\sqrt", "e")
        ):
            factor = self._power(depth + 1)
            value = factor if value is None else times(value, factor)
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
            if value.numerator.bit_length() + value.denominator.bit_length() > 4 * BITS:
                raise TooLarge
            decades = 0.30103 * bits
        else:
            decades = 0.30103 * float(mp_context().mag(value))
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
