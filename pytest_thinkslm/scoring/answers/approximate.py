r"""The value of a LaTeX expression without variables, in floating point: enough to tell two values apart.

Only what is surely understood is evaluated: numbers, ``+ - * / ^``, ``\frac``, ``\sqrt``, ``\pi``, ``\cdot``,
``\times``, parentheses and products without a sign. Anything else, and what can be read in two ways
(``3\frac{1}{2}``), has no value here and is left to symbolic comparison.
"""

from __future__ import annotations

import math
import re

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|\\(d?frac|sqrt|pi|cdot|times)(?![a-zA-Z])|([-+*/^(){}\[\]]))")
_LENGTH_LIMIT = 200
_DEPTH_LIMIT = 20


def value_of(text: str) -> float | None:
    """The value of a normalised LaTeX expression; None where it is not surely understood. Never raises."""
    if len(text) > _LENGTH_LIMIT:
        return None
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        tokens.append(match[1] or match[2] or match[3])
        position = match.end()
    try:
        reader = _Reader(tokens)
        value = reader.sum(0)
    except (_NotUnderstood, ArithmeticError, ValueError):
        return None
    return value if reader.done and isinstance(value, float) and math.isfinite(value) else None


def surely_different(one: str, two: str) -> bool:
    """Whether both have a value and the values are apart by more than rounding can explain."""
    left = value_of(one)
    if left is None:
        return False
    right = value_of(two)
    return right is not None and not math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)


class _NotUnderstood(Exception):
    """The text is no expression of the kind that is evaluated."""


class _Reader:
    """Recursive descent over the tokens, bounded in depth."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    def sum(self, depth: int) -> float:
        if depth > _DEPTH_LIMIT:
            raise _NotUnderstood
        value = self._product(depth)
        while self._next() in ("+", "-"):
            sign = 1.0 if self._take() == "+" else -1.0
            value += sign * self._product(depth)
        return value

    def _product(self, depth: int) -> float:
        sign = 1.0
        while self._next() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        value = self._power(depth)
        while True:
            token = self._next()
            if token in ("*", "cdot", "times"):
                self._take()
                value *= self._power(depth)
            elif token == "/":
                self._take()
                value /= self._power(depth)
            elif token in ("sqrt", "pi", "("):
                value *= self._power(depth)
            elif token is not None and (token in ("frac", "dfrac") or token[0].isdigit() or token[0] == "."):
                raise _NotUnderstood  # a mixed number, or a product of figures: "3\frac12", "2 3"
            else:
                return sign * value

    def _power(self, depth: int) -> float:
        base = self._atom(depth)
        if self._next() != "^":
            return base
        self._take()
        exponent = self._argument(depth)
        if abs(exponent) > 64 or (base < 0 and not exponent.is_integer()):
            raise _NotUnderstood
        return float(base**exponent)

    def _atom(self, depth: int) -> float:
        token = self._take()
        if token == "(":
            return self._closed(")", depth)
        if token == "{":
            return self._closed("}", depth)
        if token == "pi":
            return math.pi
        if token in ("frac", "dfrac"):
            return self._argument(depth) / self._argument(depth)
        if token == "sqrt":
            degree = 2.0
            if self._next() == "[":
                self._take()
                degree = self._closed("]", depth)
            radicand = self._argument(depth)
            if radicand < 0 or degree <= 0:
                raise _NotUnderstood
            return float(radicand ** (1 / degree))
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        raise _NotUnderstood

    def _argument(self, depth: int) -> float:
        r"""``{...}``, or one figure as TeX takes it: ``\frac12``, ``2^10`` is 2^1 and a 0."""
        token = self._next()
        if token == "{":
            self._take()
            return self._closed("}", depth)
        if token is not None and len(token) == 1 and token.isdigit():
            self._take()
            return float(token)
        raise _NotUnderstood

    def _closed(self, bracket: str, depth: int) -> float:
        value = self.sum(depth + 1)
        if self._take() != bracket:
            raise _NotUnderstood
        return value

    def _next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self._next()
        if token is None:
            raise _NotUnderstood
        self._at += 1
        return token
