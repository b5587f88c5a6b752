"""Commands that people are likely to type and that run nothing: each says why, and what to type."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.plugin.hints import Collected, misspelt, nothing_ran
from pytest_thinkslm.plugin.options import SHORT_NAMES

CONFTEST = """
import functools
from pytest_thinkslm import Case, Task, register

def generate(key, seed, index):
    facets = {"tone": "dry" if index % 2 else "wet"}
    return Case(task=key, index=index, kind="number", question="1+1?", gold="2", facets=facets)

for key in ("mine", "testless"):
    register(Task(key=key, title=key, kind="number", generate=functools.partial(generate, key), count=6))
"""
CHECKS = """
from pytest_thinkslm import reasoning_task, verify

@reasoning_task("mine")
def test_mine(case, slm):
    verify(case, slm(case))
"""

#: All commands are run by one interpreter, one after the other: that is where the time of a short run goes.
DRIVER = """
import contextlib, io, json, sys
import pytest

found = {}
for command in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = pytest.main(["-p", "no:cacheprovider", *command.split("|")])
    found[command] = [int(status), out.getvalue()]
json.dump(found, sys.stdout)
"""


class Likely(NamedTuple):
    command: str
    status: int
    says: str


REPLAY = "--model=o.jsonl|--engine=replay|--report-dir=r|"
TABLE = [
    # No model.
    Likely("--task|gsm8k|unit", 0, "--task does nothing without a model; type: pytest --model embedded"),
    Likely("--task=gsm8k|--limit=20|empty", 5, "--task, --limit do nothing without a model"),
    Likely("--quant=gptq4|empty", 5, "--quant does nothing without a model"),
    Likely("--engine=replay|o.jsonl", 4, "--model o.jsonl -p no:cacheprovider --engine=replay (recorded outputs)"),
    Likely(
        "-m|o.jsonl|--engine|replay|empty", 5, "--model o.jsonl -p no:cacheprovider --engine replay empty (recorded"
    ),
    Likely(
        "--engine=replay|empty",
        5,
        "--model FILE -p no:cacheprovider --engine=replay empty (a file of recorded outputs)",
    ),
    Likely(
        "--slm-engine|openai|empty",
        5,
        "--model NAME -p no:cacheprovider --slm-engine openai empty (as the server calls",
    ),
    Likely("--engine=vllm|--task|gsm8k|empty", 5, "--task, --engine do nothing without a model"),
    Likely("--baseline=reports/x|--gate=2|empty", 5, "do nothing without a model, and"),
    Likely(
        "--min-accuracy=gsm8k=50|unit",
        1,
        "--min-accuracy does nothing without a model, and what was not evaluated fails the run; type",
    ),
    Likely("--model=|--slm-gate|2|unit", 1, "--gate does nothing without a model"),
    Likely("--rescore|empty", 5, "--rescore does nothing without a model"),
    Likely("--plan|empty", 5, "--plan does nothing without a model"),
    Likely("--slm-task=gsm8k|empty", 5, "does nothing without a model"),
    Likely("--model=|--task=gsm8k|empty", 5, "--task does nothing without a model"),
    Likely("checks", 0, "1 reasoning test was skipped, since no model is given; type: pytest --model embedded"),
    Likely("checks|-k|mine", 0, "no model is given; type: pytest --model embedded"),
    Likely("--pyargs|pytest_thinkslm.nothing|--task=gsm8k", 4, "not found"),
    Likely("--pyargs|pytest_thinkslm.reasoning_tests", 4, "type: pytest --model embedded (or"),
    Likely("--pyargs|pytest_thinkslm.reasoning_tests.test_gsm8k", 4, "type: pytest --model embedded --task gsm8k (or"),
    Likely("embedded", 4, "type: pytest --model embedded (or"),
    Likely("gsm8k", 4, "type: pytest --model embedded --task gsm8k (or"),
    Likely("test_gsm8k.py", 4, "type: pytest --model embedded --task gsm8k (or"),
    Likely("-m|embedded|unit", 5, "-m selects tests by marker; type: pytest --model embedded"),
    Likely("-m|Qwen/Qwen2.5-0.5B", 5, "-m selects tests by marker; type: pytest --model Qwen/Qwen2.5-0.5B"),
    Likely("nothing_of_ours", 4, "not found: nothing_of_ours"),
    # Misspelt options.
    Likely("--modle|embedded", 4, "did you mean --model?"),
    Likely("--mode|embedded", 4, "did you mean --model?"),
    Likely("-model|embedded", 4, "options have two dashes: --model"),
    Likely("-task|gsm8k", 4, "options have two dashes: --task"),
    Likely("--models=embedded", 4, "did you mean --model?"),
    Likely(REPLAY + "--taks|gsm8k", 4, "did you mean --task?"),
    Likely(REPLAY + "--tasks=gsm8k", 4, "did you mean --task?"),
    Likely(REPLAY + "--lmit=5", 4, "did you mean --limit?"),
    Likely(REPLAY + "--quants=gptq4", 4, "did you mean --quant?"),
    Likely(REPLAY + "--recorded_only", 4, "did you mean --recorded-only?"),
    Likely(REPLAY + "--max_tokens=5", 4, "did you mean --max-tokens?"),
    Likely(REPLAY + "--wheer=level=5", 4, "did you mean --where?"),
    Likely(REPLAY + "--num-samples=5", 4, "did you mean --sample?"),
    Likely(REPLAY + "--slm-tasks=mine", 4, "did you mean --slm-task?"),
    Likely(REPLAY + "--base-url=http://x", 4, "did you mean --server-url or --judge-url?"),
    Likely(REPLAY + "--prompt-style=cot", 4, "did you mean --style?"),
    Likely(REPLAY + "--device=cuda", 4, "typed --engine-args NAME=VALUE"),
    Likely(REPLAY + "--list-tasks", 4, "`thinkslm docs options` has every option"),
    Likely(REPLAY + "--resume", 4, "unrecognized arguments: --resume"),
    Likely("--slm=embedded", 4, "did you mean --model?"),
    Likely("--model embedded", 4, "'--model embedded' is one word, and options are several: leave out the quotes"),
    Likely("--model=embedded --task=gsm8k", 4, "is one word, and options are several: leave out the quotes"),
    # Tasks.
    Likely(REPLAY + "--task=gsm8", 4, "did you mean 'gsm8k'"),
    Likely(REPLAY + "gsm8k", 4, "there is no file or folder gsm8k; it is a task: --task gsm8k"),
    Likely(REPLAY + "--task=testless", 1, "6 of 6 items have no recorded output and will be errors; --recorded-only"),
    Likely(REPLAY + "--task=gsm8k|checks", 5, "checks has tests of mine and none of --task gsm8k"),
    Likely(REPLAY + "--task=mine|--co|-q|-k|nomatch", 5, "all 6 tests of mine were left out by -k nomatch"),
    Likely(REPLAY + "--task=mine", 0, "collected 6 items\n"),  # its own test, and not the suite's for it as well
    # Paths.
    Likely(REPLAY + "empty", 5, "empty has no test of a task: leave the path out to run the suite"),
    Likely(REPLAY + "unit", 0, "the model was asked nothing: unit has no test of a task"),
    Likely(REPLAY + "nowhere", 4, "there is no nowhere here: leave the path out to run the suite (--task KEY for one"),
    Likely(REPLAY + "reasoning_tests/test_gsm8k.py", 4, "leave the path out to run the suite (--task gsm8k)"),
    Likely(
        REPLAY + "checks/test_mine.py::test_mine[direct-3]", 4, "four digits: checks/test_mine.py::test_mine[direct-0"
    ),
    Likely(REPLAY + "checks/test_mine.py::test_yours", 4, "there is no such test in checks/test_mine.py"),
    # Everything is deselected.
    Likely(REPLAY + "-k|gsm8q|--co|-q", 5, "all 106 tests of mine, sort8_positive were left out by -k gsm8q"),
    Likely(REPLAY + "-k|sort8_postive|--co|-q", 5, "did you mean 'sort8_positive'?"),
    Likely(REPLAY + "-k|direct-17|--co|-q", 5, '-k "mine and direct-0017"'),
    Likely(REPLAY + "-k|cot|--co|-q", 5, "a style is asked for by --style cot"),
    Likely(REPLAY + "--quant=gptq4", 4, "the recorded outputs have no such variant: there are none"),
    Likely(REPLAY + "-m|slow|--co|-q", 5, "sort8_positive were left out by -m slow; leave that out"),
    Likely(REPLAY + "--task=mine|-m|mine|--co|-q", 5, "selects tests by marker; a task is asked for by --task mine"),
    Likely(REPLAY + "--task=mine|-k|gsm8k|--co|-q", 5, "all 6 tests of mine were left out by -k gsm8k"),
    Likely(REPLAY + "-k|x|-m|slow|--co|-q", 5, "by -k x and -m slow"),
    # Facets, recorded outputs, shards.
    Likely(REPLAY + "--where=tone=angry|--task=mine", 4, "no item of a selected task has it: there are dry, wet"),
    Likely(REPLAY + "--where=tune=dry|--task=mine", 4, "no selected task has the facet 'tune': did you mean 'tone'?"),
    Likely(REPLAY + "--where=dry|--task=mine", 4, "give FACET=VALUE"),
    Likely(REPLAY + "--recorded-only|--task=sort16_mixed", 5, "the options leave no item of sort16_mixed"),
    Likely(REPLAY + "--shard=3", 4, "give the number of the part and of all parts, e.g. 3/8"),
    Likely(REPLAY + "--shard=9/8", 4, "parts are numbered from 1 to 8"),
    Likely(REPLAY + "--shard=450/900|--task=mine|--recorded-only", 0, "shard 450/900 is empty"),
    Likely("--model=embedded|--recorded-only", 4, "--recorded-only is about recorded outputs: add --engine replay"),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    folder: Path = tmp_path_factory.mktemp("likely")
    (folder / "conftest.py").write_text(CONFTEST)
    for name, content in (("checks/test_mine.py", CHECKS), ("unit/test_u.py", "def test_u(): pass"), ("empty/x", "")):
        (folder / name).parent.mkdir()
        (folder / name).write_text(content)
    lines = [
        {"task": task, "item": item, "output": "\\boxed{2}"}
        for task, count in (("mine", 6), ("sort8_positive", 3))
        for item in range(count)
    ]
    (folder / "o.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps([row.command for row in TABLE]),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    return {command: (status, text) for command, (status, text) in json.loads(ran.stdout).items()}


@pytest.mark.parametrize("row", TABLE, ids=[row.command for row in TABLE])
def test_a_run_of_nothing_says_why_and_what_to_type(row: Likely, outcomes: dict[str, tuple[int, str]]) -> None:
    status, text = outcomes[row.command]
    assert row.says in text
    assert status == row.status
    assert "Traceback" not in text


def test_own_tasks_that_facets_select_are_not_the_suites() -> None:
    found = Collected(met={"gsm8k", "math"})
    hint = nothing_ran(object(), found, {"gsm8k": True, "math": True, "mine": False}, (), ())
    assert hint == "the options leave no item of the suite's tasks; tests of mine are not the suite's: add --task mine"


@given(st.lists(st.text("-abcdelmost=/ ", max_size=12), max_size=5))
def test_no_argument_that_is_known_is_misspelt(arguments: list[str]) -> None:
    assert not misspelt(arguments, [argument.partition("=")[0] for argument in arguments], SHORT_NAMES)


def test_options_of_others_and_what_follows_two_dashes_are_left_alone() -> None:
    known = ["--cov", "--verbose", "--ignore"]
    assert not misspelt(["--cov=x", "--verbos", "-x", "--", "--modle"], known, SHORT_NAMES)
    assert misspelt(["--modle"], known, SHORT_NAMES)
