"""Generate ahead: everything that is missing goes to the engine at once; each test awaits its own future."""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field, replace

from pytest_thinkslm.core.errors import EngineError, JournalError, ThinkSLMError, UsageError
from pytest_thinkslm.core.finish import context_full
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.core.redaction import redacted_output
from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.engines.clock import BusyClock
from pytest_thinkslm.engines.replay import RecordedFutures
from pytest_thinkslm.generating.plan import Load
from pytest_thinkslm.generating.space import check_space, journal_bytes
from pytest_thinkslm.journal.journal import Journal, entry_key
from pytest_thinkslm.runs.types import Generated

#: Seconds between two looks at the progress while a test waits.
TICK = 0.5

#: Requests whose state is looked at to see whether the engine has begun: it takes them in the order asked, or nearly.
_LOOKED_AT = 1024

#: What ``submit`` returns for each request and ``result`` takes: opaque, small, one an item.
Handle = str | int


@dataclass(slots=True)
class Share:
    """What was generated of one task and style. Batches mix tasks, so that none of them has seconds of its own."""

    outputs: int = 0
    output_tokens: int = 0

    def measured(self) -> Generated:
        """For the report."""
        return {"generated": self.outputs, "output_tokens": self.output_tokens}


@dataclass(slots=True)
class Progress:
    """Counters of one variant's generation, and a clock that runs while the engine has something to do.

    Times are ``time.monotonic`` seconds. The clock stands still between the last output and the next question (of a
    test that asks one of its own), and no question sets it back. ``loading`` is what of its time passed before the
    engine was seen at work; ``load`` is what is to be generated.
    """

    items: int = 0
    journalled: int = 0
    to_generate: int = 0
    finished: int = 0
    failed: int = 0
    output_tokens: int = 0
    loading: float | None = None
    shares: dict[str, Share] = field(default_factory=dict)
    passed_over: int = 0
    to_judge: int = 0
    judged: int = 0
    load: Load = field(default_factory=Load)
    clock: BusyClock = field(default_factory=BusyClock)

    def working(self, now: float) -> None:
        """The engine was seen at work on a request: it has loaded its model."""
        if self.loading is None:
            self.loading = self.clock.seconds(now)

    def finish(self, group: str, tokens: int, now: float) -> None:
        """An output of this task and style is finished."""
        share = self.shares.setdefault(group, Share())
        share.outputs += 1
        share.output_tokens += tokens
        self.finished += 1
        self.output_tokens += tokens
        self.clock.end(1, now)

    def fail(self, now: float) -> None:
        """A request came to nothing."""
        self.failed += 1
        self.clock.end(1, now)

    def seconds(self) -> float | None:
        """Seconds in which there was something to do, loading included, up to the last output; None without one."""
        return self.clock.seconds() if self.finished else None

    def generating_seconds(self, now: float | None = None) -> float | None:
        """``seconds`` (or those up to ``now``) without loading; None where nothing was generated."""
        return max(0.0, self.clock.seconds(now) - (self.loading or 0.0)) if self.finished else None

    def tokens_per_second(self) -> float | None:
        """Output tokens a second of generating, up to the last output; None before the first."""
        seconds = self.generating_seconds()
        return self.output_tokens / seconds if seconds and self.output_tokens else None

    def seconds_left(self, now: float | None = None) -> float | None:
        """An estimate from the pace so far; None before a hundred outputs (or a tenth of them) are there."""
        seconds = self.generating_seconds(time.monotonic() if now is None else now)
        if not seconds or self.finished < min(100, max(2, self.to_generate // 10)):
            return None
        return seconds / self.finished * (self.to_generate - self.finished - self.failed)


class Ahead:
    """The outputs of one variant: from the journal where it has them, from the engine otherwise.

    Args:
        engine: None for ``--rescore``: what the journal lacks is an error.
        journal: None on the replay engine, which needs none.
        weigh: what requests will take, for those who are told before; None: not known.
        beside: how many other processes of the run begin to write to the journal at this time, each about as much.
            None: nothing of the run was done before, and no other process works for it: so it can be refused.
    """

    def __init__(
        self,
        engine: Engine | None,
        journal: Journal | None,
        weigh: Callable[[Iterable[Request]], Load] | None = None,
        beside: int | None = None,
    ) -> None:
        self._weigh = weigh
        self._beside = beside
        self._begun = False
        self._engine = engine
        self._journal = journal
        self._inner: dict[str, Future[Output]] = {}
        self._outer: dict[str, Future[Output]] = {}
        self._kept: dict[str, Output] = {}
        self._direct: list[Sequence[Future[Output]]] = []
        self._starts: list[int] = []
        self._lock = threading.Lock()
        self._unkept: list[tuple[Request, str, Output]] = []
        self.progress = Progress()
        #: Why nothing more is asked for; empty while everything is.
        self.stopped = ""

    def submit(
        self, requests: Sequence[Request], before: Callable[[Progress], None] | None = None, *, more: bool = False
    ) -> list[Handle]:
        """Ask for all of them at once; equal requests are asked once. ``before`` sees the counts first.

        With ``more`` to come, what was read of the journal stays in memory.

        Returns one handle a request, in the same order.

        Raises:
            UsageError: the journal has no room for the outputs, or cannot be written. Where something of the run may
                have been generated before, that stops the asking instead.
        """
        self.progress.items += len(requests)
        if self._journal is None:
            return self._submit_direct(requests, before)
        handles: list[Handle] = []
        missing: dict[str, Request] = {}
        for request in requests:
            key = entry_key(request)
            handles.append(key)
            if key in self._kept or key in missing or key in self._outer:
                continue
            output = self._journal.get(request, key)
            # What a server's context had no room for is asked again: it may have been given more since.
            if output is not None and (output.stopped != "server" or self._engine is None or self.stopped):
                self._kept[key] = redacted_output(output)
            else:
                missing[key] = request
        self.progress.passed_over = len(self._journal.passed_over)
        if not more:
            self._journal.forget()
        self.progress.to_generate += len(missing)
        self.progress.journalled = self.progress.items - self.progress.to_generate
        if before:
            if self._weigh is not None:
                self.progress.load += self._weigh(missing.values())
            before(self.progress)
        if missing and self._engine is not None and not self.stopped and self._has_room(self._journal, missing):
            with self._lock:
                self.progress.clock.begin(len(missing), time.monotonic())
            inner = self._engine.submit(list(missing.values()))
            for key, future in zip(missing, inner, strict=True):
                self._inner[key] = future
                self._outer[key] = Future()
            for (key, request), future in zip(missing.items(), inner, strict=True):
                future.add_done_callback(self._keeper(key, request))
        return handles

    def result(self, handle: Handle, tick: Callable[[Progress], None] | None = None) -> Output:
        """Wait for one output; ``tick`` is called now and then while waiting.

        Raises:
            EngineError: the engine failed on it, or the journal lacks it under ``--rescore``.
        """
        if isinstance(handle, int):
            if self.stopped:
                raise EngineError(self.stopped, "not-asked")
            futures, index = self._direct_place(handle)
            if isinstance(futures, RecordedFutures):
                return redacted_output(futures.output(index))
            return redacted_output(self._awaited(futures[index], None))
        output = self._kept.get(handle)
        if output is not None:
            return output
        future = self._outer.get(handle)
        if future is None and self.stopped:
            raise EngineError(self.stopped, "not-asked")
        if future is None:
            raise EngineError(
                "the journal has no output of this engine for it: run it without --rescore, or see --journal-accept"
            )

        def look() -> None:
            self._look()
            if tick:
                tick(self.progress)

        return self._awaited(future, look)

    def when_done(self, handle: Handle, finished: Callable[[Output | None], None]) -> None:
        """Call ``finished`` with the output as soon as it is there, from any thread; with None where none will be.

        What it raises is lost: it has to end by itself.
        """
        if isinstance(handle, str) and handle in self._kept:
            finished(self._kept[handle])
            return
        if isinstance(handle, int):
            futures, index = self._direct_place(handle)
            future: Future[Output] | None = futures[index]
        else:
            future = self._outer.get(handle)
        if future is None:
            finished(None)
            return
        future.add_done_callback(
            lambda done: finished(None if done.cancelled() or done.exception() else redacted_output(done.result()))
        )

    def stop(self, why: str) -> None:
        """Ask for nothing more; what the engine is working on is still taken."""
        self.stopped = self.stopped or why
        self.cancel()

    def cancel(self) -> None:
        """Cancel everything that the engine has not started."""
        for future in list(self._inner.values()):
            future.cancel()

    def withdraw(self, handles: Iterable[Handle]) -> None:
        """Nobody needs these any more: cancel those that the engine has not started. A later question asks anew."""
        for handle in handles:
            inner = self._inner.get(handle) if isinstance(handle, str) else None
            if isinstance(handle, str) and inner is not None and inner.cancel():
                self._outer.pop(handle, None)
                self.progress.to_generate -= 1
                self.progress.items -= 1

    def close(self, *, drain: bool = False) -> None:
        """Stop the engine and close the journal; with ``drain`` what is being generated is finished and kept first."""
        self.cancel()
        if drain:
            wait([outer for key, outer in list(self._outer.items()) if key in self._inner])
        if self._engine is not None:
            self._engine.close()
        if self._journal is not None:
            self._keep_again(self._journal)
            self._journal.close()

    @property
    def unkept(self) -> int:
        """Finished outputs that the journal did not take."""
        return len(self._unkept)

    def _keep_again(self, journal: Journal) -> None:
        """There may be room by now."""
        left = self._unkept
        self._unkept = []
        for place, (request, key, output) in enumerate(left):
            try:
                journal.put(request, key, output)
            except JournalError:
                self._unkept = left[place:]
                return

    def measured(self) -> Mapping[str, object]:
        """The engine's volatile facts; empty where there is no engine."""
        return dict(self._engine.measured()) if self._engine is not None else {}

    def _has_room(self, journal: Journal, missing: Mapping[str, Request]) -> bool:
        """Whether the journal can take these outputs, and about as many of each process beside this one."""
        try:
            check_space({journal.root: journal_bytes(missing.values()) * (1 + (self._beside or 0))})
            journal.check()
        except (UsageError, JournalError) as error:
            if self._beside is None and not self._begun:
                raise UsageError(f"{error}; nothing was generated") from None
            self.stop(str(error))
            return False
        self._begun = True
        return True

    def _submit_direct(self, requests: Sequence[Request], before: Callable[[Progress], None] | None) -> list[Handle]:
        assert self._engine is not None
        if before:
            before(self.progress)
        start = self._starts[-1] + len(self._direct[-1]) if self._starts else 0
        self._starts.append(start)
        self._direct.append(self._engine.submit(requests))
        return list(range(start, start + len(requests)))

    def _direct_place(self, handle: int) -> tuple[Sequence[Future[Output]], int]:
        part = bisect_right(self._starts, handle) - 1
        return self._direct[part], handle - self._starts[part]

    def _keeper(self, key: str, request: Request) -> Callable[[Future[Output]], None]:
        """Journal first, then hand over: what a test has seen is on disk.

        Where the journal does not take it, it is handed over all the same, and nothing more is asked for.
        """

        def keep(inner: Future[Output]) -> None:
            outer = self._outer[key]
            try:
                output = _bounded(redacted_output(inner.result()), request)
                assert self._journal is not None
                try:
                    self._journal.put(request, key, output)
                except JournalError as error:
                    self._unkept.append((request, key, output))
                    self.stop(str(error))
            except CancelledError:
                with self._lock:
                    self.progress.clock.drop(1)
                outer.cancel()
                outer.set_running_or_notify_cancel()
            except EngineError as error:
                self._count(None)
                outer.set_exception(error)
            except ThinkSLMError as error:
                self._count(None)
                outer.set_exception(EngineError(str(error)))
            except Exception as error:
                self._count(None)
                outer.set_exception(EngineError(f"{type(error).__name__}: {error}"))
            else:
                self._count(output, f"{request.task}|{request.style}")
                outer.set_result(output)
            self._inner.pop(key, None)

        return keep

    def _count(self, output: Output | None, group: str = "") -> None:
        with self._lock:
            if output is None:
                self.progress.fail(time.monotonic())
            else:
                self.progress.finish(group, output.output_tokens or 0, time.monotonic())

    def _awaited(self, future: Future[Output], tick: Callable[[], None] | None) -> Output:
        while True:
            try:
                return future.result(timeout=TICK if tick else None)
            except FutureTimeout:
                if tick:
                    tick()
            except CancelledError:
                if self.stopped:
                    raise EngineError(self.stopped, "not-asked") from None
                raise EngineError("cancelled before it was generated") from None

    def _look(self) -> None:
        """Note when the engine has begun: it says so by the state of the futures that it works on."""
        if self.progress.loading is None and any(
            future.running() for future in itertools.islice(list(self._inner.values()), _LOOKED_AT)
        ):
            with self._lock:
                self.progress.working(time.monotonic())


def _bounded(output: Output, request: Request) -> Output:
    """The output, with a word that its context was full where it was cut before the limit that was asked for."""
    if output.stopped is not None or output.thought_closed:
        return output
    characters = len(output.text) + len(output.reasoning or "")
    full = context_full(output.finish_reason, output.output_tokens, request.sampling.max_tokens, characters)
    return replace(output, stopped="context") if full else output
