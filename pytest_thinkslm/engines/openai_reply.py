"""What an OpenAI-compatible server says, as an ``Output`` or a ``Failure``: pure functions, no client, no clock.

Nothing here raises on hostile bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Literal

from pytest_thinkslm.core.finish import broken_off, context_full, finish_reason
from pytest_thinkslm.core.records import Output
from pytest_thinkslm.core.redaction import redacted_json

_NOTHING: Mapping[str, object] = {}
#: New tokens above the limit that are no fault: some servers count the token that ends the turn.
_OVER = 1

FailureKind = Literal[
    "busy", "loading", "timeout", "connection", "server", "malformed", "denied", "absent", "refused", "no-schema",
    "overrun",
]  # fmt: skip

#: Kinds that are tried again. "denied" (401, 403, no credit), "absent" (404), "refused" (this request), "no-schema"
#: (this request: the server knows no structured output) and "overrun" (more new tokens than were asked for) are final;
#: "loading" (the model is not there yet) has a bound of its own.
TRANSIENT: frozenset[FailureKind] = frozenset({"busy", "loading", "timeout", "connection", "server", "malformed"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt gave no output. ``retry_after`` is in seconds, where the server says it."""

    kind: FailureKind
    message: str
    retry_after: float | None = None


def read_reply(data: bytes, latency: float | None = None, limit: int | None = None) -> Output | Failure:
    """The output in the body of a 200; a ``Failure`` for a body that is none (cut, no JSON, no choice).

    Args:
        data: the body.
        latency: seconds that it took.
        limit: the bound on new tokens that was asked for; an output beyond it is a ``Failure``.
    """
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError) as error:
        begins = " ".join(data[:80].decode("utf-8", "replace").split())
        return Failure(
            "malformed", f"the server's reply is no JSON ({type(error).__name__}, {len(data)} bytes: {begins!r})"
        )
    reply = reply if isinstance(reply, dict) else {"reply": reply}
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if (within := _error_within(reply, choice, message)) is not None:
        return within
    if not isinstance(choice, dict) or not isinstance(message, dict):
        said = "" if choices else f": {_explanation(data)}"
        return Failure("malformed", f"the server's reply holds no choice with a message{said}")
    ended = choice.get("finish_reason")
    if broken_off(ended):
        return Failure("server", f"the server broke the generation off (finish reason {str(ended)!r})")
    spoken = _spoken(message.get("content"))
    thoughts = [_spoken(message.get(name)) for name in ("reasoning_content", "reasoning", "thinking")]
    if spoken is None or None in thoughts:
        return Failure("refused", "the content of the server's reply is neither text nor a list of parts with text")
    text, thought = spoken
    separate = [said + inner for said, inner in filter(None, thoughts) if said + inner]
    has_field = any(isinstance(message.get(name), str) for name in ("reasoning_content", "reasoning", "thinking"))
    reasoning = thought or (separate[0] if separate else None)
    if reasoning is None and has_field:
        reasoning = ""
    if message.get("content") is None and reasoning is None and message.get("refusal") is not None:
        text = str(message["refusal"])
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens = _count(usage.get("completion_tokens"))
    if limit is not None and tokens is not None and tokens > limit + _OVER:
        return Failure(
            "overrun",
            f"the server generated {tokens} new tokens where at most {limit} were asked for, so it does not heed the "
            "limit (some take it under another name, or leave thoughts out of it): a larger --max-tokens, or a server "
            "that does",
        )
    reason = finish_reason(ended, tokens, limit)
    full = context_full(reason, tokens, limit, len(text) + len(reasoning or ""))
    return Output(
        text=text,
        reasoning=reasoning,
        finish_reason=reason,
        stopped="server" if full else None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=tokens,
        latency=latency,
    )


def _error_within(reply: Mapping[str, object], choice: object, message: object) -> Failure | None:
    """The error that a 200 carries: routers pass on that of the server behind them, beside a choice that is empty."""
    if isinstance(message, Mapping) and message.get("content"):
        return None
    inside = choice.get("error") if isinstance(choice, Mapping) else None
    error = inside or reply.get("error")
    if not error and (reply.get("object") != "error" or choice is not None):  # of older vLLMs: not below "error"
        return None
    code = error.get("code") if isinstance(error, Mapping) else None if error else reply.get("code")
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 500
    return read_error(status, json.dumps({"error": error} if error else reply).encode(), {})


def _spoken(content: object, depth: int = 0) -> tuple[str, str] | None:
    """Text and thought of a message's content: a string, or a list of parts (Mistral's, Anthropic's, routers').

    Parts of other kinds (images, tool calls) say nothing here. None for content of no known form: an empty text would
    be scored.
    """
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list) or depth > 4:
        return None
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        held, kind = part, "text"
        if isinstance(part, dict):
            kind = str(part.get("type") or "text").lower()
            if not any(word in kind for word in ("text", "think", "reason", "refusal")):
                continue
            known = [part[name] for name in _HOLDS_TEXT if name in part]
            if not known and "text" in kind:
                return None
            held = next(filter(None, known), "")
        inner = _spoken(held, depth + 1)
        if inner is None:
            return None
        thinks = any(word in kind for word in ("think", "reason"))
        texts.append("" if thinks else inner[0])
        thoughts.append(inner[0] + inner[1] if thinks else inner[1])
    return "".join(texts), "".join(thoughts)


#: Where parts of a content keep their text.
_HOLDS_TEXT = ("thinking", "reasoning", "text", "content", "summary", "value", "refusal")


def _count(value: object) -> int | None:
    """A number of tokens; some servers write it as a text or with a decimal point."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
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
    if status == 503 and _LOADING.search(said):
        return Failure("loading", message, wait)
    if status in (408, 409, 425) or (status >= 500 and status != 501):
        return Failure("server", message, wait)
    return Failure("refused", message)


def refuses_schema(message: str) -> bool:
    """Whether a refusal's words are those of a server that knows no structured output."""
    return _NO_SCHEMA.search(message) is not None


_NO_SCHEMA = re.compile(r"response_format|json_schema|structured|guided|grammar|extra inputs|unrecogni[sz]ed", re.I)

#: What servers say that are up before their model is (llama.cpp, TGI, SGLang, hosted ones); not "overloaded".
_LOADING = re.compile(
    r"\bloading\b|\bbeing loaded\b|\bstarting\b|\bstart(?:ing)? up\b|\bwarming\b|\binitiali[sz]|"
    r"\bnot (?:yet )?(?:ready|loaded)\b|\bbooting\b",
    re.IGNORECASE,
)


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
            {
                name: redacted_json(line[name])
                for name in ("root", "max_model_len", "meta")
                if line.get(name) is not None
            },
            str(line.get("owned_by") or ""),
        )
        for line in lines
        if isinstance(line, dict) and isinstance(line.get("id"), str)
    ]
