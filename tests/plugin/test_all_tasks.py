"""All 17 tasks through the plugin on recorded outputs, on the real data where THINKSLM_DATA_DIR names it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gold_replies import cases, right, with_seeds, wrong
from replayed import items, results

from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.registry import get

Replay = Callable[..., pytest.RunResult]
ROOT = Path(__file__).parents[2]
LIMIT = 40
GENERATED = tuple(key for key in registry.all_tasks() if key.startswith("sort"))


@pytest.mark.data
@pytest.mark.parametrize("task", tuple(registry.all_tasks()))
def test_every_gold_in_the_asked_format_is_correct_and_a_wrong_value_is_not(task: str, data_dir: str) -> None:
    """Every item of the task, not a sample."""
    for case in cases(task, Path(data_dir)):
        said = grade(case, Output(right(case)))
        assert said.verdict.name == "correct", (case.item, right(case), said)
        assert said.answer.anchored
        if case.kind == "expression" and case.index % 10:
            continue  # two different expressions cost a symbolic comparison
        said = grade(case, Output(wrong(case)))
        assert said.verdict.name == "incorrect", (case.item, wrong(case), said)


def lines(data_dir: str, reply: Callable[[Case], str]) -> list[dict[str, object]]:
    chosen = [case for key in registry.all_tasks() for case in with_seeds(cases(key, Path(data_dir)))]
    return [
        {"task": task, "item": index, "output": reply(case)}
        for (task, index), case in {(case.task, case.index): case for case in chosen}.items()
    ]


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in results(folder)["results"]}


@pytest.mark.data
def test_gold_replies_are_correct_on_all_17_tasks(replay: Replay, pytester: pytest.Pytester, data_dir: str) -> None:
    result = replay(lines(data_dir, right), f"--data-dir={data_dir}", f"--limit={LIMIT}", "-q")
    assert result.ret == 0
    records = items(pytester.path / "report")
    assert Counter(record["verdict"] for record in records) == {"correct": len(records)}
    asked = Counter(record["task"] for record in records if record["role"] == "item")
    assert asked == dict.fromkeys(registry.all_tasks(), LIMIT)
    found = rows(pytester.path / "report")
    assert list(found) == list(registry.all_tasks())
    assert {row["accuracy"] for row in found.values()} == {1.0}
    values = dict(leaves({key: row["metrics"] for key, row in found.items() if row.get("metrics")}))
    for name, value in values.items():
        # A drop from the seed questions of nothing; else all right is 100 %.
        assert value["value"] in ((0.0,) if name.endswith("pdr") else (1.0, None)), (name, value)
        assert value["value"] is not None or value["undefined"], name
    assert values["mr_gsm.mcc"]["undefined"].startswith("wrong solutions only")
    assert values["mr_gsm.acc_step"]["value"] == 1.0
    assert "mr_gsm.acc_reason" not in values, "there was no judge"
    assert values["mr_ben.macro.acc_step"]["value"] == 1.0 or values["mr_ben.macro.acc_step"]["undefined"]
    summary = (pytester.path / "report" / "summary.md").read_text()
    assert "590 of 2999 records, wrong solutions only" in summary
    assert "undefined" in summary


@pytest.mark.data
def test_gsm_plus_seeds_stand_in_the_items_file(replay: Replay, pytester: pytest.Pytester, data_dir: str) -> None:
    chosen = with_seeds(cases("gsm_plus", Path(data_dir)))
    # Seeds right, variations wrong: a drop of all there is.
    replies = [
        {"task": case.task, "item": case.index, "output": right(case) if case.task == "gsm8k" else wrong(case)}
        for case in chosen
    ]
    result = replay(replies, "--task=gsm_plus", f"--data-dir={data_dir}", f"--limit={LIMIT}", "-q")
    assert result.ret == 0
    records = items(pytester.path / "report")
    seeds = [record for record in records if record["role"] == "seed"]
    clusters = {record["cluster"] for record in records if record["role"] == "item"}
    assert {f"gsm8k-{record['item']}" for record in seeds} == clusters
    assert len(seeds) == len(clusters)
    assert {record["verdict"] for record in seeds} == {"correct"}
    metrics = rows(pytester.path / "report")["gsm_plus"]["metrics"]
    assert (metrics["pdr"]["value"], metrics["asp"]["value"]) == (1.0, 0.0)
    assert metrics["seed_accuracy"]["value"] == 1.0


@pytest.mark.data
def test_wrong_replies_are_incorrect_on_all_17_tasks(replay: Replay, pytester: pytest.Pytester, data_dir: str) -> None:
    result = replay(lines(data_dir, wrong), f"--data-dir={data_dir}", f"--limit={LIMIT}", "-q")
    assert result.ret == 0, "wrong answers are data"
    records = items(pytester.path / "report")
    assert Counter(record["verdict"] for record in records) == {"incorrect": len(records)}
    found = rows(pytester.path / "report")
    assert {row["accuracy"] for row in found.values()} == {0.0}
    assert found["gsm_plus"]["metrics"]["pdr"] == {
        "value": None,
        "undefined": "no seed question was answered right: a drop from 0 is undefined",
    }
    assert found["sort8_mixed"]["metrics"]["by_error"]["order"]["value"] == 1.0


def leaves(tree: Any, name: str = "") -> list[tuple[str, dict[str, Any]]]:
    if "value" in tree:
        return [(name, tree)]
    return [leaf for key, value in tree.items() for leaf in leaves(value, f"{name}.{key}".lstrip("."))]


def test_sample_records_run_where_they_are_accepted(replay: Replay, pytester: pytest.Pytester) -> None:
    """Self-written records fail the content pins: an error that says so, and a run that says so with --accept-data."""
    folder = ROOT / "fixtures" / "data"
    played = [{"task": "gsm8k", "item": index, "output": r"\boxed{1}"} for index in range(3)]
    refused = replay(played, "--task=gsm8k", f"--data-dir={folder}", "-q")
    assert refused.ret == 4
    assert "--accept-data" in refused.stderr.str()
    accepted = replay(played, "--task=gsm8k", f"--data-dir={folder}", "--accept-data", "-q")
    assert accepted.ret == 0
    assert {record["verdict"] for record in items(pytester.path / "report")} <= {"correct", "incorrect"}
    assert "accept" in (pytester.path / "report" / "summary.md").read_text().lower()


@pytest.mark.parametrize(
    ("task", "style", "message"),
    [
        ("mr_gsm", "5shot", "task mr_gsm, style 5shot: the data set has no training split to take exemplars from"),
        ("mr_ben", "5shot", "task mr_ben, style 5shot: the data set has no training split to take exemplars from"),
        ("arc_easy", "5shot", "has no arc_easy_train.jsonl[.gz]; put it there, or use direct or cot"),
        ("openbookqa", "5shot-cot", "the training split has no worked solutions; use 5shot or 8shot, or cot"),
    ],
)
def test_few_shot_without_a_training_split_is_a_clear_error(
    replay: Replay, task: str, style: str, message: str
) -> None:
    data = ROOT / "fixtures" / "data"
    arguments = (f"--task={task}", f"--style={style}", f"--data-dir={data}", "--accept-data", "-q")
    result = replay([{"task": task, "item": 0, "output": "Answer: A"}], *arguments)
    assert result.ret == 4
    assert message in " ".join(result.stderr.str().split())


@pytest.mark.data
@pytest.mark.parametrize("task", ["gsm8k", "gsm_plus", "sort32_mixed"])
def test_few_shot_shows_solved_questions_as_chat_turns(
    replay: Replay, pytester: pytest.Pytester, data_dir: str, task: str
) -> None:
    replies = [
        {"task": key, "item": n, "output": "1"}
        for key in (task, "gsm8k")
        for n in range(1319 if key == "gsm8k" else 100)
    ]
    result = replay(replies, f"--task={task}", "--style=5shot,5shot-cot", f"--data-dir={data_dir}", "-k", "-0007", "-q")
    assert result.ret == 0
    for record in items(pytester.path / "report"):
        roles = [message["role"] for message in record["messages"]]
        assert roles == ["user", "assistant"] * 5 + ["user"]
        assert all("boxed" in message["content"] for message in record["messages"] if message["role"] == "assistant")


def test_the_documented_user_task_runs(pytester: pytest.Pytester) -> None:
    shutil.copytree(ROOT / "fixtures" / "user_task", pytester.path / "user_task")
    result = pytester.runpytest_subprocess(
        "user_task", "--model=user_task/replies.jsonl", "--engine=replay", "--report-dir=report"
    )
    assert result.ret == 0
    records = items(pytester.path / "report")
    assert [(record["task"], record["verdict"]) for record in records] == [
        ("capitals", "correct"),
        ("capitals", "correct"),
        ("capitals", "incorrect"),
    ]


PACKAGE = """
from pathlib import Path

