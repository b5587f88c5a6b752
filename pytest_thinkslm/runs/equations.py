r"""The equations of numbers that stand in a text, and which of them are false. Pure.

An equation is read as people write one: ``14 trays * 12 rolls/tray = 168 rolls``, ``$3 \times \$4 = \$12$``,
``35% of 240 is 84``, ``5 + 3 = 8 + 2 = 10`` (a running sum). Only what is surely understood is judged: what has a
variable in it, is a part of something larger, or goes on in a way that is not known, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pytest_thinkslm.runs.equation_tokens import KEPT, OPERATORS, SIGNS, TEXT_LIMIT, Token, digits_of, segments
from pytest_thinkslm.scoring.answers.evaluate import value_of

#: Tokens of one side of an equation that are looked at.
_SIDE = 60

#: Before an expression these make it a part of a larger one; after a number these make it another number.
_PART_OF = frozenset({"of", "than", "to", "from", "by", "over", "twice", "half", "double", "triple", "thrice", "x"})
_JOINS = frozenset({"and", "or", "so", "then", "where", "with", "but", "because", "if", "when", "since", "that", "we"})
_SCALES = frozenset({"million", "billion", "thousand", "hundred", "dozen", "mod", "percent", "remainder", "r"})
#: How often one unit goes into another: 100 cm, 1000 m, 60 minutes, 24 hours, 7 days.
CONVERSIONS = frozenset({10, 12, 24, 7, 60, 100, 1_000, 3_600, 1_000_000})
#: Larger values are not compared.
_LARGEST = 10**200
_DOUBT = re.compile(r"[^.\n]{0,3}\?|[.,;]?\s*(?:no|wait|hmm|hm|actually|oops|not quite|that's wrong)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Equation:
    """An equation that was understood: where it stands, its sides' values and whether it is true.

    ``result`` is where its right side begins.
    """

    start: int
    result: int
    end: int
    left: Fraction | float
    right: Fraction | float
    true: bool


@dataclass(frozen=True, slots=True)
class _Side:
    """One side: an expression for ``value_of``, the tokens that it is made of, and the unit that it ends on."""

    latex: str
    first: Token
    last: Token
    unit: str
    operation: bool
    division: bool
    percent: bool


def equations(text: str) -> Iterator[Equation]:
    """Every equation of numbers that is understood, in order."""
    for segment in segments(text[:TEXT_LIMIT]):
        places = [place for place, token in enumerate(segment) if token.kind == "equals"]
        for number, place in enumerate(places):
            before = segment[places[number - 1] + 1 if number else 0 : place]
            after = segment[place + 1 : places[number + 1] if number + 1 < len(places) else len(segment)]
            if (found := _equation(before[-_SIDE:], segment[place], after[:_SIDE], chained=number > 0)) is not None:
                yield found


def false_equation(text: str) -> Equation | None:
    """The first equation of numbers that is wrong and that the text does not take back; None where all are right."""
    found = list(equations(text))
    right = {_plain(text[one.start : one.result]) for one in found if one.true}
    for one in found:
        if one.true or _plain(text[one.start : one.result]) in right or _DOUBT.match(text, one.end):
            continue
        return one
    return None


def _plain(left: str) -> str:
    return "".join(SIGNS.get(token, token) for token in re.findall(r"\\[a-z]+|[\d.]+|[-+*/^×·⋅∗÷−–]", left))


# --- sides


def _equation(before: Sequence[Token], sign: Token, after: Sequence[Token], *, chained: bool) -> Equation | None:
    left, right = _left(before, chained=chained), _right(after)
    if left is None or right is None:
        return None
    said = sign.text != "="
    if not left.operation and (said or not right.operation or left.unit or left.first is not before[0]):
        return None
    if said and right.operation:
        return None
    one, other = value_of(left.latex), value_of(right.latex)
    if one is None or other is None or not (comparable(one) and comparable(other)):
        return None
    true = _agree(one, other, left, right)
    return Equation(left.first.start, right.first.start, right.last.end, one, other, true)


def _left(tokens: Sequence[Token], *, chained: bool) -> _Side | None:
    """The expression that a run of tokens ends on; None where there is none, or where it is a part of a larger one."""
    start, place = 0, 0
    while place < len(tokens):
        width = _unit(tokens, place)
        if width:
            place += width
            continue
        if tokens[place].kind == "word":
            start = place + 1
        place += 1
    own = tokens[start:]
    if not own or (chained and start):
        return None
    if start:
        word = tokens[start - 1].text.lower()
        letter = (len(word) == 1 and word not in ("a", "i")) or word.startswith("\\")
        if word in _PART_OF or letter or own[0].text in tuple("+*/^!)"):
            return None
        if own[0].text == "-" and tokens[start - 1].end == own[0].start:
            return None
    elif own[0].text in tuple("*/^!)"):
        return None
    return _side(own)


def _right(tokens: Sequence[Token]) -> _Side | None:
    """The expression that a run of tokens begins with; None where there is none, or where it goes on beyond it."""
    place = 0
    while place < len(tokens):
        if width := _unit(tokens, place):
            place += width
            continue
        if tokens[place].kind == "word":
            break
        place += 1
    own = tokens[:place]
    if not own:
        return None
    if place < len(tokens):
        word, last = tokens[place], own[-1]
        if last.text in OPERATORS - {"!"} or word.text.lower() in _SCALES:
            return None
        if not word.text[0].isalpha() or (len(word.text) == 1 and word.text not in "aI"):
            return None
    return _side(own, right=True)


def _unit(tokens: Sequence[Token], place: int) -> int:
    """How many tokens from here on are the unit of the number before: ``rolls/tray``, ``kWh an hour``; 0: none."""
    if not place or tokens[place].kind != "word" or tokens[place].text.lower() in _SCALES:
        return 0
    before = tokens[place - 1]
    if before.kind != "number" and before.text not in (")", "%", "}"):
        return 0
    adjacent = before.end == tokens[place].start
    if adjacent and (before.kind != "number" or len(tokens[place].text) == 1):
        return 0
    if _no_unit(tokens[place].text):
        return 0
    width = 1
    while place + width < len(tokens) and width < 6:
        token = tokens[place + width]
        slash = token.text == "/" and place + width + 1 < len(tokens) and tokens[place + width + 1].kind == "word"
        if (token.kind != "word" and not slash) or (token.kind == "word" and _no_unit(token.text)):
            break
        width += 1
    if place + width == len(tokens):
        return width if width <= 3 else 0
    return width if tokens[place + width].text in OPERATORS | {")"} and width <= 4 else 0


def _no_unit(word: str) -> bool:
    """Whether a word behind a number is no unit of it: a variable, or one that joins two formulas."""
    return word.lower() in _JOINS or not word[0].isalpha() or (len(word) == 1 and word not in "mglhst")


def _side(own: Sequence[Token], *, right: bool = False) -> _Side | None:
    """What ``value_of`` takes of these tokens; None where they are not all of one expression."""
    parts: list[str] = []
    used: list[Token] = []
    unit: list[str] = []
    percent = False
    skipped = False
    for place, token in enumerate(own):
        if token.kind == "word":
            unit.append(token.text.lower())
            skipped = True
            continue
        if token.text == "/" and skipped and place + 1 < len(own) and own[place + 1].kind == "word":
            continue
        if token.text == "%":
            before = own[place - 2].text if place > 1 else ""
            if before in ("+", "-"):
                return None  # 80 - 15%
            parts.append("*0.01")
            percent = True
        elif token.kind == "number":
            if parts and (used[-1].kind == "number" or used[-1].text == "%"):
                return None  # 3 1/2, or two numbers beside each other
            parts.append(digits_of(token.text))
        elif token.kind == "share":
            parts.append(f"({token.text})*")
        else:
            parts.append("\\frac" if token.text in ("\\dfrac", "\\tfrac") else token.text)
        used.append(token)
        skipped = False
    if not any(token.kind == "number" for token in used):
        return None
    if used[-1].text in ("(", "{", "+", "-", "*", "/"):
        return None
    used, parts = _balanced(used, parts, right=right)
    if not used:
        return None
    signs = {token.text for token in used[1:]}
    kinds = {token.kind for token in used}
    operation = bool(signs & (OPERATORS | KEPT) or used[0].text in KEPT or "share" in kinds)
    if all(token.text == "%" or token.kind == "number" for token in used):
        operation = False
    division = bool(signs & {"/"} or {token.text for token in used} & {*KEPT} or percent or "share" in kinds)
    division |= any("." in token.text for token in used if token.kind == "number")
    return _Side(" ".join(parts), used[0], used[-1], unit[-1] if unit else "", operation, division, percent)


def _balanced(used: list[Token], parts: list[str], *, right: bool) -> tuple[list[Token], list[str]]:
    """Without brackets that belong to the sentence: "(2 + 2 = 4)"; a list's, "1, 2) = (3, 4", are left unbalanced."""
    for opening, closing in (("(", ")"), ("{", "}")):
        while not right and used and _excess(used, opening, closing) > 0 and used[0].text == opening:
            used, parts = used[1:], parts[1:]
        while right and used and _excess(used, opening, closing) < 0 and used[-1].text == closing:
            used, parts = used[:-1], parts[:-1]
    return used, parts


