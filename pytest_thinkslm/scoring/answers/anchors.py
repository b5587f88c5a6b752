"""Words that introduce a final answer, in the languages that models answer in: "the answer is", "答案是"."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Noun phrases by language; each is followed by a colon or one of the verbs below.
NOUNS = {
    "en": r"(?:final\s+)?answer|final\s+(?:result|solution)|ans",
    "es": r"respuesta(?:\s+final|\s+correcta)?|resultado(?:\s+final)?",
    "fr": r"réponse(?:\s+finale)?|résultat(?:\s+final)?",
    "de": r"(?:end)?antwort|(?:end)?ergebnis|lösung",
    "pt": r"resposta(?:\s+final)?",
    "it": r"risposta(?:\s+finale)?|risultato(?:\s+finale)?",
    "nl": r"antwoord",
    "pl": r"odpowiedź|odpowiedz|wynik",
    "ru": r"(?:окончательный\s+)?ответ",
    "tr": r"cevap",
    "id": r"jawaban(?:nya)?",
    "vi": r"đáp\s+(?:án|số)|câu\s+trả\s+lời",
}
_VERBS = r"is|are|would\s+be|must\s+be|becomes|es|est|ist|lautet|beträgt|é|è|to|adalah|là|равен|равно|—|–"
#: Chinese, Japanese and Korean set the verb without a blank.
_EAST = (
    r"(?:最终|最終)?(?:答案|答え|解答|答)\s*(?:[*_]{0,4}\s*(?:[:：]|是|为|為|は))"
    r"|(?:정답|답)\s*(?:[*_]{0,4}\s*(?:[:：]|은|는))"
)
_ANCHOR = re.compile(
    rf"\b(?P<noun>{'|'.join(NOUNS.values())})\b(?:\s*\([^()\n]{{1,40}}\))?"
    r"(?:\s+to\s+(?:the|this)\s+\w{1,12})?[*_\"']*\s*"
    rf"(?::|：|(?:{_VERBS})(?![\w])(?:\s+(?:therefore|thus|then|simply|given\s+by|that))?\s*:?)[*_]*\s*(?:\}}\s*)?"
    r"|####[ \t]*",
    re.IGNORECASE,
)
_EAST_ANCHOR = re.compile(rf"(?:{_EAST})\s*[:：]?[*_]*\s*")
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assuming|had|unless|were|whether|si|wenn|falls|если)\b[^.!?\n]{0,200}$|\bwould\s+have\s+been\b",
    re.IGNORECASE,
)
_SENTENCE = 250


@dataclass(frozen=True, slots=True)
class Anchor:
    """Words that introduce an answer: where the answer begins, whether they call it final, or only suppose it."""

    start: int
    end: int
    final: bool
    supposed: bool


def anchors(text: str, start: int = 0) -> list[Anchor]:
    """Every anchor from ``start`` on, in order."""
    found = [(match.start(), match.end()) for match in _ANCHOR.finditer(text, start)]
    if not text.isascii():
        found += [(match.start(), match.end()) for match in _EAST_ANCHOR.finditer(text, start)]
        found.sort()
    return [
        Anchor(begin, end, text[begin : begin + 5].lower() == "final", is_supposed(text, begin, end))
        for begin, end in found
    ]


def is_supposed(text: str, begin: int, end: int) -> bool:
    """Whether the sentence up to an anchor supposes something else: "if 8 had been eaten, the answer would be 4"."""
    return bool(_SUPPOSED.search(text[max(0, begin - _SENTENCE) : begin])) or bool(_SUPPOSED.search(text[begin:end]))