from pytest_thinkslm import Case, File, Source, Task


def build(record, index):
    return Case("doubles", index, "number", record["question"], record["answer"])


TASK = Task(key="doubles", title="Doubles", kind="number", build=build,
            source=Source(files=(File("doubles"),), folder=Path(__file__).parent))
"""
TEST = """
from pytest_thinkslm import reasoning_task, verify


@reasoning_task("doubles")
def test_doubles(case, slm):
    verify(case, slm(case))
"""


def test_an_installed_package_offers_its_task(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    site = pytester.mkdir("site")
    info = site / "doubles-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: doubles\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pytest_thinkslm.tasks]\ndoubles = doubles_tasks:TASK\n")
    (site / "doubles_tasks.py").write_text(PACKAGE)
    records = [{"question": f"What is twice {n}?", "answer": str(2 * n)} for n in range(3)]
    (site / "doubles.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pytester.makepyfile(test_doubles=TEST)
    replies = [{"task": "doubles", "item": n, "output": f"The answer is {2 * n}."} for n in range(3)]
    (pytester.path / "replies.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    result = pytester.runpytest_subprocess(
        "test_doubles.py", "--model=replies.jsonl", "--engine=replay", "--report-dir=report"
    )
    assert result.ret == 0
    assert [record["verdict"] for record in items(pytester.path / "report")] == ["correct"] * 3


OPENED = """
import atexit, os, sys
folder = os.environ["WATCHED_FOLDER"]
opened = set()
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.fsdecode(arguments[0])
        if os.path.dirname(os.path.abspath(path)) == folder:
            opened.add(os.path.basename(path))
