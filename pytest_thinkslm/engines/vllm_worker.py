"""The process in which vLLM runs: loads the model, answers requests from its parent, dies with its parent.

Started as ``python -m pytest_thinkslm.engines.vllm_worker FD`` by ``vllm_process``. FD is one end of a socket, over
which the two exchange these tuples (pickled; both ends are this program):

    parent -> worker   an ``Order`` first; then lists of (number, Request or Forced); None ends the worker
    worker -> parent   ("ready", facts); ("answers", [(number, Output, Listed or reason), ...]); ("fatal", reason)

The main thread alone touches the engine, which has no lock. Another thread reads the socket; when it ends, or the
parent is gone, the whole process group is killed: an engine process must never keep a GPU on its own.
"""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.finish import finish_reason
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines import compat_vllm, vllm_loaded, weights
from pytest_thinkslm.engines.listed_score import TOP
from pytest_thinkslm.engines.loaded import NOT_FINITE, Layer, summary
from pytest_thinkslm.engines.loop_guard import STRIDE, LoopWatch, inside_thought
from pytest_thinkslm.engines.scoring import Forced, Listed, led
from pytest_thinkslm.engines.transformers_score import kinds_of
from pytest_thinkslm.models.marks import closing_ids, mark_ids, own_marks
from pytest_thinkslm.models.resolve import ResolvedModel

_PR_SET_PDEATHSIG = 1

#: A request's number and what came of it; a text says why nothing did.
Answer = tuple[int, Output | Listed | str]


@dataclass(frozen=True, slots=True)
class Order:
    """What to load and how.

    ``arguments`` are fields of vLLM's ``EngineArgs``; ``parent`` is the parent's process id; ``alone``: vLLM starts no
    process of its own; ``loop_guard``: greedy outputs that loop are ended early.
    """

    model: ResolvedModel
    arguments: Mapping[str, Any]
    trust_remote_code: bool
    parent: int
    alone: bool
    loop_guard: bool = True


def main(descriptor: int) -> None:
    """Serve the parent at the other end of this socket until it says stop or is gone."""
    connection = Connection(descriptor)
    order: Order = connection.recv()
    inbox: queue.SimpleQueue[list[tuple[int, Request | Forced]] | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, inbox), daemon=True).start()
    outbox = _Outbox(connection)
    threading.Thread(target=_watch_parent, args=(order.parent,), daemon=True).start()
    if order.alone and sys.platform == "linux":
        # Also where a native call holds the interpreter. Not with children: they would be left behind.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        begin = time.perf_counter()
        served = _Served(order)
        outbox.send("ready", {**served.facts(), "load_seconds": round(time.perf_counter() - begin, 2)})
        threading.Thread(target=_watch_children, args=(outbox,), daemon=True).start()
        _serve(served, outbox, inbox)
    except Exception as problem:
        from pytest_thinkslm.engines.transformers_load import one_line

        traceback.print_exc()
        outbox.send("fatal", str(problem) if isinstance(problem, EngineError) else one_line(problem, 600))
        _leave(1)
    outbox.stopping = True
    served.shut_down()
    _leave(0)


class _Outbox:
    """The worker's voice, used by the main thread and by the one that watches the children."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.stopping = False

    def send(self, kind: str, content: Any) -> None:
        with self._lock:
            self._connection.send((kind, content))


def _leave(status: int) -> None:
    """Interpreter shutdown with native threads around is slow, and can hang or crash; everything has been said."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _read(connection: Connection, inbox: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        _end_group()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    _end_group()


def _watch_children(outbox: _Outbox) -> None:
    """End everything when vLLM's engine core is killed: its client then waits for an answer for ever (vLLM 0.32)."""
    children = multiprocessing.active_children()
    while children and all(child.is_alive() for child in children):
        time.sleep(0.2)
    if children and not outbox.stopping:
        dead = ", ".join(f"{child.name} ({child.exitcode})" for child in children if not child.is_alive())
        outbox.send("fatal", f"vLLM's engine process died (negative: by that signal): {dead}")
        _end_group()


