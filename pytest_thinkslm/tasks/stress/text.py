"""What the transformations share: sentences, words, and the stretches of a text that nothing may change."""

from __future__ import annotations

import re

#: Formulas, code, LaTeX commands, addresses: no transformation goes into them. Two dollar signs that stand before
#: figures each are two prices ("$5 a box and $7 a bag") and enclose no formula.
FIXED = re.compile(
    r"\$\$.*?\$\$|\$(?!\d)[^$]*\$|\$\d[^$]*\$(?!\d)|`[^`]*`|\\[(\[].*?\\[)\]]|\\[A-Za-z]+(?:\{[^{}]*\})*|\[asy\].*?\[/asy\]|\S*://\S*",
    re.DOTALL,
)

#: Words that point at what was said before them.
REFERRING = re.compile(
    r"\b(?:he|she|it|they|him|her|hers|his|its|their|theirs|them|this|that|these|those|there|such|same|others?|another|"
    r"rest|ones?|each|both|either|all|any|some|former|latter)\b",
    re.IGNORECASE,
)

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]{0,2}\s+(?=[\"'(\[]?[A-Z0-9$])")
# Words that end in a full stop without ending a sentence.
_ABBREVIATED = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|vs|etc|Jr|Sr|Prof|approx|a\.m|p\.m|i\.e|e\.g|U\.S)|\b[A-Z])\.\s*\Z"
)


def is_plain(text: str) -> bool:
    """Whether a text holds nothing that may not be changed."""
    return FIXED.search(text) is None


def outside(text: str) -> list[tuple[int, int]]:
    """The stretches (begin, end) of a text outside of formulas and code."""
    found, last = [], 0
    for match in FIXED.finditer(text):
        found.append((last, match.start()))
        last = match.end()
    return [(begin, end) for begin, end in (*found, (last, len(text))) if end > begin]


def inside(place: int, stretches: list[tuple[int, int]]) -> bool:
    """Whether a place is in one of the stretches."""
    return any(begin <= place < end for begin, end in stretches)


def sentences(text: str) -> list[str]:
    """The sentences of a text without formulas, each with the blanks after it, so that joined they are the text."""
    found, last = [], 0
    for match in _SENTENCE_END.finditer(text):
        if _ABBREVIATED.search(text[last : match.start()]):
            continue
        found.append(text[last : match.end()])
        last = match.end()
    return [*found, text[last:]] if text[last:] else found


def content_words(text: str) -> set[str]:
    """The words of four letters and more, in lower case, without a plural's end."""
    return {word.rstrip("s") for word in re.findall(r"[a-z]{4,}", text.lower())}
