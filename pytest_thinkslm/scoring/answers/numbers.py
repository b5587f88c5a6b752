r"""Number answers: which of an output's numbers is the answer, by ordered rules.

Explicit final statements come first, and the last one wins: a ``\boxed`` that is no placeholder, a ``####`` line,
"the answer is ...". Without one, the whole region if it is a bare number, else the result that the reasoning ends on.
The rule that fired is stored in the answer. The grammar itself is in ``number_grammar``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.degenerate import is_code
from pytest_thinkslm.scoring.answers.number_grammar import Number, canonical, find_numbers, parse_number, plain
from pytest_thinkslm.scoring.answers.number_statements import Statement, find_statements
from pytest_thinkslm.scoring.answers.region import Region

__all__ = ["canonical", "find_numbers", "parse_number", "read_number"]


def read_number(region: Region) -> Answer:
    """The number that an output gives as its answer, as a canonical string.

    Rules: ``boxed``, ``hash``, ``answer-is``, ``bare``, ``conclusion``, ``last-number`` (the only one not anchored),
    and without a value ``several``, ``wrong-format`` (a copied placeholder), ``cut``,
    ``unfinished-thought``, ``none``. Under finish reason ``length`` only a
    complete anchored answer counts, never one that touches the end of the text.
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    text = plain(region.text)
    statements, unreadable_box = find_statements(region.text, text)
    if region.cut:
        complete = [s for s in statements if not (s.equation and s.rule == "answer-is")]
        return _choose_complete(complete, text) if complete else _cut_conclusion(text)
    if statements:
        return _choose(statements, text)
    if is_code(text):
        return Answer(None, "none", detail="code")
    if len(text) < 200 and not unreadable_box and "?" not in text and len(text.split()) <= 4:
        value = parse_number(text)
        if value is not None:
            return Answer(canonical(value), "bare", anchored=True, detail=region.text.strip()[:80])
    return _last_result(region.text, text, strict=unreadable_box)


def _choose(statements: list[Statement], text: str) -> Answer:
    """The last statement; of a run of differing ``####`` lines the one that repeats the statement before it."""
    last = statements[-1]
    first = len(statements) - 1
    while first and _continues(statements[first - 1], statements[first], text):
        first -= 1
    values = {statement.value for statement in statements[first:]}
    if len(values) > 1:
        if first and statements[first - 1].value == statements[first].value:
            last = statements[first]
        elif len(values) > 2:
            return Answer(None, "several", detail=last.detail)
    return _answer(last)


def _continues(previous: Statement, statement: Statement, text: str) -> bool:
    between = text[previous.stop : statement.start] if previous.stop <= statement.start else "-"
    return previous.rule == statement.rule == "hash" and not between.strip(" \t\n#")


def _choose_complete(statements: list[Statement], text: str) -> Answer:
    """The last statement of a text cut by the token limit, if the cut left it whole.

    One that the cut broke is passed over where it begins to repeat the statement before it.
    """
    broken = statements[-1]
    if not broken.touches_end:
        return _choose(statements, text)
    whole = [statement for statement in statements if not statement.touches_end]
    if whole and whole[-1].value is not None:
        begun = "" if broken.value is None else canonical(broken.value)
        if canonical(whole[-1].value).startswith(begun):
            return _choose(whole, text)
    return Answer(None, "cut", detail=broken.detail)


def _answer(statement: Statement) -> Answer:
    if statement.value is None:
        return Answer(None, "several", detail=statement.detail)
    return Answer(canonical(statement.value), statement.rule, anchored=True, detail=statement.detail)


_CONCLUDES = re.compile(
    r"\W*(?:so|therefore|thus|hence|in total|altogether|finally|in conclusion|overall)\b", re.IGNORECASE
)
_CALCULATES = re.compile(r"[+*×÷=]|\s[-/x]\s|\\(?:times|cdot|div|frac)")


def _cut_conclusion(text: str) -> Answer:
    """A closing sentence ("So, she has 7 apples in total.") that stands whole as the last paragraph of a cut text."""
    sentence = text[-400:].rstrip().rsplit("\n", 1)[-1]
    numbers = list(find_numbers(sentence))
    whole = sentence.endswith((".", "!")) and len(_SENTENCE.split(sentence)) == 1
    if len(numbers) == 1 and whole and _CONCLUDES.match(sentence) and not _CALCULATES.search(sentence):
        return Answer(canonical(numbers[0].value), "conclusion", anchored=True, detail=sentence[:80])
    return Answer(None, "cut")


# Without an explicit statement: the result that the reasoning ends on.

