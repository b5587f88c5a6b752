"""Hypothesis profiles (HYPOTHESIS_PROFILE=thorough tries a thousand examples a property), and where the data is:
self-written sample records always, the real data sets where THINKSLM_DATA_DIR names them.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

# Before any test: ``pytester`` forgets the modules that a test was the first to import, and parts of rich of which
# some were imported twice do not know each other's styles.
import rich.console
import rich.progress
import rich.table
import rich.text  # noqa: F401
from hypothesis import HealthCheck, settings

# The same examples in every run, so that one that fails fails for everybody; "thorough" looks for new ones.
settings.register_profile(
    "ci", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell that starts something in the background lets it ignore SIGINT, and its children inherit that: tests that
# interrupt a process need one that listens.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before marks are selected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``-m data`` selects whatever is skipped without the data sets."""
    for item in items:
        if {"data_dir", "real_data"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.data)


@pytest.fixture(autouse=True)
def no_secrets():
    """What one test's client learned is no secret in the next."""
    from pytest_thinkslm.core import redaction

    yield
    redaction.forget()


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Inner runs go without two plugins that the user's may have: Hypothesis's takes a third of a short run's time."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:anyio")
    return pytester


SAMPLES = Path(__file__).parents[1] / "fixtures" / "data"


@pytest.fixture
def samples() -> Path:
    return SAMPLES


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("THINKSLM_DATA_DIR")
    if not folder:
        pytest.skip("THINKSLM_DATA_DIR names no folder with the real data sets")
    return Path(folder)


@pytest.fixture
def hub_of_samples(monkeypatch):
    """The hub serves the sample rows: all of them for the first configuration, none for others."""

    def fetch_rows(hub_id, config, split, revision):
        tasks = {task.source.hub: key for key, task in _sources().items() if config in (None, task.source.configs[0])}
        if hub_id == "allenai/ai2_arc":
            tasks[hub_id] = {"ARC-Easy": "arc_easy", "ARC-Challenge": "arc_challenge"}[config]
        if hub_id not in tasks:
            return []
        lines = (SAMPLES / "hub" / f"{tasks[hub_id]}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", fetch_rows)


def _sources():
    from pytest_thinkslm.tasks.registry import all_tasks

    return {key: task for key, task in all_tasks().items() if task.source is not None}
