"""The vllm engine: continuous batching in a vLLM process of one's own, or in several replicas of it."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TextIO, cast

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines.clock import BusyClock
from pytest_thinkslm.engines.listed_score import TOP, compare
from pytest_thinkslm.engines.loop_guard import RULE
from pytest_thinkslm.engines.scoring import Forced, Listed, Scored
from pytest_thinkslm.engines.vllm_process import VLLMProcess
from pytest_thinkslm.engines.vllm_worker import Answer, Order
from pytest_thinkslm.machine import gpus, openmp
from pytest_thinkslm.machine.hardware import decide
from pytest_thinkslm.machine.memory import free_memory, reset_peak_memory
from pytest_thinkslm.machine.placement import Placement, kv_bytes_per_token
from pytest_thinkslm.models import vllm_args
from pytest_thinkslm.models.marks import marks_fact
from pytest_thinkslm.models.resolve import ResolvedModel

#: On a CPU sampled prompts are prefilled in one piece (below), so the context bounds the largest step.
_CPU_CONTEXT = 8192
_GIB = 1 << 30
#: Whether vLLM takes kernels whose sums do not depend on the batch.
_INVARIANT = "VLLM_BATCH_INVARIANT"


@dataclass(slots=True)
class _Asked:
    """A request, or a text that is scored (``against`` another model's lists, where that was wanted)."""

    request: Request | Forced
    future: Future[Any] = field(default_factory=Future)
    against: Listed | None = None

    @property
    def label(self) -> str:
        return (self.request.request if isinstance(self.request, Forced) else self.request).label

    @property
    def sampled(self) -> bool:
        return isinstance(self.request, Request) and self.request.sampling.temperature > 0


class VLLMEngine:
    """Answers requests with vLLM; implements ``engines.base.Engine``.

    Construction is cheap. The first ``submit`` starts one thread and one process a replica; replicas feed from one
    queue, so that none runs dry before the others. A process holds twice as many requests as it runs at
    once; the rest waits here, where cancelling costs nothing. Token counts, end tokens, text and the bound on
    new tokens are those of the transformers engine.

    Args:
        model: the checkpoint.
        engine_args: fields of vLLM's ``EngineArgs`` by name, and ``replicas``.
        trust_remote_code: run the checkpoint's own Python code.
        log: receives everything that vLLM and its processes print.
        placement: tensor-parallel size and GPU groups; each group gets a replica. None: the devices as they are.
        beside: engines that run side by side on this machine, this one included; on a CPU they share cores and memory.

    Raises:
        UsageError: an unknown or invalid engine argument.
        ModelError: there is no module ``vllm``.
    """

    def __init__(
        self,
        model: ResolvedModel,
        *,
        engine_args: Mapping[str, str] | None = None,
        trust_remote_code: bool = False,
        log: TextIO | None = None,
        placement: Placement | None = None,
        beside: int = 1,
    ) -> None:
        given = vllm_args.parse(engine_args or {})
        self._version = vllm_args.installed_version()
        self._device = decide("auto", "auto")
        self._groups = _groups(placement, given.pop("replicas", None), self._device.device)
        self._beside = max(1, beside)
        self._guard = bool(given.pop("loop_guard", True))
        self._invariant = bool(given.pop("batch_invariant", os.environ.get(_INVARIANT) == "1"))
        if self._invariant and self._device.device != "cuda":
            raise UsageError(
                "vLLM's batch-invariant kernels are those of GPUs; on a CPU outputs are equal in all batches with "
                "--engine transformers --engine-args dtype=float32"
            )
        self._given = given
        self._arguments = self._defaults(model, trust_remote_code, placement) | given
        self._model, self._trust, self._log = model, trust_remote_code, log
        self._lock = threading.Condition()
        self._queue: deque[_Asked] = deque()
        self._threads: list[threading.Thread] = []
        self._processes: dict[int, VLLMProcess] = {}
        self._facts: dict[str, Any] = {}
        self._memory: dict[str, Any] = {}
        self._alive = 0
        self._closed: str | None = None
        self._output_tokens, self._clock = 0, BusyClock()

    def __repr__(self) -> str:
        return f"VLLMEngine({self._model.display!r}, {len(self._groups)} process(es))"

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests; returns their futures in the same order."""
        asked = [_Asked(request) for request in requests]
        self._put(asked)
        return [one.future for one in asked]

    def score(self, texts: Sequence[Forced]) -> Sequence[Future[Scored]]:
        """Queue texts that the model is led along; of each distribution the likeliest tokens are known (``TOP``).

        Raises:
            EngineError: it answers requests already, and vLLM has to be told of it when it starts.
        """
        asked = [_Asked(replace(text, against=None), against=cast("Listed | None", text.against)) for text in texts]
        with self._lock:
            if not self._threads:
                self._arguments = {"max_logprobs": TOP} | self._arguments
            elif "max_logprobs" not in self._arguments:
                raise EngineError("vLLM was started to answer: another engine has to score texts")
        self._put(asked)
        return [one.future for one in asked]

    def _put(self, asked: Sequence[_Asked]) -> None:
        with self._lock:
            if self._closed is not None:
                for one in asked:
                    one.future.set_exception(EngineError(self._closed))
            else:
                self._queue.extend(asked)
                if not self._threads:
                    self._start()
                self._lock.notify_all()

    def fingerprint(self) -> Fingerprint:
        """What outputs depend on beside the request; imports neither torch nor vllm."""
        tuned = {name: value for name, value in self._arguments.items() if name not in vllm_args.SPEED | {"model"}}
        return Fingerprint(
            {
                "engine": "vllm",
                "vllm": self._version,
                **self._model.identity(),
                "quantization": self._model.quantization,
                **self._model.prompt_facts(),
                **marks_fact(self._model.path, self._model.chat_template),
                "device": self._device.device,
                "arguments": {name: value if _plain(value) else repr(value) for name, value in tuned.items()},
                "loop_guard": RULE if self._guard else "off",
                **({"batch_invariant": True} if self._invariant else {}),
            }
        )

    def measured(self) -> Mapping[str, object]:
        """Load seconds, sizes that vLLM chose, peak memory in bytes, output tokens, seconds; what is unknown is absent.

        Peak memory is that of this process and all of vLLM's; on GPUs what NVML tells of vLLM's processes.
        """
        with self._lock:
            processes = list(self._processes.values())
        pids = [pid for process in processes for pid in process.pids()]
        if pids:
            self._memory = _memory(pids)
        with self._lock:
            seconds = self._clock.seconds()
        used = {"gpu_seconds": round(seconds * len(self._groups) * self._arguments.get("tensor_parallel_size", 1), 3)}
        return {
            **self._facts,
            **self._memory,
            "placement": self._device.reason,
            "replicas": len(self._groups),
            "seeds": "per request",
            "output_tokens": self._output_tokens,
            "generating_seconds": round(seconds, 3),
            **(used if self._device.device == "cuda" and self._facts else {}),
        }

    def close(self) -> None:
        """Cancel what is queued, fail what is running, end the processes; the devices are free afterwards."""
        self.measured()
        with self._lock:
            self._closed = self._closed or "the engine is closed"
            self._drop_queue(None)
            self._lock.notify_all()
            processes = list(self._processes.values())
        for process in processes:
            # While it loads it does not listen.
            process.stop(gently=bool(self._facts))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _defaults(self, model: ResolvedModel, trust_remote_code: bool, placement: Placement | None) -> dict[str, Any]:
        quantized = model.quantization is not None
        defaults: dict[str, Any] = {
            "model": str(model.path),
            "trust_remote_code": trust_remote_code,
            # Quantized kernels want the dtype that their checkpoint names.
            "dtype": "auto" if quantized else self._device.dtype,
            "seed": 0,
            "generation_config": "vllm",
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        if self._device.device == "cuda":
            if placement is not None:
                defaults["tensor_parallel_size"] = placement.tensor_parallel
            return defaults
        context = min(model.context or _CPU_CONTEXT, _CPU_CONTEXT)
        return defaults | {"max_model_len": context, "enforce_eager": True}

    def _for_sampling(self) -> dict[str, Any]:
        """What the first requests need: on a CPU, prompts in one piece where they are sampled.

        A request's seed kills vLLM's CPU engine when its prompt is prefilled in chunks ("CPU Generator does not use
        offset", 0.32): so no chunks, and room for the longest prompt in a step. Greedy decoding is faster with chunks.
        """
        if self._device.device == "cuda" or not any(one.sampled for one in self._queue):
            return {}
        context = self._arguments["max_model_len"]
        return {"max_num_batched_tokens": context if context > 0 else _CPU_CONTEXT, "enable_chunked_prefill": False}

    def _environ(self, group: tuple[int, ...] | None) -> dict[str, str]:
        environ = dict(os.environ)
        environ |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
        environ.setdefault("VLLM_COMPUTE_NANS_IN_LOGITS", "1")
        environ[_INVARIANT] = str(int(self._invariant))
        if not self._trust:
            environ["HF_HUB_OFFLINE"] = "1"
        if self._arguments.get("tensor_parallel_size", 1) == 1:
            environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        if group is not None:
            environ["CUDA_VISIBLE_DEVICES"] = gpus.visible(group, os.environ)
        elif self._device.device == "cpu":
            # Room for 64 sequences of 2,048 tokens, at most a quarter of the memory: vLLM takes it all at once.
            sharing = len(self._groups) * self._beside
            wanted = 64 * 2048 * kv_bytes_per_token(self._model.config)
            space = min(math.ceil(wanted / _GIB), free_memory() // (4 * sharing * _GIB))
            environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(max(1, space)))
            environ |= openmp.waiting(environ)
            if "OMP_NUM_THREADS" not in environ and (threads := openmp.threads(sharing)) is not None:
                environ["OMP_NUM_THREADS"] = str(threads)
        return environ

    def _start(self) -> None:
        reset_peak_memory()
        self._arguments = self._arguments | self._for_sampling() | self._given
        self._alive = len(self._groups)
        for number, group in enumerate(self._groups):
            thread = threading.Thread(
                target=self._work, args=(number, group), name=f"thinkslm-vllm-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    # Below: one thread a process.

    def _work(self, number: int, group: tuple[int, ...] | None) -> None:
        running: dict[int, _Asked] = {}
        reason = "the engine is closed"
        try:
            environ = self._environ(group)
            alone = environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0"
            order = Order(self._model, self._arguments, self._trust, os.getpid(), alone, self._guard)
            process = VLLMProcess(order, environ, self._log)
            with self._lock:
                self._processes[number] = process
                closed = self._closed is not None
            if closed:
                process.stop(gently=False)
            reason = self._converse(process, running)
        except Exception as problem:  # nothing may hang: whatever goes wrong here ends every request of this process
            reason = f"{type(problem).__name__}: {problem}"
        self._bury(number, running, reason)

    def _converse(self, process: VLLMProcess, running: dict[int, _Asked]) -> str:
        """Feed the process and settle futures until it is gone; returns why it went."""
        reason: str | None = None
        feeder: threading.Thread | None = None
        room = threading.Semaphore(0)
        try:
            for kind, content in process.messages():
                if kind == "ready":
                    self._facts = content
                    room.release(2 * int(content["max_num_seqs"]))
                    feeder = threading.Thread(target=self._feed, args=(process, running, room), daemon=True)
                    feeder.start()
                elif kind == "answers":
                    self._settle(content, running)
                    if content:
                        room.release(len(content))
                else:
                    # The first reason is the cause; the process's end is its consequence.
                    reason = reason or str(content)
                    process.stop(gently=False)
        finally:
            process.stop(gently=False)
            with self._lock:
                self._lock.notify_all()
            if feeder is not None:
                room.release()
                feeder.join()
        return reason or "the vLLM process ended"

    def _feed(self, process: VLLMProcess, running: dict[int, _Asked], room: threading.Semaphore) -> None:
        """Keep the process's own queue filled, in the order of submission."""
        while True:
            room.acquire()
            count = 1
            while room.acquire(blocking=False):
                count += 1
            batch: list[tuple[int, Request | Forced]] = []
            with self._lock:
                self._lock.wait_for(
                    lambda: self._queue or self._closed is not None or process.popen.returncode is not None
                )
                if self._closed is not None or process.popen.returncode is not None:
                    return
                while self._queue and len(batch) < count:
                    one = self._queue.popleft()
                    if one.future.set_running_or_notify_cancel():
                        running[id(one)] = one
                        batch.append((id(one), one.request))
                self._clock.begin(len(batch), time.perf_counter())
            if count > len(batch):
                room.release(count - len(batch))
            if batch:
                process.send(batch)

    def _settle(self, answers: Sequence[Answer], running: dict[int, _Asked]) -> None:
        with self._lock:
            self._clock.end(len(answers), time.perf_counter())
        for number, answer in answers:
            with self._lock:
                one = running.pop(number)
            if isinstance(answer, Output):
                self._output_tokens += answer.output_tokens or 0
                one.future.set_result(answer)
            elif isinstance(answer, Listed):
                self._scored(one, answer)
            else:
                one.future.set_exception(EngineError(_labelled(one, answer)))

    def _scored(self, one: _Asked, listed: Listed) -> None:
        if one.against is None:
            one.future.set_result(Scored(listed))
            return
        try:
            one.future.set_result(Scored(tokens=compare(one.against, listed, one.label)))
        except EngineError as problem:
            one.future.set_exception(problem)

    def _bury(self, number: int, running: dict[int, _Asked], reason: str) -> None:
        with self._lock:
            self._processes.pop(number, None)
            self._alive -= 1
            lost = list(running.values())
            self._clock.drop(len(lost))
            if self._closed is None and self._alive == 0:
                self._closed = reason
                self._drop_queue(reason)
            reason = reason if self._closed is None else self._closed
        for one in lost:
            one.future.set_exception(EngineError(_labelled(one, reason)))

    def _drop_queue(self, reason: str | None) -> None:
        """Cancel what waits, or fail it with a reason. Called with the lock held."""
        while self._queue:
            one = self._queue.popleft()
            if reason is None:
                one.future.cancel()
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(EngineError(_labelled(one, reason or "the engine is closed")))


def _groups(placement: Placement | None, replicas: int | None, device: str) -> Sequence[tuple[int, ...] | None]:
    """A GPU group for each process; None: the process sees what this one sees."""
    if placement is None or device == "cpu":
        return [None] * (replicas or 1)
    return placement.groups[: replicas or len(placement.groups)]


def _memory(pids: Sequence[int]) -> dict[str, Any]:
    """Peak memory of vLLM's processes and of this one, which feeds them; on GPUs that of vLLM's alone."""
    resident = gpus.peak_resident([os.getpid(), *pids])
    on_gpus = gpus.memory_by_process(pids)
    return {
        "peak_memory_by_process": resident,
        "peak_memory_bytes": sum(resident.values()) if resident else None,
        "gpu_memory_by_process": on_gpus,
        "peak_gpu_memory_bytes": sum(on_gpus.values()) if on_gpus else None,
        **({"peak_gpu_memory_source": "NVML, by process"} if on_gpus else {}),
    }


def _labelled(one: _Asked, reason: str) -> str:
    return f"{one.label}: {reason}" if one.label and not reason.startswith(f"{one.label}: ") else reason


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
