"""``--thinking`` on a server: what is sent, and whether the server does it.

A server renders the chat template itself, and many take a parameter that they then ignore. So it is asked before the
run: the prompts that it makes of two values have to differ (vLLM and llama.cpp show them, any server counts their
tokens), or its reply to ``on`` has to hold a thought.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Protocol

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.records import Message, Output, Sampling
from pytest_thinkslm.engines.openai_wire import Chat
from pytest_thinkslm.models.switches import LEVELS, effective
from pytest_thinkslm.scoring.answers.region import final_region

Body = Mapping[str, object]

_QUESTION = (Message("user", "How many legs do three cats have?"),)
#: New tokens in which a model that thinks first has begun to.
_LOOK = 32
#: New tokens where the prompt alone matters; some servers refuse fewer.
_FEW = 16
_NO_EFFORT = "no-such-effort"


class Server(Protocol):
    """What is asked of a client; ``ChatClient`` is one."""

    model: str

    def post(self, path: str, body: Body) -> bytes | None:
        """The body of the reply to a POST below the server's root; None where there is none."""
        ...

    def ask(self, chat: Chat) -> Output:
        """One chat completion. Raises ``EngineError``."""
        ...


def body_for(thinking: str | None) -> Body:
    """What a request for ``thinking`` has beside the usual.

    The chat template's own switches are passed through by servers that render it (vLLM, SGLang, llama.cpp); templates
    call them by one name or the other and ignore what they do not know. An effort is OpenAI's own parameter, too.
    """
    if thinking is None:
        return {}
    switches: dict[str, object] = {"enable_thinking": thinking != "off", "thinking": thinking != "off"}
    if thinking in (*LEVELS, _NO_EFFORT):
        return {"reasoning_effort": thinking, "chat_template_kwargs": {**switches, "reasoning_effort": thinking}}
    if thinking not in ("on", "off"):
        switches["thinking_budget"] = int(thinking)
    return {"chat_template_kwargs": switches}


def without_template(thinking: str) -> Body:
    """The same for a server that knows OpenAI's parameters alone; empty where these have nothing for it."""
    return {"reasoning_effort": thinking} if thinking in (*LEVELS, _NO_EFFORT) else {}


def confirmed(server: Server, thinking: str, url: str) -> Body:
    """What to send for ``thinking``, once the server has shown that it does something.

    Args:
        server: the client.
        thinking: on, off, an effort, or a number of tokens.
        url: address for messages.

    Raises:
        UsageError: the server does not confirm it; the message says what it takes.
    """
    shown = _way(server)
    for make in (body_for, without_template):
        if make(thinking) and _does(server, shown, make, thinking):
            return make(thinking)
    others = [value for value in ("on", "off", *LEVELS) if value != thinking and _does(server, shown, body_for, value)]
    taken = f"it takes --thinking {', '.join(others)}; or " if others else ""
    raise UsageError(
        f"--thinking {thinking}: the server {url} does not do it: {shown.what} for this value and its opposite. "
        f"{taken}leave --thinking out, or give --system with what the model's card has for it"
    )


class _Way:
    """How a server shows the prompts that it makes."""

    def __init__(self, what: str, prompt: Callable[[Body], object | None], *, whole: bool) -> None:
        self.what = what
        self.prompt = prompt
        self.whole = whole


def _way(server: Server) -> _Way:
    for path, name, what in (
        ("tokenize", "tokens", "the prompt's tokens are the same"),
        ("apply-template", "prompt", "the prompt is the same"),
    ):
        if _field(server.post(path, _rendering(server, {})), name) is not None:

            def prompt(body: Body, path: str = path, name: str = name) -> object | None:
                return _field(server.post(path, _rendering(server, body)), name)

            return _Way(what, prompt, whole=True)
    return _Way("the prompt has as many tokens", lambda body: _counted(server, body), whole=False)


def _does(server: Server, way: _Way, make: Callable[[str], Body], thinking: str) -> bool:
    """Whether the server does something for this value."""
    if thinking in LEVELS:
        prompts = {level: way.prompt(make(level)) for level in LEVELS}
        if thinking in effective(prompts, way.prompt(make("on"))):
            return True
        # A count does not tell "low" from "high"; a server that reads the parameter refuses what is none of its values.
        return not way.whole and prompts[thinking] is not None and _counted(server, make(_NO_EFFORT)) is None
    on, off = way.prompt(make("on")), way.prompt(make("off"))
    if on is not None and off is not None and on != off:
        return True
    return thinking != "off" and _thinks(server, make(thinking))


def _thinks(server: Server, body: Body) -> bool:
    try:
        output = server.ask(Chat(_QUESTION, Sampling(max_tokens=_LOOK), "--thinking", body))
    except EngineError:
        return False
    return final_region(output).thought is not None


def _counted(server: Server, body: Body) -> int | None:
    try:
        return server.ask(Chat(_QUESTION, Sampling(max_tokens=_FEW), "--thinking", body)).prompt_tokens
    except EngineError:
        return None


def _rendering(server: Server, body: Body) -> Body:
    turns = [{"role": message.role, "content": message.content} for message in _QUESTION]
    return {"model": server.model, "messages": turns, "add_generation_prompt": True, **body}


def _field(data: bytes | None, name: str) -> object | None:
    """A field of a JSON object, as something that can be compared; None where there is none."""
    try:
        content = json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None
    value = content.get(name) if isinstance(content, dict) else None
    return json.dumps(value) if value else None
