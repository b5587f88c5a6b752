r"""Whether an answer has the value of the gold expression."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from pytest_thinkslm.scoring.answers.evaluate import is_costly, same_equation, same_value, value_of
from pytest_thinkslm.scoring.answers.latex import as_fraction, normalise, split_top
from pytest_thinkslm.scoring.answers.mathpool import LENGTH_LIMIT, compare

Method = Literal["string", "number", "tuple", "math-verify", "none"]


@dataclass(frozen=True, slots=True)
class Equality:
    """Whether two expressions are equal, what decided it, and whether the symbolic comparison ran out of time."""

    equal: bool
    timeout: bool = False
    method: Method = "none"


def equal(answer: str, gold: str, *, deadline: float = 1.5) -> Equality:
    r"""Whether an answer has the gold's value; raises for no text.

    Exact comparisons come first: the normalised strings, numbers as fractions, tuples and sets part by part, then the
    values themselves (``evaluate``). What is left goes to math-verify for at most ``deadline`` seconds of a processor
    in all. Decisions that MATH's gold answers ask for: ``10\%`` is 10 and not 0.1; units are ignored; ``x = 5`` is 5,
    and so is ``AB = 5`` where the gold is a value (the left side of an *answer* names what was asked for; a gold that
    is an equation asks for one); ``11_2`` equals neither 11 nor 3; ``1,3`` is a set, ``(1,3)`` is ordered; an interval
    is no inequality; a decimal is not the fraction or root that it approximates.
    """
    if len(answer) > LENGTH_LIMIT or len(gold) > LENGTH_LIMIT:
        same = answer.strip() == gold.strip()
        return Equality(same, method="string" if same else "none")
    one, two = normalise(answer), _normalised_gold(gold)
    if not one or not two:
        return Equality(False)
    return _equal(one, two, _Budget(deadline))


#: Golds come back with every repeat, style and variant.
_normalised_gold = lru_cache(maxsize=8_192)(normalise)


class _Budget:
    """What one call of ``equal`` may still take: seconds of a processor for math-verify, and values to compare."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.values = 400

    def compare(self, one: str, two: str) -> Equality:
        if self.left <= 0 or is_costly(one) or is_costly(two):
            return Equality(False, timeout=True, method="math-verify")
        said = compare(one, two, self.left)
        self.left -= said.seconds
        return Equality(said.status == "equal", said.status == "timeout", "math-verify")

    def by_value(self, one: str, two: str) -> Equality | None:
        """Equality by the values of both, or of the sides of two equations; None where they are not understood."""
        if self.values <= 0:
            return Equality(False, timeout=True, method="number")
        self.values -= 1
        left, right = split_top(one, "="), split_top(two, "=")
        if len(left) == len(right) == 2:
            same = same_equation((left[0], left[1]), (right[0], right[1]))
            return Equality(True, method="number") if same == "equal" else None
        said = same_value(one, two)
        if said == "too-large":
            return Equality(False, timeout=True, method="math-verify")
        if said == "different" and (_FLOAT.fullmatch(one) or _FLOAT.fullmatch(two)):
            return Equality(_same_float(one, two), method="number")
        return None if said is None else Equality(said == "equal", method="number")


# So many figures are what a computer prints of an exact value; fewer are somebody's rounding.
_FLOAT = re.compile(r"[-+]?\d*\.\d{12,}")


def _same_float(one: str, two: str) -> bool:
    left, right = value_of(one), value_of(two)
    return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-12)


_BASED = re.compile(
    r"(-?)0*([0-9A-F]+(?:\.[0-9A-F]+)?)_\{?(\d+|two|three|four|five|six|seven|eight|nine|ten|twelve)\}?"
)
_WORDS = re.compile(r"[A-Za-z]{2,}|[A-Z]")
_TIME_OF_DAY = re.compile(r"\d{1,2}(?::\d\d)?[ap]m|\d{1,2}:\d\d")
_ASSIGNED = re.compile(r"((?:[A-Za-z]|\\[a-z]{2,8})(?:_\w)?(?:\([a-z]\))?)(?:=|\\in ?)([^=<>]+)")
_RELATION = re.compile(r"=|<|>|\\[lg]eq|\\neq|\\equiv|\\approx|\\[pb]?mod(?![a-z])")
_AMBIGUOUS = re.compile(r"\d{1,3}(?:,\d{3})+")
_ELEMENTS_READ = 60


