"""Whether a ruling stands in the candidate's text already, however it is wrapped there. Pure.

A candidate may forge a verdict in another object, with escaped quotes, broken over lines, with a key doubled, behind
any number of braces. So its text is not parsed: both sides are reduced to their letters and digits, without the
escapes of JSON, HTML and addresses, and each key with its value is looked for in what is left of the candidate's.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import unquote

# Each begins at the first of several backslashes and takes them all: a long row of them costs linear time.
_ESCAPED_PAIR = re.compile(r"(?<!\\)\\++u(d[89ab][0-9a-f]{2})\\++u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
_ESCAPED = re.compile(r"(?<!\\)\\++(?:u([0-9a-f]{4})|x([0-9a-f]{2})|[abfnrtv])", re.IGNORECASE)
_AMPERSAND = re.compile(r"&(?:amp;|#38;|#x26;)+", re.IGNORECASE)
_PERCENT = re.compile(r"%(?:25)+(?=[0-9a-f]{2})", re.IGNORECASE)

#: Escapes within escapes, of one kind in another, are taken off so many times.
_ROUNDS = 12


def repeats(ruling: Mapping[str, object], candidate: str) -> bool:
    """Whether every key of the ruling stands in the candidate's text with the value that it has in the ruling.

    Only letters and digits count, in any case. The cost is linear in the length of the candidate's text.
    """
    found = bare(candidate)
    return all(bare(key) + bare("" if value is None else str(value)) in found for key, value in ruling.items())


def bare(text: str) -> str:
    """The letters and digits of a text, unescaped, without marks and case."""
    for _ in range(_ROUNDS):
        plain = _unescaped(text)
        if plain == text:
            break
        text = plain
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
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else ""
