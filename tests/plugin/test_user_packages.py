"""What other packages bring - an engine, an answer kind, a task - each in a wheel of its own, together in one run."""

import json
import sys
import zipfile
from pathlib import Path

import pytest
from replayed import items, results

ENGINE = '''
from pytest_thinkslm import engine_from

COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "grey"}


def answer(prompts):
    """Knows four things (one of them wrong); says so in JSON."""
    replies = []
    for prompt in prompts:
        thing = next((thing for thing in COLOURS if thing in prompt), None)
        replies.append("I do not know." if thing is None else f'It is:\\n{{"colour": "{COLOURS[thing]}"}}')
    return replies


make = engine_from(answer)
'''

READER = """
import json

from pytest_thinkslm import Answer, Reader


def read(text, case):
    line = text.strip().splitlines()[-1] if text.strip() else ""
    try:
        return json.dumps(json.loads(line), sort_keys=True)
    except ValueError:
        return Answer(None, "no-json")


def compare(answer, case):
    if json.loads(answer) == json.loads(case.gold):
        return True
    return "wrong-field" if json.loads(answer).keys() != json.loads(case.gold).keys() else False


READER = Reader("json", read, compare, ask="give the answer as one line of JSON, the last of your reply.")
"""

TASK = """
import json

from pytest_thinkslm import Case, Task

THINGS = (("sky", "blue", "above"), ("grass", "green", "below"), ("snow", "white", "below"), ("coal", "black", "below"),
          ("moss", "green", "below"))


def generate(data_seed, index):
    thing, colour, place = THINGS[index]
    return Case("colours", index, "json", f"What colour is {thing}?", json.dumps({"colour": colour}),
                facets={"place": place})


TASK = Task("colours", "Colours", "json", generate=generate, count=len(THINGS))
"""