def _equal(one: str, two: str, budget: _Budget) -> Equality:
    """Compare normalised texts by the first rule that decides."""
    if one == two:
        return Equality(True, method="string")
    for rule in (_as_words, _as_based, _as_numbers):
        decided = rule(one, two)
        if decided is not None:
            return decided
    assigned = _ASSIGNED.fullmatch(one), _ASSIGNED.fullmatch(two)
    if assigned[0] and assigned[1]:
        if assigned[0][1] == assigned[1][1]:
            return _equal(assigned[0][2], assigned[1][2], budget)
        if as_fraction(assigned[0][2]) is not None or as_fraction(assigned[1][2]) is not None:
            return Equality(False, method="number")  # "x=5" against "y=2x": another variable
    elif (assigned[0] and not _RELATION.search(two)) or (assigned[1] and not _RELATION.search(one)):
        return _equal(assigned[0][2] if assigned[0] else one, assigned[1][2] if assigned[1] else two, budget)
    elif not _RELATION.search(two) and len(split_top(one)) == 1 and len(split_top(one, "=")) > 1:
        value = _without_left_side(one)
        return Equality(False) if value is None else _equal(value, two, budget)
    collected = _as_collections(one, two, budget)
    if collected is not None:
        return collected
    if bool(_RELATION.search(one)) != bool(_RELATION.search(two)):
        return Equality(False)  # an equation or inequality against a value or an interval
    if (as_fraction(one) is None) != (as_fraction(two) is None) and (_has_name(one) or _has_name(two)):
        return Equality(False, method="number")  # "2x+1", "even" or "CD" against "5": no need to ask
    return budget.by_value(one, two) or budget.compare(one, two)


_ARGUMENTS = re.compile(r"(?<=[A-Za-z'}\d])\((?:[^()]|\([^()]*\))*\)")
_INDEX = re.compile(r"[_^](?:\{[^{}]*\}|\\?\w)")
_NAMING = re.compile(r"\\(?:text|mathrm|angle|triangle|overline|vec|hat|widehat|frac|cdot|operatorname)(?![a-zA-Z])")
_LETTERS = re.compile(r"[A-Za-z\u0370-\u03ff\u3040-\u9fff\uac00-\ud7af]")
_FUNCTION_NAME = re.compile(r"(?:\\?[A-Za-z]+|\\frac\{d\w?\}\{d\w\})'{0,3}")
_BARE_NAME = re.compile(r"[A-Za-z](?:_\w)?|\\(?:theta|alpha|beta|lambda|phi|mu|omega|pi)")


def _without_left_side(text: str) -> str | None:
    r"""The value of an equation that names what it gives; None for an equation to be solved and for inequalities.

    The left side may be any name or quantity (``AB``, ``f(f(2))``, ``a+b``, ``\angle ABC``, ``(x,y)``) of a value, but
    of an expression in variables only a name or a function (``f^{-1}(x) = 2x+1``). Numbers on the left side
    (``2x+3 = 7``) make an equation, whose right side is no answer.
    """
    if ":" in text and "=" not in text:
        return None
    sides = split_top(text, "=")
    if len(sides) != 2 or not sides[0] or not sides[1] or _RELATION.search(sides[0] + sides[1]):
        return None
    name, value = sides
    if _BARE_NAME.fullmatch(value) and not _BARE_NAME.fullmatch(name) and as_fraction(name) is not None:
        return name
    if same_value(name, value) == "equal":
        return value  # an identity: both sides are the value
    bare = _INDEX.sub("", _ARGUMENTS.sub("", name))
    if not _LETTERS.search(_NAMING.sub("N", bare)):
        return None
    if _has_variable(value) and not (name[:1] == "(" and name[-1:] == ")"):
        return value if _FUNCTION_NAME.fullmatch(bare) else None
    return None if re.search(r"\d", bare) else value


_NAME = re.compile(r"(?<![a-zA-Z])[A-Za-df-hj-z](?![a-zA-Z])|[A-Z]{2}|[a-zA-Z]{4}")


def _has_name(text: str) -> bool:
    """Whether a variable, a point's name or a word stands in a text, all of which no number is equal to."""
    return bool(_NAME.search(_COMMAND.sub(" ", text)))


_COMMAND = re.compile(r"\\[a-zA-Z]+")
_VARIABLE = re.compile(r"(?<![a-zA-Z])[a-df-hj-z](?![a-zA-Z])")


def _has_variable(text: str) -> bool:
    """Whether a lower case letter stands alone; e and i may be numbers."""
    return bool(_VARIABLE.search(_COMMAND.sub(" ", text)))


def _as_words(one: str, two: str) -> Equality | None:
    """Words and times of day are compared as text: math-verify would multiply their letters, in any order."""
    words = _WORDS.fullmatch(one) and _WORDS.fullmatch(two) and max(len(one), len(two)) >= 4
    if words or _TIME_OF_DAY.fullmatch(one) or _TIME_OF_DAY.fullmatch(two):
        return Equality(one.casefold() == two.casefold(), method="string")
    return None


