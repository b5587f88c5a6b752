"""Who judges: a model of an OpenAI-compatible server, or one that the transformers engine loads in this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TextIO, cast
from urllib.parse import urlsplit

from pytest_thinkslm.core.errors import ModelError, UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request
from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.engines.openai_client import ChatClient
from pytest_thinkslm.engines.openai_wire import Chat
from pytest_thinkslm.judging.prompt import PROMPT_VERSION, SAMPLING
from pytest_thinkslm.judging.reply import RESPONSE_FORMAT
from pytest_thinkslm.settings.run_settings import Settings

if TYPE_CHECKING:
    from pytest_thinkslm.engines.factory import EngineFactory

#: Seconds for one attempt at a reply, and further attempts after a time-out, a broken connection or a 5xx.
TIMEOUT = 120.0
RETRIES = 1

#: Environment variables that hold the judge server's key, the first that is set.
KEYS = ("THINKSLM_JUDGE_API_KEY", "OPENAI_API_KEY")


class Judge(Protocol):
    """A model that answers chats; cheap to make, loads or connects with the first ``ask``."""

    #: Whether replies are bound to the schema; set to False where the server refuses that.
    enforced: bool

    def ask(self, chats: Sequence[tuple[tuple[Message, ...], str]]) -> Sequence[Future[Output]]:
        """Ask for a reply to each of (messages, label); futures end in an ``Output`` or in ``EngineError``."""
        ...

    def fingerprint(self) -> Fingerprint:
        """What rulings depend on beside the question. Raises ``ModelError`` where there is no such model."""
        ...

    def close(self) -> None:
        """Stop. The next ``ask`` starts again."""
        ...


class ServerJudge:
    """A model of a server, asked through the openai engine's client.

    Args:
        model: id as the server lists it.
        url: address; its user and password are used but never shown.
        log: where retries are noted.
        environ: where the key is read from.

    Raises:
        UsageError: ``url`` is no address.
    """

    def __init__(
        self, model: str, url: str, log: TextIO | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        environ = os.environ if environ is None else environ
        key = next((environ[name] for name in KEYS if environ.get(name, "").strip()), "")
        self.enforced = True
        self._log = log
        self._make: Callable[[], ChatClient] = lambda: ChatClient(
            url, model, retries=RETRIES, timeout=TIMEOUT, log=log, environ={"OPENAI_API_KEY": key}
        )
        try:
            self._client: ChatClient | None = self._make()
        except UsageError as error:
            raise UsageError(_about_the_judge(str(error))) from None
        self._endpoint = self._client.endpoint

    def ask(self, chats: Sequence[tuple[tuple[Message, ...], str]]) -> Sequence[Future[Output]]:
        """Ask for a reply to each; bounded, retrying."""
        extra = {"response_format": RESPONSE_FORMAT} if self.enforced else {}
        return self._connected().submit([Chat(messages, SAMPLING, label, extra) for messages, label in chats])

    def fingerprint(self) -> Fingerprint:
        """The model as the server describes it, else by its address. Asks ``/v1/models`` once."""
        try:
            served = self._connected().served()
        except ModelError as error:
            raise ModelError(f"--judge: {_about_the_judge(str(error))}") from None
        facts = {**judge_facts(served.id), **served.facts}
        if not {"root", "meta"} & set(served.facts):
            facts["server"] = self._endpoint.url
        return Fingerprint(facts)

    def close(self) -> None:
        """Cancel what is queued, give up what is in flight."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._log is not None:
            self._log.close()

    def unreachable(self) -> str:
        """Why no connection to the server can be made; empty where one can."""
        parts = urlsplit(self._endpoint.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=5.0).close()
        except (OSError, ValueError) as error:  # ValueError: a host that no name server can be asked for
            why = getattr(error, "strerror", None) or error
            return f"the judge's server {self._endpoint.url} cannot be reached ({why})"
        return ""

    def _connected(self) -> ChatClient:
        if self._client is None:
            self._client = self._make()
        return self._client


class LocalJudge:
    """A model that the transformers engine loads beside the engine under test; its replies are bound to no schema.

    Args:
        model: ``embedded``, a hub id, a local folder, or a key of the catalogue.
        settings: of the run; its engine arguments hold for the judge too where they are of the transformers engine.
        say: takes a line for the user (progress of fetching).
        log: the engine's own chatter.
    """

    def __init__(
        self, model: str, settings: Settings, say: Callable[[str], None], log: Callable[[], TextIO | None]
    ) -> None:
        self.enforced = False
        arguments = settings.engine_args if settings.engine == "transformers" else {}
        self._settings = replace(
            settings,
            models=(model,),
            quants=(),
            engine="transformers",
            server_url=None,
            engine_args=arguments,
            thinking=None,
        )
        self._say = say
        self._log = log
        self._made: EngineFactory | None = None
        self._opened_log: TextIO | None = None
        self._engine: Engine | None = None

    def ask(self, chats: Sequence[tuple[tuple[Message, ...], str]]) -> Sequence[Future[Output]]:
        """Ask for a reply to each; batched by the engine."""
        if self._engine is None:
            self._opened_log = self._log()
            self._engine = self._factory.build(0, self._opened_log)
        return self._engine.submit([Request(messages, SAMPLING, label, task="judge") for messages, label in chats])

    def fingerprint(self) -> Fingerprint:
        """The checkpoint's own; imports no torch."""
        facts = self._factory.fingerprint(0).facts
        return Fingerprint({**facts, **judge_facts(str(facts.get("model") or self._settings.models[0]))})

    def close(self) -> None:
        """Drop the queue and free the device."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        if self._opened_log is not None:
            self._opened_log.close()
            self._opened_log = None

    @property
    def _factory(self) -> EngineFactory:
        if self._made is None:
            from pytest_thinkslm.engines.factory import EngineFactory

            self._made = EngineFactory(self._settings, self._say)
        return self._made


def judge_facts(model: str) -> dict[str, object]:
    """What every judge's fingerprint holds."""
    return {
        "role": "judge",
        "model": model,
        "prompt_version": PROMPT_VERSION,
        "temperature": SAMPLING.temperature,
        "max_tokens": SAMPLING.max_tokens,
    }


def make_judge(settings: Settings, say: Callable[[str], None], log: Callable[[], TextIO | None]) -> Judge:
    """The judge that the settings name. Raises ``UsageError``, ``ModelError``."""
    assert settings.judge is not None
    if settings.judge_url is not None:
        return ServerJudge(settings.judge, settings.judge_url, cast("TextIO", _OpenedLate(log)))
    return LocalJudge(settings.judge, settings, say, log)


class _OpenedLate:
    """A log that exists once something is written to it; after ``close`` it is opened anew where more is to say."""

    def __init__(self, log: Callable[[], TextIO | None]) -> None:
        self._log = log
        self._file: TextIO | None = None

    def write(self, text: str) -> int:
        if self._file is None:
            self._file = self._log()
        return len(text) if self._file is None else self._file.write(text)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _about_the_judge(message: str) -> str:
    """The client's messages are about the model under test."""
    return message.replace("--server-url", "--judge-url").replace(
        "the key is taken from OPENAI_API_KEY", f"the key is taken from {' or '.join(KEYS)}"
    )
