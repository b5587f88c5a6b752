"""The documented way to add a task: one short file, one test function."""

import runpy
from pathlib import Path

import pytest

from pytest_thinkslm.data.reader import item_count, load_cases
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.prompts import prompt_messages, render_text

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "fixtures" / "user_task"


@pytest.fixture
def capitals(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    runpy.run_path(str(EXAMPLE / "conftest.py"))
    return registry.get("capitals")


def test_the_example_is_short_and_the_page_shows_it():
    source = (EXAMPLE / "conftest.py").read_text()
    page = (ROOT / "docs" / "adding-a-task.md").read_text()
    assert len(source.splitlines()) <= 25
    assert source in page
    test_function = (EXAMPLE / "test_capitals.py").read_text().partition("\n\n")[2]
    assert test_function in page
    assert (EXAMPLE / "capitals.jsonl").read_text().splitlines()[0] in page


def test_the_example_works(capitals):
    assert item_count(capitals, None) == 3
    data = load_cases(capitals, range(3), None, data_seed=0)
    assert [case.gold for case in data.cases.values()] == ["B", "A", "C"]
    assert data.state.pin == "unpinned"
    assert "C. Nairobi" in render_text(prompt_messages(data.cases[2], "direct"))


def test_the_data_folder_of_a_run_is_not_asked_for_it(capitals, tmp_path):
    assert item_count(capitals, tmp_path) == 3
