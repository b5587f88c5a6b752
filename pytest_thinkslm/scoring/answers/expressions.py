r"""LaTeX answers: reading the last ``\boxed`` (or what stands for it), and comparing with the gold expression."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.anchors import Anchor, anchors, is_supposed
from pytest_thinkslm.scoring.answers.boxgroups import BoxGroup, box_groups
from pytest_thinkslm.scoring.answers.degenerate import is_code
from pytest_thinkslm.scoring.answers.evaluate import is_costly, same_equation, same_value, value_of
from pytest_thinkslm.scoring.answers.latex import as_fraction, normalise, split_top
from pytest_thinkslm.scoring.answers.mathpool import LENGTH_LIMIT, compare
from pytest_thinkslm.scoring.answers.mathspans import math_spans, stated_in_formula, stated_value
from pytest_thinkslm.scoring.answers.numbers import read_result
from pytest_thinkslm.scoring.answers.region import Region, boxes, is_placeholder
from pytest_thinkslm.scoring.answers.units import is_unit
from pytest_thinkslm.scoring.answers.written import rounds, written_value

Method = Literal["string", "number", "tuple", "math-verify", "none"]


@dataclass(frozen=True, slots=True)
class Equality:
    """Whether two expressions are equal, what decided it, and whether the symbolic comparison ran out of time."""

    equal: bool
    timeout: bool = False
    method: Method = "none"


# "3. ... so the answer is 27.\n4. Now ...": a step of a text that was cut while it went on reasoning.
_NEXT_STEP = re.compile(r"\n\s*(?:\*\*)?(?:step\s+\d|\d{1,2}[.)]\s)", re.IGNORECASE)
_LAST_NUMBER = re.compile(
    r"[-−\d](?<![\w.,/].)(?:(?<=\d)|(?<=[-−])\d)(?:[\d,]{0,40}\d)?(?:\.\d{1,40})?(?:/\d{1,40})?(?!\w)"
)
_ANCHORS_READ = 64
# "x = 1 or x = 2" is a set of solutions; "either 1 or 2" leaves it open.
_EITHER = re.compile(r"\s*either\b[^.\n]{1,200}?\bor\b", re.IGNORECASE)
_SEVERAL = "several"
_CONCLUDES = re.compile(r"\W*(?:so|therefore|thus|hence|in total|finally)\b", re.IGNORECASE)


def read_expression(region: Region, question: str = "") -> Answer:
    """The LaTeX string that a final region gives as its answer.

    In order: the last explicit statement, which is a balanced box that is no placeholder (boxes that stand together
    are one list), or "the answer is", ``Answer:`` with its value; the whole text where it is nothing but an expression;
    then, unless the text was cut, the result that it ends on, its last formula or last number (not anchored).
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    found = boxes(region.text)
    if region.cut and found and not found[-1].closed:
        return Answer(None, "cut", detail=found[-1].content[:80])
    groups = box_groups(region.text, [box for box in found if box.closed and not is_placeholder(box.content)])
    boxed = groups[-1] if groups else None
    if boxed is None and not region.cut and is_code(region.text):
        return Answer(None, "none", detail="code")
    stated = _last_statement(region, boxed, question)
    if stated == _SEVERAL:
        return Answer(None, "several")
    if stated:
        return Answer(stated, "answer-is", anchored=True)
    if boxed is not None:
        return _boxed_answer(boxed)
    if region.cut:
        return Answer(None, "cut")
    unclosed = found[-1].content if found and not found[-1].closed else ""
    return _fallback(region.text, unclosed, question)


def _boxed_answer(group: BoxGroup) -> Answer:
    values = list(dict.fromkeys(written_value(box.content) for box in group.boxes))
    if len(values) > 1 and group.either:
        return Answer(None, "several", detail=values[-1][:80])
    return Answer(", ".join(values), "boxed", anchored=True)


