"""Where the data is: self-written sample records always, the real data sets where THINKSLM_DATA_DIR names them."""

import json
import os
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "fixtures" / "data"


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

    monkeypatch.setattr("pytest_thinkslm.tasks.data.hub.fetch_rows", fetch_rows)


def _sources():
    from pytest_thinkslm.tasks.registry import all_tasks

    return {key: task for key, task in all_tasks().items() if task.source is not None}
