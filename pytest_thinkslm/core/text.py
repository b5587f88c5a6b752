"""Text from a model, made safe for XML 1.0, UTF-8, execnet and a terminal; answers in short."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pytest_thinkslm.core.redaction import redacted, without_userinfo

# What XML 1.0 forbids (control characters, surrogates, U+FFFE and U+FFFF), and what moves a terminal's cursor or text
# direction: C0 and C1 controls but tab and newline, and the bidirectional marks, embeddings, overrides and isolates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    "\ufffe\uffff]"
)


def safe_text(text: str) -> str:
    r"""The text with every unsafe character as a visible escape such as ``\x1b`` or ``\ud800``; clean text as it is.

    Known secrets are taken out (``core.redaction``).
    """
    text = redacted(text)
    # Nothing that is unsafe is printable, and a look at that is cheaper than a search.
    if text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return _UNSAFE.sub(_escape, text)


def safe_values(value: Any) -> Any:
    """A value of JSON with all of its texts safe."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, list):
        return [safe_values(part) for part in value]
    if isinstance(value, dict):
        return {safe_text(name): safe_values(part) for name, part in value.items()}
    return value


def safe_line(text: str, limit: int = 80) -> str:
    """The text on one line, safe, cut to ``limit`` characters (the last of them an ellipsis)."""
    line = safe_text(" ".join(text[: limit * 4].split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def safe_message(text: object, limit: int = 2_000) -> str:
    """A message for the user, whoever's words it quotes: safe, without credentials of addresses, bounded."""
    shown = safe_text(without_userinfo(str(text)))
    return shown if len(shown) <= limit else f"{shown[: limit // 2]} ... {shown[-limit // 2 :]}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def preview(value: object, limit: int = 60) -> str | None:
    """An answer or a gold of an item record in at most ``limit`` characters: text, a list, or a review's judgement."""
    if value is None:
        return None
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    elif isinstance(value, Mapping):
        step = value.get("first_error_step")
        text = f"{value.get('judgement')}" + (f", step {step}" if step else "")
    else:
        text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def without_credentials(url: str) -> str:
    """An address without the user, password, query and fragment that may stand in it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no address, so that nobody can say what in it is secret
        return "(not shown)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def duration(seconds: float) -> str:
    """Seconds as people say them: ``82 s``, ``7 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