def _end_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _serve(served: _Served, outbox: _Outbox, inbox: queue.SimpleQueue[Any]) -> None:
    """Add what has arrived, make one step, hand over what has finished; block only when there is nothing to do."""
    stopping = False
    while not stopping:
        answers: list[Answer] = []
        answers += served.add_held()
        arrived: list[tuple[int, Request | Forced]] = []
        while not (served.open or answers) or not inbox.empty():
            batch = inbox.get()
            if batch is None:
                stopping = True
                break
            arrived += batch
            if inbox.empty():
                break
        for number, request in arrived:
            refusal = served.lead(number, request) if isinstance(request, Forced) else served.add(number, request)
            if refusal is not None:
                answers.append((number, refusal))
        if served.open and not stopping:
            answers += served.step()
        if answers:
            outbox.send("answers", answers)


@dataclass(slots=True)
class _Open:
    """A request in vLLM's hands; ``opened`` is the thought that its prompt opens, ``tokens`` what has come of it.

    ``watch`` is the loop guard's, None where it is off; ``text`` are the tokens of a text that is scored, which come
    last in the prompt, and ``answer`` which of them are of its answer.
    """

    number: int
    begin: float
    opened: str
    watch: LoopWatch | None
    tokens: list[int] = field(default_factory=list)
    text: Sequence[int] = ()
    answer: range = range(0)


def _cache_dtype(config: Any) -> str:
    """How vLLM stores keys and values."""
    said = str(config.cache_config.cache_dtype)
    return str(config.model_config.dtype).removeprefix("torch.") if said == "auto" else said


