"""Numbers that an output has copied wrong from its question. Pure.

A number is one where it stands for a number of the question that the output never uses: nearly the same digits, or
the same words around it. Numbers behind an equals sign are results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pytest_thinkslm.runs.equation_tokens import NUMBER, TEXT_LIMIT, digits_of, number_of

_TOKEN = re.compile(rf"(?P<number>{NUMBER})|(?P<word>[^\W\d_]+)|(?P<sign>\\[a-zA-Z]+|[^\s\w$*,.&])")
#: Between a number and what says that it is a result.
_RESULT = re.compile(r"(?:[=≈→⇒]|boxed|\b(?:which|that|this) (?:is|are|makes?|gives?|leaves?))\s*[-$\\({*\s]*$")
#: What in a formula names the place of a number: the token before a sign.
_FORMULA = re.compile(r"(?:[a-z\d]+|\)|sqrt|\\sqrt) [-+*/^{]", re.IGNORECASE)
#: Words that stand beside any number.
_COMMON = frozenset({"a", "an", "the", "and", "of", "is", "in", "to", "for", "by", "at", "with", "dollars", "x", "are"})


@dataclass(frozen=True, slots=True)
class _Number:
    digits: str
    value: Fraction
    start: int
    end: int
    before: tuple[str, ...]
    after: tuple[str, ...]


def miscopied(text: str, question: str) -> tuple[int, int] | None:
    """Where the first number stands that is another one in the question; None where there is none."""
    asked = list(_numbers(question))
    used = list(_numbers(text[:TEXT_LIMIT]))
    # 0.25 is 25%, $0.30 are 30 cents
    known = {one.value * scale for one in asked for scale in (1, 100, Fraction(1, 100))}
    written = {one.value * scale for one in used for scale in (1, 100, Fraction(1, 100))}
    missing = [one for one in asked if one.value not in written]
    if not missing:
        return None
    formulas = "$" in re.sub(r"\$(?=\d)", "", question) or "\\" in question
    for one in used:
        if _RESULT.search(text, max(0, one.start - 12), one.start):
            known.add(one.value)
        if one.value in known:
            continue
        if any(_stands_for(one, other, formulas=formulas) for other in missing):
            return one.start, one.end
    return None


def _numbers(text: str) -> Iterator[_Number]:
    tokens = list(_TOKEN.finditer(text))
    for place, token in enumerate(tokens):
        if token.lastgroup == "number" and (value := number_of(token.group())) is not None:
            words = [_stem(each.group()) for each in tokens[place + 1 : place + 3]]
            before = [_stem(each.group()) for each in tokens[max(0, place - 2) : place]]
            digits = digits_of(token.group())
            yield _Number(digits, value, token.start(), token.end(), tuple(before), tuple(words))


def _stem(word: str) -> str:
    return word.lower().rstrip("s") if word.isalpha() else word


def _stands_for(one: _Number, other: _Number, *, formulas: bool) -> bool:
    """Whether a number of the output stands in the place of one of the question.

    Args:
        formulas: the question is written in formulas, in which numbers that look alike are nothing unusual.
    """
    same_noun = one.after[:1] == other.after[:1] and _is_noun(one.after)
    same_word = one.before[-1:] == other.before[-1:] and _is_word(one.before[-1:])
    if same_noun and (same_word or one.after == other.after):
        return True
    if same_word and one.after[:1] == other.after[:1] and _is_word(one.after[:1]):
        return True
    if len(one.before) == 2 and one.before == other.before and _FORMULA.fullmatch(" ".join(one.before)):
        return True  # x + 5, 3^5
    near = _nearly(one.digits, other.digits)
    if formulas or min(len(one.digits), len(other.digits)) < 2 or one.digits.rstrip("0") == other.digits.rstrip("0"):
        return near and same_noun
    return near


def _is_word(words: tuple[str, ...]) -> bool:
    return bool(words) and len(words[0]) > 1 and words[0].isalpha()


def _is_noun(words: tuple[str, ...]) -> bool:
    return bool(words) and words[0].isalpha() and words[0] not in _COMMON


def _nearly(one: str, other: str) -> bool:
    """One digit changed, left out or put in, or the same digits in another order."""
    if one == other:
        return False
    if len(one) == len(other):
        changed = sum(a != b for a, b in zip(one, other, strict=True))
        return changed == 1 or sorted(one) == sorted(other)
    short, long = sorted((one, other), key=len)
    return len(long) - len(short) == 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
