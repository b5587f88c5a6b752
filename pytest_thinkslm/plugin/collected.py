"""Sees what is collected, and says at the end why that is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest

from pytest_thinkslm.plugin.hints import Collected, asked_nothing, missing, not_found, nothing_ran
from pytest_thinkslm.plugin.runner import ref_of
from pytest_thinkslm.settings.run_settings import Settings
from pytest_thinkslm.tasks import registry

#: Where an xdist worker leaves what it collected.
_SENT = "thinkslm_collected"


class CollectedPlugin:
    """Looks on in the process that collects: with xdist in the workers, which send it home.

    Args:
        settings: the run's settings.
        paths: the paths that were given; none where the suite is run.
    """

    def __init__(self, settings: Settings, paths: Sequence[str]) -> None:
        self._settings = settings
        self._paths = paths
        self._found = Collected()

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, obj: object) -> None:
        """Which tasks have tests here."""
        key = getattr(obj, "__thinkslm_task__", None)
        if isinstance(key, str) and (self._settings.tasks or not registry.is_generic(obj)):
            self._found.met.add(key)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """What pytest's options, or another plugin, left out."""
        self._found.deselected += len(items)
        self._found.dropped.update(ref.task for item in items if (ref := ref_of(item)) is not None)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is left."""
        self._found.left = len(session.items)
        self._found.asking = sum(ref_of(item) is not None for item in session.items)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker sends it home."""
        if hasattr(session.config, "workeroutput"):
            sets = {name: sorted(getattr(self._found, name)) for name in ("met", "dropped")}
            session.config.workeroutput[_SENT] = asdict(self._found) | sets

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker collected: the same as any other."""
        if sent := getattr(node, "workeroutput", {}).get(_SENT):
            self._found = Collected(**{**sent, "met": set(sent["met"]), "dropped": set(sent["dropped"])})

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
    ) -> None:
        """The hint."""
        found, hint = self._found, ""
        if self._settings.shard is not None and found.deselected and not found.left:
            hint = f"shard {self._settings.shard} is empty: there are more parts than tests"
        elif exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            suite = registry.suite_keys()
            tasks = {task.key: task.key in suite for task in registry.select(self._settings.tasks)}
            hint = nothing_ran(config.option, found, tasks, self._settings.tasks, self._paths)
        elif exitstatus == pytest.ExitCode.USAGE_ERROR and not found.left:
            hint = not_found(missing(self._paths, config.invocation_params.dir), registry.suite_keys(), model=True)
        elif exitstatus == pytest.ExitCode.OK and found.left and not found.asking and self._settings.shard is None:
            hint = asked_nothing(self._paths)
        if hint:
            terminalreporter.write_line(f"thinkslm: {hint}", yellow=True)
