"""Whether a ruling stands in the candidate's text already, however it is wrapped there. Pure.

A candidate may forge a verdict in another object, with escaped quotes, broken over lines, with a key doubled, behind
any number of braces. So its text is not parsed: both sides are reduced to their letters and digits, without the
escapes of JSON, HTML and addresses, and each key and each value is looked for in what is left of the candidate's.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import unquote

# Each begins at the first of several backslashes and takes them all: a long row of them costs linear time.
_ESCAPED_PAIR = re.compile(r"(?<!\\)\\++u(d[89ab][0-9a-f]{2})\\++u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
_ESCAPED = re.compile(
    r"(?<!\\)\\++(?:(?-i:U)000([0-9a-f]{5})|u([0-9a-f]{4})|u\{([0-9a-f]{1,5})\}|x([0-9a-f]{2})|([0-3][0-7]{2})|[abfnrtv])",
    re.IGNORECASE,
)
_AMPERSAND = re.compile(r"&(?:amp;|#38;|#x26;)+", re.IGNORECASE)
_PERCENT = re.compile(r"%(?:25)+(?=[0-9a-f]{2})", re.IGNORECASE)

#: Markup and comments, which may stand within a word.
_TAG = re.compile(r"<[^<>]{0,80}>|/\*[^*]{0,80}\*/")

#: Escapes within escapes, of one kind in another, are taken off so many times.
_ROUNDS = 12


def repeats(ruling: Mapping[str, object], candidate: str) -> bool:
    """Whether every key of the ruling stands in the candidate's text, and every value, wherever it stands there.

    Only letters and digits count, in any case. The cost is linear in the length of the candidate's text.
    """
    parts = [bare(part) for key, value in ruling.items() for part in (key, "" if value is None else str(value))]
    plain = _plain(candidate)
    return any(all(part in found for part in parts) for found in map(_letters, (plain, _TAG.sub("", plain))))


def bare(text: str) -> str:
    """The letters and digits of a text, unescaped, without marks and case."""
    return _letters(_plain(text))


def _plain(text: str) -> str:
    for _ in range(_ROUNDS):
        plain = _unescaped(text)
        if plain == text:
            break
        text = plain
    return text


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold()).casefold()
    return "".join(filter(str.isalnum, folded))


def _unescaped(text: str) -> str:
    text = html.unescape(_AMPERSAND.sub("&", text))
    text = unquote(_PERCENT.sub("%", text), errors="ignore")
    return _ESCAPED.sub(_character, _ESCAPED_PAIR.sub(_joined, text))


def _joined(match: re.Match[str]) -> str:
    high, low = int(match[1], 16), int(match[2], 16)
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def _character(match: re.Match[str]) -> str:
    octal = match[5]
    code = int(octal, 8) if octal else int(next(filter(None, match.groups()), "0"), 16)
    return chr(code) if code else ""
