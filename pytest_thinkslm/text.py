"""Text from a model, made fit for every report: XML 1.0, UTF-8 and xdist's transport accept the result."""

from __future__ import annotations

import re

_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def safe_text(text: str) -> str:
    r"""``text`` with control characters (but newline and tab), ANSI escapes and lone surrogates as visible escapes."""
    return _UNFIT.sub(_escaped, text)


def safe_line(text: str, limit: int = 80) -> str:
    """``text`` as one fit line of at most ``limit`` characters."""
    line = " ".join(safe_text(text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