def _as_based(one: str, two: str) -> Equality | None:
    left, right = _BASED.fullmatch(one), _BASED.fullmatch(two)
    if not left and not right:
        return None
    # A numeral in another base, or in none, is another answer, even where the value is the same.
    return Equality(bool(left and right and left.groups() == right.groups()), method="number")


def _as_numbers(one: str, two: str) -> Equality | None:
    left, right = _number(one), _number(two)
    if left is None or right is None:
        return None
    if left != right and (_AMBIGUOUS.fullmatch(one) or _AMBIGUOUS.fullmatch(two)):
        return None  # "70,110" may be a list of two
    return Equality(left == right, method="number")


_RATIO = re.compile(r"(\d{1,9}):(\d{1,9})")


def _number(text: str) -> Fraction | None:
    """The value of a number or of a ratio, "3:2"."""
    if (ratio := _RATIO.fullmatch(text)) and int(ratio[2]):
        return Fraction(int(ratio[1]), int(ratio[2]))
    return as_fraction(text)


@dataclass(frozen=True, slots=True)
class _Collection:
    shape: str
    parts: tuple[str, ...]
    ordered: bool


def _as_collections(one: str, two: str, budget: _Budget) -> Equality | None:
    left, right = _collection(one), _collection(two)
    if left is None and right is None:
        return None
    if left is None or right is None or left.shape != right.shape or len(left.parts) != len(right.parts):
        return Equality(False, method="tuple")
    if len(left.parts) > _ELEMENTS_READ:
        return Equality(left.parts == right.parts, method="tuple")
    return (_in_order if left.ordered else _in_any_order)(left.parts, right.parts, budget)


def _in_order(left: tuple[str, ...], right: tuple[str, ...], budget: _Budget) -> Equality:
    for one, two in zip(left, right, strict=True):
        said = _equal(one, two, budget) if one and two else Equality(one == two)
        if not said.equal:
            return Equality(False, said.timeout, "tuple")
    return Equality(True, method="tuple")


def _in_any_order(left: tuple[str, ...], right: tuple[str, ...], budget: _Budget) -> Equality:
    # Equal strings are paired off first, so that symbolic comparison sees only what differs in spelling.
    unmatched = list(right)
    rest = [part for part in left if not _take(unmatched, part.__eq__)]
    timeout = False
    for part in rest:

        def same(other: str, part: str = part) -> bool:
            nonlocal timeout
            said = _equal(part, other, budget)
            timeout = timeout or said.timeout
            return said.equal

        if not _take(unmatched, same):
            return Equality(False, timeout, "tuple")
    return Equality(True, method="tuple")


def _take(items: list[str], wanted: Callable[[str], bool]) -> bool:
    for index, item in enumerate(items):
        if wanted(item):
            del items[index]
            return True
    return False


_MATRIX = (r"\begin{pmatrix}", r"\end{pmatrix}")


def _collection(text: str) -> _Collection | None:
    r"""A tuple or interval, a set or bare list, a union, a matrix, or an expanded ``\pm``; None for a single value."""
    if text.startswith(_MATRIX[0]) and text.endswith(_MATRIX[1]) and text.count(r"\begin") == 1:
        rows = [row.split("&") for row in text[len(_MATRIX[0]) : -len(_MATRIX[1])].split(r"\\") if row]
        shape = "matrix " + ",".join(str(len(row)) for row in rows)
        return _Collection(shape, tuple(cell for row in rows for cell in row), ordered=True)
    if len(union := split_top(text, r"\cup")) > 1:
        return _Collection("union", tuple(union), ordered=False)
    if len(parts := split_top(text)) > 1:
        return _Collection("set", _expand(parts), ordered=False)
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return _Collection("set", _expand(split_top(text[2:-2])), ordered=False)
    if text.startswith("{") and text.endswith("}") and len(parts := split_top(text[1:-1])) > 1:
        return _Collection("set", _expand(parts), ordered=False)  # a set whose braces lost their backslashes
    if text[:1] in "([" and text[-1:] in ")]" and len(parts := split_top(text[1:-1])) > 1:
        return _Collection(f"tuple {text[0]}{text[-1]}", tuple(parts), ordered=True)
    if len(signs := _expand([text])) > 1:
        return _Collection("set", signs, ordered=False)
    return None


def _expand(parts: list[str]) -> tuple[str, ...]:
    expanded: list[str] = []
    for part in parts:
        if part.count(r"\pm") == 1:
            head, _, tail = part.partition(r"\pm")
            expanded += [f"{head}+{tail.lstrip()}".removeprefix("+"), f"{head}-{tail.lstrip()}"]
        else:
            expanded.append(part)
    return tuple(expanded)
