"""The plugin in a process that executes items: parametrizes, generates ahead, makes the reports."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from pytest_thinkslm.core.errors import EngineError, ThinkSLMError, UsageError, where_raised
from pytest_thinkslm.core.identity import ItemKey, ItemRef, id_of
from pytest_thinkslm.core.records import Verdict
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.generating.run import Run, open_log
from pytest_thinkslm.generating.selection import Selector
from pytest_thinkslm.generating.shards import in_turn, shard
from pytest_thinkslm.plugin import compat_pytest, identities
from pytest_thinkslm.plugin.decisions import NOT_NEEDED, Decisions, ToldDecisions
from pytest_thinkslm.plugin.fixtures import RUN, STATE, ItemState, Model
from pytest_thinkslm.plugin.others_hooks import others_hooks
from pytest_thinkslm.plugin.progress import ProgressLine
from pytest_thinkslm.plugin.team import WorkerProgress
from pytest_thinkslm.runs.items import error_graded, item_record, payload
from pytest_thinkslm.scoring.grading import Graded, WrongAnswer, finish_item, grade, start_item
from pytest_thinkslm.settings.run_settings import Settings
from pytest_thinkslm.tasks import registry

if TYPE_CHECKING:
    from pytest_thinkslm.judging.session import JudgeSession
    from pytest_thinkslm.plugin.controller import ControllerPlugin
    from pytest_thinkslm.plugin.run_gates import RunGates
    from pytest_thinkslm.plugin.worker_input import WorkerInput

#: Properties of an item in JUnit: few, since each is kept in memory until the file is written (a right answer
#: is the gold; gold and rule of a wrong one stand in the failure's line, everything else in items.jsonl).
_PROPERTIES = ("verdict", "answer", "failure")


class RunnerPlugin:
    """Hooks of a process that collects and executes items.

    Args:
        config: pytest's.
        settings: the run's settings.
        factory: its engines.
        gates: refuse a baseline that does not fit the plan.
        judge: the run's judge.
        controller: in the process that the user started.
        worker: in an xdist worker.
        too_late: what was wrong when this process got its devices; said when there are items that need them.
    """

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        factory: EngineFactory,
        gates: RunGates,
        judge: JudgeSession | None = None,
        *,
        controller: ControllerPlugin | None = None,
        worker: WorkerInput | None = None,
        too_late: str = "",
    ) -> None:
        self.config = config
        self.settings = settings
        self.factory = factory
        self.selected = {task.key for task in registry.select(settings.tasks)}
        self.selector = Selector(settings, factory) if controller is None else controller.selector
        self.problem: str | None = None
        self._too_late = too_late
        self._controller = controller
        self._worker = worker
        self._gates = gates
        self._decisions: Decisions | None = None
        if worker is not None and worker.decided is not None:
            self._decisions = ToldDecisions(Path(worker.decided))
        self._progress = _progress(controller, worker)
        self._timer = compat_pytest.ItemTimer(config)
        self._keywords: dict[str, Mapping[str, Any]] = {}
        self._records: list[list[str | int]] = []
        #: Tasks of which a test was collected that is not the generic one.
        self._tested: set[str] = set()
        #: Whether all tests of the run are the suite's own kind.
        self._alone = False
        self.run = Run(
            settings,
            factory,
            log=lambda: open_log(settings.report_dir, "engine.log"),
            announce=getattr(controller or self._progress, "announce", None),
            tick=None if self._progress is None else self._progress.show,
            judge=judge,
            check_plan=None if gates.baseline is None else functools.partial(gates.check_plan, factory.variants),
            beside=None if worker is None else worker.beside,
            waiting=self._timer.stopped,
        )
        config.stash[RUN] = self.run
        self._others = others_hooks(config)

    # -- collection ---------------------------------------------------------------------------------------

    def pytest_pycollect_makeitem(self, obj: object) -> list[pytest.Item] | None:
        """Leave out the tests of tasks that were not asked for."""
        key = getattr(obj, "__thinkslm_task__", None)
        if not isinstance(key, str):
            return None
        if key not in registry.all_tasks():
            registry.get(key)  # says what is wrong
        if registry.is_generic(obj) and (not self.settings.tasks or key in self._tested):
            return []
        if self.settings.tasks and key not in self.selected | self._late(key):
            return []
        if self.selector.drops and next(self.selector.refs(registry.get(key)), None) is None:
            return []
        return None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test an item, style, repeat and variant; opens no data."""
        key = getattr(metafunc.function, "__thinkslm_task__", None)
        variants = self.run.variants
        if key is None:
            if "slm" in metafunc.fixturenames and len(variants) > 1:
                metafunc.parametrize(
                    "slm",
                    range(len(variants)),
                    indirect=True,
                    ids=[self.factory.labels[variant] for variant in variants],
                )
            return
        if "case" not in metafunc.fixturenames:
            raise UsageError(f"{metafunc.function.__name__}: a test of a task takes the fixture 'case'")
        if not registry.is_generic(metafunc.function):
            self._tested.add(key)
        refs = list(self.selector.refs(registry.get(key), _test_name(metafunc)))
        names = [self.factory.labels[variant] if len(variants) > 1 else "" for variant in variants]
        ids = [id_of(ref, repeats=self.settings.repeats, label=names[ref.variant]) for ref in refs]
        metafunc.parametrize("case", refs, indirect=True, ids=ids)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """One variant after the other, so that each is loaded once; a task's own tests instead of the generic one; the
        part that ``--shard`` asks for; under ``--adaptive`` tasks interleaved.
        """
        generic = [item for item in items if registry.is_generic(getattr(item, "obj", None))]
        if generic:
            ours = set(map(id, generic))
            tested = {ref.task for item in items if id(item) not in ours and (ref := ref_of(item)) is not None}
            replaced = {id(item) for item in generic if (ref := ref_of(item)) is not None and ref.task in tested}
            items[:] = [item for item in items if id(item) not in replaced]
        if len(self.run.variants) > 1:
            items.sort(key=_variant_of)
        if self.selector.shard is not None:
            tasks = ["" if (ref := ref_of(item)) is None else ref.task for item in items]
            kept = self.selector.in_shard([max(0, _variant_of(item)) for item in items], tasks)
            others = [item for item, mine in zip(items, kept, strict=True) if not mine]
            self.config.hook.pytest_deselected(items=others)
            items[:] = [item for item, mine in zip(items, kept, strict=True) if mine]
        if self.settings.adaptive:
            self._interleave(items)

    def _interleave(self, items: list[pytest.Item]) -> None:
        """Give the places of the tests of tasks to their items in the order of ``--adaptive``."""
        places = [place for place, item in enumerate(items) if ref_of(item) is not None]
        refs = [cast("ItemRef", ref_of(items[place])) for place in places]
        order = in_turn(
            refs,
            self.settings.data_seed,
            pace=lambda ref: self._gates.pace(self._key(ref).group),
            comparable=lambda ref: self._gates.comparable(self._key(ref)),
        )
        items_of_refs = [items[place] for place in places]
        for place, source in zip(places, order, strict=True):
            items[place] = items_of_refs[source]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Whether there is what ``--where`` and ``--stress`` ask for; a worker's controller has seen to it."""
        if self._worker is None:
            try:
                self.selector.check()
            except ThinkSLMError as error:
                if self._controller is not None:
                    self._controller.recorder.discard()
                raise pytest.UsageError(f"thinkslm: {error}") from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """What is collected is kept: nobody need look for garbage among it while it grows."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            return (yield)
        finally:
            if collecting:
                gc.enable()

    @pytest.hookimpl(tryfirst=True)  # before xdist tells its controller of the collection
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Everything that is still missing goes to the engine at once."""
        collected_only = getattr(self.config.option, "collectonly", False) or self.settings.plan
        if collected_only or session.shouldfail or session.shouldstop:
            return
        refs: list[ItemRef] = []
        places: list[int] = []
        for place, item in enumerate(session.items):
            ref = ref_of(item)
            if ref is not None:
                refs.append(ref)
                places.append(place)
        if not refs:
            return
        keys = {session.items[place].nodeid: self._key(ref) for ref, place in zip(refs, places, strict=True)}
        _check_distinct(keys)
        if self._worker is not None:
            with contextlib.suppress(OSError):  # the controller says what it cannot read
                identities.write(Path(self._worker.table), keys)
        if self._controller is not None:
            self._controller.expect(keys)
            self._decisions = self._controller.decisions
        compat_pytest.share_locations(session.items[place] for place in places)
        self._alone = len(refs) == len(session.items)
        if self._alone:
            _spare_logging(self.config, session.items)
        try:
            if self._too_late:
                raise UsageError(self._too_late)
            mine = self._mine(session.items, refs, places)
            self.run.start(refs, mine)
            gc.freeze()  # tens of thousands of tests live to the end: the collector need not walk them again and again
        except ThinkSLMError as error:
            if self._worker is None:
                self.run.close()
                raise pytest.UsageError(f"thinkslm: {error}") from None
            self.problem = str(error)
            if self._worker.remaining is None:  # else others are at work: its items alone are errors
                session.shouldstop = f"thinkslm: {error}"

    # -- execution ----------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Await the item's output, so that an engine failure is a test error."""
        ref = ref_of(item)
        if ref is None:
            return
        start_item()
        self._records.clear()
        with self._timer.stopped():
            self._await(item, ref)

    def _await(self, item: pytest.Item, ref: ItemRef) -> None:
        """Wait for the item's output, and fill in what its test takes."""
        if self.problem is not None:
            raise EngineError(self.problem)
        if self._decisions is not None:
            self._skip_needless(self._decisions, ref)
        if left_out := self.run.left_out(ref):
            pytest.skip(safe_line(left_out, 400))
        if not self.run.stopped and (why := self._told_to_stop()):
            self.run.stop(why)
        try:
            output = self.run.output(ref)
        except EngineError as error:
            if error.kind == "not-asked":
                pytest.skip(safe_line(f"not asked: {error}", 400))
            raise
        if self._progress is not None:
            self._progress.settle()
        case = self.run.case(ref)
        state = self.config.stash[STATE] = ItemState(self.run, item, ref, case, output)
        if self.run.judge is not None:
            state.ruling = self.run.ruling(ref, output)
        # Filled in here, the two arguments of nearly every item cost no fixture set-up; other fixtures that ask for
        # them get the same values from the fixtures of these names.
        names, arguments = item.fixturenames, item.funcargs  # type: ignore[attr-defined]
        if "case" in names:
            arguments["case"] = case
        if "slm" in names:
            arguments["slm"] = Model(self.run, ref.variant, ref, output)
        compat_pytest.fill_in_request(item)
        self._seed_records(ref)

    def pytest_runtest_teardown(self) -> None:
        """Let go of the output."""
        if STATE in self.config.stash:
            del self.config.stash[STATE]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        """A wrong answer is one line; the item's record travels on its report."""
        ref = ref_of(item)
        if ref is None:
            return None
        excinfo = call.excinfo
        if excinfo is None and call.when != "call":
            return self._plain_report(item, call, "passed", None)
        if call.when == "teardown":
            return None
        found = finish_item()
        error = None if excinfo is None else excinfo.value
        if isinstance(error, pytest.skip.Exception | KeyboardInterrupt | pytest.exit.Exception):
            return None
        graded = self._graded(error, found)
        if self.run.judge is not None:
            by_parser = found is not None if error is None else isinstance(error, WrongAnswer)
            graded = self._ruled(graded, by_parser=by_parser)
        report = self._report(item, call, error, graded)
        self._attach(item, report, ref, graded)
        self.run.release(ref)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop the engine; a worker sends home what it knows."""
        self.run.close()
        if self._alone:
            gc.freeze()  # reports, too, live to the end; with tests of a user's their garbage is still looked for
        if hasattr(self.config, "workeroutput"):
            # What a first worker refuses is refused as a whole; of one that takes over, others' work is kept.
            late = self._worker is not None and self._worker.remaining is not None
            self.config.workeroutput["thinkslm"] = {
                "data": _wire(self.run.data_states()),
                "measured": _wire(self.run.measured),
                "problem": None if late else self.problem,
                "stopped": self.run.stopped or (self.problem if late and self.problem else ""),
                "unkept": self.run.unkept,
                "judge": self._close_judge(),
            }
        else:
            self._controller_add()

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_of_others(self) -> None:
        """What hooks of conftests raised goes home with the rest, also what they raised just now."""
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["thinkslm"]["raised"] = dict(self._others.raised)

    # -- helpers ------------------------------------------------------------------------------------------

    def _skip_needless(self, decisions: Decisions, ref: ItemRef) -> None:
        """Skip an item that what is decided has made needless, and ask for no more of them."""
        if decisions.changed():
            self.run.drop(lambda other: decisions.needed(self._key(other)))
        if not decisions.needed(self._key(ref)):
            pytest.skip(NOT_NEEDED)

    def _controller_add(self) -> None:
        if self._controller is not None:
            self._controller.stop(self.run.stopped, self.run.unkept)
            self._controller.recorder.add_process(_wire(self.run.data_states()), self.run.measured)
            self._controller.recorder.add_judge(self._close_judge())

    def _close_judge(self) -> Mapping[str, float] | None:
        """What judging took in this process; None without a judge."""
        if self.run.judge is None:
            return None
        self.run.judge.desk.close()
        return self.run.judge.desk.measured()

    def _ruled(self, graded: Graded, *, by_parser: bool) -> Graded:
        """The verdict with the judge's word; a test that decides by its own assertions keeps what it decided."""
        from pytest_thinkslm.judging.policy import with_ruling

        state = self.config.stash.get(STATE, None)
        if state is None:
            return with_ruling(graded, None, None)
        return with_ruling(graded, state.case, state.ruling, decides=by_parser)

    def _told_to_stop(self) -> str:
        """Why the process where results come together wants nothing more to be asked."""
        if self._controller is not None:
            return self._controller.stopped
        return self._progress.stopped if isinstance(self._progress, WorkerProgress) else ""

    def _key(self, ref: ItemRef) -> ItemKey:
        return ref.key(self.run.variants)

    def _late(self, key: str) -> set[str]:
        """Tasks that a conftest registered after the options were read."""
        return {task.key for task in registry.select(self.settings.tasks)} if key not in self.selected else set()

    def _mine(self, items: Sequence[pytest.Item], refs: list[ItemRef], places: list[int]) -> list[ItemRef] | None:
        worker = self._worker
        if worker is None:
            return refs
        if not worker.slots:
            return None
        own = worker.remaining
        if own is None:
            own = shard([item.nodeid for item in items], worker.slots)[worker.slot]
        wanted = set(own)
        return [ref for ref, place in zip(refs, places, strict=True) if place in wanted]

    def _seed_records(self, ref: ItemRef) -> None:
        """Records of the further cases that this item carries."""
        for place, (extra, output) in enumerate(self.run.auxiliary(ref)):
            if isinstance(output, EngineError) and output.kind == "not-asked":
                continue
            graded = error_graded(str(output)) if isinstance(output, EngineError) else grade(extra.case, output)
            if self.run.judge is not None:
                from pytest_thinkslm.judging.policy import with_ruling

                ruling = None if isinstance(output, EngineError) else self.run.ruling(ref, output, place)
                graded = with_ruling(graded, extra.case, ruling)
            key = self._key(ref)._replace(task=extra.case.task, item=extra.case.item, role=extra.role)
            record = item_record(
                key,
                extra.case,
                messages=self.run.messages(ref, extra.case),
                output=None if isinstance(output, EngineError) else output,
                graded=graded,
            )
            self._records.append(payload(key, record))

    def _attach(self, item: pytest.Item, report: pytest.TestReport, ref: ItemRef, graded: Graded) -> None:
        state = self.config.stash.get(STATE, None)
        known = self.problem is None
        try:
            case = self.run.case(ref) if known else None
            messages = self.run.messages(ref) if known else ()
        except (ThinkSLMError, KeyError):
            case, messages = None, ()
        key = self._key(ref)
        record = item_record(
            key,
            case,
            messages=messages,
            output=state.output if state is not None else None,
            graded=graded,
        )
        right = graded.verdict.name == "correct"
        for name in _PROPERTIES:
            value = record.get(name)
            if value is not None and not (right and name == "answer"):
                item.user_properties.append((name, value if isinstance(value, str) else str(value)))
        report.__dict__["thinkslm"] = [payload(key, record), *self._records]
        report.__dict__["thinkslm_verdict"] = graded.verdict.name
        self._records = []

    def _graded(self, error: BaseException | None, found: Graded | None) -> Graded:
        """The verdict of an item: what ``verify`` found, else what the test's own assertions or its failure say."""
        state = self.config.stash.get(STATE, None)
        if isinstance(error, WrongAnswer):
            return error.graded
        if isinstance(error, EngineError) and state is None:
            return error_graded(safe_line(str(error), 400))
        if state is not None and (error is None or isinstance(error, AssertionError)):
            if error is None and found is not None:
                return found
            answer = (found or grade(state.case, state.output)).answer
            if error is None:
                return Graded(answer, Verdict("correct", "the test's own assertions hold"))
            return Graded(answer, Verdict("incorrect", safe_line(str(error) or "assertion failed", 400)))
        return error_graded(safe_line("" if error is None else where_raised(error), 400))

    def _report(
        self, item: pytest.Item, call: pytest.CallInfo[None], error: BaseException | None, graded: Graded
    ) -> pytest.TestReport:
        verdict = graded.verdict
        if isinstance(error, EngineError) or (error is None and verdict.name == "error"):
            return self._plain_report(item, call, "failed", f"error: {verdict.reason}")
        if error is not None and not isinstance(error, WrongAnswer):
            return pytest.TestReport.from_item_and_call(item, call)
        if verdict.name == "correct":
            return self._plain_report(item, call, "passed", None)
        line = f"{verdict.name}: {verdict.reason}"
        if self.settings.incorrect != "xfail":
            return self._plain_report(item, call, "failed", line)
        report = self._plain_report(item, call, "skipped", line)
        report.wasxfail = f"reason: {line}"
        return report

    def _plain_report(
        self, item: pytest.Item, call: pytest.CallInfo[None], outcome: Any, longrepr: str | None
    ) -> pytest.TestReport:
        """A report without the costly parts: keywords are shared, there is no traceback."""
        function = item.nodeid.partition("[")[0]
        keywords = self._keywords.get(function)
        if keywords is None:
            keywords = self._keywords[function] = {function.rpartition("::")[2]: 1}
        return pytest.TestReport(
            compat_pytest.node_id(item),
            item.location,
            keywords,
            outcome,
            longrepr,
            cast("Literal['setup', 'call', 'teardown']", call.when),
            compat_pytest.captured(item),
            call.duration,
            call.start,
            call.stop,
            user_properties=item.user_properties,
        )


