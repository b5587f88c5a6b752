r"""One grammar for what a box, or a final statement, may hold: from the text as written to the value that it states.

``written_value`` undoes what does not belong to the value, in this order: spacing, colour, frames and fonts; labels
("The answer is", ``\text{Area: }``); several values (``or``, ``and``, ``;``) become one list; of a chain
``x = a = b \approx c`` the exact value is what is meant. What is left is read whole by whoever compares it.
"""

from __future__ import annotations

import re
from fractions import Fraction

from pytest_thinkslm.scoring.answers.evaluate import value_of
from pytest_thinkslm.scoring.answers.latex import normalise, split_top

#: Longer texts are no answer of this kind and stay as they are.
_LIMIT = 4_000

_SPACING = (
    r"(?:\\[,;:!> ]|\\(?:q?quad|hfill|thinspace|enspace|strut|newline|displaystyle|textstyle|bf|large|Large|huge)"
    r"(?![a-zA-Z])|\\hspace\{[^{}]*\}|~|\s)"
)
_LEADING = re.compile(rf"(?:{_SPACING}|\\\\(?=\s|$))+")
_TRAILING = re.compile(rf"(?:{_SPACING}|[.,;:](?<!\\[,;:])|(?<![\\a-zA-Z])\\\\?|(?<=[a-zA-Z0-9}})\]])\\)+$")
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_WRAPPER = re.compile(
    r"\\(?:(?:boxed|fbox|framebox|underline|boldsymbol|bm|mathbf|ensuremath|mathop|mathrm|uline|tcboxmath|Aboxed)"
    r"|(?:color|textcolor|colorbox|fcolorbox\s*\{[^{}]*\})\s*\{[^{}]{1,40}\})\s*(?=\{)"
)
_COLOUR = re.compile(r"\\color\s*\{[^{}]{1,40}\}\s*")
_INNER_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{([^{}]*)\}")
_GROUP = re.compile(r"\{(?=\\color)")
_WHOLE_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|mbox|mathrm)\s*\{([^{}]*)\}")


# Nothing to undo: no blank or full stop at an end, no relation, joint, word, colour or frame.
_NEEDS_READING = re.compile(
    r"^[\s{]|[\s.,;:\\]$|[=;:$~`\"*\u2248\u2243\u2245]"
    r"|\\(?![dt]?frac|sqrt|pi|left|right|cdot|times|theta|infty|cup|pm|circ|begin|end|\\|%)|(?<![\\a-zA-Z])[a-zA-Z]{2}|^[\u3040-\uffff]"
)


def written_value(content: str) -> str:
    """The value that a box or a statement holds, as LaTeX; several values are one list, joined by ``", "``."""
    if len(content) > _LIMIT:
        return content.strip()
    if not _NEEDS_READING.search(content):
        return content
    text = without_label(clean(content))
    parts = [part for part in (clean(one) for one in _split_several(text)) if part]
    if len(parts) > 1:
        return ", ".join(result_side(without_label(part)) for part in parts)
    text = parts[0] if parts else text
    pieces = split_top(text)
    if len(pieces) > 1 and any(_APPROXIMATES.search(piece) or piece.count("=") > 1 for piece in pieces):
        return ", ".join(result_side(without_label(clean(piece))) for piece in pieces)
    return result_side(text)


def clean(content: str) -> str:
    r"""The text without spacing at its ends, delimiters, colours, frames and fonts around the whole of it."""
    text = content
    for _ in range(8):
        before = text
        text = _stripped(text)
        for start, end in _DELIMITERS:
            inner = text[len(start) : -len(end)]
            if len(text) > len(start + end) and text.startswith(start) and text.endswith(end) and start not in inner:
                text = _stripped(inner)
        wrapper = _WRAPPER.match(text)
        if wrapper and _closes_at(text, wrapper.end()) == len(text) - 1:
            text = text[wrapper.end() + 1 : -1]
        elif _GROUP.match(text) and _closes_at(text, 0) == len(text) - 1:
            text = text[1:-1]
        elif "\\color" in text:
            text = _COLOUR.sub("", text)
        elif "box" in text:
            text = _INNER_BOX.sub(r"\1", text)
        whole = _WHOLE_TEXT.fullmatch(text)
        if whole and re.search(r"\d", whole[1]) and _LABELLED.match(whole[1]):
            text = whole[1]
        if text == before:
            break
    return text


