"""Any value of any option: a sentence and one of pytest's statuses, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from replayed import four_sorts

from pytest_thinkslm.plugin.options import OPTIONS, Option

#: What ``pytest`` may end with: everything but its internal error.
STATUSES = {0, 1, 2, 4, 5}

#: Of the base command, so that an example takes a fraction of a second; an example's option comes last and wins.
BASE = ("--model=outputs.jsonl", "--engine=replay", "--task=sort8_positive", "--limit=1", "--report-dir=report")
QUIET = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-p", "no:rerunfailures", "-q")

LONG = "x" * 300
PATHS = (
    "~nosuchuser/a",
    LONG,
    "a/" * 3000,
    "/dev/null",
    "/",
    "..",
    "outputs.jsonl",
    "outputs.jsonl/a",
    "\udcff",
    "a\nb",
)
ADDRESSES = (
    "http://[::1",
    "http://u:PW@ho[st",
    "http://bücher..example",
    "http://a:99999",
    "http://u:PW@ℍ",
    "//",
    "http://",
    "file:///etc/passwd",
    "http://127.0.0.1:1/?key=1",
    f"http://127.0.0.1:1/{LONG}",
)
NUMBERS = ("99999999999", "-1", "9" * 5000, "1e400", "nan", "-inf", "٣", "1_000", "0x10", "1.5", " 1 ", "½", "--")
WORDS = (
    "",
    "=",
    ",,,",
    "a=b=c",
    "[",
    "*",
    "\x1b[31mred",
    "\u202eabc",
    "{" * 200,
    "on",
    "model",
    "thinkslm",
    "paper",
    "None",
)

anything = st.one_of(
    st.sampled_from([*PATHS, *ADDRESSES, *NUMBERS, *WORDS]),
    st.integers().map(str),
    st.floats().map(str),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    st.lists(st.sampled_from(["gsm8k", "sort8_positive", "truncated", "lower:", "1", "=", "latency"]), max_size=3).map(
        "=".join
    ),
)

#: Runs each line of standard input as one command in this process, and prints its status and what is wrong with it.
CHILD = """
import ast, contextlib, io, sys
import pytest
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = int(pytest.main(ast.literal_eval(line)))
        except BaseException as error:
            status = repr(error)
    text = said.getvalue()
    wrong = [mark for mark in ("Traceback", "INTERNALERROR", "\\x1b[31mred", "\\u202e", ":PW@") if mark in text]
    print(repr((status, wrong, text[-600:] if wrong else "")), file=sys.__stdout__, flush=True)
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory):
    """One process that runs commands one after the other: starting one for each would take most of the time."""
    import ast
    import json

    folder = tmp_path_factory.mktemp("values")
    (folder / "outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in four_sorts()))
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join([*sys.path[1:], str(Path.cwd())])}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:

        def run(*arguments: str) -> tuple[object, list[str], str]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(ascii([*QUIET, *BASE, *arguments]) + "\n")
            process.stdin.flush()
            answer: tuple[object, list[str], str] = ast.literal_eval(process.stdout.readline() or "('ended', [], '')")
            return answer

        yield run
        process.stdin.close()


@pytest.mark.timeout(900)
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(option=st.sampled_from(OPTIONS), value=anything)
@example(option=next(option for option in OPTIONS if option.name == "repeats"), value="99999999999")
@example(option=next(option for option in OPTIONS if option.name == "thinking"), value="9" * 5000)
@example(option=next(option for option in OPTIONS if option.name == "judge-url"), value="http://[::1")
@example(option=next(option for option in OPTIONS if option.name == "data-dir"), value=LONG)
@example(option=next(option for option in OPTIONS if option.name == "baseline"), value="~nosuchuser/a")
def test_any_value_of_any_option(command, option: Option, value: str) -> None:
    with_judge = ("--judge=nobody/judge",) if option.name.startswith("judge-") else ()
    with_server = ("--engine=openai",) if option.name == "server-url" else ()
    given = option.prefixed if option.kind == "flag" else f"{option.prefixed}={value}"
    status, wrong, said = command(*with_judge, *with_server, given)
    if option.kind == "path":  # what was given for a path is no address
        wrong = [mark for mark in wrong if "PW" not in mark]
    assert not wrong, said
    assert status in STATUSES, said
