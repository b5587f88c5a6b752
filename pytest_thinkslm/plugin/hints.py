"""Why no test ran, and what to type: a line at the end of a run of nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import nearest
from pytest_thinkslm.tasks.prompts import STYLES

#: pytest's options that leave tests out: destination and how it is typed.
_DESELECTING: Mapping[str, str] = {
    "keyword": "-k",
    "markexpr": "-m",
    "deselect": "--deselect",
    "lf": "--lf",
    "stepwise": "--stepwise",
}


@dataclass(slots=True)
class Collected:
    """What the collection of a run with a model came to.

    Attributes:
        met: the tasks of the tests that were found, selected or not.
        deselected: number of tests that were left out after they had been collected.
        dropped: the tasks of those.
        asking: number of tests of tasks that were left.
        left: number of tests of any kind that were left.
    """

    met: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    deselected: int = 0
    asking: int = 0
    left: int = 0


def misspelt(arguments: Iterable[str], known: Iterable[str], ours: Mapping[str, str]) -> str:
    """What to say of an argument that nobody knows and that looks like an option of ours; empty where there is none.

    Args:
        arguments: the command line.
        known: every option that is registered.
        ours: the names of our options.
    """
    every = set(known)
    of_ours = {*ours, *(f"--slm-{name[2:]}" for name in ours)}
    for argument in arguments:
        if argument == "--":
            break
        name = argument.partition("=")[0]
        first, *words = re.split(r"[\s=]+", argument)
        if first in of_ours and ((" " in name and name not in every) or any(word in of_ours for word in words)):
            return f"{argument!r} is one word, and options are several: leave out the quotes around it"
        if name.startswith("--") and name not in every and name not in ours:
            offered = every if name.startswith("--slm-") else {one for one in every if not one.startswith("--slm-")}
            close = ["--model"] if name == "--slm" else _like(name, [*ours, *offered])
            if close and of_ours.issuperset(close):
                return f"unrecognized argument: {name}; did you mean {' or '.join(close)}?"
        elif "-" + name in ours and name not in every:
            return f"unrecognized argument: {name}; options have two dashes: -{name}"
    return ""


#: Of an option that nobody knows, beside pytest's own error.
UNKNOWN = "`thinkslm docs options` has every option; what is for the engine itself is typed --engine-args NAME=VALUE"


def _like(name: str, options: Iterable[str]) -> list[str]:
    """The option that is nearly spelt so, or the one or two that share a word of the name."""
    bare = {option.lstrip("-"): option for option in options}
    close = difflib.get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.7)
    words = set(re.split("[-_]", name.lstrip("-")))
    close = close or [option for option in bare if words & set(option.split("-"))]
    return [bare[option] for option in close] if len(close) < 3 else []


def without_model(given: Sequence[str], skipped: int, arguments: Sequence[str], *, fails: bool = False) -> str:
    """A run without ``--model``.

    Args:
        given: our options that were given all the same.
        skipped: number of reasoning tests that were skipped.
        arguments: the command line.
        fails: whether a gate is among those, which then fails the run.
    """
    model, rest, what = _a_model(arguments)
    type_this = f"type: pytest --model {' '.join(map(_quoted, [model, *rest]))} ({what})"
    if given:
        do = "does" if len(given) == 1 else "do"
        failing = ", and what was not evaluated fails the run" if fails else ""
        return f"{', '.join(given)} {do} nothing without a model{failing}; {type_this}"
    tests = "1 reasoning test was" if skipped == 1 else f"{skipped} reasoning tests were"
    return f"{tests} skipped, since no model is given; {type_this}" if skipped else ""


def _a_model(arguments: Sequence[str]) -> tuple[str, list[str], str]:
    """What to give to ``--model`` (a file that was given without it, or an example), the rest, and what it is."""
    rest = list(arguments)
    typed = " ".join(rest).replace("--slm-engine", "--engine").replace("--engine=", "--engine ")
    engine = typed.partition("--engine ")[2].partition(" ")[0]
    for place, word in enumerate(rest):
        before = rest[place - 1] if place else ""
        value = before.startswith("--") and "=" not in before  # of another option
        if value or word.startswith("-") or Path(word).suffix not in (".jsonl", ".gguf"):
            continue
        del rest[place - (before == "-m") : place + 1]
        if word.endswith(".gguf"):
            return word, rest, "a GGUF file"
        return word, [*rest, *(["--engine", "replay"] if not engine else [])], "recorded outputs"
    if engine == "replay":
        return "FILE", rest, "a file of recorded outputs"
    if engine == "openai":
        return "NAME", rest, "as the server calls it"
    return "embedded", rest, "or a hub id, or a local folder"


def missing(paths: Iterable[str], here: Path) -> list[str]:
    """Those that are no file or folder, and those that name a test in one."""
    return [path for path in paths if "::" in path or not (here / path).exists()]


def not_found(paths: Sequence[str], suite: Sequence[str], *, model: bool) -> str:
    """Paths, or tests in files, that are not there; empty where that is for pytest alone to say.

    Args:
        paths: those, as they were given.
        suite: the keys of the suite's tasks.
        model: whether one was given; without one only what is surely meant for us is answered.
    """
    for path in paths:
        file, _, test = path.partition("::")
        # A file of the suite, or one of its modules under --pyargs.
        word = re.sub(r"^test_", "", re.split(r"[/.]", file.removesuffix(".py"))[-1])
        if short := re.search(rf"\[((?:.*-)?(?:{'|'.join(STYLES)})-)(\d{{1,3}})((?:-r\d+)?\])$", test):
            padded = f"{short[1]}{int(short[2]):04}{short[3]}"
            return f"items are numbered with four digits: {_quoted(path[: path.rindex('[')])}[{padded}"
        if model and test:
            return f"there is no such test in {_quoted(file)}; --collect-only -q lists those that there are"
        key = word if word in suite else ""
        if model:
            what = f"--task {key}" if key else "--task KEY for one of its tasks"
            return f"there is no {_quoted(file)} here: leave the path out to run the suite ({what})"
        if key or file == "embedded" or file.partition(".")[0] == "pytest_thinkslm":
            return f"type: pytest --model embedded{f' --task {key}' if key else ''} (or a hub id, or a local folder)"
    return ""


def no_marker(expression: str) -> str:
    """A marker expression that looks like a model's name."""
    if expression == "embedded" or re.fullmatch(r"[\w.-]+/[\w.:-]+", expression):
        return f"-m selects tests by marker; type: pytest --model {expression}"
    return ""


