r"""Explicit final statements of a number: ``\boxed{5}``, ``#### 5``, "the answer is 5", in the order of the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from pytest_thinkslm.scoring.answers.anchors import is_supposed, lower, matches, may_be_foreign
from pytest_thinkslm.scoring.answers.boxgroups import BoxGroup, box_groups
from pytest_thinkslm.scoring.answers.number_grammar import Number, find_numbers, plain
from pytest_thinkslm.scoring.answers.number_sentences import after_equals, result_in
from pytest_thinkslm.scoring.answers.region import Box, boxes, is_placeholder
from pytest_thinkslm.scoring.answers.whole_number import parse_number, worked_out

#: Statements examined of each kind, from the end: more occur only in loops.
_EXAMINED = 60


@dataclass(frozen=True, slots=True)
class Statement:
    """One explicit statement of an answer.

    ``value`` is None where it offers several numbers, or is ``unread``: a box of figures and something that is not
    known to leave their value as it is. ``stop`` is where its line or box ends. ``equation`` marks a
    result after an equals sign; ``touches_end`` one that the end of the text may have cut.
    """

    rule: str
    start: int
    stop: int
    value: Fraction | None
    detail: str
    equation: bool = False
    touches_end: bool = False
    unread: bool = False


def find_statements(original: str, text: str, question: str = "") -> tuple[list[Statement], bool]:
    """All final statements of a text, and whether there is a box that holds no number (a copied placeholder).

    ``text`` is ``plain(original)``. A statement that only supposes something else counts where nothing precedes it.
    """
    found: list[Statement] = []
    unreadable = False
    usable = []
    for box in boxes(original)[-_EXAMINED:]:
        if box.closed and (is_placeholder(box.content) or not _HOLDS_NUMBER.search(box.content)):
            unreadable = True
        else:
            usable.append(box)
    for group in box_groups(original, usable):
        statement = _read_boxes(original, group)
        unreadable |= statement is None
        found += [statement] if statement else []
    for mark in list(_HASHES.finditer(text))[-_EXAMINED:]:
        found += _read_hashes(original, text, mark)
    for mark in _answer_words(lower(text)):
        found += _read_answer_is(original, text, mark, question)
    found.sort(key=lambda statement: statement.start)
    return found[:1] + [one for one in found[1:] if not _is_supposed(text, one)], unreadable


def _is_supposed(text: str, statement: Statement) -> bool:
    return statement.rule == "answer-is" and is_supposed(text, statement.start, statement.start)


_HOLDS_NUMBER = re.compile(
    r"[0-9\u00bc-\u00be\u2150-\u215e\uff10-\uff19]|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|teen"
    r"|twenty|thirty|forty|fifty|sixty|eighty|ninety|hundred|thousand|million|billion",
    re.IGNORECASE,
)


def _read_boxes(original: str, group: BoxGroup) -> Statement | None:
    """What one box or several that stand together give; None where an unclosed one holds nothing yet."""
    read = [_read_box(box) for box in group.boxes]
    detail = original[group.boxes[0].start : group.end][:80]
    closed = group.boxes[-1].closed
    if closed and len(read) == 1 and read[0] is None and not re.search(r"[0-9]", group.boxes[0].content):
        return None  # words with a number word among them: "none"
    values = set(read)
    value = read[-1] if len(values) == 1 else None
    several = value is None and (len(values) > 1 or _holds_several(group.boxes[-1].content))
    return Statement(
        "boxed", group.boxes[0].start, group.end, value, detail, touches_end=not closed, unread=not several
    )  # fmt: skip


def _holds_several(content: str) -> bool:
    return len({number.value for number in find_numbers(plain(content), spelled=True)}) > 1


def _read_box(box: Box) -> Fraction | None:
    """The number that a box is; None where it is none, whatever figures it holds."""
    content = box.content if box.closed else box.content.split("\n", 1)[0]
    value = parse_number(content)
    return worked_out(content) if value is None and box.closed else value


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
    r"|final (?:result|value)|result(?=[ \t]*:)|solution(?=[ \t]*:)|final(?=[ \t]*:)"
)
_ANSWER_BEGINS = ("ans", "correct ", "right ", "final", "result", "solution")
_FOREIGN: tuple[str, ...] = (
    "respuesta",
    "réponse",
    "antwort",
    "ergebnis",
    "resposta",
    "risposta",
    "ответ",
    "答",
    "답",
    "odpowied",
)
_FOREIGN += ("cevap", "jawaban", "antwoord", "đáp", "resultado", "résultat", "risultato")
_FOREIGN_WORD = re.compile(
    r"respuesta|réponse|antwort|ergebnis|resposta|risposta|ответ|答案|答え|解答|答|정답|답|odpowiedź|cevap|jawaban|antwoord"
    r"|đáp (?:án|số)|resultado|résultat|risultato"
)
_ONLY_AT_LINE_START = frozenset({"result", "solution", "final"})
_COPULA = (
    r"(?:is|was|would be|will be|should be|must be|equals|comes (?:out )?to|es|est|ist|lautet|beträgt|adalah)\b"
    r"(?:\s(?:therefore|thus|then|simply|just|indeed|now|also|still)\b)?"
)
_SAYS = re.compile(
    r"(?:\s?\([^()\n]{1,40}\))?(?:\s(?:final|finale|correcta))?"
    r"(?:\s{1,3}(?:to|for|of|in)\s[^.\n:=?!]{1,60}?)?[*_\"'}]{0,4}"
    rf"(?:\s{{0,6}}(?:\b{_COPULA}|[:=]|->|→|是|为|為|は|은|는|é\b|è\b|—)[ \t]{{0,4}}[:=]?"
    r"|(?=[ \t.:]{0,4}\n))[\s:\"']{0,6}",
    re.IGNORECASE,
)


def _answer_words(lowered: str) -> list[re.Match[str]]:
    found = matches(_ANSWER_WORD, lowered, lowered, _ANSWER_BEGINS)[-_EXAMINED:]
    if may_be_foreign(lowered) and any(map(lowered.__contains__, _FOREIGN)):
        found = sorted([*found, *list(_FOREIGN_WORD.finditer(lowered))[-_EXAMINED:]], key=lambda mark: mark.start())
    return found


def _read_answer_is(original: str, text: str, mark: re.Match[str], question: str) -> list[Statement]:
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
    if "\n" in says[0].rstrip(" \t"):
        return _read_below_heading(original, text, mark.start(), says.end(), question)
    if ":" in says[0]:
        return _read_labelled(original, text, mark.start(), says.end(), question)
    return _read_clause("answer-is", original, text, mark.start(), says.end(), None)


_STEP = re.compile(r"\W*(?:\d{1,3}[.)](?=\s+\S)|(?:step|part|case|first|let)\b)", re.IGNORECASE)
_LINE_LIMIT = 2_000


def _read_below_heading(original: str, text: str, begin: int, start: int, question: str) -> list[Statement]:
    """What stands below a heading "Answer" or "Solution:": a value, or one line that states it.

    A heading over several lines introduces working, whose result is where it ends; an enumerator is no value.
    """
    end = text.find("\n", start, start + _LINE_LIMIT)
    end = min(len(text), start + _LINE_LIMIT) if end < 0 else end
    line = text[start:end]
    if _STEP.match(line) or "boxed" in line:
        return []
    value = parse_number(original[start:end].strip(" \t*_"))
    if value is not None and "=" not in line:
        number = next(iter(find_numbers(line, spelled=True)), None)
        if number is not None:
            number = Number(value, number.start, len(line.rstrip(" *_\t")))
            return [_statement("answer-is", original, begin, start + number.end, number, end)]
    return [] if text[end:].strip(" \t\n*_`$-") else _read_labelled(original, text, begin, start, question)


def _read_labelled(original: str, text: str, begin: int, start: int, question: str) -> list[Statement]:
    """What a label "Answer:" introduces: a value, or a sentence that states the result among other numbers."""
    end = _clause_end(text, start)
    sentence_end = _SENTENCE_END.search(text, start, start + 400)
    stop = sentence_end.start() if sentence_end else min(len(text), start + 400)
    sentence = text[start:stop]
    numbers = list(find_numbers(sentence, spelled=False))
    if sentence.rfind("=") > end - start and (result := after_equals(sentence, numbers)):
        return [_statement("answer-is", original, begin, start + result.end, result, stop, equation=True)]
    lead = sentence[: numbers[0].start] if numbers else ""
    words = len(_WORD.findall(sentence))
    if len(numbers) == 1 and words > 2 and not _LEAD.fullmatch(lead) and _VERB.search(sentence):
        return [_statement("answer-is", original, begin, start + numbers[0].end, numbers[0], stop)]
    if len(numbers) < 2 or "=" in sentence or "boxed" in sentence or not _VERB.search(sentence):
        return _read_clause("answer-is", original, text, begin, start, None)
    if _LEAD.fullmatch(lead) and not _VERB.search(text[start:end]):
        return _read_clause("answer-is", original, text, begin, start, None)
    if _BETWEEN_SEVERAL.fullmatch(sentence[numbers[0].end : numbers[1].start]) and _LEAD.fullmatch(lead):
        return _read_clause("answer-is", original, text, begin, start, None)
    number = result_in(original, text, start, sentence, numbers, question)
    return [_statement("answer-is", original, begin, start + number.end, number, stop)]


_SENTENCE_END = re.compile(r"[.!?](?=\s|$|[)\"'])|\n|;|[\"'],|\}")
_WORD = re.compile(r"[^\W\d_]{2,}")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|will|would|can|could|should|must|needs?|takes?|took|costs?|makes?|made|gives?|gets?"
    r"|earns?|earned|pays?|paid|spends?|spent|saves?|saved|sells?|sold|leaves?|left|eats?|ate|uses?|used|bought|buys?|runs?"
    r"|ran|reads?|collected|collects?|weighs?|drives?|drove|walks?|walked|remains?|received?s?|aura|tiene|hat|a)\b",
    re.IGNORECASE,
)


_CLAUSE_END = re.compile(
    r"[.!?](?=\s|$|[)\"'])|\n|;|,?\s(?:because|since|as|which|if|when)\s|,\s(?:so|and|but|not)\s|\s\((?!\d)"
    r"|[\"'](?=\s?[,}])|,(?=\s?[\"'])"
)
_OPERATOR = re.compile(r"[+*×÷·=]|\s[-/x]\s|\\(?:times|cdot|div)|\b(?:times|plus|minus|divided by|multiplied by)\b")
_BETWEEN_SEVERAL = re.compile(r"[^\d.]{0,40}?(?:\b(?:or|and)\b|,|/)\W*(?:[a-z]\w*\W+){0,1}", re.IGNORECASE)
_RATIO = re.compile(r"\s?:\s?$")
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
    several = bool(rest) and rest[0].value != chosen.value and _BETWEEN_SEVERAL.fullmatch(after) is not None
    several |= bool(rest) and _RATIO.match(after) is not None
    equation = equals >= 0 and any(number.start < equals for number in numbers)
    stop = stop or start + len(clause)
    return [_statement(rule, original, begin, start + chosen.end, chosen, stop, several=several, equation=equation)]


# Nothing, or what a longer number begins with: "1,", "3/", "1 dollar and 2".
_MAY_GO_ON = re.compile(r"[ ,/]*(?:dollars?,?(?: and(?: \d{0,2}(?: cents?)?)?)?)?\s*", re.IGNORECASE)


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
    rest = original[number_end : number_end + 100]
    touches_end = bool(_MAY_GO_ON.fullmatch(rest)) and "\n" not in original[number_end:]
    return Statement(rule, begin, stop, None if several else number.value, detail, equation, touches_end)
