"""An engine made of a plain function ``generate(prompts) -> texts``."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request
from pytest_thinkslm.engines.own import EngineMaker, EngineSpec

#: Keyword parameters that a function may have beside the prompts.
_OFFERED = ("sampling", "model", "quant", "args")

_Job = tuple[Request, "Future[Output]"]


def plain_prompt(messages: Sequence[Message]) -> str:
    """The chat turns as one text: a question alone as it is; else a labelled paragraph a turn, then the reply's."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    turns = [f"{message.role.capitalize()}: {message.content}" for message in messages]
    return "\n\n".join([*turns, "Assistant:"])


def engine_from(
    generate: Callable[..., Sequence[str | Output]],
    *,
    batch_size: int = 32,
    prompt: Callable[[Sequence[Message]], str] = plain_prompt,
    facts: Mapping[str, object] | None = None,
) -> EngineMaker:
    """Make an engine of a function: for an entry point of ``pytest_thinkslm.engines``, or ``register_engine``.

    Args:
        generate: takes a list of prompts and returns as many texts, in the same order; called in one thread. An
            ``Output`` in place of a text says finish reason and token counts, too; of a text they are unknown. A
            parameter ``sampling`` gets the ``Sampling`` of all these prompts (without one, only greedy decoding can be
            asked for, and the limit of new tokens is the function's own matter); ``model``, ``quant`` and ``args`` get
            what ``--model``, ``--quant`` and ``--engine-args`` say. What it raises fails the prompts that do so alone.
        batch_size: prompts a call, at most.
        prompt: makes the text of the chat turns.
        facts: what outputs depend on beside the function's source file, which is part of the journal's key by itself.
    """
    if batch_size < 1:
        raise UsageError(f"engine_from: batch_size is {batch_size}: at least 1")

    def make(spec: EngineSpec) -> FunctionEngine:
        return FunctionEngine(generate, spec, batch_size, prompt, facts or {})

    return make


class FunctionEngine:
    """Runs a function over batches of prompts, in a thread of its own. See ``engine_from``."""

    def __init__(
        self,
        generate: Callable[..., Sequence[str | Output]],
        spec: EngineSpec,
        batch_size: int,
        prompt: Callable[[Sequence[Message]], str],
        facts: Mapping[str, object],
    ) -> None:
        self._generate = generate
        self._batch_size = batch_size
        self._prompt = prompt
        parameters = inspect.signature(generate).parameters
        self._samples = "sampling" in parameters
        given = {"model": spec.model, "quant": spec.quant, "args": spec.args}
        self._keywords = {name: value for name, value in given.items() if name in parameters}
        for name, value in (("--engine-args", spec.args and "args"), ("--quant", spec.quant and "quant")):
            if value and value not in parameters:
                raise UsageError(f"{name}: the function {_name(generate)} has no parameter {value!r} that takes it")
        if spec.thinking is not None:
            raise UsageError(
                f"--thinking {spec.thinking}: an engine made of a function cannot bound or switch a thought"
            )
        self._facts = {"function": _name(generate), "source": _source(generate), **facts}
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests."""
        jobs: list[_Job] = [(request, Future()) for request in requests]
        for job in jobs:
            self._jobs.put(job)
        if self._closed:
            self._drop_queued()
        elif self._thread is None:
            self._thread = threading.Thread(target=self._work, name="thinkslm-function", daemon=True)
            self._thread.start()
        return [future for _, future in jobs]

    def fingerprint(self) -> Fingerprint:
        """The function, its source file, and the facts that were given."""
        return Fingerprint(self._facts)

    def measured(self) -> Mapping[str, object]:
        """Nothing is known of a function."""
        return {}

    def close(self) -> None:
        """Cancel what is queued; the call that is running is waited for."""
        self._closed = True
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        self._drop_queued()

    def _drop_queued(self) -> None:
        for _, future in self._waiting(block=False):
            future.cancel()
            future.set_running_or_notify_cancel()

    def _work(self) -> None:
        while not self._closed:
            batch = list(itertools.islice(self._waiting(block=True), self._batch_size))
            started = [(request, future) for request, future in batch if future.set_running_or_notify_cancel()]
            groups: dict[Any, list[_Job]] = {}
            for request, future in started:
                groups.setdefault(request.sampling if self._samples else None, []).append((request, future))
            for jobs in groups.values():
                self._answer(jobs)

    def _waiting(self, *, block: bool) -> Iterator[_Job]:
        """What is queued now; with ``block`` at least one, unless the engine is closed."""
        while True:
            try:
                job = self._jobs.get(block=block)
            except queue.Empty:
                return
            if job is None:
                if block:
                    return
                continue
            yield job
            block = False

    def _answer(self, jobs: Sequence[_Job]) -> None:
        try:
            outputs = self._outputs([request for request, _ in jobs])
        except Exception as error:  # whatever a user's function raises, its prompts fail and no others
            if len(jobs) > 1:
                for job in jobs:
                    self._answer([job])
                return
            problem = error if isinstance(error, EngineError) else EngineError(f"{type(error).__name__}: {error}")
            jobs[0][1].set_exception(problem)
            return
        for (_, future), output in zip(jobs, outputs, strict=True):
            future.set_result(output)

    def _outputs(self, requests: Sequence[Request]) -> list[Output]:
        sampling = requests[0].sampling
        keywords: dict[str, object] = dict(self._keywords)
        if self._samples:
            keywords["sampling"] = sampling
        elif any(request.sampling.temperature for request in requests):
            raise EngineError(
                f"temperature {sampling.temperature:g}: the function {_name(self._generate)} has no parameter "
                "'sampling', so it can only be asked greedily"
            )
        texts = list(self._generate([self._prompt(request.messages) for request in requests], **keywords))
        if len(texts) != len(requests):
            raise EngineError(
                f"the function {_name(self._generate)} returned {len(texts)} texts for {len(requests)} prompts"
            )
        return [self._output(text) for text in texts]

    def _output(self, text: object) -> Output:
        if isinstance(text, Output):
            return text
        if not isinstance(text, str):
            raise EngineError(f"the function {_name(self._generate)} returned a {type(text).__name__}, and no text")
        return Output(text, finish_reason="unknown")


def _name(function: Callable[..., object]) -> str:
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}.{kind.__qualname__}"


def _source(function: Callable[..., object]) -> str | None:
    """A hash of the file in which the function stands; None where there is none."""
    kind = function if inspect.isfunction(function) or inspect.ismethod(function) else type(function)
    try:
        return hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()[:16]
    except (TypeError, OSError):
        return None
