"""The plugin where results come together: records, progress, exit status, reports."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from pytest_thinkslm.core.errors import ThinkSLMError, where_raised
from pytest_thinkslm.core.identity import GroupKey, ItemKey, Variant
from pytest_thinkslm.core.records import Answer, Verdict
from pytest_thinkslm.core.text import safe_line, safe_message
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.gates.outcomes import any_failed, counted
from pytest_thinkslm.generating.ahead import Progress
from pytest_thinkslm.generating.plan import Load, words
from pytest_thinkslm.generating.run import open_log
from pytest_thinkslm.generating.selection import Selector
from pytest_thinkslm.journal.near import advice, near
from pytest_thinkslm.machine import gpus
from pytest_thinkslm.models.prices import price_of
from pytest_thinkslm.plugin import compat_pytest, identities
from pytest_thinkslm.plugin.decisions import Decisions, Looking
from pytest_thinkslm.plugin.others_hooks import others_hooks
from pytest_thinkslm.plugin.progress import ProgressLine, Standing
from pytest_thinkslm.plugin.run_gates import RunGates
from pytest_thinkslm.plugin.scheduler import StaticShards
from pytest_thinkslm.plugin.team import TeamProgress
from pytest_thinkslm.plugin.termination import Termination, was_interrupted
from pytest_thinkslm.plugin.worker_input import WorkerInput
from pytest_thinkslm.plugin.workers import chosen_distribution
from pytest_thinkslm.reports.folder import ReportFolder
from pytest_thinkslm.reports.recorder import Recorder
from pytest_thinkslm.runs.corrected import uncorrected
from pytest_thinkslm.runs.items import item_record, payload
from pytest_thinkslm.runs.results import failed_metrics
from pytest_thinkslm.runs.types import Results, Selection
from pytest_thinkslm.scoring.grading import Graded
from pytest_thinkslm.settings.run_settings import Settings
from pytest_thinkslm.tasks import registry

if TYPE_CHECKING:
    from pytest_thinkslm.judging.session import JudgeSession

#: How a verdict that is a failed test is shown: (letter, word, colour).
_SHOWN: Mapping[str, tuple[str, str, str]] = {
    "incorrect": ("i", "INCORRECT", "yellow"),
    "unparsed": ("u", "UNPARSED", "purple"),
    "truncated": ("t", "TRUNCATED", "cyan"),
}

#: Letters of items that a run without ``-v`` shows, so that its output stays readable however many there are.
_LETTERS = 300

#: Of more variants only the beginning of each is said.
_VARIANTS = 8


class ControllerPlugin:
    """Hooks of the process that the user started (with or without xdist)."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        factory: EngineFactory,
        gates: RunGates,
        judge: JudgeSession | None = None,
        devices_by_slot: Sequence[Sequence[int]] = (),
        *,
        folder: ReportFolder,
    ) -> None:
        assert settings.report_dir is not None
        self.config = config
        self.settings = settings
        self.recorder = Recorder(settings, factory, settings.report_dir, judge)
        self.folder = folder
        #: Why the run stopped asking before it was through; empty where it did not.
        self.stopped = ""
        self._unkept = 0
        self._ended_by = Termination()
        self.results: Results | None = None
        self.scheduler: StaticShards | None = None
        self.team: TeamProgress | None = None
        self._devices_by_slot = devices_by_slot
        #: Which item each test of a task is, by test id: told by the workers. Empty where this process runs the tests.
        self._keys: Mapping[str, ItemKey] = {}
        self._table = settings.report_dir / ".collected.json"
        self._decided = settings.report_dir / ".decided.json"
        self._looking: Looking | None = None
        self._given_distribution = chosen_distribution(config) is not None
        self._factory = factory
        self.selector = Selector(settings, factory)
        self._gates = gates
        self._expected: list[str] = []
        self._seen: set[str] = set()
        self._others_failed: set[str] = set()
        #: By verdict, of those that are failed tests: the first lines for the terminal, by test id.
        self._listed: dict[str, dict[str, str]] = {}
        self._problem: str | None = None
        self._others = others_hooks(config)
        self._internal_error = ""
        self._started = time.monotonic()
        self._judge = judge
        #: Of how many items one has its letter shown, and how many there were.
        self._every, self._lettered = 1, 0
        self.progress = ProgressLine(config)
        config.pluginmanager.register(compat_pytest.BoundedSections(_listed_below), "thinkslm-sections")
        for file in factory.replay_files:
            self.recorder.problems += [f"{file.path.name} {problem}" for problem in file.problems]

    # -- before and while generating ------------------------------------------------------------------------

    def expect(self, keys: Mapping[str, ItemKey]) -> None:
        """The items that are going to be asked, by test id: say what a gate on them could not see."""
        if compat_pytest.verbosity(self.config) == 0 and len(keys) > _LETTERS:
            several = len({key.group.variant for key in keys.values()}) > _VARIANTS
            self._every = len(keys) if several else -(-len(keys) // _LETTERS)
            compat_pytest.Terminal(self.config).hide_files()
            if not several:
                self.progress.say(f"one letter stands for {self._every} items, errors aside; -v has a line for each")
        for line in [*self._gates.foresee(keys.values()), *self._gates.begin(list(keys.values()))]:
            self.progress.say(line)
        if self._gates.watch is not None:
            self._looking = Looking(self._gates.watch, keys, self._decided if self._expected else None)
        if forms := sum(key.role == "stress" for key in keys.values()):
            self.progress.say(f"{forms} of {len(keys)} tests are changed forms of items (--stress)")
        if lacking := self._factory.lacking(keys.values()):
            self.progress.say(
                f"{lacking} of {len(keys)} items have no recorded output and will be errors; --recorded-only leaves "
                "them out"
            )
        if self._judge is not None:
            self.progress.say(self._judge.estimate(len(keys)))

    @property
    def decisions(self) -> Decisions | None:
        """Which items are not needed any more, for the runner in this process; None without ``--adaptive``."""
        return self._looking

    def announce(self, variant: Variant, progress: Progress) -> None:
        """Say what is about to be done."""
        self._announce(variant.name, Standing.of(progress))

    def _announce(self, name: str, progress: Standing) -> None:
        index = next(place for place, variant in enumerate(self._factory.variants) if variant.name == name)
        label, engine = self._factory.labels[self._factory.variants[index]], self._factory.name
        parts = [counted(progress.items, "output") + " to begin with" * self.settings.adaptive]
        if progress.passed_over:
            parts.append(f"{progress.passed_over} entries of the journal cannot be read (engine.log names them)")
        if self._factory.journalled:
            parts += [f"{progress.journalled} already journalled", f"{progress.to_generate} to generate"]
        if progress.new_tokens:
            load = Load(progress.to_generate, progress.prompt_tokens, progress.new_tokens)
            price = price_of(self._factory.given_as(index))
            parts[-1] += f" ({words(load, self._factory.earlier(index).rate, price)})"
        if compat_pytest.verbosity(self.config) >= 0:
            self.progress.say(f"{label} on {engine}: " + ", ".join(parts))
        if self._factory.journalled and progress.to_generate and not self.settings.fresh:
            fingerprint = self._factory.fingerprint(index)
            others = near(self.settings.journal_dir, fingerprint, self.settings.journal_accept)
            accepted = {*self.settings.journal_accept}
            if hint := advice([other for other in others if not {*other.differing} <= accepted]):
                self.progress.say(f"{label}: {hint}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give an xdist worker its report folder, its slot, and the GPUs of that slot."""
        workers = len(node.nodemanager.specs)
        if self.scheduler is None:
            self.scheduler = StaticShards(self.config, workers)
        slot = self.scheduler.claim_slot(node)
        decided = str(self._decided) if self.settings.adaptive else None
        given = WorkerInput(str(self.settings.report_dir), str(self._table), workers, decided=decided)
        if self._devices_by_slot:
            devices = self._devices_by_slot[slot]
            given = replace(given, devices=list(devices), visible_devices=gpus.visible(devices))
        if self._judge is not None:
            self._judge.desk.rest()  # from here on the workers ask
            given = replace(given, judge=self._judge.for_worker(slot, workers))
        if not self._given_distribution:
            if self.team is None:
                self.team = TeamProgress(self.progress, workers, self._announce)
                self.config.pluginmanager.register(self.team, "thinkslm-team")
            channel = self.team.channel(node, slot)
            remaining = self.scheduler.remaining(slot)
            given = replace(given, slot=slot, slots=workers, remaining=remaining, progress=channel)
        given.put(node.workerinput)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self) -> StaticShards | None:
        """Static shards, unless the user chose another distribution."""
        return None if self._given_distribution else self.scheduler

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """The controller itself collects nothing: expect what the workers found."""
        if ids and not self._expected:
            self._expected = list(ids)  # workers may lose one; within this process pytest itself runs them all
            try:
                self._keys = identities.read(self._table)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                self.recorder.problems.append(
                    f"the workers' table of tests, {self._table.name}, cannot be read ({why}): an "
                    "item that crashes its worker is not counted in its task"
                )
            self.expect({nodeid: self._keys[nodeid] for nodeid in ids if nodeid in self._keys})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker knows at its end; its slot is free for a replacement."""
        if self.scheduler is not None:
            self.scheduler.release_slot(node)
        output = getattr(node, "workeroutput", {}).get("thinkslm")
        if output:
            self.recorder.add_process(output["data"], output["measured"])
            self.recorder.add_judge(output.get("judge"))
            self._problem = self._problem or output["problem"]
            self.stop(output["stopped"], output["unkept"])
            self._others.add(output.get("raised", {}))  # none of a worker whose end was broken off

    def stop(self, why: str, unkept: int = 0) -> None:
        """A process asks for nothing more; ``unkept`` of its outputs are not in the journal."""
        self.stopped = self.stopped or why
        self._unkept += unkept

    # -- reports --------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the item's record off its report."""
        compat_pytest.redact(report)
        records = report.__dict__.pop("thinkslm", None)
        if records is not None:
            self.folder.begun()
            for *key, verdict, line in records:
                self.recorder.add(ItemKey(*key), verdict, line, self._unreported(report))
            if self.recorder.full and not self.stopped:
                self.stop(self.recorder.full)
                if self.team is not None:
                    self.team.tell(self.recorder.full)
            if self._looking is not None:
                self._looking.reported(report.nodeid, records)
            if self._expected:
                self._seen.add(report.nodeid)
            for listed in self._listed.values():
                listed.pop(report.nodeid, None)  # a rerun: the last report counts
            if report.failed:
                listed = self._listed.setdefault(str(getattr(report, "thinkslm_verdict", "")), {})
                if len(listed) < compat_pytest.LISTED:
                    listed[report.nodeid] = f"{report.nodeid} - {report.longrepr}"
        elif str(report.when) == "???":  # xdist's mark of an item that crashed its worker
            self._crashed(report)
        else:
            if report.when == "call" or report.skipped:
                self._seen.add(report.nodeid)
                if self._looking is not None:
                    self._looking.absent(report.nodeid)
                self._others_failed.discard(report.nodeid)  # tried again after it had crashed its worker
            if report.failed:
                self._seen.add(report.nodeid)
                self._others_failed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """What cannot be collected may say what it must not."""
        compat_pytest.redact(report)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, Any] | None:
        """Wrong answers under their own name and colour."""
        verdict = str(getattr(report, "thinkslm_verdict", ""))
        if self._every > 1 and report.nodeid.startswith("gate::"):
            return report.outcome, "", report.outcome.upper()
        if not verdict or report.when != "call":
            return None
        self._lettered += 1
        silent = bool(self._lettered % self._every)
        if verdict in _SHOWN and report.failed:
            letter, word, colour = _SHOWN[verdict]
            return (verdict, "" if silent else letter, (word, {colour: True}))
        return ("passed", "", "PASSED") if silent and report.passed else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Before pytest writes its header."""
        compat_pytest.guard_terminal(self.config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Add up, decide the exit status, write the files."""
        if self.team is not None:
            self.team.stop()
        if self._judge is not None:
            self._judge.end()
        with contextlib.suppress(OSError):
            self._table.unlink(missing_ok=True)
            self._decided.unlink(missing_ok=True)
        interrupted = bool(session.shouldfail or session.shouldstop) or exitstatus == pytest.ExitCode.INTERRUPTED
        if self.stopped and self.recorder.empty and not interrupted:
            self._problem = f"{self.stopped}; nothing was generated"
        broken = exitstatus == pytest.ExitCode.INTERNAL_ERROR
        if exitstatus == pytest.ExitCode.USAGE_ERROR or (broken and self.recorder.empty) or self._problem:
            if self._problem:
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
            return
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.recorder.empty and not self._sharded:
            return  # an earlier run in this folder stays
        self._ended_by.writing()
        missing = [nodeid for nodeid in self._expected if nodeid not in self._seen]
        if missing and not interrupted:
            self.recorder.problems.append(
                f"{len(missing)} collected tests were not reported, the first is {missing[0]}"
            )
        if self.stopped:
            self.recorder.problems.append(self._why_stopped())
        raised = self._others.take()
        self.recorder.problems += raised
        if broken:
            self.recorder.problems.append(f"pytest ended the run before it was through: {self._internal_error}")
        incomplete = interrupted or broken or bool(missing or self.stopped)
        if self._looking is not None and not incomplete:
            self.recorder.leave_out(self._looking.beyond)
        if self.settings.drift is not None and not incomplete:
            said = f"--drift: scoring outputs to {self.settings.drift} items a task, variant by variant"
            self._measure("--drift", said, self.recorder.measure_drift)
        if self.settings.budget_curve is not None and not incomplete:
            said = "--budget-curve: closing thoughts early, variant by variant"
            self._measure("--budget-curve", said, self.recorder.measure_budgets)
        self.results = self.recorder.results(
            selection=self._selection(incomplete), seconds=time.monotonic() - self._started
        )
        gates = self._gates.finish(
            self.config, self.recorder, self.results, self._let_in, complete=not (incomplete or self._sharded)
        )
        self.folder.begun()
        self.recorder.write(self.results, self._gates.xml(self.recorder, gates))
        self._tell_others(self.results)
        lacking = missing or failed_metrics(self.results["results"]) or uncorrected(self.results)
        failed = bool(lacking or raised or self.stopped or self.recorder.unwritten) or any_failed(gates)
        session.exitstatus = self._status(exitstatus, interrupted, failed)
        if broken:  # pytest writes no summary
            self.progress.say(f"{self._internal_error}: the report has what was finished: {self.recorder.folder}")

    @pytest.hookimpl(wrapper=True, trylast=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_of_others(self) -> Generator[None, None, None]:
        """pytest writes junit.xml: where its folder is full or cannot be, the run ends all the same."""
        try:
            return (yield)
        except OSError as error:
            asked_for = getattr(self.config.option, "xmlpath", None)
            path = Path(str(asked_for)).absolute()
            at = path if error.filename is None else Path(str(error.filename))
            if not asked_for or at not in (path, *path.parents):
                raise
            self.recorder.unwritten.append(f"{path.name} was not written ({error.strerror or error})")
            with contextlib.suppress(OSError):
                if path.is_file():  # no device
                    path.unlink()

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_as_a_whole(self, session: pytest.Session) -> Generator[None, None, None]:
        """What hooks raised since the report was made, or pytest could not write, fails the run, terminal or none."""
        result = yield
        if (self._others.raised or self.recorder.unwritten) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self) -> Generator[None, None, None]:
        """Other runs may use the folder, whatever others raise here."""
        try:
            return (yield)
        finally:
            self._release()

    def _release(self) -> None:
        """pytest's JUnit file comes late: of a start that failed it goes, too."""
        self._ended_by.restore()
        if self.results is None:
            self.recorder.discard()
            path = self.folder.path / "junit.xml"
            if self.config.option.xmlpath == str(path):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            self.folder.give_back()
        self.folder.release()

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_terminal_summary")
    def pytest_terminal_summary_of_others(self, terminalreporter: Any) -> Generator[None, None, None]:
        """What hooks raised since the report was made."""
        result = yield
        for problem in self._others.sentences():
            terminalreporter.write_line(f"ERROR: thinkslm: {safe_message(problem)}", red=True)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """An interrupt stays one, also where it came in the midst of a lock."""
        try:
            return (yield)
        except session.Failed:
            raise
        except Exception as error:
            if was_interrupted(error):
                raise KeyboardInterrupt(self._ended_by.signal) from error
            raise

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Why pytest ends the run."""
        self._internal_error = safe_line(where_raised(excinfo.value), 400)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table, and where everything is."""
        if self._problem:
            terminalreporter.write_line(f"ERROR: thinkslm: {safe_message(self._problem)}", red=True)
        if self.results is not None:
            from pytest_thinkslm.plugin.terminal import show

            listed = {verdict: list(lines.values()) for verdict, lines in self._listed.items()}
            show(terminalreporter, self.results, listed, self.recorder)
        for problem in self.recorder.unwritten:
            terminalreporter.write_line(f"ERROR: thinkslm: {safe_message(problem)}", red=True)
        if self._ended_by.signal:
            terminalreporter.write_line(
                f"thinkslm: ended by {self._ended_by.signal}: the report has what was finished; the same command goes "
                "on from here",
                yellow=True,
            )

    def _why_stopped(self) -> str:
        lost = f"; {self._unkept} finished outputs are in the report and not in the journal" if self._unkept else ""
        return f"{self.stopped}; nothing more was asked, and the report has what was finished{lost}"

    # -- helpers --------------------------------------------------------------------------------------------

    def _measure(self, option: str, said: str, measure: Callable[[TextIO | None], None]) -> None:
        """The models are loaded once more, one after the other; what goes wrong costs this figure and nothing else."""
        self.progress.say(said)
        log = open_log(self.settings.report_dir, "engine.log")
        try:
            measure(log)
        except Exception as error:  # of whatever kind: what a run of hours has finished is reported
            why = str(error) if isinstance(error, ThinkSLMError) else safe_line(where_raised(error), 400)
            self.recorder.problems.append(f"{option}: nothing was measured: {why}")
        finally:
            if log is not None:
                log.close()

    def _tell_others(self, results: Results) -> None:
        """Call ``pytest_thinkslm_results``."""
        try:
            self.config.hook.pytest_thinkslm_results(
                config=self.config, results=results, report_dir=self.recorder.folder
            )
        except Exception as error:  # whatever a foreign plugin raises: the run's files are written
            self._others.add({safe_line(f"pytest_thinkslm_results raised {where_raised(error)}", 400): 1})

    def _status(self, exitstatus: int, interrupted: bool, fails: bool) -> int | pytest.ExitCode:
        if interrupted:
            return pytest.ExitCode.INTERRUPTED
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._sharded:
            return pytest.ExitCode.OK  # more shards than tests
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return exitstatus
        failed = bool(self.recorder.counts["error"] or self._others_failed or fails)
        if self.settings.incorrect == "fail":
            failed = failed or exitstatus == pytest.ExitCode.TESTS_FAILED
        return pytest.ExitCode.TESTS_FAILED if failed else pytest.ExitCode.OK

    def _selection(self, incomplete: bool) -> Selection:
        """What the run has: a task counts as full when all its items were reported in every style and repeat.

        limit: a part that the run's own options chose. A shard is partial, whatever it holds.
        """
        if incomplete or self._sharded:
            return "partial"
        if self._gates.watch is not None and self._gates.watch.cut:
            return "adaptive"
        chosen = False
        for group, reported in self.recorder.groups().items():
            task = registry.get(group.task)
            if reported < self._let_in(group):
                return "partial"
            chosen = chosen or self.selector.reduced(task)
        return "limit" if chosen else "full"

    def _let_in(self, group: GroupKey) -> int:
        """How many outcomes of a group the plugin's options let in, without items whose records cannot be used."""
        return self.selector.expected(group) - self.recorder.left_out(group.task) * self.settings.repeats

    @property
    def _sharded(self) -> bool:
        """Whether this is a part of a run."""
        shard = self.selector.shard
        return shard is not None and shard.of > 1

    def _crashed(self, report: pytest.TestReport) -> None:
        """An item that killed its worker twice: an ``error``."""
        self._seen.add(report.nodeid)
        from pytest_thinkslm.judging.policy import with_ruling

        key = self._keys.get(report.nodeid)
        if key is None:
            self._others_failed.add(report.nodeid)
            return
        graded = Graded(Answer(None, "none"), Verdict("error", str(report.longrepr)))
        if self._judge is not None:
            graded = with_ruling(graded, None, None)
        record = payload(key, item_record(key, None, graded=graded))
        self.recorder.add(key, "error", str(record[-1]), self._unreported(report))
        if self._looking is not None:
            self._looking.reported(report.nodeid, [record])
        report.__dict__["thinkslm_verdict"] = "error"

    def _unreported(self, report: pytest.TestReport) -> int:
        """How often the report's test was tried without a report: it had crashed its worker once."""
        return int(self.scheduler is not None and report.nodeid in self.scheduler.crashed)


def _listed_below(report: pytest.TestReport) -> bool:
    """Whether a report is a gate, or an item's error: those are in the plugin's own summary, no more than a few."""
    return getattr(report, "thinkslm_verdict", "") == "error" or report.nodeid.startswith("gate::")
