"""What ``--model`` switches on: which plugins run in this process, and how they share their objects."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.data.reader import item_count
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.errors import ThinkSLMError
from pytest_thinkslm.settings import build_settings
from pytest_thinkslm.tasks import registry


def activate(config: pytest.Config, raw: Mapping[str, Any]) -> None:
    """Validate what is asked for, find the models, and register this process's plugins.

    Raises:
        ThinkSLMError: an option, a task, a model or the report folder cannot be used.
    """
    settings = build_settings(raw)
    if settings is None:
        return
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
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
    if not explicit and factory.replay_files:
        played = {task for file in factory.replay_files for task in file.tasks}
        settings = replace(settings, tasks=tuple(key for key in registry.all_tasks() if key in played))
        factory.settings = settings
    from pytest_thinkslm.run_gates import RunGates
    from pytest_thinkslm.runner import RunnerPlugin

    gates = RunGates(settings)
    if worker is None:
        for choice in settings.preset_choices:
            say(f"--preset {settings.preset}: {choice}")
    if worker is None and not dry:
        from pytest_thinkslm.controller import ControllerPlugin
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
                if model is not None and model.note:
                    say(model.note)
            gates.check_settings(factory)
        except ThinkSLMError:
            _remove_if_empty(folder)
            raise
        config.pluginmanager.register(ControllerPlugin(config, settings, factory, gates), "thinkslm-controller")
        if not getattr(config.option, "xmlpath", None):
            config.option.xmlpath = str(folder / "junit.xml")
    runner = RunnerPlugin(config, settings, factory)
    if gates.baseline is not None:
        runner.run.check_plan = functools.partial(gates.check_plan, factory.variants)
    config.pluginmanager.register(runner, "thinkslm-run")


def _say(config: pytest.Config, line: str) -> None:
    """One line for the user, before the terminal reporter has started."""
    if config.option.verbose >= -1:
        print(f"thinkslm: {line}", flush=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds files of the user's
        folder.rmdir()
