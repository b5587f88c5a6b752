"""Words that introduce a final answer, in the languages that models answer in: "the answer is", "答案是"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Noun phrases by language, in lower case; each is followed by a colon or one of the verbs below.
NOUNS = {
    "en": r"answer|final\s+(?:answer|result|solution)|ans",
    "es": r"respuesta(?:\s+final|\s+correcta)?|resultado(?:\s+final)?",
    "fr": r"réponse(?:\s+finale)?|résultat(?:\s+final)?",
    "de": r"(?:end)?antwort|(?:end)?ergebnis|lösung",
    "pt": r"resposta(?:\s+final)?",
    "it": r"risposta(?:\s+finale)?|risultato(?:\s+finale)?",
    "nl": r"antwoord",
    "pl": r"odpowiedź|odpowiedz",
    "ru": r"(?:окончательный\s+)?ответ",
    "tr": r"cevap",
    "id": r"jawaban(?:nya)?",
    "vi": r"đáp\s+(?:án|số)",
}
#: How each noun that is not English is noticed in a text, at the cost of a plain search.
_MARKS: tuple[str, ...] = (
    "respuesta",
    "resultado",
    "réponse",
    "résultat",
    "antwort",
    "ergebnis",
    "lösung",
    "resposta",
    "risposta",
)
_MARKS += ("risultato", "antwoord", "odpowied", "ответ", "cevap", "jawaban", "đáp")
_VERBS = r"is|are|would\s+be|must\s+be|becomes|es|est|ist|lautet|beträgt|é|è|to|adalah|là|равен|равно|—|–"
#: Chinese, Japanese and Korean set the verb without a blank.
_EAST = re.compile(
    r"(?:(?:最终|最終)?(?:答案|答え|解答|答)\s*[*_]{0,4}\s*(?:[:：]|是|为|為|は)"
    r"|(?:정답|답)\s*[*_]{0,4}\s*(?:[:：]|은|는))\s*[:：]?[*_]*\s*"
)
# Searched in the lower-cased text without look-behind or flags: both cost a multiple on long texts.
_ENGLISH = re.compile(NOUNS["en"])
_ENGLISH_MARKS = ("ans", "final")
_FOREIGN = re.compile("|".join(nouns for language, nouns in NOUNS.items() if language != "en"))
_HASHES = re.compile(r"####[ \t]*")
_SAYS = re.compile(
    r"(?:\s*\([^()\n]{1,40}\))?(?:\s+to\s+(?:the|this)\s+\w{1,12})?[*_\"']*\s*"
    rf"(?::|：|(?:{_VERBS})(?![\w])(?:\s+(?:therefore|thus|then|simply|given\s+by|that))?\s*:?)[*_]*\s*(?:\}}\s*)?",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assuming|had|unless|were|whether|si|wenn|falls|если)\b[^.!?\n]{0,200}$|\((?=[A-Za-z]{2})[^()\]\n]{0,200}$|\bwould\s+have\s+been\b",
    re.IGNORECASE,
)
_SENTENCE = 250


@dataclass(frozen=True, slots=True)
class Anchor:
    """Words that introduce an answer: where they stand, where the answer begins, whether they call it final."""

    start: int
    end: int
    final: bool


def anchors(text: str, start: int = 0) -> list[Anchor]:
    """Every anchor from ``start`` on, in order."""
    if start:
        return [Anchor(one.start + start, one.end + start, one.final) for one in anchors(text[start:])]
    lowered = lower(text)
    found = [(match.start(), match.end()) for match in _HASHES.finditer(text)] if "####" in text else []
    nouns = matches(_ENGLISH, lowered, lowered, _ENGLISH_MARKS)
    if may_be_foreign(lowered) and any(map(lowered.__contains__, _MARKS)):
        nouns += _FOREIGN.finditer(lowered)
    for noun in nouns:
        before = lowered[noun.start() - 1 : noun.start()]
        if not before.isalnum() and (says := _SAYS.match(text, noun.end())):
            found.append((noun.start(), says.end()))
    if not text.isascii():
        found += [(match.start(), match.end()) for match in _EAST.finditer(text)]
    return [Anchor(begin, end, lowered.startswith("final", begin)) for begin, end in sorted(found)]


def matches(pattern: re.Pattern[str], text: str, lowered: str, words: Iterable[str]) -> list[re.Match[str]]:
    """What ``pattern.finditer(text)`` gives where every match begins with one of ``words`` in ``lower(text)``.

    Plain searches find those, and the pattern is tried there alone: a fraction of a search for the pattern.
    """
    places: list[int] = []
    for word in words:
        place = lowered.find(word)
        while place >= 0:
            places.append(place)
            place = lowered.find(word, place + 1)
    found: list[re.Match[str]] = []
    end = 0
    for place in sorted(places):
        if place >= end and (match := pattern.match(text, place)):
            found.append(match)
            end = match.end()
    return found


def may_be_foreign(lowered: str) -> bool:
    """Whether a text may be in another language than English: cheap, since it is asked of every output."""
    return " the " not in lowered or not lowered.isascii()


def lower(text: str) -> str:
    """Lower case of the same length (one letter's is longer), with an "s" for what a pattern takes for one."""
    return text.lower() if text.isascii() else text.translate(_ONE_CASE).lower()


_ONE_CASE = str.maketrans("İſ", "Is")


def is_supposed(text: str, begin: int, end: int) -> bool:
    """Whether an anchor's sentence supposes something else ("if 8 had been eaten, ..."), or is an aside in brackets."""
    return bool(_SUPPOSED.search(text[max(0, begin - _SENTENCE) : begin])) or bool(_SUPPOSED.search(text[begin:end]))
