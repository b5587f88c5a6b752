"""The run in a process that executes items: from selected references to outputs, one variant at a time."""

from __future__ import annotations

import contextlib
import functools
import io
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.identity import ItemRef, Variant
from pytest_thinkslm.core.records import Auxiliary, Case, Message, Output, Request, Sampling
from pytest_thinkslm.core.redaction import Outlet
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.generating.ahead import TICK, Ahead, Handle, Progress
from pytest_thinkslm.generating.plan import Load, loads, total
from pytest_thinkslm.generating.planner import Planner
from pytest_thinkslm.generating.space import check_space, report_bytes
from pytest_thinkslm.journal.near import AcceptingJournal, unknown_facts
from pytest_thinkslm.machine import gpus
from pytest_thinkslm.machine.energy import EnergyMeter
from pytest_thinkslm.runs.types import DeviceJson, OpenedData, VariantMeasured
from pytest_thinkslm.settings.run_settings import Settings

if TYPE_CHECKING:
    from pytest_thinkslm.core.rulings import Ruling
    from pytest_thinkslm.judging.session import JudgeSession

Announce = Callable[[Variant, Progress], None]

#: Items that an engine is given beyond the one at its turn, under ``--adaptive``: a part of all of them, within bounds.
#: The more, the fuller the engine; the fewer, the less is generated for nothing.
_WINDOW_PARTS, _WINDOW = 16, (16, 256)


