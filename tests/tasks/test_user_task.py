"""The documented way to add a task: one short file, one test function."""

import runpy
from pathlib import Path

import pytest

from pytest_thinkslm import Case, File, Source, Task, TrainSource
from pytest_thinkslm.data.exemplars import exemplars
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


@pytest.mark.parametrize("folder", [True, False], ids=["own folder", "--data-dir"])
def test_few_shot_exemplars_of_a_task_of_ones_own(monkeypatch, tmp_path, folder):
    """They lie where the task's records do, and end as the task's own answers do."""
    monkeypatch.setattr(registry, "_registered", {})
    lines = [f'{{"q": "Say {place}.", "a": "word-{place}", "why": "Because."}}\n' for place in range(20)]
    (tmp_path / "words.jsonl").write_text("".join(lines[:3]))
    (tmp_path / "words_train.jsonl").write_text("".join(lines))
    train = TrainSource(files=(File("words_train"),), solution=lambda record: str(record["why"]))
    source = Source(files=(File("words"),), train=train, folder=tmp_path if folder else None)
    task = Task(
        "words",
        "Words",
        "word",
        build=lambda record, index: Case("words", index, "word", str(record["q"]), str(record["a"])),
        source=source,
        read=lambda text, case: text.strip() or None,
        ask="reply with the word.",
    )
    registry.register(task)
    data_dir = None if folder else tmp_path
    cases = load_cases(task, range(3), data_dir, data_seed=0).cases
    drawn = exemplars(task, "5shot-cot", data_dir, 0, evaluated=cases.values())
    turns = prompt_messages(cases[0], "5shot-cot", drawn)
    assert len(turns) == 11
    assert turns[1].content.startswith("Because.\nword-")
    assert not {f"Say {place}." for place in range(3)} & {exemplar.case.question for exemplar in drawn}
    assert turns[-1].content == "Say 0.\n\nThink step by step. Then reply with the word."
