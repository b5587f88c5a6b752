"""The llamacpp engine: GGUF files as they are, by a llama.cpp server in a process of its own."""

from __future__ import annotations

import importlib.metadata
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from pytest_thinkslm.core.errors import EngineError, UsageError, nearest
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.core.schemes import KV_CACHES
from pytest_thinkslm.engines.clock import BusyClock
from pytest_thinkslm.engines.llamacpp_client import Asked, Completion, CompletionClient, ServedTokenizer
from pytest_thinkslm.engines.llamacpp_server import LlamaCppServer
from pytest_thinkslm.engines.llamacpp_worker import Order
from pytest_thinkslm.engines.loop_guard import RULE, switch
from pytest_thinkslm.machine import gpus, openmp
from pytest_thinkslm.machine.hardware import cpus
from pytest_thinkslm.machine.memory import free_memory, reset_peak_memory
from pytest_thinkslm.machine.placement import kv_bytes_per_token
from pytest_thinkslm.models.gguf_header import Header
from pytest_thinkslm.models.marks import marks_fact, own_marks, special_marks
from pytest_thinkslm.models.rendering import rendered
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.template import PLAIN_STOP, Prompts, opened_thought

#: Sequences at once where memory allows: a CPU gains little beyond (docs/performance.md).
SLOTS = 32
#: Tokens by which a slot's context grows.
_STEP = 256
#: Requests beyond the slots that wait in the server, so that none runs dry.
_AHEAD = 4


@dataclass(slots=True)
class _Pending:
    request: Request
    future: Future[Output] = field(default_factory=Future)


