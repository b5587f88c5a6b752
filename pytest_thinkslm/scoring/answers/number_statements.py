r"""Explicit final statements of a number: ``\boxed{5}``, ``#### 5``, "the answer is 5", in the order of the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from pytest_thinkslm.scoring.answers.number_grammar import Number, find_numbers, parse_number, plain
from pytest_thinkslm.scoring.answers.region import Box, boxes, is_placeholder

#: Statements examined of each kind, from the end: more occur only in loops.
_EXAMINED = 60


@dataclass(frozen=True, slots=True)
class Statement:
    """One explicit statement of an answer.

    ``value`` is None where it offers several numbers. ``stop`` is where its line or box ends. ``equation`` marks a
    result after an equals sign; ``touches_end`` one that the end of the text may have cut.
    """

    rule: str
    start: int
    stop: int
    value: Fraction | None
    detail: str
    equation: bool = False
    touches_end: bool = False


def find_statements(original: str, text: str) -> tuple[list[Statement], bool]:
    """All final statements of a text, and whether there is a box that holds no number (a copied placeholder).

    ``text`` is ``plain(original)``.
    """
    found: list[Statement] = []
    unreadable = False
    for box in boxes(original)[-_EXAMINED:]:
        statement = _read_box(original, box)
        unreadable |= statement is None
        found += [statement] if statement else []
    for mark in list(_HASHES.finditer(text))[-_EXAMINED:]:
        found += _read_hashes(original, text, mark)
    for mark in list(_ANSWER_WORD.finditer(_lower(text)))[-_EXAMINED:]:
        found += _read_answer_is(original, text, mark)
    found.sort(key=lambda statement: statement.start)
    return _join_alternatives(found, text), unreadable


def _read_box(original: str, box: Box) -> Statement | None:
    """The number in a box; None for a placeholder and other content without one."""
    if is_placeholder(box.content) and box.closed:
        return None
    content = box.content if box.closed else box.content.split("\n", 1)[0]
    value = parse_number(content)
    if value is None and len(content) <= 300:
        numbers = list(find_numbers(plain(content), spelled=True))
        if box.closed and (not numbers or _OPERATOR.search(content)):
            return None
        value = numbers[0].value if len(numbers) == 1 else None
    return Statement("boxed", box.start, box.end, value, original[box.start : box.end][:80], False, not box.closed)


_HASHES = re.compile(r"####+[ \t]*")
_HEADING = re.compile(r"\W*(?:step|part|case|solution|method|question|problem|\d{1,2}[.):]\s+[a-z])", re.IGNORECASE)
_IS_NUMBER = re.compile(r"\b(?:is|are|equals)\s(?:equal to\s)?\W*$")


def _read_hashes(original: str, text: str, mark: re.Match[str]) -> list[Statement]:
    """A ``#### 5`` line; headings with a number in them are none."""
    stop = text.find("\n", mark.end(), mark.end() + 200)
    stop = min(len(text), mark.end() + 200) if stop < 0 else stop
    line = text[mark.end() : stop]
    if "boxed" in line or _HEADING.match(line):
        return []
    clause = line[: _clause_end(line, 0)]
    for number in reversed(list(find_numbers(clause, spelled=True))):
        if _IS_NUMBER.search(clause, 0, number.start):
            return [_statement("hash", original, mark.start(), mark.end() + number.end, number, stop=stop)]
    return _read_clause("hash", original, text, mark.start(), mark.end(), stop)


# Searched in the lower-cased text, without look-behind or flags: both cost a multiple on long texts.
_ANSWER_WORD = re.compile(
    r"answer|ans(?=[ :.])|correct (?:total|value|result|amount|number|sum|count)|right (?:total|value|number|amount)"
    r"|final (?:result|value)|(?:result|solution|final)(?=[ \t]*:)|答案"
)
_ONLY_AT_LINE_START = frozenset({"result", "solution", "final"})
_SAYS = re.compile(
    r"(?:\s{1,3}(?:to|for|of|in)\s[^.\n:=?!]{1,60}?)?"
    r"(?:\s{0,6}(?:\b(?:is|was|would be|will be|should be|must be|equals|comes (?:out )?to)\b"
    r"(?:\s(?:therefore|thus|then|simply|just|indeed|now|also|still)\b)?|[:=]|->|→|是|为)[ \t]{0,4}[:=]?"
    r"|(?=[ \t.:]{0,4}\n))[\s:]{0,6}",
    re.IGNORECASE,
)


