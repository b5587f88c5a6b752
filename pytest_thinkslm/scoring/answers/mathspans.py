r"""Formulas inside prose: ``$...$``, ``\(...\)``, ``\[...\]``, and the value that follows "the answer is"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_thinkslm.scoring.answers.latex import split_top


@dataclass(frozen=True, slots=True)
class Span:
    """One formula: its content without delimiters, and where it stands with them."""

    content: str
    start: int
    end: int


_DELIMITER = re.compile(r"\\\\|\\\$|\$\$|\$|\\[\[\]()]|\n\s*\n")
_CLOSES = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}


def math_spans(text: str) -> list[Span]:
    """Every formula in order, in one pass. A blank line ends an inline formula that was never closed."""
    spans: list[Span] = []
    opened: re.Match[str] | None = None
    for mark in _DELIMITER.finditer(text):
        token = mark[0]
        if opened is not None and token == _CLOSES[opened[0]] and not _is_currency(text, mark):
            content = text[opened.end() : mark.start()].strip()
            if content:
                spans.append(Span(content, opened.start(), mark.end()))
            opened = None
        elif token in _CLOSES and (opened is None or opened[0] == "$"):
            # A "$" that meets another opening mark was a currency sign or a slip.
            opened = mark
        elif token.isspace() and opened is not None and opened[0] in ("$", r"\("):
            opened = None
    return spans


def _is_currency(text: str, mark: re.Match[str]) -> bool:
    """A dollar sign between a blank and a digit opens an amount: "$5 and then $6"."""
    after = text[mark.end() : mark.end() + 1]
    return mark[0] == "$" and text[mark.start() - 1].isspace() and after.isdigit()


_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:aligned|align|gathered|gather|equation|split|eqnarray)\*?\}|\\nonumber")
_LETTER = re.compile(r"\\[a-zA-Z]+|([a-zA-Z])")
_SIDE_LIMIT = 4_000


def result_side(formula: str) -> str:
    """What a formula ends on: the last side of a chain ``a = b = 5`` or of a computation ``3 * 9 = 27``.

    An equation in letters (``y = 2x``, ``x = 5``) is an answer of its own and stays whole.
    """
    text = formula.strip()
    if len(text) > _SIDE_LIMIT:
        return text
    if _ENVIRONMENT.search(text):
        rows = [row.strip() for row in _ENVIRONMENT.sub(" ", text).replace("&", "").split(r"\\")]
        text = next((row for row in reversed(rows) if row), "")
    text = text.rstrip(" .,;")
    sides = split_top(text, "=")
    if len(sides) < 2 or len(split_top(text)) > 1 or not sides[-1].strip():
        return text
    has_variable = any(found[1] for found in _LETTER.finditer(sides[0]))
    return text if has_variable and len(sides) == 2 else sides[-1].strip()


# Where a plain statement ends: a full stop that is no decimal point, a line end, or the start of a reason.
_SENTENCE_END = re.compile(r"[.!?](?=\s|[*_\"')]*(?:\s|$))|\n|;|,?\s+(?:because|since|which|where|so)\b")
_WINDOW = 300
_LINK = re.compile(r"[*_]*\s*(?:,|(?:,\s*)?\b(?:and|or)\b)\s*[*_]*\s*")
_TRAILING = re.compile(r"[*_ \t]*")
_WORD = re.compile(r"(?<!\\)\b[A-Za-z]{2,}")
_NUMBER = re.compile(r"(?<![\w.,/])[-−]?\$?\d(?:[\d,]{0,40}\d)?(?:\.\d{1,40})?(?:/\d{1,40})?%?")


def stated_value(text: str, start: int) -> tuple[str | None, int]:
    """The value stated at ``start`` and where the statement ends (the end of the text where nothing closes it).

    Formulas win over plain text; formulas joined by commas, "and", "or" are one list. Prose without a value is None.
    """
    window = text[start : start + _WINDOW * 8]
    if window[:2] in ("$$", r"\[", r"\("):
        spans = math_spans(window)
        if spans and spans[0].start == 0:
            return result_side(spans[0].content), start + spans[0].end
    stop = _SENTENCE_END.search(window[:_WINDOW])
    # A full stop inside a formula ends no sentence: take the formulas that begin before it.
    limit = stop.start() if stop else min(len(window), _WINDOW)
    spans = [span for span in math_spans(window[: _WINDOW * 2]) if span.start <= limit]
    if spans:
        first = next((i for i, span in enumerate(spans) if not window[: span.start].strip("*_ ")), len(spans) - 1)
        parts, end = [spans[first].content], spans[first].end
        for span in spans[first + 1 :]:
            if not _LINK.fullmatch(window[end : span.start]):
                break
            parts.append(span.content)
            end = span.end
        value = result_side(parts[0]) if len(parts) == 1 else ", ".join(parts)
        return value, start + _past_closing(window, end)
    plain = window[:limit].strip(" *_`\"'")
    end = start + (_past_closing(window, stop.end()) if stop else len(window))
    words = _WORD.findall(plain)
    if not plain or (not words and not re.search(r"[\w\\]", plain)):
        return None, end
    if len(words) <= 3:
        return result_side(plain), end
    numbers = _NUMBER.findall(plain)
    return (numbers[-1].replace("−", "-"), end) if numbers else (None, end)


def _past_closing(window: str, position: int) -> int:
    match = _TRAILING.match(window, position)
    return match.end() if match else position
