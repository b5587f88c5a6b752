"""What ``--model`` switches on: which plugins run in this process, and how they share their objects."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_thinkslm.core.errors import ThinkSLMError
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.plugin import workers
from pytest_thinkslm.settings.run_settings import Settings, build_settings
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.data.reader import item_count

if TYPE_CHECKING:
    from pytest_thinkslm.judging.session import JudgeSession


def activate(config: pytest.Config, raw: Mapping[str, Any]) -> None:
    """Validate what is asked for, find the models, and register this process's plugins.

    Raises:
        ThinkSLMError: an option, a task, a model or the report folder cannot be used.
    """
    settings = build_settings(raw)
    if settings is None:
        return
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    too_late = ""
    if worker is not None:
        too_late = workers.take_devices(worker)
        settings = replace(settings, report_dir=Path(worker["thinkslm_report_dir"]))
    dry = bool(config.option.collectonly)
    explicit = bool(settings.tasks)
    registry.select(settings.tasks)  # an unknown name is said before anything is fetched

    data_dir = settings.data_dir

    @functools.cache
    def count(task: str) -> int | None:
        tasks = registry.all_tasks()
        return item_count(tasks[task], data_dir) if task in tasks else None

    def say(line: str) -> None:
        if worker is None:
            _say(config, line)

    factory = EngineFactory(settings, count, say)
    if worker is not None:
        factory.checks = False
        factory.workers, factory.devices = int(worker["thinkslm_workers"]), worker.get("thinkslm_devices")
    if not explicit and factory.replay_files:
        played = {task for file in factory.replay_files for task in file.tasks}
        settings = replace(settings, tasks=tuple(key for key in registry.all_tasks() if key in played))
        factory.settings = settings
    from pytest_thinkslm.plugin.run_gates import RunGates
    from pytest_thinkslm.plugin.runner import RunnerPlugin

    gates = RunGates(settings)
    judge: JudgeSession | None = None
    if worker is None:
        for choice in settings.preset_choices:
            say(f"--preset {settings.preset}: {choice}")
    if worker is None and not dry:
        from pytest_thinkslm.plugin.controller import ControllerPlugin
        from pytest_thinkslm.reports.recorder import default_report_dir, prepare_report_dir

        folder = settings.report_dir or default_report_dir(settings)
        prepare_report_dir(folder)
        settings = replace(settings, report_dir=folder)
        factory.settings = settings
        try:
            for variant in factory.variants:
                model = factory.resolve(variant)
                if factory.name == "openai":
                    factory.fingerprint(factory.variants.index(variant))  # is the server there, has it the model?
                factory.placement(factory.variants.index(variant))  # does it fit?
                if model is not None and model.note:
                    say(model.note)
            devices_by_slot = workers.devices_by_slot(config, factory)
            gates.check_settings(factory)
            if settings.judge is not None:
                judge = _open_judge(settings, say)
        except ThinkSLMError:
            _remove_if_empty(folder)
            raise
        controller = ControllerPlugin(config, settings, factory, gates, judge)
        controller.devices_by_slot = devices_by_slot
        config.pluginmanager.register(controller, "thinkslm-controller")
        if warning := workers.starving(config, factory):
            say(warning)
        if not getattr(config.option, "xmlpath", None):
            config.option.xmlpath = str(folder / "junit.xml")
    if worker is not None and settings.judge is not None:
        judge = _open_judge(settings, say, worker)
    runner = RunnerPlugin(config, settings, factory, judge)
    if gates.baseline is not None:
        runner.run.check_plan = functools.partial(gates.check_plan, factory.variants)
    runner.too_late = too_late
    config.pluginmanager.register(runner, "thinkslm-run")


def _open_judge(
    settings: Settings, say: Callable[[str], None], worker: Mapping[str, Any] | None = None
) -> JudgeSession:
    """The run's judge: found and put to the test by the process that the user started, handed on to workers."""
    from pytest_thinkslm.generating.run import open_log
    from pytest_thinkslm.judging.session import open_session, worker_session

    log = functools.partial(open_log, settings.report_dir, "engine.log")
    if worker is not None:
        return worker_session(settings, worker["thinkslm_judge"], say, log)
    return open_session(settings, say, log)


def _say(config: pytest.Config, line: str) -> None:
    """One line for the user, before the terminal reporter has started."""
    if config.option.verbose >= -1:
        print(f"thinkslm: {line}", flush=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds files of the user's
        folder.rmdir()