def _read_answer_is(original: str, text: str, mark: re.Match[str]) -> list[Statement]:
    """A number after "the answer is", "Answer:" and the like."""
    line_start = text.rfind("\n", max(0, mark.start() - 20), mark.start())
    before = text[line_start + 1 if line_start >= 0 else max(0, mark.start() - 20) : mark.start()]
    if before[-1:].isascii() and before[-1:].isalpha():
        return []
    if mark[0] in _ONLY_AT_LINE_START and before.strip(" \t#>-"):
        return []
    says = _SAYS.match(text, mark.end())
    if says is None:
        return []
    return _read_clause("answer-is", original, text, mark.start(), says.end(), None)


def _lower(text: str) -> str:
    """Lower case of the same length (one letter's lower case is longer)."""
    return text.replace("İ", "I").lower()


_CLAUSE_END = re.compile(
    r"[.!?](?=\s|$|[)\"'])|\n|;|,?\s(?:because|since|as|which|if|when)\s|,\s(?:so|and|but|not)\s|\s\((?!\d)"
)
_OPERATOR = re.compile(r"[+*×÷·=]|\s[-/x]\s|\\(?:times|cdot|div)|\b(?:times|plus|minus|divided by|multiplied by)\b")
_BETWEEN_SEVERAL = re.compile(r"[^\d.]{0,40}?(?:\b(?:or|and)\b|,|/)\W*(?:[a-z]\w*\W+){0,1}", re.IGNORECASE)
_LEAD = re.compile(
    r"[\s$*_\"'{}\[\]()\\~≈]*(?:(?:about|approximately|roughly|exactly|around|only|just|simply|equal to|a total of|Rs"
    r"|USD|therefore|now|still|[a-z])[\s.$*:\\({]+){0,2}",
    re.IGNORECASE,
)
_EDGE = " \t$*_\"'{}[]()\\"


def _clause_end(text: str, start: int) -> int:
    end = _CLAUSE_END.search(text, start, start + 200)
    return end.start() if end else min(len(text), start + 200)


def _read_clause(rule: str, original: str, text: str, begin: int, start: int, stop: int | None) -> list[Statement]:
    """The number that a clause gives: after its last equals sign, else the first, if it stands as an answer."""
    end = _clause_end(text, start)
    clause = text[start : min(end, stop) if stop else end]
    numbers = list(find_numbers(clause, spelled=True))
    if not numbers or "boxed" in clause or clause[:4].lower() == "not ":
        return []
    equals = clause.rfind("=")
    if equals >= 0:
        result = next((n for n in numbers if n.start > equals or n.start <= equals < n.end), None)
        if result is None or clause[equals + 1 : result.start].strip(_EDGE):
            return []
        chosen, rest = result, [n for n in numbers if n.start > result.start]
    else:
        chosen, rest = numbers[0], numbers[1:]
        lead = clause[: chosen.start]
        if not _LEAD.fullmatch(lead) and not (lead.lower().startswith("that ") and not rest):
            return []
    after = clause[chosen.end : rest[0].start if rest else len(clause)]
    if _OPERATOR.search(after) or after.strip()[-1:] in {"+", "-", "/", "×", "÷"}:
        return []
    several = bool(rest) and _BETWEEN_SEVERAL.fullmatch(after) is not None
    equation = equals >= 0 and any(number.start < equals for number in numbers)
    stop = stop or start + len(clause)
    return [_statement(rule, original, begin, start + chosen.end, chosen, stop, several=several, equation=equation)]


def _statement(
    rule: str,
    original: str,
    begin: int,
    number_end: int,
    number: Number,
    stop: int,
    *,
    several: bool = False,
    equation: bool = False,
) -> Statement:
    detail = original[begin : min(number_end, begin + 80)]
    touches_end = not original[number_end : number_end + 100].strip(" ,/") and "\n" not in original[number_end:]
    return Statement(rule, begin, stop, None if several else number.value, detail, equation, touches_end)


_ALTERNATIVE = re.compile(r"[\s,$*]{0,6}(?:and|or)[\s$*]{0,6}")


def _join_alternatives(statements: list[Statement], text: str) -> list[Statement]:
    r"""``\boxed{3} or \boxed{4}`` is one statement of several numbers."""
    joined: list[Statement] = []
    for statement in statements:
        last = joined[-1] if joined else None
        if last and last.rule == statement.rule == "boxed" and last.value != statement.value:
            between = text[last.stop : statement.start] if statement.start - last.stop < 20 else "-"
            if _ALTERNATIVE.fullmatch(between):
                joined[-1] = Statement("boxed", last.start, statement.stop, None, last.detail)
                continue
        joined.append(statement)
    return joined