class LlamaCppEngine:
    """Answers requests with llama.cpp; implements ``engines.base.Engine``.

    Construction is cheap. The first ``submit`` starts one thread and one process. A prompt's tokens are at most its
    bytes, so that the context of a slot is known before anything is loaded; a longer request that comes later, or many
    after few, start the process anew, once what is running has ended.

    Args:
        model: a GGUF model.
        engine_args: ``slots``, ``context`` (tokens of a slot), ``threads``, ``gpu_layers``, ``loop_guard`` (on, off),
            ``cache_type`` (of keys and values: f16, or a type of few bits).
        log: receives everything that llama.cpp prints.
        beside: engines that run side by side on this machine, this one included; they share cores and memory.

    Raises:
        UsageError: an unknown or invalid engine argument.
    """

    def __init__(
        self,
        model: ResolvedModel,
        *,
        engine_args: Mapping[str, str] | None = None,
        log: TextIO | None = None,
        beside: int = 1,
    ) -> None:
        assert model.gguf is not None
        self._model, self._header, self._log, self._beside = model, model.gguf, log, max(1, beside)
        given = dict(engine_args or {})
        self._cache = _cache_type(given.pop("cache_type", ""))
        self._args, self._guard = _read_args(given)
        self._stop = stop_texts(model)
        self._kept = special_marks(model.path, model.chat_template)
        self._own = own_marks(model.chat_template)
        self._inbox: queue.SimpleQueue[list[_Pending] | None] = queue.SimpleQueue()
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed: str | None = None
        self._running = 0
        self._slots = self._context = 0
        self._most_slots = False
        self._server: LlamaCppServer | None = None
        self._client: CompletionClient | None = None
        self._prompts: Prompts | None = None
        self._tokenizer: ServedTokenizer | None = None
        self._facts: dict[str, Any] = {}
        self._memory: dict[str, int] = {}
        self._output_tokens, self._clock = 0, BusyClock()

    def __repr__(self) -> str:
        return f"LlamaCppEngine({self._model.display!r})"

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests; returns their futures in the same order."""
        pending = [_Pending(request) for request in requests]
        with self._lock:
            if self._closed is None:
                self._inbox.put(pending)
                if self._thread is None:
                    reset_peak_memory()
                    self._thread = threading.Thread(target=self._work, name="thinkslm-llamacpp", daemon=True)
                    self._thread.start()
                return [one.future for one in pending]
        for one in pending:
            one.future.set_exception(EngineError(self._closed))
        return [one.future for one in pending]

    def fingerprint(self) -> Fingerprint:
        """What outputs depend on beside the request; loads nothing."""
        return Fingerprint(
            {
                "engine": "llamacpp",
                "xllamacpp": _version(),
                **self._model.identity(),
                "quantization": self._model.quantization,
                **self._model.prompt_facts(),
                **marks_fact(self._model.path, self._model.chat_template),
                "gpu_layers": self._args["gpu_layers"],
                **({"cache_type": self._cache} if self._cache else {}),
                "loop_guard": RULE if self._guard else "off",
            }
        )

    def measured(self) -> Mapping[str, object]:
        """Load seconds, slots and context, threads, what was loaded, peak memory in bytes, output tokens, seconds."""
        if self._server is not None and not self._server.dead:
            self._memory = gpus.peak_resident([os.getpid(), self._server.popen.pid]) or self._memory
        with self._lock:
            seconds = self._clock.seconds()
        return {
            **self._facts,
            "peak_memory_by_process": self._memory,
            "peak_memory_bytes": sum(self._memory.values()) if self._memory else None,
            "seeds": "per request",
            "output_tokens": self._output_tokens,
            "generating_seconds": round(seconds, 3),
        }

    def close(self) -> None:
        """Cancel what is queued, fail what is running, end the process."""
        self.measured()
        with self._lock:
            self._closed = self._closed or "the engine is closed"
            self._lock.notify_all()
            server, client = self._server, self._client
        if client is not None:
            client.close()
        if server is not None:
            server.stop()
        self._inbox.put(None)
        if self._thread is not None:
            self._thread.join()
        self._drop([])

    # Below: the engine's own thread, but for what is called when an output is there.

    def _work(self) -> None:
        while (batch := self._inbox.get()) is not None:
            try:
                self._prepare(batch)
                for number, one in enumerate(batch):
                    if self._closed is not None:
                        self._drop(batch[number:])
                        break
                    self._ask(one)
            except Exception as problem:  # nothing may hang: whatever goes wrong here ends every request
                reason = str(problem) if isinstance(problem, EngineError) else f"{type(problem).__name__}: {problem}"
                with self._lock:
                    self._closed = self._closed or reason
                self._drop([one for one in batch if not one.future.done() and not one.future.running()])
        self._drop([])

    def _prepare(self, batch: Sequence[_Pending]) -> None:
        """Have a server whose slots are long enough for these requests, and not far too few."""
        most = self._model.context or 1 << 20
        wanted = max((_longest(one.request) for one in batch), default=0)
        context = min(most, -(-wanted // _STEP) * _STEP)
        slots = self._args["slots"] or min(SLOTS, len(batch))
        long_enough = context <= self._context or bool(self._args["context"])
        if self._server is not None and long_enough and (slots <= 2 * self._slots or self._most_slots):
            return
        with self._lock:
            self._lock.wait_for(lambda: self._running == 0 or self._closed is not None)
            if self._closed is not None:
                return
        if self._server is not None:
            assert self._client is not None
            self._client.close()
            self._server.stop()
        self._context = self._args["context"] or max(context, self._context)
        wanted = max(slots, self._slots)
        self._slots = self._args["slots"] or self._fitting(wanted)
        self._most_slots = self._slots < wanted  # memory has no room for more
        threads = self._args["threads"] or openmp.threads(self._beside) or cpus()
        order = Order(
            file=str(self._model.path), key="", slots=self._slots, context=self._context, threads=threads,
            arguments=(("n_gpu_layers", self._args["gpu_layers"]),), cache_type=self._cache,
        )  # fmt: skip
        server = LlamaCppServer(order, {**os.environ, **openmp.waiting(os.environ)}, self._log)
        with self._lock:
            self._server = server
            closed = self._closed is not None
        if closed:
            server.stop()
            return
        server.wait()
        self._client = CompletionClient(
            server.address,
            self._model.name,
            concurrency=self._slots + _AHEAD,
            retries=2,
            timeout=86_400.0,
            check_model=False,
            log=self._log,
            environ={"OPENAI_API_KEY": server.key},
        )
        self._tokenizer = ServedTokenizer(self._header, self._client)
        self._prompts = Prompts(self._tokenizer, self._model)
        self._facts = {
            "device": ", ".join(server.facts.pop("devices")) or "cpu",
            "xllamacpp": server.facts["version"],
            "load_seconds": server.facts["load_seconds"],
            "dtype": self._header.scheme or "gguf",
            "threads": threads,
            "max_num_seqs": self._slots,
            "context": self._context,
            "loaded": {**loaded(self._header), "kv_cache": self._cache or "f16"},
        }

    def _fitting(self, wanted: int) -> int:
        """Slots for so many requests, as far as half of the free memory has room for their keys and values."""
        room = max(0, free_memory() // (2 * self._beside) - self._header.bytes)
        slot = max(1, kv_bytes_per_token(self._header.config) * self._context)
        return max(1, min(wanted, room // slot))

    def _ask(self, one: _Pending) -> None:
        assert self._prompts is not None
        assert self._client is not None
        if not one.future.set_running_or_notify_cancel():
            return
        try:
            asked = self._rendered(one.request)
        except Exception as problem:  # a template's or tokenizer's error concerns this prompt alone
            reason = str(problem) if isinstance(problem, EngineError) else f"cannot make the prompt: {problem}"
            one.future.set_exception(EngineError(_labelled(one, self._cause(reason))))
            return
        with self._lock:
            self._running += 1
            self._clock.begin(1, time.perf_counter())
        answer = self._client.submit([asked])[0]
        answer.add_done_callback(lambda done: self._settle(one, done))
        # Not all at once: what waits here can be cancelled.
        with self._lock:
            self._lock.wait_for(lambda: self._running < 2 * self._slots or self._closed is not None)

    def _rendered(self, request: Request) -> Asked:
        assert self._prompts is not None
        prompt = self._prompts.ids(request)
        context = min(self._context, self._model.context or self._context)
        if len(prompt) > context - 1:
            raise EngineError(
                f"the prompt has {len(prompt)} tokens, the engine's context {context}, so there is no room for an "
                f"answer (the model's context is {self._model.context or 'unknown'}; --engine-args context=N)"
            )
        opened = ""
        if not request.prefix:
            opened = opened_thought(self._tokenizer, prompt, self._model.chat_template)
        guarded = self._guard and request.sampling.temperature == 0
        sampling = replace(request.sampling, max_tokens=min(request.sampling.max_tokens, context - len(prompt)))
        completion = Completion(prompt, opened, self._stop, tuple({*self._kept, *self._stop}), guarded)
        return Asked(request.messages, sampling, "", completion=completion)

    def _settle(self, one: _Pending, done: Future[Output]) -> None:
        with self._lock:
            self._running -= 1
            self._clock.end(1, time.perf_counter())
            self._lock.notify_all()
        problem = "the engine is closed" if done.cancelled() else done.exception()
        if problem is None:
            output = done.result()
            self._output_tokens += output.output_tokens or 0
            one.future.set_result(replace(output, text=self._own.shown(output.text)))
            return
        one.future.set_exception(EngineError(_labelled(one, self._cause(str(problem)))))

    def _cause(self, problem: str) -> str:
        """Why a request failed: the end of the process, where it has ended, rather than what came of it."""
        refused = "the server answered" in problem or "prompt" in problem
        server = self._server
        if self._closed is None and not refused and server is not None and server.ends_within(1.0):
            self._closed = server.epitaph()
        return self._closed or problem

    def _drop(self, batch: Sequence[_Pending]) -> None:
        """Cancel what waits, or fail it where the engine broke down."""
        waiting = list(batch)
        ends = 0
        while not self._inbox.empty():
            more = self._inbox.get()
            waiting += more or []
            ends += more is None
        for _ in range(ends):  # what ends the thread is for its own loop
            self._inbox.put(None)
        for one in waiting:
            if self._closed in (None, "the engine is closed"):
                one.future.cancel()
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(EngineError(_labelled(one, self._closed or "the engine is closed")))


def loaded(header: Header) -> Mapping[str, object]:
    """The ``loaded`` of results.json, from the tensors that the file has."""
    matrices = [tensor for tensor in header.tensors if len(tensor.shape) > 1]
    kinds = header.types
    few = {kind: count for kind, count in kinds.items() if kind not in ("f32", "f16", "bf16", "f64")}
    return {
        "scheme": header.scheme,
        "bits": header.bits_per_weight,
        "kernel": "llama.cpp",
        "arithmetic": "computed",
        "dtype": ", ".join(f"{kind} x {count}" for kind, count in kinds.items()),
        "sparsity": None,
        "quantized_layers": sum(few.values()),
        "linear_layers": len(matrices),
    }


def stop_texts(model: ResolvedModel) -> tuple[str, ...]:
    """What ends an output beside the end tokens that the file names: the special token behind an assistant's turn.

    One that is a mark of a thought, too, ends nothing. A base model's is the next question that it makes up.
    """
    if model.chat_template is None:
        return PLAIN_STOP
    mark = "0d9f6c1e"
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
    special = model.gguf.special_tokens if model.gguf is not None else {}
    text = rendered(model.chat_template, chat, add_generation_prompt=False) or ""
    behind = text.rpartition(mark)[2]
    marks = special_marks(model.path, model.chat_template)
    found = [token for token, hidden in special.items() if hidden and token and behind.startswith(token)]
    return tuple(token for token in sorted(found, key=len)[-1:] if token not in marks)


def _longest(request: Request) -> int:
    """Tokens of a request at most: a token has at least one byte; some are left for what the template adds."""
    prompt = sum(len(message.content.encode()) + 64 for message in request.messages) + len(request.prefix.encode())
    return prompt + 512 + request.sampling.max_tokens


def _version() -> str:
    try:
        return importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _labelled(one: _Pending, reason: str) -> str:
    return f"{one.request.label}: {reason}" if one.request.label else reason


_LEAST: Mapping[str, tuple[int, int]] = {"slots": (1, 0), "context": (64, 0), "threads": (1, 0), "gpu_layers": (-1, -1)}


def _cache_type(text: str) -> str:
    """The type of the cache; empty for llama.cpp's own, which is f16."""
    kind = text.strip().lower()
    known = ("f16", *(word for words in KV_CACHES.values() for engine, word in words.items() if engine == "llamacpp"))
    if kind and kind not in known:
        raise UsageError(f"--engine-args cache_type={text!r}: {nearest(kind, known)}")
    return "" if kind == "f16" else kind


def _read_args(given: Mapping[str, str]) -> tuple[dict[str, int], bool]:
    """Whole numbers by name, 0 (``gpu_layers`` -1) where not given; whether the loop guard is on."""
    values, guard = {name: default for name, (_, default) in _LEAST.items()}, True
    readers: dict[str, Callable[[str], int]] = dict.fromkeys(_LEAST, int)
    for name, text in given.items():
        if name == "loop_guard":
            guard = switch(text)
            continue
        if name not in readers:
            known = (*_LEAST, "loop_guard", "cache_type")
            raise UsageError(f"--engine-args {name!r} is unknown to the llamacpp engine: {nearest(name, known)}")
        try:
            value = int(text)
        except ValueError:
            value = -2
        if value < _LEAST[name][0]:
            raise UsageError(f"--engine-args {name}={text!r}: give a whole number from {_LEAST[name][0]}")
        values[name] = value
    return values, guard
