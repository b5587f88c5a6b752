"""What ``--model`` switches on: the settings of this process, then the objects that are made of them, in that order."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import pytest

from pytest_thinkslm.core import redaction
from pytest_thinkslm.core.text import safe_message
from pytest_thinkslm.data.reader import item_indices
from pytest_thinkslm.engines.factory import EngineFactory, Share, recorded_outputs
from pytest_thinkslm.engines.sampling import advice
from pytest_thinkslm.models.prices import price_of
from pytest_thinkslm.plugin import compat_pytest, workers
from pytest_thinkslm.plugin.collected import CollectedPlugin
from pytest_thinkslm.plugin.run_gates import RunGates
from pytest_thinkslm.plugin.worker_input import WorkerInput, worker_input
from pytest_thinkslm.settings.run_settings import Settings, build_settings, is_own_engine
from pytest_thinkslm.settings.values import RawOptions, split_list
from pytest_thinkslm.tasks import registry

if TYPE_CHECKING:
    from pytest_thinkslm.engines.replay import ReplayFile

Say = Callable[[str], None]


def activate(config: pytest.Config, raw: RawOptions, paths: Sequence[str]) -> None:
    """Validate what is asked for, find the models, and register this process's plugins.

    Args:
        config: pytest's.
        raw: the option values.
        paths: the paths that were given; none where the suite is run.

    Raises:
        ThinkSLMError: an option, a task, a model or the report folder cannot be used.
    """
    _learn_secrets(raw)
    compat_pytest.give_stdout(config)
    asked = build_settings(raw)
    if asked is None:
        return
    registry.select(asked.tasks)  # an unknown name is said before anything is fetched
    config.pluginmanager.register(CollectedPlugin(asked, paths), "thinkslm-collected")
    worker = worker_input(config)
    recorded = recorded_outputs(asked, _item_counts(asked.data_dir))
    gates = RunGates(asked)
    if worker is not None:
        settings = _final(asked, recorded, Path(worker.report_dir), gates)
        _activate_worker(config, settings, recorded, worker, gates)
    elif config.option.collectonly or asked.plan:
        _activate_collection(config, _final(asked, recorded, asked.report_dir, gates), recorded, gates)
    else:
        _activate_controller(config, asked, recorded, gates)


def _learn_secrets(raw: RawOptions) -> None:
    """From here on no text that leaves this process has a key or password of this run in it."""
    redaction.learn_environment()
    for name in ("server-url", "judge-url"):
        redaction.learn_address(raw.get(name))
    for argument in split_list(raw.get("engine-args")):
        name, _, value = argument.partition("=")
        if redaction.names_secret(name):
            redaction.learn(value)


def _final(settings: Settings, recorded: Sequence[ReplayFile], report_dir: Path | None, gates: RunGates) -> Settings:
    """The settings with what is decided here: where the files go, the tasks of recorded outputs, how a limit draws."""
    tasks, of_replay = settings.tasks, bool(recorded) and not settings.tasks
    if of_replay:
        played = {task for file in recorded for task in file.tasks}
        tasks = tuple(key for key in registry.all_tasks() if key in played)
    sample = None if settings.limit is None else settings.sample or gates.drawn or "stratified"
    return replace(settings, report_dir=report_dir, tasks=tasks, tasks_of_replay=of_replay, sample=sample)


def _activate_worker(
    config: pytest.Config, settings: Settings, recorded: Sequence[ReplayFile], worker: WorkerInput, gates: RunGates
) -> None:
    from pytest_thinkslm.plugin.runner import RunnerPlugin

    too_late = workers.take_devices(worker)
    share = Share(workers=worker.workers, devices=worker.devices, checks=False)
    factory = EngineFactory(settings, _silent, recorded, share)
    judge = None
    if settings.judge is not None:
        from pytest_thinkslm.generating.run import open_log
        from pytest_thinkslm.judging.session import worker_session

        assert worker.judge is not None
        log = functools.partial(open_log, settings.report_dir, "engine.log")
        judge = worker_session(settings, worker.judge, _silent, log)
    runner = RunnerPlugin(config, settings, factory, gates, judge, worker=worker, too_late=too_late)
    config.pluginmanager.register(runner, "thinkslm-run")


def _activate_collection(
    config: pytest.Config, settings: Settings, recorded: Sequence[ReplayFile], gates: RunGates
) -> None:
    """``--collect-only``: nothing is made but the tests."""
    from pytest_thinkslm.plugin.runner import RunnerPlugin

    say = functools.partial(_say, config)
    _say_choices(settings, say)
    factory = EngineFactory(settings, say, recorded)
    config.pluginmanager.register(RunnerPlugin(config, settings, factory, gates), "thinkslm-run")
    if settings.plan and not config.option.collectonly:
        from pytest_thinkslm.plugin.planning import PlanPlugin, no_workers

        no_workers(config)
        config.pluginmanager.register(PlanPlugin(settings, factory, gates), "thinkslm-plan")


def _activate_controller(
    config: pytest.Config, asked: Settings, recorded: Sequence[ReplayFile], gates: RunGates
) -> None:
    from pytest_thinkslm.plugin.controller import ControllerPlugin
    from pytest_thinkslm.plugin.runner import RunnerPlugin
    from pytest_thinkslm.reports.folder import ReportFolder
    from pytest_thinkslm.reports.recorder import default_report_dir

    say = functools.partial(_say, config)
    _say_choices(asked, say)
    taken = ReportFolder(asked.report_dir or default_report_dir(asked), asked=asked.report_dir is not None)
    taken.take(say)
    folder = taken.path
    settings = _final(asked, recorded, folder, gates)
    try:
        factory = EngineFactory(settings, say, recorded)
        _check_variants(factory, say)
        devices_by_slot = workers.devices_by_slot(config, factory)
        gates.check_settings(factory)
        judge = None
        if settings.judge is not None:
            from pytest_thinkslm.generating.run import open_log
            from pytest_thinkslm.judging.session import open_session

            judge = open_session(settings, say, functools.partial(open_log, folder, "engine.log"))
        controller = ControllerPlugin(config, settings, factory, gates, judge, devices_by_slot, folder=taken)
    except BaseException:
        taken.give_back()
        raise
    config.pluginmanager.register(controller, "thinkslm-controller")
    if warning := workers.starving(config, factory):
        say(warning)
    if not getattr(config.option, "xmlpath", None):
        config.option.xmlpath = str(folder / "junit.xml")
    runner = RunnerPlugin(config, settings, factory, gates, judge, controller=controller)
    config.pluginmanager.register(runner, "thinkslm-run")


def _check_variants(factory: EngineFactory, say: Say) -> None:
    """Find every model and see that it can run, before anything is generated."""
    for index, variant in enumerate(factory.variants):
        model = factory.resolve(variant)
        if factory.name == "openai" or is_own_engine(factory.name):
            factory.fingerprint(index)  # is the server there, has it the model? can the user's engine be made?
        factory.placement(index)  # does it fit?
        price_of(factory.given_as(index))  # can the table of prices be read?
        if model is not None and model.note:
            say(model.note)
        factory.sampling(index)  # does the checkpoint say how?
        if warning := advice(factory.settings, model):
            say(warning)


def _item_counts(data_dir: Path | None) -> Callable[[str], int | None]:
    @functools.cache
    def count(task: str) -> int | None:
        tasks = registry.all_tasks()
        return max(item_indices(tasks[task], data_dir), default=-1) + 1 if task in tasks else None

    return count


def _say_choices(settings: Settings, say: Say) -> None:
    for choice in settings.preset_choices:
        say(f"--preset {settings.preset}: {choice}")


def _say(config: pytest.Config, line: str) -> None:
    """One line for the user, before the terminal reporter has started."""
    if compat_pytest.verbosity(config) >= -1:
        print(f"thinkslm: {safe_message(line)}", file=cast("TextIO", redaction.Outlet(sys.stdout)), flush=True)


def _silent(line: str) -> None:
    """What a worker would say, the controller has said."""