sys.addaudithook(watch)
atexit.register(lambda: open(os.environ["WATCHED_LOG"], "w").write("\\n".join(sorted(opened))))
"""


@pytest.mark.data
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--task=openbookqa", "--limit=3"], ["openbookqa_main_test.jsonl"]),
        (["--collect-only", "-q"], []),
        (["--task=openbookqa", "--collect-only", "-q"], []),
    ],
    ids=["one task", "collecting everything", "collecting one task"],
)
def test_only_the_data_of_what_runs_is_opened(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    data_dir: str,
    arguments: list[str],
    expected: list[str],
) -> None:
    site = pytester.mkdir("site")
    (site / "audit_opened.py").write_text(OPENED)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    monkeypatch.setenv("WATCHED_FOLDER", data_dir)
    monkeypatch.setenv("WATCHED_LOG", str(pytester.path / "opened.txt"))
    played = [{"task": key, "item": 0, "output": "Answer: A"} for key in registry.all_tasks()]
    (pytester.path / "replies.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in played))
    result = pytester.runpytest_subprocess(
        "-p", "audit_opened", "--model=replies.jsonl", "--engine=replay", f"--data-dir={data_dir}", *arguments
    )
    assert result.ret == (0 if "--collect-only" in arguments else 1)  # two of the three have no reply
    assert (pytester.path / "opened.txt").read_text().split() == expected


def test_the_suite_has_a_function_a_task() -> None:
    assert len(GENERATED) == 6
    assert all(get(key).count for key in registry.all_tasks())