_TAIL = 20_000
_LINES_READ = 1_000
_SENTENCE = re.compile(r"(?<=[.!?])[)\"']?\s+")
_ENUMERATOR = re.compile(
    r"\s*(?:[-*•>]\s+)?(?:(?:\(?\d{1,2}[.)]\s+|(?:step|part|case)\s+\d{1,2}\s*[:.)-]?\s*)){0,2}",
    re.IGNORECASE,
)
_COMMENTARY = re.compile(
    r"\W*(?:it(?:'s| is) (?:worth|important)|note\b|keep in mind|remember|this (?:problem|question|is a|is an)\b"
    r"|i hope|in (?:this|the) (?:problem|question|case)\b|let me know|please)",
    re.IGNORECASE,
)
_OR = re.compile(r"[%\s]*(?:\w+\s)?or\s\W*", re.IGNORECASE)
_QUESTION = re.compile(r"\W*(?:how|what|which|find|calculate)\b[^?]*\?\W*$", re.IGNORECASE)
_CONDITION = re.compile(r",?\s(?:if|because|since|when|after|before)\s")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_TELLS = re.compile(
    r"\b(?:is|are|was|were|be|equals?|has|have|had|needs?|takes?|took|costs?|makes?|made|gives?|gets?|earns?|earned|pays?"
    r"|paid|spends?|spent|saves?|saved|sells?|sold|leaves?|leaving|left with|total of|comes to)\s"
    r"(?:a total of |about |approximately |only |exactly |equal to |now |still |left with )?\W{0,3}$",
    re.IGNORECASE,
)


def _last_result(original: str, text: str, *, strict: bool) -> Answer:
    """The number of the last sentence that has one, questions and closing commentary aside.

    ``strict``: the text ends in a placeholder, so only an unambiguous sentence counts.
    """
    for sentence, start in _sentences_from_the_end(text):
        numbers = [n for n in find_numbers(sentence) if not _ORDINAL.match(sentence, n.end)]
        if not numbers and _CONCLUDES.match(sentence):
            numbers = [n for n in find_numbers(sentence, spelled=True) if n.spelled]
        if not numbers:
            continue
        equation = _after_equals(sentence, numbers)
        if strict and not equation and len({number.value for number in numbers}) > 1:
            return Answer(None, "wrong-format")
        if not equation and any(_OR.fullmatch(sentence, one.end, two.start) for one, two in pairwise(numbers)):
            return Answer(None, "several", detail=sentence.strip()[-80:])
        number = equation or _in_sentence(original, sentence, start, numbers)
        return Answer(canonical(number.value), "last-number", detail=sentence.strip()[-80:])
    return Answer(None, "wrong-format" if strict else "none")


def _sentences_from_the_end(text: str) -> Iterator[tuple[str, int]]:
    """Statements of the text's tail with their positions, last first, without list markers.

    None at all where the text ends by asking its question again.
    """
    tail = max(0, len(text) - _TAIL)
    lines = list(re.finditer(r"[^\n]+", text[tail:]))[-_LINES_READ:]
    while len(lines) > 1 and (_COMMENTARY.match(lines[-1][0]) or not lines[-1][0].strip()):
        lines.pop()
    asks_last = True
    for line in reversed(lines):
        spans, begin = [], 0
        for gap in _SENTENCE.finditer(line[0]):
            spans.append((begin, gap.start()))
            begin = gap.end()
        spans.append((begin, len(line[0])))
        for begin, end in reversed(spans):
            begin = max(begin, end - 2_000)
            marker = _ENUMERATOR.match(line[0], begin, end)
            begin = marker.end() if marker and marker.end() < end else begin
            sentence = line[0][begin:end]
            if _QUESTION.match(sentence) and asks_last:
                return
            asks_last = False
            if not sentence.rstrip("\"' ").endswith("?"):
                yield sentence, tail + line.start() + begin


def _after_equals(sentence: str, numbers: list[Number]) -> Number | None:
    """The number right after the last equals sign."""
    equals = sentence.rfind("=")
    number = next((n for n in numbers if n.start > equals or n.start <= equals < n.end), None) if equals >= 0 else None
    return number if number and not sentence[equals + 1 : number.start].strip(" $\\{(*") else None


def _in_sentence(original: str, sentence: str, start: int, numbers: list[Number]) -> Number:
    """Of several numbers the bold one, else the one behind a verb ("there are 6 8 point bucks"), else the last."""
    for number in reversed(numbers):
        if "**" in original[start + max(0, number.start - 5) : start + number.start]:
            return number
    condition = _CONDITION.search(sentence, numbers[0].end)
    numbers = [n for n in numbers if condition is None or n.end <= condition.start()]
    for number in reversed(numbers):
        if _TELLS.search(sentence, max(0, number.start - 40), number.start):
            return number
    return numbers[-1]
