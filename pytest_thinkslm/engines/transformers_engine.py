"""The transformers engine: static batches from a queue, on the CPU or one GPU."""

from __future__ import annotations

import atexit
import gc
import importlib.metadata
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TextIO, TypeVar

from pytest_thinkslm.core.configs import text_config
from pytest_thinkslm.core.errors import EngineError, ModelError, ThinkSLMError
from pytest_thinkslm.core.fingerprint import NOT_INSTALLED, Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines.batching import Size, footprint, plan
from pytest_thinkslm.engines.loaded import NOT_FINITE
from pytest_thinkslm.engines.loop_guard import RULE, inside_thought
from pytest_thinkslm.engines.scoring import Forced, Scored, led
from pytest_thinkslm.engines.transformers_arguments import Arguments
from pytest_thinkslm.machine import gpus, openmp
from pytest_thinkslm.machine.hardware import DeviceChoice, decide
from pytest_thinkslm.machine.memory import free_memory, peak_memory, reset_peak_memory
from pytest_thinkslm.models.marks import marks_fact
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.template import Prompts, opened_thought

#: Rows of a batch, by device. More gain little: on a CPU the matrix kernels are saturated.
_MAX_ROWS = {"cpu": 64, "cuda": 256}
#: A window holds so many full batches: enough to sort by length, few enough to answer in the order asked.
_WINDOW_BATCHES = 8
_NO_ARGUMENTS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class _Asked:
    """A request on its way, its prompt as token ids once it has been rendered, and the thought that this opens."""

    request: Request
    future: Future[Output] = field(default_factory=Future)
    prompt: list[int] = field(default_factory=list)
    limit: int = 0
    opened: str = ""


@dataclass(slots=True)
class _Text:
    """A text to be scored, on its way."""

    forced: Forced
    future: Future[Scored] = field(default_factory=Future)


_Job = TypeVar("_Job", _Asked, _Text)


