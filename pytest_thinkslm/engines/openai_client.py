"""A chat client for many requests to one OpenAI-compatible server: bounded, retrying, never answering twice.

``ChatClient`` serves the openai engine and the LLM judge. It owns one thread with one event loop; every piece of
state below is touched by that thread alone. A request is *queued*, then makes *attempts*; only an attempt holds one
of the slots, whose number shrinks when the server is busy and grows back slowly (additive increase, multiplicative
decrease). A failed attempt puts its request back in front of the queue after a pause.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import os
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from pytest_thinkslm.core.errors import (
    EngineError,
    EngineErrorKind,
    ModelError,
    ThinkSLMError,
    did_you_mean,
    nearest,
)
from pytest_thinkslm.core.records import Output
from pytest_thinkslm.core.redaction import learn, learn_address, redacted
from pytest_thinkslm.engines.openai_connection import connected, trusted
from pytest_thinkslm.engines.openai_reply import refuses_schema
from pytest_thinkslm.engines.openai_wire import (
    NO_KEY,
    TRANSIENT,
    Chat,
    Dialect,
    Endpoint,
    Failure,
    ServedModel,
    read_error,
    read_models,
    read_reply,
)

#: Slots where none are asked for. vLLM and SGLang batch hundreds of sequences; a rate-limited API or llama.cpp do not.
CONCURRENCY = 32
BATCHING_CONCURRENCY = 256
_BATCHING_SERVERS = frozenset({"vllm", "sglang"})

#: Seconds: first pause of the exponential back-off, its longest, and the longest Retry-After that is waited for.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
LONGEST_RETRY_AFTER = 600.0
_CHECK_TIMEOUT = 15.0
_CHECK_TRIES = 3
#: Seconds: how long a server is waited for that is loading its model, and the pause between two looks.
LOADING = 1800.0
LOADING_PAUSE = 3.0
_TELL_EVERY = 15.0
#: OpenSSL's name for it.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


@dataclass(slots=True)
class Counters:
    """What happened on the wire: attempts made, and failed attempts by kind."""

    attempts: int = 0
    answered: int = 0
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    least_slots: int = 0


@dataclass(eq=False, slots=True)
class _Job:
    chat: Chat
    future: Future[Output]
    started: bool = False
    tries: int = 0
    busy: int = 0


class ChatClient:
    """Asks one model of one server; ``submit`` may be called from any thread, any number of times.

    Args:
        server_url: address with or without ``/v1``; user and password in it are used but never shown.
        model: id as ``/v1/models`` lists it; checked there before the first request, where the server has that list.
        concurrency: most attempts in flight; None: 256 for vLLM and SGLang, else 32.
        retries: further attempts after a time-out, a broken connection, a 5xx or an unreadable body. A 429 has an
            allowance of its own (four times as many), because waiting is what it asks for.
        timeout: seconds for one attempt, all of it.
        check_model: false for a server whose list is incomplete.
        loading: seconds that a server is waited for which says that its model is still being loaded (503).
        ca: file with certificates to trust beside the machine's own, for https.
        log: where each retry is noted; never holds a key or a prompt.
        environ: where OPENAI_API_KEY is read from.

    Raises:
        UsageError: ``server_url`` is no address, or ``ca`` holds no certificates.
    """

    def __init__(
        self,
        server_url: str,
        model: str,
        *,
        concurrency: int | None = None,
        retries: int = 5,
        timeout: float = 600.0,
        check_model: bool = True,
        loading: float = LOADING,
        ca: Path | None = None,
        log: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoint = Endpoint.parse(server_url, os.environ if environ is None else environ)
        learn_address(server_url)
        if self.endpoint.key != NO_KEY:
            learn(self.endpoint.key)
        self.model = model
        self.concurrency = concurrency
        self.retries = retries
        self.timeout = timeout
        self.check_model = check_model
        self.loading = loading
        self._tls = trusted(ca, plain=self.endpoint.url.startswith("http:"))
        self.counters = Counters()
        self.dialect = Dialect()
        self._log = log
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        # Below: the loop's thread only.
        self._client: Any = None
        self._served: asyncio.Task[ServedModel] | None = None
        self._ready = False
        self._queue: deque[_Job] = deque()
        self._waiting: set[_Job] = set()
        self._attempts: dict[asyncio.Task[None], _Job] = {}
        self._slots = 1.0
        self._most_slots = 1
        self._shrunk_at = 0.0
        self._resume_at = 0.0
        self._loading_since: float | None = None
        self._dead: str | None = None
        self._random = random.Random()

    def __repr__(self) -> str:
        return f"ChatClient({self.endpoint.url!r}, {self.model!r})"

    def submit(self, chats: Sequence[Chat]) -> list[Future[Output]]:
        """Queue chats; their futures in the same order, each ending in an ``Output``, ``EngineError`` or cancelled.

        A future that is cancelled before its first attempt is never sent.
        """
        jobs = [_Job(chat, Future()) for chat in chats]
        with self._lock:
            if not self._closed:
                self._running_loop().call_soon_threadsafe(self._accept, jobs)
                return [job.future for job in jobs]
        for job in jobs:
            job.future.set_exception(EngineError(f"the client of {self.endpoint.url} is closed"))
        return [job.future for job in jobs]

    def ask(self, chat: Chat) -> Output:
        """One chat, awaited. Raises ``EngineError``."""
        return self.submit([chat])[0].result()

    def post(self, path: str, body: Mapping[str, object], seconds: float = _CHECK_TIMEOUT) -> bytes | None:
        """The reply to one POST below the server's root (not ``/v1``); None where it answers with anything but a 200.

        For what is no part of OpenAI's interface and may be absent: asked once, never again, and waited for so long.
        """
        root = self.endpoint.url.removesuffix("/v1")

        async def send() -> bytes | Failure:
            return await self._call(
                lambda client: client.with_options(timeout=seconds).post(
                    f"{root}/{path}", body=dict(body), cast_to=str
                ),
                seconds,
            )

        with self._lock:
            if self._closed:
                return None
            loop = self._running_loop()
        waited = asyncio.run_coroutine_threadsafe(send(), loop)
        while waited.done() or not self._closed:  # else its loop may end before it comes to this
            with contextlib.suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
                result = waited.result(timeout=0.5)
                return None if isinstance(result, Failure) else result
            if waited.cancelled():
                break
        return None

    def served(self, say: Callable[[str], None] = lambda line: None) -> ServedModel:
        """The model as the server lists it (id alone where it has no list). Asks the server once.

        Args:
            say: told in the caller's thread, now and then, while the server is loading its model.

        Raises:
            ModelError: the server cannot be reached, refuses the key, or has no such model.
        """
        with self._lock:
            if self._closed:
                raise ModelError(f"the client of {self.endpoint.url} is closed")
            loop = self._running_loop()

        async def wait() -> ServedModel:
            return await asyncio.shield(self._checked())

        waited = asyncio.run_coroutine_threadsafe(wait(), loop)
        told = 0.0
        while True:
            try:
                return waited.result(timeout=1.0)
            except concurrent.futures.TimeoutError:
                since = self._loading_since
                if since is not None and time.monotonic() - told > _TELL_EVERY:
                    told = time.monotonic()
                    say(
                        f"the server {self.endpoint.url} is still loading its model ({told - since:.0f} s; at most "
                        f"{self.loading:g} s are waited, --engine-args loading=SECONDS)"
                    )
            except ThinkSLMError:
                raise
            except Exception as error:  # what a library raises is no traceback for the user
                problem = redacted(f"{type(error).__name__}: {error}")
                raise ModelError(f"the server {self.endpoint.url} cannot be used: {problem}") from error

    def close(self) -> None:
        """Cancel what is queued, give up what is in flight (its futures end in ``EngineError``), stop the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    # The thread and the check of the model.

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, name="openai-client", daemon=True)
            self._thread.start()
        return self._loop

    def _run(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _connected(self) -> Any:
        """The official client, made on first use: importing it takes most of a second."""
        if self._client is None:
            self._client = connected(self.endpoint, self.timeout, self._tls)
        return self._client

    def _checked(self) -> asyncio.Task[ServedModel]:
        if self._served is None:
            self._served = asyncio.get_running_loop().create_task(self._check())
        return self._served

    async def _check(self) -> ServedModel:
        found: list[ServedModel] | Failure = Failure("connection", "")
        attempt = 0
        while attempt < _CHECK_TRIES:
            if attempt:
                await asyncio.sleep(self._pause(attempt))
            found = await self._list_models(_CHECK_TIMEOUT)
            if not isinstance(found, Failure) or found.kind not in TRANSIENT:
                break
            if found.kind == "loading" and not self._patience_is_spent(found):
                await asyncio.sleep(LOADING_PAUSE)
                continue
            attempt = attempt + 1 if found.kind != "loading" else _CHECK_TRIES
        self._loading_since = None
        served = ServedModel(self.model)
        if isinstance(found, Failure):
            # A key that is refused will be refused again; a server without a list (404, 405, 501) may still chat.
            if found.kind in TRANSIENT or found.kind == "denied":
                raise ModelError(
                    f"model {self.model!r}: the server {self.endpoint.url} cannot be used: {found.message}. "
                    "Check --server-url, and that the server is up"
                )
            self._note(f"no list of models at {self.endpoint.url}: {found.message}")
        elif self.check_model:
            known = {line.id: line for line in found}
            if self.model not in known:
                near = _near(self.model, known)
                raise ModelError(f"the server {self.endpoint.url} has no model {self.model!r}: {near}")
            served = known[self.model]
        else:
            served = next((line for line in found if line.id == self.model), served)
        batching = served.owner.lower() in _BATCHING_SERVERS
        self._most_slots = self.concurrency or (BATCHING_CONCURRENCY if batching else CONCURRENCY)
        self._slots = self.counters.least_slots = self._most_slots
        return served

    async def _list_models(self, timeout: float) -> list[ServedModel] | Failure:
        result = await self._call(lambda client: client.models.with_raw_response.list(timeout=timeout), timeout)
        if isinstance(result, Failure):
            return result
        models = read_models(result)
        return Failure("refused", "its list of models is not readable") if models is None else models

    # The queue. Invariant: every job whose future is pending is in exactly one of _queue, _waiting, _attempts.

    def _accept(self, jobs: Sequence[_Job]) -> None:
        self._queue.extend(jobs)
        if self._ready:
            self._pump()
        else:
            self._checked().add_done_callback(self._begin)

    def _begin(self, checked: asyncio.Task[ServedModel]) -> None:
        if checked.cancelled():
            return
        error = checked.exception()
        if error is not None:
            self._die(str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}")
        self._ready = True
        self._pump()

    def _pump(self) -> None:
        """Start attempts while there are free slots; called whenever one of queue, slots and pause has changed."""
        loop = asyncio.get_running_loop()
        while self._queue and self._dead is not None:
            self._fail(self._queue.popleft(), self._dead)
        if loop.time() < self._resume_at:
            return
        while self._queue and len(self._attempts) < max(1, int(self._slots)):
            job = self._queue.popleft()
            if not job.started and not job.future.set_running_or_notify_cancel():
                continue
            job.started = True
            task = loop.create_task(self._attempt(job))
            self._attempts[task] = job
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        job = self._attempts.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A mistake of ours must end the future too: nothing may hang.
            self._fail(job, f"{type(error).__name__}: {error}")
        self._pump()

    async def _attempt(self, job: _Job) -> None:
        dialect, begin = self.dialect, time.monotonic()
        self.counters.attempts += 1
        if lacking := dialect.lacks(job.chat.sampling):
            self._fail(job, f"the server does not take {', '.join(lacking)}, which this run asks for: leave it out")
            return
        body = dialect.body(self.model, job.chat)
        data = await self._call(lambda client: self._send(client, dict(body), job.chat), self.timeout)
        result = data if isinstance(data, Failure) else self._read(data, time.monotonic() - begin, job.chat)
        if isinstance(result, Output):
            self.counters.answered += 1
            self._loading_since = None
            self._slots = min(self._most_slots, self._slots + 1.0 / max(1.0, self._slots))
            job.future.set_result(result)
            return
        result = dataclasses.replace(result, message=redacted(result.message))
        if result.kind == "refused" and (narrower := dialect.without(result.message, body)) is not None:
            if narrower != self.dialect and dialect == self.dialect:
                self._note(f"asking without {', '.join(narrower.refused)}: {result.message}")
                self.dialect = narrower
            self._queue.appendleft(job)
            return
        if result.kind == "refused" and "response_format" in job.chat.extra and refuses_schema(result.message):
            result = dataclasses.replace(result, kind="no-schema")
        await self._failed(job, result, begin)

    async def _send(self, client: Any, body: dict[str, object], chat: Chat) -> Any:
        """The server's response to one attempt: an HTTP response of the official client, or text."""
        named = {name: body.pop(name) for name in ("model", "messages")}
        return await client.chat.completions.with_raw_response.create(**named, extra_body=body, timeout=self.timeout)

    def _read(self, data: bytes, seconds: float, chat: Chat) -> Output | Failure:
        """What the body of a 200 says."""
        return read_reply(data, seconds, chat.sampling.max_tokens)

    async def _failed(self, job: _Job, failure: Failure, begin: float) -> None:
        self.counters.failures[failure.kind] = self.counters.failures.get(failure.kind, 0) + 1
        if failure.kind in ("denied", "absent") and not self.counters.answered:
            self._die(failure.message)
        if failure.kind == "loading":
            if self._patience_is_spent(failure):
                self._die(f"{failure.message}; that is still so after {self.loading:g} s")
            else:
                # The server speaks for its model, not for one request: nothing is sent before the next look.
                self._again(job, dataclasses.replace(failure, retry_after=LOADING_PAUSE))
                return
        if failure.kind in ("busy", "timeout") and begin >= self._shrunk_at:
            # Once a wave: the attempts that were in flight together meet the same full server.
            self._slots = max(1.0, self._slots / 2)
            self._shrunk_at = time.monotonic()
            self.counters.least_slots = min(self.counters.least_slots, int(self._slots))
        if failure.kind == "busy":
            job.busy += 1
        else:
            job.tries += 1
        spent = job.busy > 4 * self.retries if failure.kind == "busy" else job.tries > self.retries
        wait = failure.retry_after or 0.0
        too_long = wait > LONGEST_RETRY_AFTER
        if failure.kind not in TRANSIENT or spent or too_long or self._dead is not None:
            if spent and failure.kind in ("connection", "timeout") and self._dead is None:
                await self._probe(failure)
            if too_long:
                failure = dataclasses.replace(
                    failure, message=f"{failure.message}; it wants no other request for {wait:.0f} s"
                )
            times = f" (after {job.tries + job.busy} attempts)" if job.tries + job.busy > 1 else ""
            self._fail(job, failure.message + times, "no-schema" if failure.kind == "no-schema" else "failed")
            return
        self._again(job, failure)

    def _patience_is_spent(self, failure: Failure) -> bool:
        """Whether the server has been loading its model for longer than is waited."""
        now = time.monotonic()
        if self._loading_since is None:
            self._loading_since = now
            self._note(f"waiting for the server: {failure.message}")
        return now - self._loading_since > self.loading

    def _again(self, job: _Job, failure: Failure) -> None:
        loop = asyncio.get_running_loop()
        pause = self._pause(max(job.busy if failure.kind == "busy" else job.tries, 1))
        if failure.retry_after is not None:
            # The server speaks for itself, not for one request: nothing is sent before then.
            pause = failure.retry_after + self._random.uniform(0.0, 0.1)
            self._resume_at = max(self._resume_at, loop.time() + failure.retry_after)
            loop.call_at(self._resume_at + 0.001, self._pump)
        self._note(f"{job.chat.label or 'request'}: {failure.message}; again in {pause:.1f} s")
        self._waiting.add(job)
        loop.call_later(pause, self._requeue, job)

    def _requeue(self, job: _Job) -> None:
        if job in self._waiting:
            self._waiting.discard(job)
            self._queue.appendleft(job)
            self._pump()

    def _pause(self, attempt: int) -> float:
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 30)) * self._random.uniform(0.5, 1.0)

    async def _probe(self, failure: Failure) -> None:
        """After a request has run out of retries: is it this request, or is the server gone for all of them?"""
        if isinstance(alive := await self._list_models(_CHECK_TIMEOUT), Failure) and (
            alive.kind in ("connection", "timeout")
        ):
            self._die(f"the server {self.endpoint.url} is gone: {failure.message}")

    def _die(self, reason: str) -> None:
        self._note(f"giving up the queue: {reason}")
        self._dead = reason
        self._queue.extend(self._waiting)
        self._waiting.clear()

    def _fail(self, job: _Job, reason: str, kind: EngineErrorKind = "failed") -> None:
        self.counters.failed += 1
        if job.started or job.future.set_running_or_notify_cancel():
            label = f"{job.chat.label}: " if job.chat.label else ""
            job.future.set_exception(EngineError(redacted(label + reason), kind))

    async def _call(self, send: Any, timeout: float) -> bytes | Failure:
        """The body of a 200, or what went wrong. ``timeout`` covers everything, a body that drips in too."""
        import openai

        try:
            async with asyncio.timeout(timeout):
                response = await send(self._connected())
                return response.encode() if isinstance(response, str) else bytes(response.http_response.content)
        except (TimeoutError, openai.APITimeoutError):
            return Failure("timeout", f"no answer in {timeout:g} s")
        except openai.APIStatusError as error:
            failure = read_error(error.status_code, error.response.content, dict(error.response.headers), time.time())
        except ssl.SSLError as error:
            failure = Failure("connection", f"connection failed: {type(error).__name__}: {error}")
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            advice = " (to trust it: SSL_CERT_FILE=FILE or --engine-args ca=FILE)" if _UNTRUSTED in str(cause) else ""
            failure = Failure("connection", f"connection failed: {type(cause).__name__}: {cause}{advice}")
        return dataclasses.replace(failure, message=redacted(failure.message))

    async def _stop(self) -> None:
        self._dead = f"the client of {self.endpoint.url} was closed"
        tasks = list(self._attempts.items())
        for task, _ in tasks:
            task.cancel()
        if self._served is not None:
            self._served.cancel()
        for job in (*self._queue, *self._waiting):
            if not job.started and job.future.cancel():
                job.future.set_running_or_notify_cancel()  # wakes concurrent.futures.wait
            else:
                self._fail(job, self._dead)
        self._queue.clear()
        self._waiting.clear()
        await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        for _, job in tasks:
            if not job.future.done():
                self._fail(job, self._dead)
        others = asyncio.all_tasks() - {asyncio.current_task()}  # of ``post`` and ``served``
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            with contextlib.suppress(OSError):
                await self._client.close()

    def _note(self, line: str) -> None:
        if self._log is not None:
            print(f"openai: {redacted(line)}", file=self._log, flush=True)


def _near(model: str, known: Mapping[str, ServedModel]) -> str:
    """Served names that resemble what was asked for; hosted APIs list hundreds, so never all of those."""
    inside = [name for name in known if model.lower() in name.lower() or name.lower() in model.lower()]
    if inside:
        return did_you_mean(sorted(inside)[:3])
    return nearest(model, known, f"it lists {len(known) or 'no'} others" if not 0 < len(known) <= 20 else None)
