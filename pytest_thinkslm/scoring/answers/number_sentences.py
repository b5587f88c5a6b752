"""The result that a sentence states, and the one that a text ends on, where no explicit statement names it.

The last number of the last sentence is often no result: "Rosie can run 50 miles in 7 hours." gives 50. What tells a
result, strongest first: it is set in bold; it is the one number of the sentence that the question does not have (what
was given is repeated, what was worked out is new); it is what the working before it came to; it does not stand in a
phrase of circumstances ("in 7 hours", "to make 16 muffins", "than 2 bagels"); a verb leads to it ("needs 36 of them");
it is not the subject that the sentence begins with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.number_grammar import NUMBER_WORDS, Number, canonical, find_numbers, plain

_TAIL = 20_000
_LINES_READ = 1_000
_WORKING_READ = 3_000
# A sentence's last mark, and what lies between it and the next one.
_SENTENCE = re.compile(r"[.!?][)\"']?\s+")
_ENUMERATOR = re.compile(
    r"\s*(?:[-*•>]\s+)?(?:(?:\(?\d{1,2}[.)]\s+|(?:step|part|case)\s+\d{1,2}\s*[:.)-]?\s*)){0,2}",
    re.IGNORECASE,
)
_COMMENTARY = re.compile(
    r"\W*(?:it(?:'s| is) (?:worth|important)|note\b|keep in mind|remember|this (?:problem|question|is a|is an)\b"
    r"|i hope|in (?:this|the) (?:problem|question|case)\b|let me know|please)",
    re.IGNORECASE,
)
_FAREWELL = re.compile(r"\W*(?:good luck|i hope|hope this|let me know|feel free|thank)\b", re.IGNORECASE)
CONCLUDES = re.compile(
    r"\W*(?:so|therefore|thus|hence|in total|altogether|finally|in conclusion|overall)\b", re.IGNORECASE
)
_OR = re.compile(r"[%\s]*(?:\w+\s)?or\s\W*", re.IGNORECASE)
_RATIO_AFTER = re.compile(r"\s?:\s?\d(?!\d)")
_RATIO_BEFORE = re.compile(r"\d\s?:\s?$")
_BETWEEN = re.compile(r"\bbetween\s\W{0,3}$", re.IGNORECASE)
_AND = re.compile(r"[%\s]*(?:\w+\s)?and\s\W*", re.IGNORECASE)
_DENIED = re.compile(r"(?:\bnot|n't)\s(?:be\s|equal to\s)?\W{0,3}$", re.IGNORECASE)
_QUESTION = re.compile(r"\W*(?:how|what|which|find|calculate)\b[^?]*\?\W*$", re.IGNORECASE)
_CONDITION = re.compile(r",?\s(?:if|because|since|when|as|so that)\s")
# "Since 1.76 is less than 2 inches, he ...": reasons and conditions in front of the statement.
_SUBORDINATE = re.compile(r"\b(?:since|because|if|when|after|before|given that)\b[^,]{1,200},(?=\s)", re.IGNORECASE)
_RESULTS = re.compile(r"[=≈][\s$€£({\\*_]{0,8}")
_IDENTIFIER = re.compile(
    r"(?:#|\bno\.\s?|\b(?:step|part|case|day|grade|room|number|chapter|horse|question)\s#?)$", re.IGNORECASE
)
_ORDINAL = re.compile(r"(?:\^\{?(?:\\text\{)?|\s?)(?:st|nd|rd|th)\b")
_CLOCK = re.compile(r"(?::\d\d)?\s?(?:[ap]\.?m\b|o'clock)", re.IGNORECASE)
_TELLS = re.compile(
    r"\b(?:is|are|was|were|be|equals?|has|have|had|needs?|takes?|took|costs?|makes?|made|gives?|gets?|earns?|earned|pays?"
    r"|paid|spends?|spent|saves?|saved|sells?|sold|leaves?|leaving|left with|total of|comes to)\s"
    r"(?:a total of |about |approximately |only |exactly |equal to |now |still |left with )?\W{0,3}$"
    r"|[是为有得剩共花要]\W{0,3}$",
    re.IGNORECASE,
)
_REMAINS = re.compile(
    r"[^.,;\d]{0,40}?\b(?:are|is|will be|were|was)?\s?(?:left|remain|remaining|needed|required)\b", re.IGNORECASE
)
# "in 7 hours", "by 5 pm", "more than 2", "goal of 100 signatures", "out of 12", "to make 16 muffins".
_CIRCUMSTANCES = re.compile(
    r"\b(?:in|for|by|per|every|each|after|within|from|with|than|at|during|over|on|out of|instead of|through|until"
    r"|before|between|among|across|all|goal of|the (?:first|last|next)|initial|original|those|these|d'ici|dans|en|por"
    r"|pour|nach)"
    r"(?:\s(?:the|all|a|an|his|her|their|its|about|only|first|last|next|those|these|goal|total|of|month|year|week|day"
    r"|with|other|remaining|[a-z]{1,20}'s)){0,4}\s\W{0,3}$"
    r"|(?<!needs\s)(?<!need\s)(?<!has\s)(?<!have\s)(?<!had\s)(?<!able\s)(?<!going\s)(?<!order\s)"
    r"\bto\s(?!(?:about|approximately|only|exactly|a total)\b)[a-z]{2,20}(?:\s[a-z']{1,20}){0,4}?\s\W{0,3}$",
    re.IGNORECASE,
)
_THEREFORE = re.compile(r"[,;]\s(?:so|thus|therefore|hence|which (?:means|makes|gives|is))\s", re.IGNORECASE)
_ASIDE = re.compile(r"\([^()]*$")


def read_result(text: str, question: str = "") -> Answer:
    """The result that a text without an explicit statement ends on, as ``last-number``; never anchored."""
    return last_result(text, plain(text), question, strict=False)


def last_result(original: str, text: str, question: str, *, strict: bool) -> Answer:
    """The result that the last sentence with a number states, questions and closing commentary aside.

    ``text`` is ``plain(original)``. ``strict``: the text ends in a placeholder, so only an unambiguous sentence counts.
    """
    for sentence, start in _sentences_from_the_end(text):
        numbers = [n for n in find_numbers(sentence) if not _is_ordinal(sentence, n)]
        if not numbers and (CONCLUDES.match(sentence) or not re.search(r"\d", text[-_WORKING_READ:])):
            numbers = [n for n in find_numbers(sentence, spelled=True) if n.spelled]
        numbers = numbers or list(find_numbers(sentence))
        numbers = [n for n in numbers if not _DENIED.search(sentence, max(0, n.start - 30), n.start)]
        if not numbers:
            continue
        if all(_in_ratio(sentence, number) for number in numbers):
            return Answer(None, "several", detail=sentence.strip()[-80:])
        concluded = max((match.end() for match in _THEREFORE.finditer(sentence)), default=0)
        is_later = concluded > sentence.rfind("=") and numbers[-1].start >= concluded
        equation = None if is_later else after_equals(sentence, numbers)
        if strict and not equation and len({number.value for number in numbers}) > 1:
            return Answer(None, "wrong-format")
        if not equation and any(_are_alternatives(sentence, one, two) for one, two in pairwise(numbers)):
            return Answer(None, "several", detail=sentence.strip()[-80:])
        number = equation or result_in(original, text, start, sentence, numbers, question)
        return Answer(canonical(number.value), "last-number", detail=sentence.strip()[-80:])
    return Answer(None, "wrong-format" if strict else "none")


def _in_ratio(sentence: str, number: Number) -> bool:
    """Whether a number is a part of a ratio such as 3:2; times of day have two figures behind the colon."""
    return (
        _RATIO_AFTER.match(sentence, number.end) is not None
        or _RATIO_BEFORE.search(sentence, max(0, number.start - 4), number.start) is not None
    )


def _are_alternatives(sentence: str, one: Number, two: Number) -> bool:
    """Whether two numbers are offered without a choice: "5 or 6", "between 5 and 6"."""
    if _OR.fullmatch(sentence, one.end, two.start):
        return True
    between = _BETWEEN.search(sentence, max(0, one.start - 20), one.start)
    return between is not None and _AND.fullmatch(sentence, one.end, two.start) is not None


def result_in(original: str, text: str, start: int, sentence: str, numbers: list[Number], question: str) -> Number:
    """The number of a sentence that is its result.

    ``sentence`` stands at ``start`` in ``text``, which is ``plain(original)``.
    """
    for number in reversed(numbers):
        if "**" in original[start + max(0, number.start - 5) : start + number.start]:
            return number
    left = _keep(numbers, lambda n: not _is_label(sentence, n))
    left = _keep(left, lambda n: not _ASIDE.search(sentence, max(0, n.start - 60), n.start))
    concluded = max((match.end() for match in _THEREFORE.finditer(sentence)), default=0)
    left = _keep(left, lambda n: n.start >= concluded)
    for clause in _SUBORDINATE.finditer(sentence):
        begin, end = clause.span()
        left = _keep(left, lambda n, begin=begin, end=end: not begin < n.start < end)  # type: ignore[misc]
    condition = _CONDITION.search(sentence, left[0].end)
    left = _keep(left, lambda n: condition is None or n.end <= condition.start())
    if _are_one(left):
        return left[-1]
    if question:
        known = _Known(question)
        new = [n for n in left if n.value not in known]
        if new and _are_one(new):
            return new[-1]
        left = new or left
    if found := _worked_out(text[max(0, start - _WORKING_READ) : start], left):
        return found
    left = _keep(left, lambda n: not _CIRCUMSTANCES.search(sentence, max(0, n.start - 60), n.start))
    for number in reversed(left):
        if _TELLS.search(sentence, max(0, number.start - 40), number.start):
            return number
    for number in left:
        if _REMAINS.match(sentence, number.end):
            return number
    if len(left) > 1 and not sentence[: left[0].start].strip(" $*_"):
        left = left[1:]
    return left[-1] if len(left) == len(numbers) else left[0]


def _keep(numbers: list[Number], wanted: Callable[[Number], bool]) -> list[Number]:
    """The numbers that are wanted; all of them where none is."""
    return [n for n in numbers if wanted(n)] or numbers


def _are_one(numbers: list[Number]) -> bool:
    return len(numbers) == 1 or all(number.value == numbers[0].value for number in numbers[1:])


_FIGURES = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")


class _Known:
    """The numbers of a question, in figures and in words. Built without the grammar: it is asked of every item."""

    def __init__(self, question: str) -> None:
        figures = (found.replace(",", "") for found in _FIGURES.findall(question))
        self._figures = {found.rstrip("0").rstrip(".") if "." in found else found.lstrip("0") for found in figures}
        self._words: set[str] | None = None
        self._question = question

    def __contains__(self, value: Fraction) -> bool:
        if canonical(value) in self._figures:
            return True
        word = NUMBER_WORDS.get(value.numerator) if value.denominator == 1 else None
        if word is None:
            return False
        if self._words is None:
            self._words = set(re.findall(r"[a-z]+", self._question.lower()))
        return word in self._words


def _worked_out(working: str, numbers: list[Number]) -> Number | None:
    """The number that the working came to last, behind an equals sign; None where it came to none of them."""
    for sign in reversed(list(_RESULTS.finditer(working))[-20:]):
        value = next(iter(find_numbers(working[sign.end() - 1 : sign.end() + 60])), None)
        if value is not None and value.start <= 2:
            for number in numbers:
                if number.value == value.value:
                    return number
    return None


def _is_ordinal(sentence: str, number: Number) -> bool:
    return _ORDINAL.match(sentence, number.end) is not None


def _is_label(sentence: str, number: Number) -> bool:
    """Whether a number names something: an ordinal, a time of day, "step 3", "horse #12"."""
    return (
        _is_ordinal(sentence, number)
        or _CLOCK.match(sentence, number.end) is not None
        or _IDENTIFIER.search(sentence, max(0, number.start - 12), number.start) is not None
    )


def _sentences_from_the_end(text: str) -> Iterator[tuple[str, int]]:
    """Statements of the text's tail with their positions, last first, without list markers.

    None at all where the text ends by asking its question again.
    """
    lines = text[-_TAIL:].split("\n")
    left = sum(map(bool, lines))
    position = len(text) + 1
    asks_last = begun = True
    for line in reversed(lines[-2 * _LINES_READ :]):
        position -= len(line) + 1
        if not line:
            continue
        left -= 1
        if begun and left and (_COMMENTARY.match(line) or not line.strip()):
            continue
        begun = False
        for begin, end in reversed(_spans(line)):
            begin = max(begin, end - 2_000)
            marker = _ENUMERATOR.match(line, begin, end)
            begin = marker.end() if marker and marker.end() < end else begin
            sentence = line[begin:end]
            if _QUESTION.match(sentence) and asks_last:
                return
            asks_last = False
            if not sentence.rstrip("\"' ").endswith("?") and not _FAREWELL.match(sentence):
                yield sentence, position + begin


def _spans(line: str) -> list[tuple[int, int]]:
    """Where the sentences of a line begin and end."""
    spans, begin = [], 0
    for gap in _SENTENCE.finditer(line):
        spans.append((begin, gap.start() + 1))
        begin = gap.end()
    spans.append((begin, len(line)))
    return spans


def after_equals(sentence: str, numbers: list[Number]) -> Number | None:
    """The number right after the last equals sign."""
    equals = sentence.rfind("=")
    number = next((n for n in numbers if n.start > equals or n.start <= equals < n.end), None) if equals >= 0 else None
    return number if number and not sentence[equals + 1 : number.start].strip(" $\\{(*") else None