def _last_statement(region: Region, boxed: BoxGroup | None, question: str) -> str | None:
    """The value of the last "the answer is"; after a box only one that gives another value outright.

    A box is the more deliberate statement: remarks behind it that give no value of their own, suppose something else,
    or round what it holds, are no answers.
    """
    text = region.text
    after = 0 if boxed is None else boxed.end
    for anchor in reversed(anchors(text, after)[-_ANCHORS_READ:]):
        if boxed is None and _EITHER.match(text, anchor.end):
            return _SEVERAL
        stated = stated_in_formula(text, anchor.start) or stated_value(text, anchor.end)
        value = read_result(stated.prose, question).value if stated.prose else stated.value
        if not isinstance(value, str) or is_placeholder(value) or "boxed" in value:
            continue
        if boxed is not None and (not stated.direct or stated.roughly or _is_remark(text, anchor, value, boxed)):
            continue
        if region.cut:
            rest = text[stated.end :]
            if not rest or (not anchor.final and _NEXT_STEP.search(rest)):
                continue
        return value
    return None


def _is_remark(text: str, anchor: Anchor, value: str, boxed: BoxGroup) -> bool:
    if is_supposed(text, anchor.start, anchor.end):
        return True
    return len(boxed.boxes) == 1 and rounds(value, written_value(boxed.boxes[0].content))


def _fallback(text: str, unclosed: str, question: str) -> Answer:
    first_line = unclosed.partition("\n")[0].strip().rstrip("$.")
    if first_line and not is_placeholder(first_line):
        return Answer(written_value(first_line), "unclosed-box")
    bare = text.strip()
    stated = stated_value(bare, 0)
    whole = stated.value is not None and "\n" not in bare and stated.end >= len(bare) and not _says_something(bare)
    if whole and not is_placeholder(stated.value or ""):
        return Answer(stated.value, "bare", anchored=True)
    spans = [span for span in math_spans(text) if not is_placeholder(span.content)]
    spans = [span for span in spans if "boxed" not in span.content]
    number = None
    for number in _LAST_NUMBER.finditer(text):  # noqa: B007
        pass
    if spans and not (number and _is_concluded(text, number.start(), spans[-1].end)):
        return Answer(written_value(spans[-1].content), "last-formula")
    if not spans and _is_prose(bare[-2_000:]):
        plain = _plain_formula(bare)
        return Answer(plain, "last-formula") if plain else read_result(text, question)
    return Answer(number[0].replace("−", "-"), "last-number") if number else Answer(None, "none")


_PLAIN_VALUE = re.compile(r"(?:\b(?:is|are|equals|be)|=)\s+(?=\S*[\dπ√])([^\n=.]{1,80}?)[.!]?\s*$")
_PLAIN_MATHEMATICS = re.compile(r"[π√^*/]|sqrt|pi\b")
_PLAIN_WORD = re.compile(r"(?<![A-Za-z])(?!(?:sqrt|pi|sin|cos|tan|log|ln)(?![A-Za-z]))[A-Za-z]{2,}")


def _plain_formula(text: str) -> str | None:
    """A formula without marks of one that ends a sentence: "So the length is 2*sqrt(5)."."""
    found = _PLAIN_VALUE.search(text[-300:])
    if found is None or not _PLAIN_MATHEMATICS.search(found[1]):
        return None
    words = _PLAIN_WORD.search(found[1])
    value, unit = (found[1][: words.start()], found[1][words.start() :]) if words else (found[1], "")
    return written_value(value) if is_unit(f" {unit}") and value.strip() else None


_PROSE_WORD = re.compile(r"[^\W\d_]{2,}")
_LATEX_WORD = re.compile(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+")
_FAR_EAST = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _is_prose(text: str) -> bool:
    """Whether a text has words of a sentence beside its mathematics."""
    if not text.isascii() and _FAR_EAST.search(text):
        return True
    return len(_PROSE_WORD.findall(_LATEX_WORD.sub(" ", text[:2_000]))) > 4


def _says_something(text: str) -> bool:
    """Whether a short reply is a sentence: prose, or three words and more without a figure, a sign or a bracket."""
    if _is_prose(text):
        return True
    words = _LATEX_WORD.sub(" ", text)
    long = sum(len(word) > 1 for word in _ANY_WORD.findall(words))
    return len(_ANY_WORD.findall(words)) > 2 and long > 1 and not _MATHEMATICAL.search(words)


_ANY_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_MATHEMATICAL = re.compile(r"[\d=+*/^<>|()\[\]{}$\\,:;π√∞-]")


def _is_concluded(text: str, position: int, formula_end: int) -> bool:
    """Whether a number stands behind the last formula in a closing line of its own: "So, it is 3."."""
    line_start = text.rfind("\n", 0, position) + 1
    return formula_end <= line_start and bool(_CONCLUDES.match(text, line_start)) and not text[position:].count("\n")


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
