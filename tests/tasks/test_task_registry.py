"""The registry: keys, order, selection, user tasks, and what importing it costs."""

import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.registry import all_tasks, get, reasoning_task, register, select
from pytest_thinkslm.tasks.task import Source, Task

KEYS = (
    *("gsm8k", "math", "mathqa", "arc_easy", "arc_challenge", "commonsenseqa", "openbookqa", "hellaswag", "gsm_plus"),
    *("mr_gsm", "mr_ben", "sort8_positive", "sort8_mixed", "sort16_positive", "sort16_mixed"),
    *("sort32_positive", "sort32_mixed"),
)


def _generate(data_seed: int, index: int) -> Case:
    return Case("made_up", index, "number", f"What is {index} + {data_seed}?", str(index + data_seed))


def _elsewhere(data_seed: int, index: int) -> Case:
    return Case("made_up", index, "number", "What is 1 + 1?", "2")


@pytest.fixture
def clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_plugins_loaded", True)


def test_all_17_tasks_in_the_contracts_order(clean_registry):
    assert tuple(all_tasks()) == KEYS
    assert all(task.key == key for key, task in all_tasks().items())


def test_the_page_on_data_names_every_source():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    for task in (registry.get(key) for key in KEYS):
        if task.source is None:
            continue
        rows = [line for line in page.splitlines() if line.startswith(f"| {task.key} |")]
        assert len(rows) == 1, task.key
        for name in (task.source.hub, task.source.split, *(file.stem for file in task.source.files)):
            assert name in rows[0], (task.key, name)


def test_mathqa_says_that_its_labels_are_noisy():
    assert "noisy" in registry.get("mathqa").note


def test_every_task_has_one_test_function_named_after_it():
    folder = Path(__file__).parents[2] / "reasoning_tests"
    source = "\n".join(path.read_text() for path in folder.glob("test_*.py"))
    for key in KEYS:
        assert source.count(f'@reasoning_task("{key}")\ndef test_{key}(case: Case, slm: Model) -> None:') == 1
    assert source.count("\ndef test_") == len(KEYS)


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["gsm8k"], ["gsm8k"]),
        (["sort8_*"], ["sort8_positive", "sort8_mixed"]),
        (["sort*_mixed", "math"], ["math", "sort8_mixed", "sort16_mixed", "sort32_mixed"]),
        (["math*", "math"], ["math", "mathqa"]),
        ([], list(KEYS)),
    ],
)
def test_select(clean_registry, patterns, chosen):
    assert [task.key for task in select(patterns)] == chosen


@pytest.mark.parametrize("pattern", ["gsm8", "GSM8K-", "arc", "sort64_*", ""])
def test_unknown_task_offers_the_nearest(clean_registry, pattern):
    with pytest.raises(UsageError, match="unknown task"):
        select([pattern])
    with pytest.raises(UsageError, match="'gsm8k'"):
        get("gsm8")


def test_register_user_task(clean_registry):
    task = register(Task(key="made_up", title="Made up", kind="number", generate=_generate, count=3))
    assert get("made_up") is task
    assert list(all_tasks())[-1] == "made_up"
    again = register(Task(key="made_up", title="Again", kind="number", generate=_generate, count=3))
    assert get("made_up") is again, "a conftest that runs anew replaces its own task"
    with pytest.raises(UsageError, match="belongs to a task of the suite"):
        register(Task(key="gsm8k", title="", kind="number", generate=_generate, count=3))


def test_two_files_cannot_share_a_key(clean_registry, monkeypatch):
    register(Task(key="made_up", title="", kind="number", generate=_generate, count=3))
    monkeypatch.setattr(registry, "_origin", lambda task: repr(task.generate))
    with pytest.raises(UsageError, match="registered twice"):
        register(Task(key="made_up", title="", kind="number", generate=_elsewhere, count=3))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"key": "Bad-Key", "generate": _generate, "count": 1}, "lower case"),
        ({"key": "none"}, "either source"),
        ({"key": "no_build", "source": Source()}, "needs build"),
        ({"key": "no_count", "generate": _generate}, "needs count"),
    ],
)
def test_a_task_that_cannot_work_is_refused(arguments, complaint):
    with pytest.raises(UsageError, match=complaint):
        Task(title="", kind="number", **arguments)


@pytest.mark.parametrize(
    ("value", "works"),
    [
        (f"{__name__}:ENTRY_POINT_TASK", True),
        (f"{__name__}:KEYS", False),
        ("no_such_module_of_tasks:TASK", False),
    ],
)
def test_entry_points(clean_registry, monkeypatch, value, works):
    points = [EntryPoint("mine", value, registry.ENTRY_POINT_GROUP)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    monkeypatch.setattr(registry, "_plugins_loaded", False)
    if works:
        assert get("from_entry_point") is ENTRY_POINT_TASK
    else:
        with pytest.raises(UsageError, match="entry point 'mine'"):
            all_tasks()
    assert entry_points  # the import above must not be the patched one


def test_reasoning_task_marks_the_function():
    @reasoning_task("gsm8k")
    def function() -> None: ...

    assert function.__thinkslm_task__ == "gsm8k"


def test_importing_every_task_imports_no_data_library():
    code = (
        "import sys; from pytest_thinkslm.tasks.registry import all_tasks; import pytest_thinkslm.data.reader; "
        "import pytest_thinkslm.tasks.prompts; all_tasks(); "
        "print([name for name in ('datasets', 'pandas', 'torch', 'transformers', 'scipy', 'sympy', 'math_verify', "
        "'huggingface_hub', 'pyarrow', 'vllm', 'pytest') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ENTRY_POINT_TASK = Task(key="from_entry_point", title="", kind="number", generate=_generate, count=2)