def _progress(controller: ControllerPlugin | None, worker: WorkerInput | None) -> ProgressLine | WorkerProgress | None:
    """The terminal's line, or the way to it from an xdist worker."""
    if controller is not None:
        return controller.progress
    return None if worker is None or worker.progress is None else WorkerProgress(worker.progress)


def _test_name(metafunc: pytest.Metafunc) -> str:
    """The test function's name, with its class where it has one."""
    name = metafunc.function.__name__
    return name if metafunc.cls is None else f"{metafunc.cls.__name__}.{name}"


def _check_distinct(keys: Mapping[str, ItemKey]) -> None:
    """Two tests of one name on one task could not be told apart in any report. Raises ``UsageError``."""
    if len(set(keys.values())) == len(keys):
        return
    first: dict[ItemKey, str] = {}
    for nodeid, key in keys.items():
        if key in first:
            raise pytest.UsageError(
                f"thinkslm: {nodeid} and {first[key]} are tests of one name ({key.test}) on the task {key.task}: their "
                "outcomes could not be told apart; rename one of the functions"
            )
        first[key] = nodeid


def _spare_logging(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Take pytest's log capture off where all tests are the suite's own and nobody looks at logs.

    It costs as much an item as reading the answer; an engine's messages go to engine.log anyway.
    """
    asked = [config.getoption(name, None) for name in ("log_cli_level", "log_file", "log_level")]
    asked += [compat_pytest.ini_value(config, name) for name in ("log_cli", "log_file", "log_level")]
    if not any(asked) and not any("caplog" in item.fixturenames for item in items):  # type: ignore[attr-defined]
        compat_pytest.silence_log_capture(config)


def ref_of(item: pytest.Item) -> ItemRef | None:
    """The item reference of a test of a task; None for any other test."""
    callspec = getattr(item, "callspec", None)
    ref = None if callspec is None else callspec.params.get("case")
    return ref if isinstance(ref, ItemRef) else None


def _variant_of(item: pytest.Item) -> int:
    ref = ref_of(item)
    if ref is not None:
        return ref.variant
    callspec = getattr(item, "callspec", None)
    value = None if callspec is None else callspec.params.get("slm")
    return value if isinstance(value, int) else -1


def _wire(value: Any) -> Any:
    """Plain values that xdist can send."""
    if isinstance(value, Mapping):
        return {str(key): _wire(inner) for key, inner in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Sequence):
        return [_wire(inner) for inner in value]
    return str(value)