def _wheel(folder: Path, name: str, source: str, entry_points: str) -> Path:
    """A wheel as a build backend makes it: one module and its metadata. Python imports it as it is."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", source)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", entry_points)
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    folder = tmp_path / "wheels"
    folder.mkdir()
    made = [
        _wheel(folder, "know_it_all", ENGINE, "[pytest_thinkslm.engines]\nknow-it-all = know_it_all:make\n"),
        _wheel(folder, "json_answers", READER, "[pytest_thinkslm.readers]\njson = json_answers:READER\n"),
        _wheel(folder, "colour_task", TASK, "[pytest_thinkslm.tasks]\ncolours = colour_task:TASK\n"),
    ]
    for wheel in made:
        monkeypatch.syspath_prepend(wheel)
    path = ":".join([*map(str, made), *(entry for entry in sys.path if entry)])
    monkeypatch.setenv("PYTHONPATH", path)
    return folder


def _run(pytester, *arguments):
    return pytester.runpytest_subprocess(
        "--model=any",
        "--engine=know-it-all",
        "--task=colours",
        "--report-dir=out",
        "-p",
        "no:cacheprovider",
        *arguments,
    )


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two workers"])
def test_three_wheels_work_together_without_a_test_of_their_own(pytester, wheels, workers):
    result = _run(pytester, *workers)
    assert result.ret == 0, result.stdout.str()
    lines = items(pytester.path / "out")
    assert [(line["verdict"], line["failure"]) for line in lines] == [
        *[("correct", None)] * 3,
        ("incorrect", None),
        ("unparsed", "no-json"),
    ]
    assert lines[0]["answer"] == lines[0]["gold"] == '{"colour": "blue"}'
    assert lines[0]["rule"] == "json"
    assert lines[0]["test"] == "test_colours"
    assert lines[0]["messages"][0]["content"] == (
        "What colour is sky?\n\nGive the answer as one line of JSON, the last of your reply."
    )
    assert lines[0]["finish_reason"] == "unknown"
    row = results(pytester.path / "out")["results"][0]
    by_place = {place: (found["value"], found["n"]) for place, found in row["metrics"]["by_place"].items()}
    assert by_place == {"above": (1.0, 1), "below": (0.5, 4)}
    result.stdout.fnmatch_lines(["colours *place above* 1 *100.0%*", "colours *place below* 4 *50.0%*"])


def test_wrong_answers_are_what_incorrect_says(pytester, wheels):
    first = _run(pytester, "--incorrect=fail")
    assert first.ret == 1
    assert first.parseoutcomes() == {"passed": 3, "incorrect": 1, "unparsed": 1}
    again = _run(pytester, "--incorrect=xfail", "--rescore", "--quant=none")  # the same variant
    again.assert_outcomes(passed=3, xfailed=2)
    assert again.ret == 0


def test_the_tests_of_a_package_are_run_where_it_has_them(pytester, wheels):
    pytester.makepyfile(
        test_own="""
        from pytest_thinkslm import reasoning_task, verify

        @reasoning_task("colours")
        def test_colours_of_things(case, slm):
            verify(case, slm(case))
        """
    )
    suite = Path(__file__).parents[2] / "reasoning_tests"
    _run(pytester, "test_own.py", str(suite))
    assert {line["test"] for line in items(pytester.path / "out")} == {"test_colours_of_things"}


def test_a_reader_that_fails_is_an_error_that_names_it(pytester, wheels):
    _wheel(
        wheels,
        "json_answers",
        READER.replace("line = text", "line = tax"),
        "[pytest_thinkslm.readers]\njson = json_answers:READER\n",
    )
    result = _run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*error: the reader of 'json' failed on colours 0000: read raised NameError*"])
    assert {line["verdict"] for line in items(pytester.path / "out")} == {"error"}
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine=know-it-al",), "*--engine 'know-it-al' is unknown: did you mean 'know-it-all'?"),
        (
            ("--engine-args=a=b",),
            "*--engine-args: the function know_it_all.answer has no parameter 'args' that takes it",
        ),
        (("--thinking=on",), "*--thinking on: an engine made of a function cannot*"),
        (("--sampling=model",), "*--sampling model: no checkpoint is here*"),
    ],
)
def test_what_the_engine_cannot_do_is_said_before_anything_runs(pytester, wheels, arguments, message):
    result = _run(pytester, *arguments)
    assert result.ret == 4
    result.stderr.fnmatch_lines([message])


def test_an_unknown_answer_kind_is_named(pytester, wheels):
    (wheels / "json_answers-1.0-py3-none-any.whl").unlink()
    result = _run(pytester)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*task colours: unknown answer kind 'json'*"])


def test_a_task_with_a_reader_and_a_test_of_its_own(pytester):
    pytester.makeconftest(
        """
        import re
        from pytest_thinkslm import Case, Task, register

        def generate(data_seed, index):
            return Case("codes", index, "code", f"Say code {index}.", f"AB-{index}")

        def read(text, case):
            found = re.findall(r"[A-Z]{2}-[0-9]+", text)
            return found[-1] if found else None

        def own_test(case, slm):
            assert slm(case).text.startswith("It is"), "no preamble"

        register(Task("codes", "Codes", "code", generate=generate, count=3, read=read, test=own_test))
        register(Task("words", "Words", "code", generate=generate, count=3, read=read, ask="say the code alone."))
        """
    )
    replies = [
        {"task": task, "item": item, "output": f"It is AB-{min(item, 1)}"}
        for task in ("codes", "words")
        for item in range(3)
    ]
    pytester.path.joinpath("replies.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    result = pytester.runpytest_subprocess(
        "--model=replies.jsonl", "--engine=replay", "--task=codes,words", "--report-dir=out", "-p", "no:cacheprovider"
    )
    assert result.ret == 0, result.stdout.str() + result.stderr.str()
    lines = items(pytester.path / "out")
    assert {(line["task"], line["test"], line["verdict"]) for line in lines} == {
        ("codes", "test_codes", "correct"),
        ("words", "test_words", "correct"),
        ("words", "test_words", "incorrect"),
    }