class _Served:
    """vLLM's engine with one model, and the tokenizer that renders prompts for it."""

    def __init__(self, order: Order) -> None:
        from transformers import AutoTokenizer
        from vllm import EngineArgs, LLMEngine, SamplingParams

        from pytest_thinkslm.core.configs import text_config
        from pytest_thinkslm.engines.transformers_load import Loaded, stop_ids_of
        from pytest_thinkslm.models.template import PLAIN_STOP, Prompts

        self.model = order.model
        self.open: dict[str, _Open] = {}
        self.broken: set[str] = set()
        self.held: deque[tuple[int, Request]] = deque()
        self.guard = order.loop_guard
        weights.check_files(
            order.model.path, order.model.config, order.model.display, trust_remote_code=order.trust_remote_code
        )
        tokenizer = AutoTokenizer.from_pretrained(
            order.model.path, trust_remote_code=order.trust_remote_code, local_files_only=True
        )
        config = SimpleNamespace(eos_token_id=text_config(order.model.config).get("eos_token_id"))
        own = own_marks(order.model.chat_template)
        # vLLM reads end tokens from generation_config.json only together with its sampling defaults, which must not
        # leak in; so they are passed with each request, the same ones that the transformers engine uses.
        self.text = Loaded(
            model=None,
            tokenizer=tokenizer,
            stop_ids=stop_ids_of(order.model, SimpleNamespace(config=config), tokenizer),
            stop_strings=() if order.model.has_chat_template else PLAIN_STOP,
            mark_ids=mark_ids(tokenizer, own),
            pad_id=0,
            own=own,
        )
        self.prompts = Prompts(tokenizer, order.model)
        # The usage context decides vLLM's default batch sizes; the one of LLM() is meant for throughput.
        arguments = EngineArgs(**order.arguments, worker_extension_cls=vllm_loaded.EXTENSION)
        self.engine = LLMEngine.from_engine_args(arguments, **compat_vllm.throughput())
        self.context = int(self.engine.model_config.max_model_len)
        compat_vllm.watch_logits(self.engine, self.broken.add)
        # Releases that have no such field hand tokens over one by one, which is slower and makes no other difference.
        scheduler = self.engine.vllm_config.scheduler_config
        on_cpu = self.engine.vllm_config.device_config.device_type == "cpu"
        #: Tokens of a prompt that are sure to be prefilled in one piece where nothing else runs; None: any prompt is.
        self.piece = (
            scheduler.max_num_batched_tokens if on_cpu and getattr(scheduler, "enable_chunked_prefill", False) else None
        )
        self.strides = "stream_interval" in SamplingParams.__annotations__

    def facts(self) -> dict[str, Any]:
        """What vLLM made of its arguments."""
        import torch
        import vllm

        config = self.engine.vllm_config
        blocks, size = config.cache_config.num_gpu_blocks, config.cache_config.block_size
        return {
            "vllm": vllm.__version__,
            "torch": torch.__version__,
            "device": config.device_config.device_type,
            "device_name": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "context": self.context,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "kv_cache_tokens": blocks * size if blocks else None,
            "threads": torch.get_num_threads(),
            "core": compat_vllm.core_name(self.engine),
            "loaded": {**self._loaded(), "kv_cache": _cache_dtype(config)},
        }

    def _loaded(self) -> Mapping[str, object]:
        """What the layers are, of the first worker; raises EngineError where they are not what the checkpoint says."""
        layers, zeros = self.engine.collective_rpc(vllm_loaded.METHOD)[0]
        return summary([Layer(**layer) for layer in layers], self.model.compression, zeros, self.model.display)

    def add(self, number: int, request: Request) -> str | None:
        """Queue a request; a text says why it cannot be answered."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        from pytest_thinkslm.engines.transformers_load import one_line
        from pytest_thinkslm.models.template import opened_thought

        sampling = request.sampling
        if sampling.temperature > 0 and sampling.seed is None:
            return "a sampled request needs a seed"
        try:
            prompt = self.prompts.ids(request)
            opened = "" if request.prefix else opened_thought(self.text.tokenizer, prompt, self.model.chat_template)
        except EngineError as problem:
            return str(problem)
        except Exception as problem:  # a tokenizer's error concerns this prompt alone
            return f"cannot make the prompt: {one_line(problem)}"
        if len(prompt) > self.context - 1:
            return (
                f"the prompt has {len(prompt)} tokens, the engine's context {self.context}, so there is no room for "
                f"an answer (the model's context is {self.model.context or 'unknown'}; --engine-args max_model_len=N)"
            )
        if sampling.seed is not None and self.piece is not None:
            # vLLM 0.32 on a CPU dies of a seeded prompt in chunks; the engine was started for greedy ones.
            if len(prompt) > self.piece:
                return (
                    f"a sampled prompt of {len(prompt)} tokens is more than a step of {self.piece} takes in one piece; "
                    "vLLM on a CPU needs --engine-args enable_chunked_prefill=off for it"
                )
            if self.open:
                self.held.append((number, request))
                return None
        stop = list(self.text.stop_strings)
        guarded = self.guard and sampling.temperature == 0
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=0.0,
            seed=sampling.seed,
            max_tokens=min(sampling.max_tokens, self.context - len(prompt)),
            stop=stop or None,
            stop_token_ids=list(self.text.stop_ids),
            # Text is made once, at the end, by the same function as in the transformers engine; stop strings need it
            # on the way.
            detokenize=bool(stop),
            skip_special_tokens=True,
            # Tokens come in strides where the loop guard looks at them, else all at the end.
            output_kind=RequestOutputKind.DELTA if guarded else RequestOutputKind.FINAL_ONLY,
            **({"stream_interval": STRIDE} if guarded and self.strides else {}),
        )
        try:
            self.engine.add_request(str(number), TokensPrompt(prompt_token_ids=prompt), params)
        except ValueError as problem:
            return one_line(problem)
        self.open[str(number)] = _Open(number, time.perf_counter(), opened, LoopWatch() if guarded else None)
        return None

    def lead(self, number: int, forced: Forced) -> str | None:
        """Queue a text that the model is led along; a text says why it cannot be scored."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        from pytest_thinkslm.engines.transformers_load import one_line

        try:
            prompt, text, answer = led(self.prompts.ids, forced, self.text.stop_ids, self.context - 1)
            params = SamplingParams(
                temperature=0.0,
                max_tokens=1,
                prompt_logprobs=min(TOP, self.engine.model_config.get_vocab_size()),
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            self.engine.add_request(str(number), TokensPrompt(prompt_token_ids=[*prompt, *text]), params)
        except (EngineError, ValueError) as problem:
            return one_line(problem)
        except Exception as problem:  # a tokenizer's error concerns this text alone
            return f"cannot make the prompt: {one_line(problem)}"
        self.open[str(number)] = _Open(number, time.perf_counter(), "", None, text=text, answer=answer)
        return None

    def _listed(self, text: Sequence[int], answer: range, rows: Sequence[Any]) -> Listed | str:
        """What vLLM tells of each of the text's tokens: token id -> logarithm and rank, the token itself among them."""
        found = [sorted(((one.logprob, token) for token, one in row.items()), reverse=True) for row in rows]
        own = [(row[token].logprob, row[token].rank) for token, row in zip(text, rows, strict=True)]
        if not all(map(math.isfinite, (log for log, _ in own))):
            return NOT_FINITE.format("at most 0")
        return Listed(
            tokens=list(text),
            kinds=kinds_of(self.text, text, answer),
            own=[log for log, _ in own],
            ranks=[rank for _, rank in own],
            ids=[array("l", [token for _, token in row]) for row in found],
            logs=[array("f", [log for log, _ in row]) for row in found],
            stops=frozenset(self.text.stop_ids),
            closing=closing_ids(self.text.tokenizer, self.text.own),
        )

    def add_held(self) -> list[Answer]:
        """Queue the next request that has to run alone, once nothing else does; what could not be queued."""
        refused: list[Answer] = []
        while self.held and not self.open:
            number, request = self.held.popleft()
            refusal = self.add(number, request)
            if refusal is not None:
                refused.append((number, refusal))
        return refused

    def step(self) -> list[Answer]:
        """One step of the engine; what finished in it, or was ended by the loop guard."""
        answers = [self._take(result) for result in self.engine.step() if result.request_id in self.open]
        return [answer for answer in answers if answer is not None]

    def _take(self, result: Any) -> Answer | None:
        """Keep the tokens that have come; the answer where they are all, or run in a loop."""
        one, completion = self.open[result.request_id], result.outputs[0]
        if one.text:
            if not result.finished:
                return None
            del self.open[result.request_id]
            return one.number, self._listed(one.text, one.answer, result.prompt_logprobs[-len(one.text) :])
        one.tokens += completion.token_ids
        looped = None
        if one.watch is not None:
            # An output that has just ended was not ended by the guard, even where it looped.
            seen = one.tokens[:-1] if result.finished else one.tokens
            looped = one.watch.stop_at(seen, lambda tokens: inside_thought(one.opened + self.text.text(tokens)))
        if looped is None and not result.finished:
            return None
        del self.open[result.request_id]
        if looped is not None and not result.finished:
            self.engine.abort_request([result.request_id])
        tokens = one.tokens[:looped]
        if result.request_id in self.broken:
            self.broken.discard(result.request_id)
            return one.number, NOT_FINITE.format(f"at most {len(tokens)}")
        ended = "length" if looped else finish_reason(completion.finish_reason)
        if ended == "unknown":
            return one.number, f"vLLM ended the request: {completion.finish_reason}"
        return one.number, Output(
            text=one.opened + self.text.text(tokens),
            finish_reason=ended,
            prompt_tokens=len(result.prompt_token_ids),
            output_tokens=len(tokens),
            latency=time.perf_counter() - one.begin,
            stopped="loop" if looped else None,
        )

    def shut_down(self) -> None:
        """End vLLM's own processes, where it has any."""
        compat_vllm.shut_down(self.engine)


if __name__ == "__main__":
    main(int(sys.argv[1]))
