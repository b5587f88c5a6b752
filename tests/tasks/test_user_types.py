"""What a user writes agrees with the types of ``pytest_thinkslm``; mypy finds what does not, or making it does."""

from pathlib import Path

import pytest

from pytest_thinkslm import File, Reader, Source, Task, TrainSource, UsageError

FIXTURES = Path(__file__).parents[2] / "fixtures"

GOOD = """
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pytest_thinkslm import (
    Case, Engine, EngineSpec, File, Fingerprint, Limit, Message, Model, Output, Reader, Request, Sampling, Source, Task,
    TrainSource, check_engine, engine_from, grade, reasoning_task, register, register_engine, register_reader, verify,
)

def build(record: Mapping[str, Any], index: int) -> Case:
    return Case("mine", index, "number", record["q"], record["a"], facets={"level": record["level"]})

def solution(record: Mapping[str, Any]) -> str:
    return str(record["steps"])

FILES = (File("mine"), File("mine_part", records=10, lacks="level 5"))
TRAIN = TrainSource(files=(File("mine_train"),), hub="me/mine", configs=("main",), solution=solution)
SOURCE = Source(hub="me/mine", configs=("main",), files=FILES, train=TRAIN, folder=Path("."))

def metrics(records: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
    return {"n": len(records)}

@reasoning_task("mine")
def test_mine(case: Case, slm: Model) -> None:
    verify(case, slm(case))

LIMIT = Limit(64, 512)
TASK: Task = register(Task("mine", "Mine", "number", build, SOURCE, metrics=metrics, limit=LIMIT, test=test_mine))
READER = Reader("code", read=lambda text, case: text.strip() or None, compare=lambda text, case: text == case.gold)
register_reader(READER)

def generate(prompts: list[str], sampling: Sampling) -> list[Output]:
    return [Output(prompt[: sampling.max_tokens]) for prompt in prompts]

MAKE = engine_from(generate, batch_size=8, prompt=lambda messages: messages[-1].content, facts={"weights": "abc"})
register_engine("mine", MAKE)
engine: Engine = MAKE(EngineSpec("model"))
futures: Sequence[Future[Output]] = engine.submit([Request((Message("user", "Hi."),), Sampling(max_tokens=8))])
verdict: str = grade(Case("mine", 0, "number", "1 + 1?", "2"), futures[0].result()).verdict.name
digest: str = Fingerprint({"a": 1}).digest
check_engine(lambda: MAKE(EngineSpec("model")), timeout=5)
"""

BAD = """
from pytest_thinkslm import Case, File, Reader, Source, Task, TrainSource, engine_from

Source(files=("mine",))
TrainSource(files=("mine",))
TrainSource(files="mine")
Reader("code", read=lambda text: text)
Task("mine", "Mine", "number", build=lambda record: Case("mine", 0, "number", "?", "1"))
engine_from(lambda prompts: 3)
"""


def test_mypy_takes_what_is_right_and_finds_what_is_wrong(tmp_path):
    api = pytest.importorskip("mypy.api")
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    examples = [
        FIXTURES / "user_engine" / "sorting_engine.py",
        FIXTURES / "user_task" / "test_capitals.py",
    ]
    options = ["--strict", "--no-error-summary", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"]
    out, err, _ = api.run([*options, *map(str, examples), str(tmp_path / "good.py"), str(tmp_path / "bad.py")])
    assert not err
    wrong = [line for line in out.splitlines() if ": error:" in line]
    assert not [line for line in wrong if "bad.py" not in line], out
    expected = [number for number, line in enumerate(BAD.splitlines(), 1) if line and not line.startswith("from")]
    assert sorted({int(line.split("bad.py:")[1].split(":")[0]) for line in wrong}) == expected
    for conftest in (FIXTURES / "user_task" / "conftest.py", FIXTURES / "user_reader" / "conftest.py"):
        out, err, status = api.run([*options, str(conftest)])
        assert status == 0, out + err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Source(files=("mine",)), r"Source\(files=\('mine',\)\): give a tuple of File"),
        (lambda: TrainSource(files=("mine",)), r"TrainSource\(files=\('mine',\)\): give a tuple of File"),
        (lambda: TrainSource(files="mine"), "TrainSource.*tuple of File"),
        (lambda: TrainSource(), "TrainSource: give files or hub"),
        (lambda: File("mine.jsonl"), "without .jsonl"),
        (lambda: Source(folder="here"), "pathlib.Path"),
        (lambda: Task("mine", "Mine", "number", build=lambda r, i: None, source=Source()), "neither files nor a hub"),
        (lambda: Task("mine", "Mine", "poem", generate=lambda s, i: None, count=1, ask="write."), "needs\\s+read="),
        (lambda: Reader("poem"), "answer kind 'poem' is none of the suite's"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_made(make, message):
    with pytest.raises(UsageError, match=message):
        make()
