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
from pytest_thinkslm.scoring.answers.number_grammar import Number, canonical, find_numbers, plain

_TAIL = 20_000
_LINES_READ = 1_000
_WORKING_READ = 3_000
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
CONCLUDES = re.compile(
    r"\W*(?:so|therefore|thus|hence|in total|altogether|finally|in conclusion|overall)\b", re.IGNORECASE
)
_OR = re.compile(r"[%\s]*(?:\w+\s)?or\s\W*", re.IGNORECASE)
_QUESTION = re.compile(r"\W*(?:how|what|which|find|calculate)\b[^?]*\?\W*$", re.IGNORECASE)
_CONDITION = re.compile(r",?\s(?:if|because|since|when|as|so that)\s")
_RESULTS = re.compile(r"[=≈][\s$€£({\\*_]{0,8}")
_IDENTIFIER = re.compile(
    r"(?:#|\bno\.\s?|\b(?:step|part|case|day|grade|room|number|chapter|horse|question)\s#?)$", re.IGNORECASE
)
_ORDINAL = re.compile(r"(?:\^\{?(?:\\text\{)?|\s?)(?:st|nd|rd|th)\b")
_CLOCK = re.compile(r"(?::\d\d)?\s?(?:[ap]\.?m\b|o'clock)", re.IGNORECASE)
_TELLS = re.compile(
    r"\b(?:is|are|was|were|be|equals?|has|have|had|needs?|takes?|took|costs?|makes?|made|gives?|gets?|earns?|earned|pays?"
    r"|paid|spends?|spent|saves?|saved|sells?|sold|leaves?|leaving|left with|total of|comes to)\s"
    r"(?:a total of |about |approximately |only |exactly |equal to |now |still |left with )?\W{0,3}$",
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
    r"|with|other|remaining)){0,4}\s\W{0,3}$"
    r"|\bto\s(?!(?:about|approximately|only|exactly|a total)\b)[a-z]{2,20}(?:\s[a-z']{1,20}){0,4}?\s\W{0,3}$",
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
        if not numbers:
            continue
        equation = after_equals(sentence, numbers)
        if strict and not equation and len({number.value for number in numbers}) > 1:
            return Answer(None, "wrong-format")
        if not equation and any(_OR.fullmatch(sentence, one.end, two.start) for one, two in pairwise(numbers)):
            return Answer(None, "several", detail=sentence.strip()[-80:])
        number = equation or result_in(original, text, start, sentence, numbers, question)
        return Answer(canonical(number.value), "last-number", detail=sentence.strip()[-80:])
    return Answer(None, "wrong-format" if strict else "none")


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
    condition = _CONDITION.search(sentence, left[0].end)
    left = _keep(left, lambda n: condition is None or n.end <= condition.start())
    if len({n.value for n in left}) == 1:
        return left[-1]
    if question:
        known = {number.value for number in find_numbers(plain(question), spelled=True)}
        new = [n for n in left if n.value not in known]
        if len({n.value for n in new}) == 1:
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


def _worked_out(working: str, numbers: list[Number]) -> Number | None:
    """The number that the working came to last, behind an equals sign; None where it came to none of them."""
    wanted: dict[Fraction, Number] = {number.value: number for number in numbers}
    for sign in reversed(list(_RESULTS.finditer(working))[-20:]):
        value = next(iter(find_numbers(working[sign.end() - 1 : sign.end() + 60])), None)
        if value is not None and value.start <= 2 and value.value in wanted:
            return wanted[value.value]
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


def after_equals(sentence: str, numbers: list[Number]) -> Number | None:
    """The number right after the last equals sign."""
    equals = sentence.rfind("=")
    number = next((n for n in numbers if n.start > equals or n.start <= equals < n.end), None) if equals >= 0 else None
    return number if number and not sentence[equals + 1 : number.start].strip(" $\\{(*") else None