def _stripped(text: str) -> str:
    if text[:1] in "\\~ \n\t" and (leading := _LEADING.match(text)):
        text = text[leading.end() :]
    tail = text[-60:]
    trailing = _TRAILING.search(tail)
    if trailing and not text.endswith((r"\{", r"\}")):
        text = text[: len(text) - len(tail) + trailing.start()]
    return text.strip()


def _closes_at(text: str, opening: int) -> int:
    """Where the brace that opens at ``opening`` closes; -1 where it does not."""
    depth = 0
    position = opening
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return position
        position += 1
    return -1


_VERB = r"(?:is|are|was|equals|would\s+be|will\s+be|must\s+be|est|ist|lautet|beträgt|es|son|é|è|равно|равен)"
_LABELLED = re.compile(
    r"\s*[^\W\d_][^\W\d_]+(?:[ '’-]+[^\W\d_]+){0,11}?\s*"
    rf"(?:[:：]|\s{_VERB}\s*[:：]?(?=[\s\\$]))\s*(?=\S)"
    r"|\s*[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,20}(?:[:：]|是|为|は)\s*[:：]?\s*(?=\S)",
    re.IGNORECASE,
)
_TEXT_LABEL = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|mbox|mathrm)\s*\{\s*(?P<words>[^{}]{1,120}?)\s*\}\s*(?P<mark>[:：]|(?=\\|[-.\d(\[{$a-zA-Z]))"
)
_ENDS_LIKE_LABEL = re.compile(rf"(?:[:：=]|\b{_VERB}\s*[:：]?|\bof|[是为は])$", re.IGNORECASE)
_DENIES = re.compile(r"\b(?:not|no|never|than|least|most|or|and|either|between|mod)\b|n't\b", re.IGNORECASE)


_MACRO = r"\\(?:text(?:bf|it|rm|normal)?|mbox|mathrm|mathbf)"
_TEXT_VERB = re.compile(rf"(?<=\S)\s*{_MACRO}\s*\{{\s*(?:is|equals|is equal to)\s*\}}\s*(?=\S)")
_AFTERTHOUGHT = re.compile(rf"{_MACRO}\s*\{{\s*is (?:the|our|my) [a-z ]{{0,20}}(?:answer|result|solution)\.?\s*\}}\s*$")
# "\textbf{(B)}\ 12": the option's letter before its value, as competitions set it.
_CHOICE = re.compile(rf"^\s*(?:{_MACRO}\s*\{{\s*\(?[A-E]\)?\s*\}}|\([A-E]\))(?:{_SPACING}|[:.])+(?=[-\d$\\])(?!\\text)")


def without_label(text: str) -> str:
    r"""The text without the words that introduce the value: ``The answer is 9``, ``\text{Area: } 12``, ``Result: 42``.

    Words that deny or compare ("not", "at least") introduce nothing: they belong to what is stated.
    """
    if "\\" in text:
        text = _TEXT_VERB.sub("=", _AFTERTHOUGHT.sub("", text))
        text = _CHOICE.sub("", text)
    for _ in range(3):
        label = _TEXT_LABEL.match(text)
        if label and (label["mark"] or _ENDS_LIKE_LABEL.search(label["words"])) and not _DENIES.search(label["words"]):
            text = clean(text[label.end() :])
            continue
        plain = _LABELLED.match(text)
        if plain and not _DENIES.search(plain[0]) and "\\" not in plain[0]:
            text = clean(text[plain.end() :])
            continue
        break
    return text


_WORD_BETWEEN = r"(?:or|and|oder|und|ou|et|или|и|或者|或|和|または|또는)"
_BETWEEN = re.compile(
    rf"(?:{_SPACING}|,|\\text\s*\{{\s*\}})*(?:"
    rf"\\(?:text(?:bf|it|rm|normal)?|mathrm|mbox)\s*\{{\s*,?\s*{_WORD_BETWEEN}\s*,?\s*\}}"
    rf"|(?<![a-zA-Z\\]){_WORD_BETWEEN}(?![a-zA-Z])|(?<!\\);|\\(?:lor|vee)(?![a-zA-Z]))(?:{_SPACING}|,)*",
    re.IGNORECASE,
)


def _split_several(text: str) -> list[str]:
    """The text at its top level's ``or``, ``and`` and ``;``: the values that it offers."""
    if not re.search(r"\d|\\|=", text):
        return [text]  # words alone: "black and white" is one answer
    parts: list[str] = []
    start = 0
    depth = _Depth(text)
    for match in _BETWEEN.finditer(text):
        if depth.at(match.start()) <= 0 and match.start() > start:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


class _Depth:
    """How many brackets are open at a position; positions are asked for in order, in linear time altogether."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = self._depth = 0

    def at(self, position: int) -> int:
        text = self._text
        while self._at < position:
            character = text[self._at]
            if text.startswith((r"\begin", r"\end"), self._at):
                self._depth += 1 if text.startswith(r"\begin", self._at) else -1
                self._at += 4
                continue
            if character == "\\" and text[self._at + 1 : self._at + 2] not in ("{", "}"):
                self._at += 2
                continue
            self._depth += (character in "([{") - (character in ")]}")
            self._at += 1
        return self._depth


_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:aligned|align|gathered|gather|equation|split|eqnarray)\*?\}|\\nonumber")
_LETTER = re.compile(r"\\[a-zA-Z]+|([a-zA-Z])")
_APPROXIMATES = re.compile(r"\\(?:approx|simeq|doteq|approxeq)(?![a-zA-Z])|[≈≃≅]")
_DECIMAL = re.compile(r"[-+−]?\d[\d,]{0,20}\.(\d{1,20})")


def result_side(formula: str) -> str:
    r"""What a formula ends on: the last side of a chain ``a = b = 5`` or of a computation ``3 * 9 = 27``.

    An equation in letters (``y = 2x``, ``x = 5``) is an answer of its own and stays whole. Of a value and its
    approximation (``\frac{\sqrt3}{3} \approx 0.577``, ``\frac{14}{3} = 4.667``) the value counts; an approximation
    alone (``x \approx 11``) is the decimal that it states.
    """
    text = formula.strip()
    if len(text) > _LIMIT:
        return text
    if _ENVIRONMENT.search(text):
        rows = [row.strip() for row in _ENVIRONMENT.sub(" ", text).replace("&", "").split(r"\\")]
        text = next((row for row in reversed(rows) if row), "")
    text = clean(text) if text.endswith((" ", ".", ",", ";", "\\")) else text.rstrip(" .,;")
    if "=" not in text and not _APPROXIMATES.search(text):
        return text
    if len(split_top(text)) > 1:
        return text
    text = _APPROXIMATES.sub(" \u2248 ", text)
    approximations = split_top(text, "\u2248")
    exact = [side.strip() for side in split_top(approximations[0], "=")]
    rounded = [side.strip() for part in approximations[1:] for side in split_top(part, "=") if side.strip()]
    if rounded:
        known = [side for side in exact if side]
        if not known or _has_letter(known[-1]):
            return rounded[-1]
        exact = known
    if len(exact) < 2 or not exact[-1]:
        return exact[0] if rounded else text
    if len(exact) > 1 and rounds(exact[-1], exact[-2]):
        exact.pop()
    if len(exact) == 1:
        return exact[0]
    if len(exact) == 2 and _has_letter(exact[0]):
        return text if text.count("=") == 1 and not rounded else " = ".join(exact)
    if _NAME.fullmatch(exact[-1]) and not _has_letter(exact[0]):
        return f"{exact[-1]} = {exact[0]}"
    return exact[-1]


_NAME = re.compile(r"[A-Za-z](?:_\w)?")


def _has_letter(side: str) -> bool:
    return any(found[1] for found in _LETTER.finditer(side))


_DOTS = re.compile(r"(?<=\d)\s*(?:\\[lc]?dots|\.{2,}|…)\s*$")


def rounds(decimal: str, side: str) -> bool:
    """Whether a decimal is another value than the side before it, rounded to the decimal's places."""
    decimal = _DOTS.sub("", decimal)
    figure = _DECIMAL.fullmatch(clean(decimal))
    if figure is None or _DECIMAL.fullmatch(clean(side)):
        return False
    shown, value = value_of(normalise(decimal)), value_of(normalise(side))
    if not isinstance(shown, Fraction) or value is None or shown == value:
        return False
    return abs(Fraction(value) - shown) <= Fraction(6, 10 ** (len(figure[1]) + 1))