class TransformersEngine:
    """Answers requests with a checkpoint that transformers loads; implements ``engines.base.Engine``.

    Construction is cheap. The first ``submit`` starts one thread, which loads the model and alone touches it. Prompts
    come from the chat template as token ids. A prompt that fills the context fails with ``EngineError``; otherwise
    the new tokens are bounded by ``max_tokens`` and by what the context leaves, and reaching either is finish reason
    ``"length"``. ``prompt_tokens`` counts the prompt without padding. ``output_tokens`` counts what was
    generated, the token that ended the answer included (as vLLM and OpenAI's API do); the text is without it.
    ``latency`` is in seconds from the start of the row's batch.

    In float32 a request gives the same text alone, batched and resumed, greedy or seeded (``transformers_decode``
    says how far that goes); in bfloat16 the batch's composition can change long outputs.

    Args:
        model: the checkpoint.
        engine_args: fields of ``Arguments`` by name.
        trust_remote_code: run the checkpoint's own Python code.
        log: receives what transformers logs.
        gpu: position of the GPU to use among the visible ones.
        beside: engines that run side by side on this machine, this one included; on a CPU they share cores and memory.

    Raises:
        UsageError: an unknown or invalid engine argument, or CUDA asked for where there is none.
    """

    def __init__(
        self,
        model: ResolvedModel,
        *,
        engine_args: Mapping[str, str] = _NO_ARGUMENTS,
        trust_remote_code: bool = False,
        log: TextIO | None = None,
        gpu: int = 0,
        beside: int = 1,
    ) -> None:
        self._arguments = Arguments.parse(engine_args)
        self._versions = {name: _version(name) for name in ("transformers", "torch")}
        self._placement: DeviceChoice = decide(self._arguments.device, self._arguments.dtype)
        self._resolved, self._trust, self._log = model, trust_remote_code, log
        self._gpu, self._beside = gpu, max(1, beside)
        self._wake = threading.Condition()
        self._queue: deque[_Asked] = deque()
        self._texts: deque[_Text] = deque()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._max_rows = self._arguments.max_batch or _MAX_ROWS[self._placement.device]
        self._measured: dict[str, object] = {
            "device": self._placement.device,
            "dtype": self._placement.dtype,
            "placement": self._placement.reason,
        }
        self._prompts: Prompts | None = None
        self._output_tokens, self._generating = 0, 0.0

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests; returns their futures in the same order. Raises ``ModelError`` without torch."""
        asked = [_Asked(request) for request in requests]
        self._put(asked, self._queue)
        return [one.future for one in asked]

    def score(self, texts: Sequence[Forced]) -> Sequence[Future[Scored]]:
        """Queue texts that the model is led along: one forward pass each, alone, and the full vocabulary.

        A text is tokenized after its prompt; what the context does not hold of it is left out.
        """
        asked = [_Text(forced) for forced in texts]
        self._put(asked, self._texts)
        return [one.future for one in asked]

    def fingerprint(self) -> Fingerprint:
        """What outputs depend on beside the request; imports no torch. Batch sizes and threads are left out."""
        return Fingerprint(
            {
                "engine": "transformers",
                **self._versions,
                **self._resolved.identity(),
                "quantization": self._resolved.quantization,
                **self._resolved.prompt_facts(),
                **marks_fact(self._resolved.path, self._resolved.chat_template),
                "device": self._placement.device,
                "dtype": self._placement.dtype,
                "loop_guard": RULE if self._arguments.loop_guard else "off",
            }
        )

    def measured(self) -> Mapping[str, object]:
        """Device, dtype, load seconds, threads, peak memory in bytes, output tokens, seconds; absent is unknown.

        Peak memory is that of this process, once the model has been loaded.
        """
        loaded: dict[str, object] = {}
        if "load_seconds" in self._measured:
            loaded = {"peak_memory_bytes": peak_memory(), "peak_gpu_memory_bytes": None}
            if self._placement.device == "cuda":
                loaded["gpu_seconds"] = round(self._generating, 3)
        return {
            **loaded,
            **self._measured,
            "output_tokens": self._output_tokens,
            "generating_seconds": round(self._generating, 3),
        }

    def close(self) -> None:
        """Cancel what is queued, end the running batch (its rows fail with ``EngineError``), free the model."""
        with self._wake:
            self._closed = True
            waiting: list[_Asked | _Text] = [*self._queue, *self._texts]
            for one in waiting:
                one.future.cancel()
            self._queue.clear()
            self._texts.clear()
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _put(self, asked: Sequence[_Job], queue: deque[_Job]) -> None:
        for name, version in self._versions.items():
            if version == NOT_INSTALLED:
                raise ModelError(
                    f"--engine transformers: {name} is not installed; install 'pytest-thinkslm[transformers]'"
                )
        with self._wake:
            if self._closed:
                for one in asked:
                    one.future.set_exception(EngineError("the engine is closed"))
            else:
                queue.extend(asked)
                self._start()
                self._wake.notify()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="thinkslm-transformers", daemon=True)
            self._thread.start()
            # A daemon thread inside torch while the interpreter shuts down would crash it.
            atexit.register(_close_if_alive, weakref.ref(self))

    # Everything below runs in the engine's own thread.

    def _work(self) -> None:
        from pytest_thinkslm.engines.transformers_load import chatter_to, one_line

        try:
            with chatter_to(self._log):
                self._serve()
        except Exception as problem:  # loading failed: every request learns why, now and later
            error = problem if isinstance(problem, EngineError) else EngineError(one_line(problem))
            with self._wake:
                self._closed = True
                waiting: list[_Asked | _Text] = [*self._queue, *self._texts]
                self._queue.clear()
                self._texts.clear()
            for one in waiting:
                _fail(one, error)

    def _serve(self) -> None:
        if self._placement.device == "cpu":
            os.environ.update(openmp.waiting(os.environ))  # read when torch is loaded
        threads = self._threads()
        import torch

        from pytest_thinkslm.engines.transformers_load import load

        started = time.perf_counter()
        if threads is not None:
            torch.set_num_threads(threads)
        if self._placement.device == "cuda":
            torch.cuda.set_device(self._gpu)
            torch.cuda.reset_peak_memory_stats()
        reset_peak_memory()
        loaded = load(self._resolved, self._placement, self._trust)
        self._measured |= {
            "load_seconds": round(time.perf_counter() - started, 3),
            "loaded": loaded.facts,
            "threads": torch.get_num_threads(),
        }
        while (window := self._next_window()) or self._texts:
            self._answer_window(loaded, window)
            self._score_next(loaded)
        if self._placement.device == "cuda":
            self._measured |= _peak_gpu_memory()
        del loaded
        gc.collect()
        if self._placement.device == "cuda":
            torch.cuda.empty_cache()

    def _next_window(self) -> list[_Asked]:
        """The next requests in submission order, of one run of ``--noise-floor``; waits for some, empty when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._texts or self._closed)
            window: list[_Asked] = []
            while self._queue and len(window) < self._max_rows * _WINDOW_BATCHES:
                if window and self._queue[0].request.noise != window[0].request.noise:
                    break
                window.append(self._queue.popleft())
            return window

    def _answer_window(self, loaded: Any, window: Sequence[_Asked]) -> None:
        from pytest_thinkslm.engines.transformers_load import one_line

        ready: list[_Asked] = []
        for one in window:
            if one.future.cancelled():
                continue
            try:
                self._render(loaded, one)
            except ThinkSLMError as problem:
                _fail(one, EngineError(str(problem)))
            except Exception as problem:  # a tokenizer's error concerns this prompt alone
                _fail(one, EngineError(f"{one.request.label}: cannot make the prompt: {one_line(problem)}"))
            else:
                ready.append(one)
        prints = footprint(text_config(self._resolved.config), self._placement.dtype)
        sizes = [Size(len(one.prompt), one.limit) for one in ready]
        # A further run differs by the size of its batches: a half, a third, ... of what they are else.
        noise = window[0].request.noise if window else 0
        rows = max(1, min(self._max_rows, len(ready)) // (noise + 1)) if noise else self._max_rows
        for batch in plan(sizes, prints, self._free_memory(), rows, self._arguments.batch_tokens):
            if self._closed:
                for index in batch:
                    ready[index].future.cancel()
                continue
            running = [ready[index] for index in batch if ready[index].future.set_running_or_notify_cancel()]
            self._answer_batch(loaded, running)

    def _score_next(self, loaded: Any) -> None:
        """Score the next text that waits, if one does."""
        from pytest_thinkslm.engines.transformers_load import one_line
        from pytest_thinkslm.engines.transformers_score import score

        with self._wake:
            one = self._texts.popleft() if self._texts else None
        if one is None or not one.future.set_running_or_notify_cancel():
            return
        request = one.forced.request
        try:
            prompt, text, answer = led(
                lambda asked: self._ids(loaded, asked), one.forced, loaded.stop_ids, self._resolved.context
            )
            one.future.set_result(score(loaded, prompt, text, one.forced, answer))
        except ThinkSLMError as problem:
            one.future.set_exception(EngineError(str(problem)))
        except Exception as problem:  # whatever the model raises concerns this text alone
            one.future.set_exception(EngineError(f"{request.label}: {one_line(problem)}"))

    def _ids(self, loaded: Any, request: Request) -> list[int]:
        if self._prompts is None:
            self._prompts = Prompts(loaded.tokenizer, self._resolved)
        return self._prompts.ids(request)

    def _render(self, loaded: Any, one: _Asked) -> None:
        sampling, context = one.request.sampling, self._resolved.context
        if sampling.temperature > 0 and sampling.seed is None:
            raise EngineError(f"{one.request.label}: a sampled request needs a seed")
        request = one.request
        one.prompt = self._ids(loaded, request)
        if loaded.vocabulary is not None and max(one.prompt, default=0) >= loaded.vocabulary:
            raise EngineError(
                f"{one.request.label}: the tokenizer gives token {max(one.prompt)}, and the model's embedding has "
                f"{loaded.vocabulary} tokens: tokenizer and weights are not of one model"
            )
        one.opened = (
            "" if request.prefix else opened_thought(loaded.tokenizer, one.prompt, self._resolved.chat_template)
        )
        one.limit = sampling.max_tokens
        if context is not None:
            if len(one.prompt) > context - 1:
                raise EngineError(
                    f"{one.request.label}: the prompt has {len(one.prompt)} tokens, the model's context "
                    f"{context}, so there is no room for an answer"
                )
            one.limit = min(one.limit, context - len(one.prompt))

    def _answer_batch(self, loaded: Any, batch: Sequence[_Asked]) -> None:
        """Generate for one batch; when memory runs out, for its halves (what a row says does not depend on it)."""
        from pytest_thinkslm.engines.transformers_load import one_line

        try:
            self._generate(loaded, batch)
        except Exception as problem:  # whatever the model raises concerns this batch; the engine goes on
            open_rows = [one for one in batch if not one.future.done()]
            if not _out_of_memory(problem) or len(batch) == 1:
                for one in open_rows:
                    one.future.set_exception(EngineError(f"{one.request.label}: {one_line(problem)}"))
                return
            halve = open_rows
        else:
            return
        gc.collect()  # outside the handler: its traceback would hold the batch's tensors
        if self._placement.device == "cuda":
            import torch

            torch.cuda.empty_cache()
        self._max_rows = max(1, len(batch) // 2)
        middle = (len(halve) + 1) // 2
        for half in (halve[:middle], halve[middle:]):
            if half:
                self._answer_batch(loaded, half)

    def _generate(self, loaded: Any, batch: Sequence[_Asked]) -> None:
        from pytest_thinkslm.engines.transformers_decode import Finished, decode

        started = time.perf_counter()

        def on_finished(index: int, finished: Finished) -> None:
            one = batch[index]
            self._output_tokens += len(finished.tokens)
            if finished.reason == "not finite":
                one.future.set_exception(EngineError(f"{one.request.label}: {NOT_FINITE.format(len(finished.tokens))}"))
                return
            output = Output(
                text=one.opened + loaded.text(finished.tokens),
                finish_reason=finished.reason,
                prompt_tokens=len(one.prompt),
                output_tokens=len(finished.tokens),
                latency=time.perf_counter() - started,
                stopped="loop" if finished.looped else None,
            )
            one.future.set_result(output)

        try:
            decode(
                loaded.model,
                [self._row(loaded, one) for one in batch],
                loaded.stop_ids,
                pad_id=loaded.pad_id,
                on_finished=on_finished,
                stopped=loaded.stopped(),
                cancelled=lambda: self._closed,
            )
        finally:
            self._generating += time.perf_counter() - started
        for one in batch:
            if not one.future.done():
                one.future.set_exception(EngineError(f"{one.request.label}: stopped before it was finished"))

    def _row(self, loaded: Any, one: _Asked) -> Any:
        from pytest_thinkslm.engines.transformers_decode import Row

        return Row(
            one.prompt,
            one.limit,
            one.request.sampling,
            guarded=self._arguments.loop_guard and one.request.sampling.temperature == 0,
            in_thought=lambda tokens: inside_thought(one.opened + loaded.text(tokens)),
        )

    def _free_memory(self) -> int:
        if self._placement.device == "cuda":
            import torch

            free = int(torch.cuda.mem_get_info()[0])
            return free + int(torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
        return free_memory() // self._beside

    def _threads(self) -> int | None:
        """The number of threads to set: the user's, or this engine's share of the cores; None: as torch likes."""
        if self._arguments.threads is not None or self._placement.device != "cpu":
            return self._arguments.threads
        if "OMP_NUM_THREADS" in os.environ:
            return None
        share = openmp.threads(self._beside)
        if share is not None:
            os.environ["OMP_NUM_THREADS"] = str(share)  # what else computes in this process, too; read at its loading
        return share


def _peak_gpu_memory() -> dict[str, object]:
    """What this process took of its GPU at most, as NVML or torch's own allocator tells it.

    NVML counts the CUDA context, too, but knows the present only; torch keeps what it has taken until it is told to
    give it back, so that the larger of the two is the peak.
    """
    import torch

    reserved = int(torch.cuda.max_memory_reserved())
    held = gpus.memory_by_process([os.getpid()]).get(str(os.getpid()), 0)
    source = "NVML, by process" if held >= reserved else "torch's allocator, without the CUDA context"
    return {"peak_gpu_memory_bytes": max(held, reserved), "peak_gpu_memory_source": source}


def _fail(one: _Asked | _Text, error: EngineError) -> None:
    if one.future.set_running_or_notify_cancel():
        one.future.set_exception(error)


def _out_of_memory(problem: Exception) -> bool:
    """CUDA has a class for it; the CPU's allocator raises a RuntimeError."""
    import torch

    text = str(problem)
    return (
        isinstance(problem, torch.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in text
        or "not enough memory" in text
    )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:  # an error where it is needed: rescoring reads the journal alone
        return NOT_INSTALLED


def _close_if_alive(reference: weakref.ref[TransformersEngine]) -> None:
    engine = reference()
    if engine is not None:
        engine.close()