def nothing_ran(
    option: object, found: Collected, tasks: Mapping[str, bool], asked: Sequence[str], paths: Sequence[str]
) -> str:
    """A run with a model that no test was left of.

    Args:
        option: pytest's option values.
        found: what was collected.
        tasks: those that ``--task`` lets in, and whether each is one of the suite's.
        asked: what ``--task`` was given.
        paths: the paths that were given; none where the suite is run.
    """
    if found.deselected:
        return _deselected(option, found)
    mine = [key for key, of_suite in tasks.items() if not of_suite]
    where = " ".join(map(_quoted, paths))
    if found.met & set(tasks):
        beside = f"; tests of {', '.join(mine)} are not the suite's: add --task {mine[0]}" if mine and not paths else ""
        those = ", ".join(sorted(found.met & set(tasks))) if asked or paths else "the suite's tasks"
        return f"the options leave no item of {those}{beside}"
    if found.met:
        return (
            f"{where or 'the suite'} has tests of {', '.join(sorted(found.met))} and none of --task {','.join(asked)}: "
            "give one of those, or leave the path out to run the suite"
        )
    return f"{where} has no test of a task: leave the path out to run the suite, or give one with @reasoning_task tests"


def _deselected(option: object, found: Collected) -> str:
    left_out = [(typed, value) for name, typed in _DESELECTING.items() if (value := getattr(option, name, None))]
    by = " and ".join(typed if value is True else f"{typed} {_value(value)}" for typed, value in left_out)
    tasks = sorted(found.dropped)
    those = f" of {', '.join(tasks)}" if 0 < len(tasks) <= 3 else ""
    text = f"all {found.deselected} tests{those} were left out by {by or 'other plugins'}"
    keyword = str(getattr(option, "keyword", "") or "")
    if not keyword:
        marked = str(getattr(option, "markexpr", "") or "")
        if marked in tasks:
            return f"{text}, which selects tests by marker; a task is asked for by --task {marked}"
        return no_marker(marked) or f"{text}; leave that out"
    if keyword in STYLES:
        return f"{text}; a style is asked for by --style {keyword}"
    example = f'"{tasks[0]} and direct-0017"' if tasks else "NAME"
    return (
        f"{text}: an id has the test's file and function, the style and the item's number; "
        f"{_near_words(keyword, tasks)}e.g. -k {example}"
    )


def asked_nothing(paths: Sequence[str]) -> str:
    """A run with a model of which every test was an ordinary one."""
    where = " ".join(map(_quoted, paths))
    return f"the model was asked nothing: {where} has no test of a task; leave the path out to run the suite"


def given_options(option: object, names: Mapping[str, str]) -> list[str]:
    """Our options on the command line, as they are typed, ``--model`` apart."""
    return [
        name for name, dest in names.items() if dest != "slm_model" and getattr(option, dest, None) not in (None, False)
    ]


def skipped_for_want_of_a_model(reports: Iterable[pytest.TestReport], reason: str) -> int:
    """How many of these skipped tests were reasoning tests without a model."""
    return sum(
        isinstance(report.longrepr, tuple) and report.longrepr[-1].endswith(reason)
        for report in reports
        if isinstance(report, pytest.TestReport)
    )


def _near_words(expression: str, tasks: Sequence[str]) -> str:
    """A suggestion where a word of the expression is nearly a task's key."""
    words = [word for word in re.findall(r"[\w-]+", expression) if word not in ("and", "or", "not")]
    hints = (nearest(word, tasks, "") for word in words if word not in tasks)
    return next((f"{hint} " for hint in hints if hint), "")


def _value(value: object) -> str:
    """The value of one of pytest's options as it is typed: a text, or several."""
    return " ".join(map(str, value)) if isinstance(value, list) else _quoted(str(value))


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w./:=,@%+*-]+", text) else f"'{text}'"
