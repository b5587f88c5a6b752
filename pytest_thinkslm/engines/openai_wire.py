"""What goes over the wire to an OpenAI-compatible server: pure functions, no client, no clock.

``Endpoint`` holds the address and the key, ``Dialect`` what the server accepts; ``openai_reply`` reads what comes back.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Message, Sampling
from pytest_thinkslm.engines.openai_reply import TRANSIENT, Failure, ServedModel, read_error, read_models, read_reply

__all__ = [
    "NO_KEY",
    "TRANSIENT",
    "Chat",
    "Dialect",
    "Endpoint",
    "Failure",
    "ServedModel",
    "read_error",
    "read_models",
    "read_reply",
]

#: Sent as the key where the environment has none: servers on the own machine or cluster ask for none.
NO_KEY = "none"

_NOTHING: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat completion to ask for. ``extra`` is merged into the request's body (``response_format``, say).

    ``prefix`` is what the assistant's turn begins with; vLLM and SGLang go on from there.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    label: str = ""
    extra: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server is and how to greet it.

    ``url`` carries neither user, password nor query, so that it can be shown anywhere. The secrets never
    appear in a repr.
    """

    url: str
    key: str = field(repr=False)
    basic: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str]) -> Endpoint:
        """Read a server's address; a bare host gets ``/v1``; the key is OPENAI_API_KEY of ``environ``.

        Raises:
            UsageError: no http(s) address, or one with a query (where keys would end up in logs).
        """
        try:
            parts = urlsplit(url.strip())
        except ValueError:  # brackets without an end, a host that Unicode makes another
            raise UsageError("--server-url is no address of a server, e.g. http://127.0.0.1:8000/v1") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            hint = "" if parts.scheme in ("http", "https") else "; it begins with http:// or https://"
            raise UsageError(f"--server-url is no address of a server{hint}, e.g. http://127.0.0.1:8000/v1")
        if parts.query or parts.fragment:
            raise UsageError("--server-url takes no query: a key belongs in the environment (OPENAI_API_KEY)")
        try:
            port = parts.port
        except ValueError:
            raise UsageError("--server-url has a port that is no number from 0 to 65535") from None
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        clean = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}"
        key = environ.get("OPENAI_API_KEY", "").strip() or NO_KEY
        if not (key.isascii() and key.isprintable()):
            raise UsageError(
                "the key is taken from OPENAI_API_KEY, which holds a character that no header can carry (not ASCII, or "
                "a control character): copy the key again"
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if user or password else None
        return cls(clean, key, basic)

    @property
    def host(self) -> str:
        """Host and port, without credentials."""
        return urlsplit(self.url).netloc

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine (no proxy is used for it); 0.0.0.0 and :: mean this machine, too."""
        name = (urlsplit(self.url).hostname or "").rstrip(".")
        try:
            address = ip_address(name.partition("%")[0])
        except ValueError:
            return name == "localhost" or name.endswith(".localhost")
        mapped = getattr(address, "ipv4_mapped", None) or address
        return bool(mapped.is_loopback or mapped.is_unspecified)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which parameters this server accepts; narrowed when it refuses one by name.

    ``samplers`` are top-k, min-p and repetition penalty: no part of OpenAI's own interface, but vLLM, SGLang and
    llama.cpp fill them from the checkpoint's or their own defaults unless they are sent. ``unsent`` are parameters that
    are left out as long as their value is the interface's own default, so that leaving them out changes nothing.
    """

    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: bool = True
    samplers: bool = True
    unsent: tuple[str, ...] = ()

    def body(self, model: str, chat: Chat) -> dict[str, object]:
        """The request's JSON body, every sampling parameter explicit. ``top_k`` -1 is "off" wherever it is known."""
        sampling = chat.sampling
        turns = [{"role": message.role, "content": message.content} for message in chat.messages]
        if chat.prefix:
            turns.append({"role": "assistant", "content": chat.prefix})
        body: dict[str, object] = {
            "model": model,
            "messages": turns,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.token_limit: sampling.max_tokens,
            "frequency_penalty": 0.0,
            "presence_penalty": sampling.presence_penalty,
            "n": 1,
            "stream": False,
        }
        if sampling.seed is not None and self.seed:
            body["seed"] = sampling.seed
        if self.samplers:
            body |= {"top_k": sampling.top_k or -1, "min_p": sampling.min_p}
            body |= {"repetition_penalty": sampling.repetition_penalty}
        for name in self.unsent:
            if body.get(name) == _NEUTRAL[name]:
                del body[name]
        if chat.prefix:
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body | dict(chat.extra)

    def without(self, refusal: str, body: Mapping[str, object] | None = None) -> Dialect | None:
        """The dialect after this refusal; None where it names nothing that could be left out.

        A parameter whose VALUE is refused stays: without it the server would put in a value of its own. Only what is at
        the interface's default already may go all the same.

        Args:
            refusal: the server's words, its ``param`` and ``code`` among them.
            body: the request that was refused, for its values.
        """
        if not _REFUSAL.search(refusal) and not _VALUE.search(refusal):
            return None
        for name, narrower in (
            ("max_tokens", dataclasses.replace(self, token_limit="max_completion_tokens")),
            ("seed", dataclasses.replace(self, seed=False)),
        ):
            if narrower != self and _names(refusal, name) and _unknown(refusal, name):
                return narrower
        off = all((body or {}).get(name, values[0]) in values for name, values in _SAMPLERS.items())
        if self.samplers and off and any(_names(refusal, name) for name in _SAMPLERS):
            return dataclasses.replace(self, samplers=False)
        for name, neutral in _NEUTRAL.items():
            if name not in self.unsent and _names(refusal, name) and (body or {}).get(name) == neutral:
                return dataclasses.replace(self, unsent=(*self.unsent, name))
        return None

    def lacks(self, sampling: Sampling) -> list[str]:
        """Names of parameters that ``sampling`` asks for and that the server would not take."""
        values = {name: getattr(sampling, name) for name in ("top_k", "min_p", "repetition_penalty")}
        return [] if self.samplers else [name for name, value in values.items() if value != getattr(Sampling(), name)]

    @property
    def refused(self) -> list[str]:
        """Names of the parameters that the server would not take, for the report."""
        return (
            (["max_tokens"] if self.token_limit != "max_tokens" else [])
            + ([] if self.seed else ["seed"])
            + ([] if self.samplers else list(_SAMPLERS))
            + list(self.unsent)
        )


#: The samplers, and what they are set to where they are off.
_SAMPLERS: Mapping[str, tuple[float, ...]] = {"top_k": (-1, 0), "min_p": (0.0,), "repetition_penalty": (1.0,)}
#: The interface's own defaults, in the order in which a refusal that names several is answered.
_NEUTRAL: Mapping[str, object] = {
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "n": 1,
    "top_p": 1.0,
    "temperature": 1.0,
    "stream": False,
}
#: Names that are words, too: they count where they are quoted, or named as a parameter.
_WORDS = frozenset({"n", "stream", "seed"})
_REFUSAL = re.compile(
    r"unsupported|not supported|not support|unrecogni[sz]ed|unknown|unexpected|extra (?:inputs|fields)|not permitted|"
    r"not allowed|forbidden|invalid|cannot (?:both )?be (?:specified|set|used)|mutually exclusive",
    re.IGNORECASE,
)
#: Words about a value that is out of its bounds, or the only one that is taken.
_VALUE = re.compile(
    r"\bvalues?\b|_value\b|\brange\b|\bmust be\b|\bshould be\b|\bbetween\b|\bat (?:most|least)\b|\bexceed|"
    r"\b(?:less|greater|larger|smaller|more|fewer|higher|lower) than\b|\bonly the default\b|[<>]=?\s*\d|[\u2264\u2265]|"
    r"\btoo (?:large|big|high|small|low|long|many|few)\b|\bmaximum\b|\bminimum\b",
    re.IGNORECASE,
)
#: Words about the parameter itself, which win where both kinds occur ("unknown parameter ..., valid values are").
_PARAMETER = re.compile(
    r"\b(?:unsupported|unknown|unrecogni[sz]ed|unexpected|extra)[ _](?:request[ _])?"
    r"(?:parameter|argument|field|property|keyword|input)s?\b(?![ _]value)|\bextra_forbidden\b",
    re.IGNORECASE,
)


def _unknown(refusal: str, name: str) -> bool:
    """Whether the server does not know the parameter, rather than not take its value."""
    if _PARAMETER.search(refusal):
        return True
    with_value = re.search(rf"\b{name}['\"`]?\s*(?:=|:|of|to|\()?\s*\d", refusal)
    plainly = re.search(_REFUSAL.pattern.replace("|invalid", ""), refusal, re.IGNORECASE)
    return bool(plainly) and not with_value and not _VALUE.search(refusal)


def _names(refusal: str, name: str) -> bool:
    """Whether the refusal is about the parameter of this name."""
    if name not in _WORDS:
        return re.search(rf"\b{name}\b", refusal) is not None
    quoted = rf"['\"`]{name}['\"`]|\| {name}(?: \||$)"  # in the bars: the error's own field ``param``
    called = rf"\b(?:argument|parameter|field|property)s?(?: supplied)?:? {name}\b"
    subject = rf"(?:^|: |\| |\n){name}(?::| (?:is|are) (?:not|un))"  # "seed: Extra inputs are not permitted"
    return re.search(f"{quoted}|{called}|{subject}", refusal) is not None
