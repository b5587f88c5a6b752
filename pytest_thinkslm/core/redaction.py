"""Keys and passwords that this process knows, and the streams through which text leaves it.

A run learns its secrets once (``learn_environment``, ``learn_address``, ``learn``); from then on ``redacted`` takes
them out of any text, in every encoding in which servers, clients and reports write them. ``safe_text`` does so for what
comes from models and servers, ``Outlet`` for what is written to terminals and logs.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, quote_plus, unquote

from pytest_thinkslm.core.records import Output

#: What stands in a secret's place.
MARK = "[secret]"

#: Characters that a secret has at least, and as few where it is no mere word or number: what is shorter occurs in
#: ordinary text and in answers, which must stay readable.
LEAST, LEAST_MIXED = 8, 5

#: Environment variables whose values are secrets, and those whose values are addresses that may hold some: what the
#: run itself reads or hands to a client.
_KEYS = ("OPENAI_API_KEY", "THINKSLM_JUDGE_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_ADDRESSES = (
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "HF_ENDPOINT",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
)

#: User and password in front of a host; one slash where an address was taken for a path.
_USERINFO = re.compile(r"(:/{1,2})[^\s/?#'\"<>]*@")

#: Names of arguments whose values are secrets.
_NAMES = re.compile(r"key|token(?!s)|secret|password|credential", re.IGNORECASE)

#: Every form of every secret of this process; the longest first, so that no part of one is left over.
_forms: list[str] = []


def learn(*secrets: str | None) -> None:
    """Take these out of every text from now on, but for what is too short to be told from ordinary text."""
    found = {form for secret in secrets if secret for form in _encodings(secret.strip()) if _telling(form)}
    # A file is JSON of texts in which any of these forms may stand.
    found |= {json.dumps(form)[1:-1] for form in found}
    _forms[:] = sorted({*_forms, *found}, key=lambda form: (-len(form), form))


def learn_address(address: str | None) -> None:
    """Take an address's password out of every text, alone and as a client sends it; a user without one is a key."""
    for userinfo in re.findall(r"://([^\s/?#]*)@", address or ""):
        user, colon, password = userinfo.partition(":")
        user, password = unquote(user), unquote(password)
        learn(password if colon and password else user, userinfo)
        learn(f"{user}:{password}")


def learn_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Learn what the environment holds of secrets, and the hub's token where it is kept in its file."""
    learn(*(environ.get(name) for name in _KEYS))
    for name in _ADDRESSES:
        learn_address(environ.get(name))
        learn_address(environ.get(name.lower()))
    home = environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")
    with contextlib.suppress(OSError, ValueError):  # nobody has logged in
        kept = Path(environ.get("HF_TOKEN_PATH") or os.path.join(home, "token"))
        learn(kept.read_text(encoding="utf-8") if kept.is_file() else None)  # a pipe would hang


def names_secret(argument: str) -> bool:
    """Whether an argument of this name holds a secret."""
    return _NAMES.search(argument) is not None


def forget() -> None:
    """Know no secret any more (a process that runs several sessions, tests)."""
    _forms.clear()


def redacted(text: str) -> str:
    """The text without any form of any known secret."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MARK)
    return text


def redacted_line(line: bytes) -> bytes:
    """A line of a file likewise."""
    if not _forms:
        return line
    return redacted(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def any_known() -> bool:
    """Whether there is anything to take out."""
    return bool(_forms)


def redacted_output(output: Output) -> Output:
    """An output on its way in, before anything keeps or grades it: a key that a model or server says back is gone.

    So a verdict is the same for the output that was generated and for the one that is read back from the journal.
    """
    if not _forms:
        return output
    text, reasoning = redacted(output.text), None if output.reasoning is None else redacted(output.reasoning)
    if text == output.text and reasoning == output.reasoning:
        return output
    return replace(output, text=text, reasoning=reasoning)


def redacted_json(value: Any) -> Any:
    """JSON of a server's, every text in it without secrets."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {redacted(str(name)): redacted_json(inner) for name, inner in value.items()}
    return [redacted_json(inner) for inner in value] if isinstance(value, list) else value


def without_userinfo(text: str) -> str:
    """A message in which no address has a user or a password, however short."""
    return _USERINFO.sub(rf"\1{MARK}@", text) if "@" in text else text


def _telling(form: str) -> bool:
    plain = form.isalpha() or form.isdecimal()
    return len(form) >= (LEAST if plain else LEAST_MIXED)


def _encodings(secret: str) -> Iterator[str]:
    """The secret as it is, percent-encoded, in JSON, HTML and a literal of Python, and in Base64."""
    for quoted in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield html.escape(secret)
    yield repr(secret)[1:-1]
    data = secret.encode("utf-8", "surrogateescape")
    for encoded in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        yield encoded
        yield encoded.rstrip("=")


class Outlet:
    """A text stream on which nothing that is written is an error, and no known secret is written.

    A character that the stream's encoding lacks becomes its nearest in ASCII or an escape. Where the stream cannot be
    written any more (its reader has gone, the disk is full) the rest is dropped: a run ends with its files, whoever
    listens.

    Args:
        stream: where the text goes; None: nowhere (a process without standard output).
        messages: everything that is written is our own or an engine's messages, so that addresses lose their users
            and passwords too.
    """

    def __init__(self, stream: TextIO | None, *, messages: bool = False) -> None:
        self._stream = stream
        self._messages = messages
        self.broken = stream is None

    def write(self, text: str) -> int:
        """Write what can be written; returns the length of the text, as streams do."""
        if self._stream is None or self.broken:
            return len(text)
        shown = redacted(text)
        if self._messages:
            shown = without_userinfo(shown)
        try:
            try:
                self._stream.write(shown)
            except UnicodeEncodeError:
                self._stream.write(_encodable(shown, self._stream.encoding or "ascii"))
        except (OSError, ValueError):
            self._break()
        return len(text)

    def flush(self) -> None:
        """Flush what was written."""
        if self._stream is None or self.broken:
            return
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._break()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError:
                self.broken = True

    def __getattr__(self, name: str) -> Any:
        if name == "_stream" or self._stream is None:
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _break(self) -> None:
        """Drop the rest. What the stream still holds goes to the null device, or it would fail again at exit."""
        self.broken = True
        with contextlib.suppress(OSError, ValueError, AttributeError):  # no descriptor behind it
            null = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(null, self._stream.fileno())  # type: ignore[union-attr]
            finally:
                os.close(null)


def _encodable(text: str, encoding: str) -> str:
    """The text with what an encoding lacks in ASCII's words or as an escape."""
    return "".join(
        character if _encodes(character, encoding) else _ASCII.get(character) or _escape(character)
        for character in text
    )


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


#: Signs of our own tables and messages.
_ASCII = {
    "–": "-",
    "—": "-",
    "→": "->",
    "…": "...",
    "·": "-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "±": "+-",
    "−": "-",
    "─": "-",
}
