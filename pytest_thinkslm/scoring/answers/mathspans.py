r"""Formulas inside prose: ``$...$``, ``\(...\)``, ``\[...\]``, and the value that follows "the answer is"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_thinkslm.scoring.answers.written import written_value


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


@dataclass(frozen=True, slots=True)
class Stated:
    """A value that prose states, and where the statement ends (the end of the text where nothing closes it).

    ``direct``: the value stands where the statement begins, with nothing between but "about" and the like.
    ``roughly``: it is given as an approximation. ``prose``: a sentence that states it, with several numbers, in place
    of the value.
    """

    value: str | None
    end: int
    direct: bool = False
    roughly: bool = False
    prose: str = ""


# Where a plain statement ends: a full stop that is no decimal point, a line end, or the start of a reason.
_SENTENCE_END = re.compile(
    r"[.!?](?=\s|[*_\"')]*(?:\s|$))|\n|;(?!\d)|,?\s+(?:because|since|which|where|so)\b|[。！？]|[\"'](?=\s*[,}])|,(?=\s*[\"'])"
)
_WINDOW = 300
_LINK = re.compile(r"[*_]*\s*(?:[,;]|(?:,\s*)?\b(?:and|or)\b)\s*[*_]*\s*")
_TRAILING = re.compile(r"[*_ \t]*")
_WORD = re.compile(r"(?<!\\)\b[A-Za-z]{2,}")
_NUMBER = re.compile(r"(?<![\w.,/])[-−]?\$?\d(?:[\d,]{0,40}\d)?(?:\.\d{1,40})?(?:/\d{1,40})?%?")
_COPULA = re.compile(r"\b(?:is|are|was|equals|must\s+be|will\s+be|becomes|is\s+equal\s+to)\b[\s:*_]*")
_NAMED = re.compile(r"[^\d=<>]*")
_FILLER = re.compile(
    r"[\s*_$:({\\\[]*(?:(?P<roughly>about|approximately|roughly|around|≈|\\approx)|exactly|just|simply|now|therefore|thus"
    r"|then|equal to|a total of|only|[\s*_$:({\\\[])*",
    re.IGNORECASE,
)


def stated_value(text: str, start: int) -> Stated:
    """The value stated at ``start``.

    Formulas win over plain text; formulas joined by commas, "and", "or" are one list. A formula or a phrase that is
    the subject of a further "is" names the value and is not it ("the largest $n$ is 34"). Prose without a value is
    None.
    """
    window = text[start : start + _WINDOW * 8]
    if window[:2] in ("$$", r"\[", r"\("):
        spans = math_spans(window)
        if spans and spans[0].start == 0 and not _COPULA.match(window[spans[0].end :].lstrip(" *_")):
            return Stated(written_value(spans[0].content), start + spans[0].end, direct=True)
    stop = _SENTENCE_END.search(window[:_WINDOW])
    # A full stop inside a formula ends no sentence: take the formulas that begin before it.
    limit = stop.start() if stop else min(len(window), _WINDOW)
    skipped = _past_subject(window, limit)
    window, start, limit = window[skipped:], start + skipped, limit - skipped
    roughly = (filler := _FILLER.match(window)) is not None and filler["roughly"] is not None
    spans = [span for span in math_spans(window[: _WINDOW * 2]) if span.start <= limit]
    if spans:
        first = next((i for i, span in enumerate(spans) if not window[: span.start].strip("*_ ")), len(spans) - 1)
        parts, end = [spans[first].content], spans[first].end
        for span in spans[first + 1 :]:
            if not _LINK.fullmatch(window[end : span.start]):
                break
            parts.append(span.content)
            end = span.end
        value = written_value(parts[0]) if len(parts) == 1 else ", ".join(written_value(part) for part in parts)
        lead = _FILLER.match(window[: spans[first].start])
        direct = lead is not None and lead.end() == spans[first].start
        return Stated(value, start + _past_closing(window, end), direct, roughly)
    plain = window[:limit].strip(" *_`\"'")
    end = start + (_past_closing(window, limit + (len(stop[0]) if stop else 0)) if stop else len(window))
    words = _WORD.findall(plain)
    if not plain or (not words and not re.search(r"[\w\\]", plain)) or plain.endswith(":"):
        return Stated(None, end)
    if len(words) <= 3 and not _FAR_EAST.search(plain):
        value = written_value(_FILLER.sub("", plain, count=1) if roughly else plain)
        return Stated(value or None, end, any(map(str.isdigit, value)) or "\\" in value, roughly)
    numbers = _NUMBER.findall(plain)
    direct = len(numbers) == 1 and plain[:30].lstrip("$").startswith(numbers[0].lstrip("$"))
    if len(numbers) > 1:
        return Stated(None, end, prose=plain)
    return Stated(numbers[0].replace("−", "-") if numbers else None, end, direct, roughly)


# Figures or words between the beginning of a formula and its label: no formula, but prose between two currency signs.
_BEFORE_LABEL = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z0-9]{2}|\d")


def stated_in_formula(text: str, position: int) -> Stated | None:
    r"""What the formula states that ``position`` is inside of: ``$\text{The answer is } 5$``; None outside of one."""
    before = text[max(0, position - 40) : position]
    if r"\text" not in before and "$" not in before and r"\(" not in before and r"\[" not in before:
        return None
    begin = max(0, position - 2 * _WINDOW)
    for span in math_spans(text[begin : position + 8 * _WINDOW]):
        if begin + span.start <= position < begin + span.end:
            if r"\text" not in before and _BEFORE_LABEL.search(text[begin + span.start : position]):
                return None
            return Stated(written_value(span.content), begin + span.end, direct=True)
    return None


_FAR_EAST = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _past_subject(window: str, limit: int) -> int:
    """Where the value is stated: behind a further "is" whose subject only names it."""
    skipped = 0
    while copula := _COPULA.search(window, skipped, limit):
        if not _NAMED.fullmatch(window, skipped, copula.start()) or not window[copula.end() : limit].strip(" *_"):
            break
        rest = window[copula.end() : limit]
        if rest[:4] == "not " or not re.search(r"[\d$\\]", rest):
            break
        skipped = copula.end()
    return skipped


def _past_closing(window: str, position: int) -> int:
    match = _TRAILING.match(window, position)
    return match.end() if match else position
