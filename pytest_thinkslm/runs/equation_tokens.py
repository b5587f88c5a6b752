r"""The tokens of a text in which equations are looked for: numbers, signs in one spelling, words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

#: Longer texts are read up to here.
TEXT_LIMIT = 100_000
#: Characters of a number that is taken for one; Python can be told to convert no more than 640 digits.
_LONGEST_NUMBER = 600
#: A number as it is written in a text: 1,200, 1{,}200, 2.5.
NUMBER = r"\d{1,3}(?:(?:,(?:\\!)?|\{,\})\d{3})+(?![\d])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_SAYS = re.compile(r"is|are|equals|makes?|gives?|leaves?")
_TOKEN = re.compile(
    rf"(?P<number>{NUMBER})|(?P<command>\\[a-zA-Z]+|\\[,;!:$%\s]|\\.)|(?P<word>[^\W\d_]+(?:['’]\w+)?)"
    r"|(?P<mark>\*\*+)|(?P<equals>=)|(?P<sign>[-+*/^!()\[\]{}×·⋅∗÷−–%])|(?P<blank>[^\S\n]+|[$&])|(?P<index>_)|(?P<end>.)",
    re.DOTALL,
)
SIGNS = {
    "×": "*",
    "·": "*",
    "⋅": "*",
    "∗": "*",
    "÷": "/",
    "−": "-",
    "–": "-",
    "\\times": "*",
    "\\cdot": "*",
    "\\div": "/",
    "[": "(",
    "]": ")",
}
OPERATORS = frozenset("+-*/^!")
KEPT = frozenset({"\\frac", "\\dfrac", "\\tfrac", "\\sqrt", "\\binom"})
_DROPPED = frozenset(
    {"\\left", "\\right", "\\quad", "\\qquad", "\\,", "\\;", "\\!", "\\:", "\\$", "\\ ", "\\displaystyle"}
)
#: Commands between two formulas; any other one that is not known is a part of its formula, as a variable is.
_ENDS = frozenset(
    {
        "\\boxed",
        "\\fbox",
        "\\implies",
        "\\Rightarrow",
        "\\Longrightarrow",
        "\\therefore",
        "\\begin",
        "\\end",
        "\\approx",
        "\\to",
    }
    | {"\\rightarrow", "\\textit", "\\iff", "\\item", "\\newline"}
)
_TEXTS = frozenset({"\\text", "\\mathrm", "\\textbf", "\\mathbf"})
#: Words for operations; the second word, where there is one, is taken with it.
_WORDED = {"times": "*", "plus": "+", "minus": "-", "divided": "/", "multiplied": "*"}
_SHARES = {"half": "1/2", "third": "1/3", "quarter": "1/4", "fifth": "1/5", "tenth": "1/10"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text: ``number``, ``word``, ``sign``, ``command`` (of LaTeX), ``share`` (half of), ``equals``."""

    kind: str
    text: str
    start: int
    end: int


def digits_of(number: str) -> str:
    """A number as ``NUMBER`` finds it, without its separators."""
    return re.sub(r"[,{}\\!]", "", number)


def number_of(number: str) -> Fraction | None:
    """The value of a number as ``NUMBER`` finds it; None where it is as long as a loop writes it."""
    digits = digits_of(number)
    return Fraction(digits) if len(digits) <= _LONGEST_NUMBER else None


def segments(text: str) -> Iterator[list[Token]]:
    """The text in parts that no equation crosses: between full stops, commas, line ends and the like."""
    segment: list[Token] = []
    for token in _tokens(text):
        if token.kind != "end":
            segment.append(token)
            continue
        if any(each.kind == "equals" for each in segment):
            yield segment
        segment = []
    if any(each.kind == "equals" for each in segment):
        yield segment


def _tokens(text: str) -> Iterator[Token]:
    """Signs in one spelling, units in braces as words, what only sets type left out; words that say "=" are that."""
    kept: list[Token] = []
    at = 0
    while (match := _TOKEN.match(text, at)) is not None:
        at = match.end()
        kind, word = str(match.lastgroup), match.group()
        if kind == "blank" or word in _DROPPED:
            continue
        if word in _TEXTS and (inner := re.compile(r"\s*\{([^{}\n]{0,60})\}").match(text, at)):
            at = inner.end()
            kept += [
                Token("word", each.group(), inner.start(1) + each.start(), inner.start(1) + each.end())
                for each in re.finditer(r"[^\W\d_]+", inner[1])
            ]
            continue
        if word == "\\%":
            kind, word = "sign", "%"
        elif word in SIGNS:
            kind, word = "sign", SIGNS[word]
        elif kind == "index" or (kind == "command" and word[1:].isalpha() and word not in _ENDS):
            kind = kind if word in KEPT else "word"
        elif kind in ("mark", "command"):
            kind = "end"
        kept.append(Token(kind, word, match.start(), at))
    yield from _worded(kept)


def _worded(tokens: Sequence[Token]) -> Iterator[Token]:
    """Words of arithmetic as signs: times, divided by, a quarter of, 35% of, is."""
    place = 0
    while place < len(tokens):
        kind, text, width = _meaning(tokens, place)
        yield Token(kind, text, tokens[place].start, tokens[place + width - 1].end)
        place += width


def _meaning(tokens: Sequence[Token], place: int) -> tuple[str, str, int]:
    """What the token at a place is, as kind and text, and how many tokens say it."""
    token = tokens[place]
    if token.kind != "word":
        return token.kind, token.text, 1
    word = token.text.lower()
    before = tokens[place - 1] if place else None
    after = [each.text.lower() for each in tokens[place + 1 : place + 3]]
    numbers = [each.kind == "number" for each in tokens[place + 1 : place + 3]]
    if word in _WORDED and after[:1] == ["by"]:
        return "sign", _WORDED[word], 2
    if word in _WORDED and numbers[:1] == [True]:
        return "sign", _WORDED[word], 1
    times = before is not None and (
        (word == "x" and before.kind in ("number", "word")) or (word == "of" and before.text == "%")
    )
    if times and numbers[:1] == [True]:
        return "sign", "*", 1
    if word in _SHARES and after[:1] == ["of"] and numbers[1:] == [True]:
        return "share", _SHARES[word], 2
    return ("equals" if _SAYS.fullmatch(word) else "word"), token.text, 1
