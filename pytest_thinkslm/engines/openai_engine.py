"""The openai engine: chat completions of any OpenAI-compatible server (vLLM, SGLang, llama.cpp, a router, an API)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TextIO

from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines.openai_client import LOADING, ChatClient
from pytest_thinkslm.engines.openai_thinking import body_for, confirmed
from pytest_thinkslm.engines.openai_wire import Chat


class OpenAIEngine:
    """An ``Engine`` over a server; the server renders the chat template and batches.

    Args:
        model: id as the server's ``/v1/models`` lists it.
        server_url: e.g. ``http://127.0.0.1:8000/v1``.
        engine_args: ``concurrency`` (1 to 1000), ``retries``, ``timeout`` (seconds), ``model_check`` (on, off),
            ``loading`` (seconds that a server is waited for which is loading its model), ``ca`` (file with
            certificates to trust).
        log: where retries and the server's refusals are noted.
        say: takes lines for the user while the server is loading its model.

    Raises:
        UsageError: an address or an engine argument that cannot be used.
    """

    def __init__(
        self,
        model: str,
        *,
        server_url: str,
        engine_args: Mapping[str, str] | None = None,
        log: TextIO | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        given = dict(engine_args or {})
        ca = given.pop("ca", None)
        args = _read_args(given)
        self._say = say
        self._client = ChatClient(
            server_url,
            model,
            concurrency=None if args["concurrency"] is None else int(args["concurrency"]),
            retries=int(args["retries"] or 0),
            timeout=float(args["timeout"] or 0.0),
            check_model=bool(args["model_check"]),
            loading=float(args["loading"] or 0.0),
            ca=None if ca is None else expanded(ca),
            log=log,
        )

        self._bodies: dict[str | None, Mapping[str, object]] = {}

    def __repr__(self) -> str:
        return f"OpenAIEngine({self._client.model!r}, {self._client.endpoint.url!r})"

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests; returns their futures in the same order."""
        return self._client.submit(
            [
                Chat(request.messages, request.sampling, request.label, self._body(request.thinking), request.prefix)
                for request in requests
            ]
        )

    def confirm(self, thinking: str) -> None:
        """Ask the server whether it does what ``--thinking`` says, and keep how it is told to.

        Raises:
            UsageError: it does not; the message says what it takes.
            ModelError: the server cannot be reached, refuses the key, or has no such model.
        """
        self._client.served()
        self._bodies[thinking] = confirmed(self._client, thinking, self._client.endpoint.url)

    def _body(self, thinking: str | None) -> Mapping[str, object]:
        return body_for(thinking) if thinking not in self._bodies else self._bodies[thinking]

    def fingerprint(self) -> Fingerprint:
        """The model as the server describes it. Asks ``/v1/models`` once.

        ``root``, ``max_model_len`` and ``meta`` stand for the checkpoint where the server gives them; its address is
        then no part of the fingerprint, so that a server that moves (a SLURM job, a restarted container) keeps its
        journal. A server that gives the bare id is known by its address (without credentials), because many
        servers call their models by the same name.

        Raises:
            ModelError: the server cannot be reached, refuses the key, or has no such model.
        """
        served = self._client.served(self._say)
        facts: dict[str, object] = {"engine": "openai", "api": "chat.completions", "model": served.id}
        facts |= served.facts
        if not {"root", "meta"} & set(served.facts):
            facts["server"] = self._client.endpoint.url
        return Fingerprint(facts)

    def measured(self) -> Mapping[str, object]:
        """Address without credentials, attempts, failures by kind, fewest slots, parameters the server refused."""
        counters = self._client.counters
        return {
            "server": self._client.endpoint.url,
            "attempts": counters.attempts,
            "answered": counters.answered,
            "failed": counters.failed,
            "failures": dict(counters.failures),
            "least_slots": counters.least_slots,
            "refused_parameters": self._client.dialect.refused,
        }

    def close(self) -> None:
        """Cancel what is queued, give up what is in flight, stop the client's thread."""
        self._client.close()


def _switch(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError
    return text.lower() == "on"


_ARGS: Mapping[str, tuple[Callable[[str], float | None], float | None, float, float, str]] = {
    "concurrency": (int, None, 1, 1000, "a whole number from 1 to 1000"),
    "retries": (int, 5, 0, 1000, "a whole number from 0 to 1000"),
    "timeout": (float, 600.0, 0.001, 86_400, "seconds above 0, at most 86400"),
    "loading": (float, LOADING, 0, 86_400, "seconds from 0 to 86400"),
    "model_check": (_switch, True, 0, 1, "on or off"),
}


def _read_args(given: Mapping[str, str]) -> dict[str, float | None]:
    """Typed values of all arguments, by default where not given."""
    values = {name: default for name, (_, default, _, _, _) in _ARGS.items()}
    for name, text in given.items():
        if name not in _ARGS:
            # The name alone: someone may have typed a key as its value.
            raise UsageError(f"--engine-args {name!r} is unknown to the openai engine: {nearest(name, (*_ARGS, 'ca'))}")
        read, _, low, high, what = _ARGS[name]
        try:
            value = read(text)
        except ValueError:
            value = None
        if value is None or not math.isfinite(value) or not low <= value <= high:
            raise UsageError(f"--engine-args {name}={text!r}: give {what}")
        values[name] = value
    return values