class Run:
    """Outputs of the selected items.

    Args:
        settings: the run's settings.
        factory: makes the engines.
        log: opens the file for the engines' own chatter.
        announce: told, before a variant is generated, what is about to be done.
        tick: called now and then while a test waits.
        judge: the run's judge; told of each output as soon as it is finished.
        check_plan: called with the plan and every selected item before anything is asked; may raise ``ThinkSLMError``.
        waiting: entered while a test of a user's own waits for a model.
        beside: how many other processes of the run begin together with this one, each with a share like its own; 0
            where it takes over from one that died; None: it is the only one. Of several one may have finished outputs
            when another finds no room: what the only one refuses only stops the asking there.

    Everything is asked at once, but under ``--adaptive``: then only a window beyond the item that is at its turn, since
    what is asked beyond the end of the run is generated for nothing.
    """

    def __init__(
        self,
        settings: Settings,
        factory: EngineFactory,
        *,
        log: Callable[[], TextIO | None],
        announce: Announce | None = None,
        tick: Callable[[Progress], None] | None = None,
        judge: JudgeSession | None = None,
        check_plan: Callable[[Planner, Sequence[ItemRef]], None] | None = None,
        beside: int | None = None,
        waiting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.settings = settings
        self.judge = judge
        #: By item and place: -1 is the item's own output, 0 and up its further cases'.
        self._rulings: dict[tuple[ItemRef, int], Future[Ruling | None]] = {}
        self.factory = factory
        self._log = log
        self._opened_log: TextIO | None = None
        self._announce = announce
        self._tick = tick
        self._planner: Planner | None = None
        self._mine: Sequence[ItemRef] = ()
        self._ahead: Ahead | None = None
        self._current = -1
        self._waiting: deque[ItemRef] = deque()
        self._window = 0
        self._dropped = False
        self._journal: AcceptingJournal | None = None
        self._handles: dict[ItemRef, Handle] = {}
        self._extra: dict[ItemRef, list[Handle]] = {}
        self.measured: dict[str, VariantMeasured] = {}
        self._energy = EnergyMeter()
        self._uses: Counter[tuple[str, int]] = Counter()
        self._check_plan = check_plan
        self._beside = beside
        self.waiting = waiting
        #: Why nothing more is asked for; empty while everything is.
        self.stopped = ""
        #: Finished outputs that the journal did not take.
        self.unkept = 0

    def stop(self, why: str) -> None:
        """Ask for nothing more; what is finished, or being worked on, is still handed out."""
        self.stopped = self.stopped or why
        if self._ahead is not None:
            self._ahead.stop(self.stopped)

    def start(self, refs: Sequence[ItemRef], mine: Sequence[ItemRef] | None) -> None:
        """Open the data of the selected tasks and hand the first variant's requests to its engine.

        Args:
            refs: all selected items of the run.
            mine: those that this process will execute; None where it cannot know (they are asked one by one).

        Raises:
            ThinkSLMError: data, model or journal cannot be used, or there is no room for the report.
        """
        planner = self._planner = Planner(self.settings, refs, self.factory.thought_room, self.factory.sampling)
        asked = [ref for ref in refs if _asked(planner, ref)]
        if self._check_plan is not None:
            self._check_plan(planner, asked)
        self._mine = asked if mine is refs else [ref for ref in mine or () if _asked(planner, ref)]
        if mine is None:
            self._check_report_room(asked, 1)
        else:
            self._check_report_room(self._mine, 1 + (self._beside or 0))
        self._uses = Counter((ref.task, ref.index) for ref in self._mine)
        if self._mine:
            self._activate(self._mine[0].variant)

    def _check_report_room(self, run: Sequence[ItemRef], times: int) -> None:
        """See that a report of so many times these items has room."""
        if self.settings.report_dir is None or not run:
            return
        sizes = Counter((ref.task, ref.style) for ref in run)
        first = {(ref.task, ref.style): ref for ref in reversed(run)}
        groups = ((self.request(first[key]), count * times) for key, count in sizes.items())
        try:
            check_space({self.settings.report_dir: report_bytes(groups)})
        except UsageError as error:
            if self._beside is None:
                raise UsageError(f"{error}; nothing was generated") from None
            self.stop(str(error))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The run's variants, by position."""
        return self.factory.variants

    @property
    def progress(self) -> Progress | None:
        """Counters of the variant that is being generated."""
        return self._ahead.progress if self._ahead else None

    def case(self, ref: ItemRef) -> Case:
        """The case of an item."""
        return self._plan.case(ref)

    def left_out(self, ref: ItemRef) -> str:
        """Why an item is not run although it was selected (its record cannot be verified); else empty."""
        return self._plan.left_out(ref)

    def release(self, ref: ItemRef) -> None:
        """An item is done: let go of its case with the last test that needs it."""
        key = (ref.task, ref.index)
        self._uses[key] -= 1
        if not self._uses[key]:
            self._plan.release(ref)

    def request(self, ref: ItemRef, case: Case | None = None) -> Request:
        """The request that an item makes."""
        return self._plan.request(ref, case)

    def messages(self, ref: ItemRef, case: Case | None = None) -> tuple[Message, ...]:
        """The chat turns of the request that an item makes."""
        return self._plan.messages(ref, case)

    def output(self, ref: ItemRef) -> Output:
        """Await an item's output. Raises ``EngineError``."""
        if failed := self._plan.failed.get(ref.task):
            raise EngineError(failed)
        ahead = self._activate(ref.variant)
        self._energy.tick()
        handle = self._handles.pop(ref, None)
        if self._waiting and len(self._handles) <= self._window // 2:
            self._admit(ahead)
            handle = handle if handle is not None else self._handles.pop(ref, None)
        if handle is None:
            handle = ahead.submit([self.request(ref)])[0]
        return ahead.result(handle, self._tick)

    def drop(self, needed: Callable[[ItemRef], bool]) -> None:
        """Ask for no more items than those still ``needed``, and cancel what the engine has not started of the others.

        What is being generated is finished and goes to the journal.
        """
        self._dropped = True
        self._waiting = deque(ref for ref in self._waiting if needed(ref))
        if self._ahead is None:
            return
        unwanted = [ref for ref in self._handles if not needed(ref)]
        handles = [self._handles.pop(ref) for ref in unwanted]
        handles += [handle for ref in unwanted for handle in self._extra.pop(ref, ())]
        kept = {*self._handles.values(), *(handle for extra in self._extra.values() for handle in extra)}
        self._ahead.withdraw(handle for handle in handles if handle not in kept)

    def auxiliary(self, ref: ItemRef) -> list[tuple[Auxiliary, Output | EngineError]]:
        """Await the outputs of the further cases that this item carries."""
        ahead = self._activate(ref.variant)
        extras = self._plan.auxiliary(ref)
        handles = self._extra.pop(ref, None)
        if extras and handles is None:
            handles = ahead.submit([self.request(ref, extra.case) for extra in extras])
        results: list[tuple[Auxiliary, Output | EngineError]] = []
        for extra, handle in zip(extras, handles or (), strict=True):
            try:
                results.append((extra, ahead.result(handle, self._tick)))
            except EngineError as error:
                results.append((extra, error))
        return results

    def ruling(self, ref: ItemRef, output: Output, place: int = -1) -> Ruling | None:
        """Await the judge's word on an item's output (or on that of its further case at ``place``).

        None where the judge is not asked about it. Never raises for what the judge does.
        """
        if self.judge is None:
            return None
        future = self._rulings.pop((ref, place), None)
        if future is None:
            future = self._judge(ref, place, output)
        progress = self._ahead.progress if self._ahead is not None else Progress()
        while True:
            try:
                return future.result(timeout=TICK)
            except FutureTimeout:
                if self._tick:
                    progress.judged, progress.to_judge = self.judge.desk.done, self.judge.desk.offered
                    self._tick(progress)
            except CancelledError:
                return None

    def ask(self, variant: int, messages: Sequence[Message], sampling: Sampling) -> Output:
        """One free question to a variant (for a user's own tests), with the run's thinking and system message."""
        (found,) = self.ask_all(variant, [messages], sampling)
        if isinstance(found, EngineError):
            raise found
        return found

    def ask_all(
        self, variant: int, questions: Sequence[Sequence[Message]], sampling: Sampling
    ) -> list[Output | EngineError]:
        """Several such questions, all handed to the engine at once; of one that failed its error."""
        return self.outputs([self._free_request(messages, sampling) for messages in questions], variant)

    def outputs(self, requests: Sequence[Request], variant: int = 0) -> list[Output | EngineError]:
        """The outputs of requests, all handed to the engine at once; of one that failed its error."""
        found: list[Output | EngineError] = []
        with self.waiting():
            ahead = self._activate(variant)
            for handle in ahead.submit(requests):
                try:
                    found.append(ahead.result(handle, self._tick))
                except EngineError as error:
                    found.append(error)
        return found

    def _free_request(self, messages: Sequence[Message], sampling: Sampling) -> Request:
        system = self.settings.system
        if system is not None and not any(message.role == "system" for message in messages):
            messages = [Message("system", system), *messages]
        return Request(
            tuple(messages),
            sampling,
            label="slm.ask",
            task="ask",
            item="0000",
            style="direct",
            thinking=self.settings.thinking,
        )

    def data_states(self) -> Mapping[str, OpenedData]:
        """The state of each opened data set, as plain values."""
        if self._planner is None:
            return {}
        return {task: cast("OpenedData", asdict(dataset.state)) for task, dataset in self._planner.datasets.items()}

    def close(self) -> None:
        """Cancel what is not needed any more and stop the engine."""
        if self._ahead is not None:
            label = self.variants[self._current].name
            progress = self._ahead.progress
            self._ahead.close(drain=self._dropped)
            self.stopped = self.stopped or self._ahead.stopped
            self.unkept += self._ahead.unkept
            measured = self.measured[label] = cast("VariantMeasured", dict(self._ahead.measured()))
            generating = measured.get("generating_seconds", progress.generating_seconds())
            rate = progress.output_tokens / generating if generating and progress.output_tokens else None
            if "load_seconds" in measured:
                measured["devices"] = self._devices()
            measured["generated"] = progress.finished
            measured["output_tokens"] = progress.output_tokens
            measured["seconds"] = _rounded(progress.seconds())
            measured["generating_seconds"] = _rounded(generating)
            measured["tokens_per_second"] = _rounded(rate)
            measured["joules"] = _rounded(self._energy.joules()) if progress.finished and self.factory.local else None
            if self._journal is not None and self._journal.taken:
                measured["accepted"] = dict(self._journal.taken)
            measured["tasks"] = {group: share.measured() for group, share in sorted(progress.shares.items())}
            self._ahead = None
            self._current = -1
        if self._opened_log is not None:
            self._opened_log.close()
            self._opened_log = None

    def _devices(self) -> list[DeviceJson]:
        """The GPUs of the current variant, for the report."""
        return [
            {"index": device.index, "name": device.name, "total_bytes": device.total_bytes}
            for device in self.factory.gpu(self._current).devices
        ]

    @property
    def _plan(self) -> Planner:
        if self._planner is None:
            self._planner = Planner(self.settings, (), self.factory.thought_room, self.factory.sampling)
        return self._planner

    def _activate(self, variant: int) -> Ahead:
        """Make this variant the one that is loaded; everything of it that this process needs is asked at once."""
        if self._ahead is not None and self._current == variant:
            return self._ahead
        self.close()
        self._current = variant
        if self.measured:
            gpus.measured_from_here()
        self._energy = EnergyMeter(range(len(gpus.devices())) if self.factory.local else ())
        self._opened_log = self._log()
        # else the journal is all that is asked
        asking = not (self.factory.journalled and (self.stopped or self.settings.rescore))
        engine = self.factory.build(variant, self._opened_log) if asking else None
        journal: AcceptingJournal | None = None
        if self.factory.journalled:
            fingerprint = self.factory.fingerprint(variant)
            settings = self.settings
            unknown_facts(settings.journal_accept, fingerprint)
            journal = AcceptingJournal(
                settings.journal_dir, fingerprint, settings.journal_accept, read=not settings.fresh
            )
        thinks = self._plan.thinks(variant)
        before_it = self.factory.earlier(variant)

        def weigh(asked: Iterable[Request]) -> Load:
            return total(loads(asked, thinks=thinks, lengths=before_it.lengths).values())

        beside = self._beside or 0 if self.measured else self._beside
        ahead = self._ahead = Ahead(engine, journal, weigh, beside)
        if self.stopped:
            ahead.stop(self.stopped)
        self._journal = journal
        self._waiting = deque(ref for ref in self._mine if ref.variant == variant)
        self._handles, self._extra = {}, {}
        self._window = len(self._waiting)
        if self.settings.adaptive:
            self._window = max(_WINDOW[0], min(_WINDOW[1], len(self._waiting) // _WINDOW_PARTS))
        self._admit(ahead, self._announce)
        if asking and journal is not None:
            self.factory.remember(variant)
        return ahead

    def _admit(self, ahead: Ahead, announce: Announce | None = None) -> None:
        """Hand the next items to the engine, as many as the window has room for, with their further cases."""
        room = max(0, self._window - len(self._handles))
        refs = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        requests = [self.request(ref) for ref in refs]
        owners: list[ItemRef] = []
        for ref in refs:
            for extra in self._plan.auxiliary(ref):
                owners.append(ref)
                requests.append(self.request(ref, extra.case))
        variant = self.variants[self._current]
        before = functools.partial(announce, variant) if announce and requests else None
        handles = ahead.submit(requests, before, more=bool(self._waiting))
        if announce is not None and self._journal is not None and self._opened_log is not None:
            for problem in self._journal.passed_over:
                print(f"journal: passed over and asked for again: {problem}", file=self._opened_log, flush=True)
        self._handles.update(zip(refs, handles, strict=False))
        for ref, handle in zip(owners, handles[len(refs) :], strict=True):
            self._extra.setdefault(ref, []).append(handle)
        if self.judge is not None:
            self._judge_ahead(ahead, refs)

    def _judge_ahead(self, ahead: Ahead, refs: Sequence[ItemRef]) -> None:
        """Have each output judged as soon as it is finished."""
        own = [(ref, -1, self._handles[ref]) for ref in refs]
        further = [(ref, place, handle) for ref in refs for place, handle in enumerate(self._extra.get(ref, ()))]
        for ref, place, handle in [*own, *further]:
            waiting: Future[Ruling | None] = Future()
            self._rulings[ref, place] = waiting
            ahead.when_done(handle, functools.partial(self._hand_over, ref, place, waiting))

    def _hand_over(self, ref: ItemRef, place: int, waiting: Future[Ruling | None], output: Output | None) -> None:
        if output is None:
            waiting.set_result(None)
            return
        self._judge(ref, place, output).add_done_callback(
            lambda done: waiting.set_result(None if done.cancelled() else done.result())
        )

    def _judge(self, ref: ItemRef, place: int, output: Output) -> Future[Ruling | None]:
        assert self.judge is not None

        def case() -> Case:
            return self.case(ref) if place < 0 else self._plan.auxiliary(ref)[place].case

        return self.judge.consider(case, output, ref.style, ref.repeat)


def _asked(planner: Planner, ref: ItemRef) -> bool:
    return ref.task not in planner.failed and not planner.left_out(ref)


def open_log(folder: Path | None, name: str) -> TextIO | None:
    """The engines' log in the report folder; None where there is no folder."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    file = _Log(
        (folder / name).open("ab", buffering=0), encoding="utf-8", errors="backslashreplace", write_through=True
    )
    return cast("TextIO", Outlet(file, messages=True))


class _Log(io.TextIOWrapper):
    """A file of chatter: where the disk takes no more of it, it is lost and nothing else is."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
