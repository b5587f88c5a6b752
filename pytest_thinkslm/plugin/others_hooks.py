"""Hooks in a user's conftests: what one of them raises is said with its place and fails the run, and ends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import where_raised
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.plugin import compat_pytest

#: The plugin's name, one in each process of a run.
NAME = "thinkslm-others-hooks"

#: What is called while items run and afterwards, where pytest ends the run as for a fault of its own. Set-up, call
#: and tear-down of a test are not among them: there an exception is that test's error, as it should be.
_GUARDED = frozenset(
    {
        "pytest_exception_interact",
        "pytest_report_collectionfinish",
        "pytest_report_teststatus",
        "pytest_runtest_logfinish",
        "pytest_runtest_logreport",
        "pytest_runtest_logstart",
        "pytest_runtest_makereport",
        "pytest_runtest_protocol",
        "pytest_sessionfinish",
        "pytest_terminal_summary",
        "pytest_thinkslm_results",
        "pytest_warning_recorded",
    }
)


class OthersHooks:
    """Guards the hooks of every conftest, also of those that are found later.

    Attributes:
        raised: sentences about what hooks raised, and how often each did.
    """

    def __init__(self) -> None:
        self.raised: Counter[str] = Counter()

    def pytest_plugin_registered(self, plugin: object, manager: pytest.PytestPluginManager) -> None:
        """A conftest has loaded."""
        file = Path(str(getattr(plugin, "__file__", None) or ""))
        if file.name == "conftest.py":
            where = f"{file.parent.name}/{file.name}"
            compat_pytest.guard_hooks(manager, plugin, _GUARDED, lambda hook, error: self._note(hook, where, error))

    def add(self, raised: Mapping[str, int]) -> None:
        """What another process has noted."""
        self.raised.update(raised)

    def sentences(self) -> list[str]:
        """What was raised, to be said."""
        return [
            sentence + (f", {times} times" if times > 1 else "") + ": what it does is missing, and nothing else"
            for sentence, times in self.raised.items()
        ]

    def take(self) -> list[str]:
        """The sentences, which are said with this."""
        found = self.sentences()
        self.raised.clear()
        return found

    def _note(self, hook: str, where: str, error: Exception) -> None:
        self.raised[safe_line(f"{hook} of {where} raised {where_raised(error)}", 400)] += 1


def others_hooks(config: pytest.Config) -> OthersHooks:
    """This process's guard; the first call makes it."""
    found = config.pluginmanager.get_plugin(NAME)
    if not isinstance(found, OthersHooks):
        found = OthersHooks()
        config.pluginmanager.register(found, NAME)
    return found
