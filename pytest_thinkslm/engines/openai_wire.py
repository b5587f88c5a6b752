"""What goes over the wire to an OpenAI-compatible server and what comes back: pure functions, no client, no clock.

``Endpoint`` holds the address and the key, ``Dialect`` what the server accepts, ``read_reply`` and ``read_error``
turn a body into an ``Output`` or a ``Failure``. Nothing here raises on hostile bytes.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import FinishReason, Message, Output, Sampling

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
    appear in a repr; ``scrub`` takes them out of texts that come from outside.
    """

    url: str
    key: str = field(repr=False)
    basic: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str]) -> Endpoint:
        """Read a server's address; a bare host gets ``/v1``; the key is OPENAI_API_KEY of ``environ``.

        Raises:
            UsageError: no http(s) address, or one with a query (where keys would end up in logs).
        """
        parts = urlsplit(url.strip())
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
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if user or password else None
        secrets = {key, basic or "", password, parts.password or ""} - {"", NO_KEY}
        if user and not password:
            secrets |= {user, parts.username or user}
        return cls(clean, key, basic, tuple(sorted(secrets, key=len, reverse=True)))

    @property
    def host(self) -> str:
        """Host and port, without credentials."""
        return urlsplit(self.url).netloc

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine (no proxy is used for it)."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    def scrub(self, text: str) -> str:
        """The text without the key, the password and their encodings."""
        for secret in self.secrets:
            text = text.replace(secret, "[secret]")
        return text


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which parameters this server accepts; narrowed when it refuses one by name.

    ``samplers`` are top-k, min-p and repetition penalty: no part of OpenAI's own interface, but vLLM, SGLang and
    llama.cpp fill them from the checkpoint's or their own defaults unless they are sent.
    """

    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: bool = True
    samplers: bool = True

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
        if chat.prefix:
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body | dict(chat.extra)

    def without(self, refusal: str) -> Dialect | None:
        """The dialect after this refusal; None where it names nothing that could be left out."""
        if not _REFUSAL.search(refusal):
            return None
        for name, narrower in (
            ("max_tokens", dataclasses.replace(self, token_limit="max_completion_tokens")),
            ("seed", dataclasses.replace(self, seed=False)),
            ("top_k|min_p|repetition_penalty", dataclasses.replace(self, samplers=False)),
        ):
            if narrower != self and re.search(rf"\b(?:{name})\b", refusal):
                return narrower
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
            + ([] if self.samplers else ["top_k", "min_p", "repetition_penalty"])
        )


_REFUSAL = re.compile(
    r"unsupported|not supported|not support|unrecogni[sz]ed|unknown|unexpected|extra (?:inputs|fields)|not permitted|"
    r"not allowed|forbidden|invalid",
    re.IGNORECASE,
)

FailureKind = Literal["busy", "timeout", "connection", "server", "malformed", "denied", "absent", "refused"]

#: Kinds that are tried again. "denied" (401, 403, no credit), "absent" (404) and "refused" (this request) are final.
TRANSIENT: frozenset[FailureKind] = frozenset({"busy", "timeout", "connection", "server", "malformed"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt gave no output. ``retry_after`` is in seconds, where the server says it."""

    kind: FailureKind
    message: str
    retry_after: float | None = None


def read_reply(data: bytes, latency: float | None = None) -> Output | Failure:
    """The output in the body of a 200; a ``Failure`` for a body that is none (cut, no JSON, no choice)."""
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError) as error:
        return Failure("malformed", f"the server's reply is no JSON ({type(error).__name__}, {len(data)} bytes)")
    if isinstance(reply, dict) and reply.get("error") and not reply.get("choices"):
        # Routers answer 200 with the error of the server behind them.
        error_part = reply["error"]
        code = error_part.get("code") if isinstance(error_part, dict) else None
        return read_error(code if isinstance(code, int) else 500, data, {})
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return Failure("malformed", "the server's reply holds no choice with a message")
    text = message.get("content")
    reasoning = message.get("reasoning_content")
    if reasoning is None:
        reasoning = message.get("reasoning")
    if not isinstance(text, str | None) or not isinstance(reasoning, str | None):
        return Failure("malformed", "the content of the server's reply is no text")
    if text is None and reasoning is None and message.get("refusal") is not None:
        text = str(message["refusal"])
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Output(
        text=text or "",
        reasoning=reasoning,
        finish_reason=_FINISH.get(choice.get("finish_reason"), "unknown"),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        latency=latency,
    )


_FINISH: Mapping[object, FinishReason] = {"stop": "stop", "length": "length"}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def read_error(status: int, data: bytes, headers: Mapping[str, str], now: float | None = None) -> Failure:
    """What an error status means. ``now`` (seconds since the epoch) is needed for a Retry-After that is a date."""
    said = _explanation(data)
    message = f"the server answered {status}{': ' + said if said else ''}"
    wait = _retry_after(headers, now)
    if status == 429:
        return Failure("denied" if "insufficient_quota" in said else "busy", message, wait)
    if status in (401, 403):
        return Failure("denied", f"{message}; the key is taken from OPENAI_API_KEY in the environment")
    if status == 404:
        return Failure("absent", message)
    if status in (408, 409, 425) or (status >= 500 and status != 501):
        return Failure("server", message, wait)
    return Failure("refused", message)


def _explanation(data: bytes) -> str:
    """The server's own words, on one line, at most 500 characters."""
    text = data.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict):
            words = [error.get(name) for name in ("message", "detail", "param", "code")]
            text = " | ".join(word if isinstance(word, str) else json.dumps(word) for word in words if word) or text
        elif isinstance(error, str):
            text = error
    return " ".join(text.split())[:500]


def _retry_after(headers: Mapping[str, str], now: float | None) -> float | None:
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if not value:
            continue
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value.strip()):
            return float(value) / scale
        if now is not None and scale == 1.0:
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - now)
            except (ValueError, OverflowError):
                return None
    return None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A line of ``/v1/models``: the id, and what the server tells of the checkpoint behind it.

    ``facts`` holds vLLM's and SGLang's ``root`` and ``max_model_len`` and llama.cpp's ``meta``; ``created`` is left
    out, because several servers put the time of the request there.
    """

    id: str
    facts: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    owner: str = ""


def read_models(data: bytes) -> list[ServedModel] | None:
    """The models of a ``/v1/models`` reply; None where it is none."""
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        return None
    lines = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(lines, list):
        return None
    return [
        ServedModel(
            line["id"],
            {name: line[name] for name in ("root", "max_model_len", "meta") if line.get(name) is not None},
            str(line.get("owned_by") or ""),
        )
        for line in lines
        if isinstance(line, dict) and isinstance(line.get("id"), str)
    ]