def _excess(used: Sequence[Token], opening: str, closing: str) -> int:
    return sum((token.text == opening) - (token.text == closing) for token in used)


# --- values


def comparable(value: Fraction | float) -> bool:
    """Whether a value is compared with another: no larger ones are."""
    return -_LARGEST < value < _LARGEST


def _agree(one: Fraction | float, other: Fraction | float, left: _Side, right: _Side) -> bool:
    """Whether two sides are equal as people write it: rounded, cut, a whole quotient, in percent, in another unit."""
    if one == other or _rounded(one, other, left, right):
        return True
    if right.operation:
        lead = re.match(r"\s*-?\s*(\d+(?:\.\d+)?)", right.latex)
        if lead is not None and Fraction(lead[1]) == one:
            return True  # a running sum: 5 + 3 = 8 + 2
    if (right.percent or left.percent) and any(
        one * scale == other or abs(float(one) * scale - float(other)) < 0.01 * float(_step(right))
        for scale in (100, 0.01)
    ):
        return True
    if left.unit != right.unit or left.percent:
        return _converted(one, other) and bool(right.unit or left.percent)
    return False


def _converted(one: Fraction | float, other: Fraction | float) -> bool:
    return any(one * times == other or other * times == one for times in CONVERSIONS)


def _rounded(value: Fraction | float, stated: Fraction | float, left: _Side, right: _Side) -> bool:
    if isinstance(value, float) or isinstance(stated, float):
        return abs(float(value) - float(stated)) <= 1e-9 * max(1.0, abs(float(value))) or (
            not right.operation and abs(float(value) - float(stated)) < float(_step(right))
        )
    step = _step(right)
    if right.operation or not left.division or (value / step).denominator == 1:
        return False
    return abs(value - stated) < step


def _step(side: _Side) -> Fraction:
    digits = re.search(r"\.(\d+)", side.last.text if side.last.kind == "number" else side.latex)
    return Fraction(1, 10 ** len(digits[1])) if digits else Fraction(1)
