"""Every command that the documentation shows is run; what cannot be run here is read to its end, and says why not."""

from __future__ import annotations

import glob
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from docs_commands import PAGES, ROOT, Command, options, shown, spans, without_redirection
from docs_stand_ins import ENGINE, stand_in
from test_first_hour import OF_EMBEDDED

from pytest_thinkslm import register_engine
from pytest_thinkslm.__main__ import COMMANDS, command_parser, main
from pytest_thinkslm.plugin.options import OPTIONS

SHOWN, SPANS = shown(), spans()
FIXTURES = ROOT / "fixtures"

#: Options of other programs that the pages name: gh, mypy's like, schedulers, servers, package managers.
OF_OTHERS = frozenset(
    "--array --branch --create-if-none --body-file --data-parallel-size --dependency --dir --edit-last --enable-lora "
    "--generation-config  --jq --json --lora-modules --name --port --reasoning-parser --status --workflow "
    "--parallel --model-path --local-dir --all-files --tx --working-dir --wheel".split()
)
#: Of programs that are run by their file: benchmarks.
OF_SCRIPTS = frozenset("--busy --rounds --concurrency --items --outputs --prose --variants".split())

#: Commands that another part of CI runs: the script, and how it stands there.
ELSEWHERE = {
    "pip install -e '.[[]llamacpp]'": (".ci/run", 'bash -euo pipefail -c "$first"'),
    "pip install -e '.[[]llamacpp,transformers,test]'": (".ci/run", '-c "$second"'),
    "pytest": (".ci/run", '-c "$second"'),
    "pytest -n auto --dist loadfile": (".ci/run", '-c "$second"'),
    "pytest tests/*": (".ci/run", '-c "$second"'),
    "lint-imports": (".ci/run", "\nlint-imports\n"),
    "bash .ci/run": (".ci/run", "#!/usr/bin/env bash"),
    "python -m build": (".ci/wheel", "python -m build --wheel"),
    "thinkslm compress --setup-env": (".ci/compress", "thinkslm compress --setup-env --yes"),
}
#: Commands that are read and not run, and why: what they need is no part of a test machine.
READ_ONLY = {
    "pip install 'pytest-thinkslm[[]*": "a package index that has a release",
    "pip install -e '.[[]dev]'": "a fresh environment with everything: CI makes it in steps",
    "python -m venv .venv": "the same",
    "pre-commit install": "it changes the checkout's hooks",
    "gh *": "the forge, and an account there",
    "vllm *": "a GPU",
    "serve run *": "a cluster",
    "python -m vllm.*": "a GPU",
    "export *": "a variable of the shell; the commands behind it are run without",
    "pytest *--drift*": "tokens are scored with a checkpoint's weights (tests/plugin/test_drift_run.py)",
    "pytest *--budget-curve*": "a thought is cut by a checkpoint's tokenizer (tests/plugin/test_budget_run.py)",
    "pytest *--sampling model*": "the checkpoint's own file is read (tests/plugin/test_sampling_run.py)",
    "pytest --shard *": "the end of a batch script, which a scheduler runs (tests/generating/test_shards.py)",
    "thinkslm compress embedded *": "llm-compressor, in an environment of its own (.ci/compress, tests/models)",
    "python benchmarks/vllm_throughput.py *": "vLLM and minutes of both cores",
}


def _reason(command: Command, table: Sequence[str]) -> str | None:
    """The entry of a table that a command falls under."""
    text = shlex.join(command.words)
    return next((pattern for pattern in table if fnmatchcase(text, pattern)), None)


def runs_here(command: Command) -> bool:
    # test_first_hour.py runs that page's others, in the order in which they stand, with the page's own files.
    elsewhere = command.page == "first-hour.md" and command not in OF_EMBEDDED
    return not elsewhere and _reason(command, [*ELSEWHERE, *READ_ONLY]) is None


def commands(program: str, of: Sequence[Command]) -> list[Command]:
    return [command for command in of if command.program == program]


def _once(found: Sequence[Command]) -> list[Command]:
    """Each command at its first place; one that writes a run for later commands once a page."""
    places: dict[tuple[str, ...], Command] = {}
    for command in found:
        page = (command.page,) if "--report-dir" in command.words else ()
        places.setdefault(page + command.words, command)
    return list(places.values())


#: pytest's commands within sentences are run as well; of ``thinkslm`` there stands the name alone, mostly.
OF_PYTEST = _once([one for one in (*SHOWN, *SPANS) if one.program == "pytest" and one.words[1:] != ("--help",)])
RUN_BY_PYTEST = [command for command in OF_PYTEST if runs_here(command)]
OTHERS_RUN = _once([one for one in SHOWN if runs_here(one) and one.program != "pytest"])


# -- which are run -----------------------------------------------------------------------------------------------


def test_every_page_has_a_command_that_is_run() -> None:
    run = {command.page for command in SHOWN if _reason(command, list(READ_ONLY)) is None}
    run |= {command.page for command in RUN_BY_PYTEST}
    assert [path.name for path in PAGES if path.name not in run] == []


def test_what_is_not_run_here_is_what_the_tables_name() -> None:
    """Every entry is of a command that stands on a page, and CI's scripts run what they are said to."""
    texts = [shlex.join(command.words) for command in (*SHOWN, *SPANS)]
    for pattern in (*ELSEWHERE, *READ_ONLY):
        assert [text for text in texts if fnmatchcase(text, pattern)], pattern
    for script, fragment in ELSEWHERE.values():
        assert fragment in (ROOT / script).read_text(), (script, fragment)
    readme = (ROOT / "README.md").read_text()
    assert readme.count("  # first command") == readme.count("  # second command") == 1
    for reason in READ_ONLY.values():
        for path in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / path).is_file(), path


def test_most_commands_are_run() -> None:
    assert len(RUN_BY_PYTEST) > 60
    assert len(OTHERS_RUN) > 40
    assert len({command.page for command in SHOWN}) > 30


# -- read --------------------------------------------------------------------------------------------------------


def test_every_option_that_a_page_names_is_one(request: pytest.FixtureRequest) -> None:
    known = {option.short for option in OPTIONS} | {option.prefixed for option in OPTIONS} | {"--help", "--slm"}
    for option in request.config._parser._anonymous.options:  # pytest has no list of its options
        known.update(option.names())
    for group in request.config._parser._groups:
        known.update(name for option in group.options for name in option.names())
    for command in COMMANDS:
        known.update(_options_of(command))
    unknown = {name: where for name, where in options().items() if name not in known | OF_OTHERS | OF_SCRIPTS}
    assert unknown == {}
    scripts = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    assert sorted(name for name in OF_SCRIPTS if f'"{name}"' not in scripts) == []


def _options_of(command: object) -> set[str]:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    return {name for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize("command", commands("thinkslm", SHOWN), ids=str)
def test_thinkslm_knows_what_a_page_types(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    _read_by_thinkslm(without_redirection(command.words[1:]), capsys)


def _read_by_thinkslm(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        command_parser().parse_args(words)
    except SystemExit as ended:
        if ended.code:
            pytest.fail(f"{words}: {capsys.readouterr().err}")


@pytest.mark.parametrize("command", commands("thinkslm", SPANS), ids=str)
def test_commands_within_sentences_are_there(command: Command) -> None:
    names = [module.__name__.rpartition(".")[2].rstrip("_") for module in COMMANDS]
    assert command.words[1] in (*names, "--help")


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_examples_of_the_help_are_read(module: object, capsys: pytest.CaptureFixture[str]) -> None:
    examples = [line.strip() for line in module.EXAMPLES.splitlines() if line.strip().startswith("thinkslm ")]  # type: ignore[attr-defined]
    assert examples
    for line in examples:
        _read_by_thinkslm(without_redirection(tuple(shlex.split(line, comments=True)[1:])), capsys)


@pytest.mark.parametrize("command", [one for one in commands("python", SHOWN) if one.words[1].endswith(".py")], ids=str)
def test_a_script_has_the_options_that_a_page_gives_it(command: Command) -> None:
    source = (ROOT / command.words[1]).read_text()
    for module in re.findall(r"^from (\w+) import", source, re.MULTILINE):
        if (beside := ROOT / "benchmarks" / f"{module}.py").is_file():
            source += beside.read_text()
    for option in (word for word in command.words if word.startswith("--")):
        assert f'"{option}"' in source


# -- run ---------------------------------------------------------------------------------------------------------

#: The runs that commands name: as pytest is asked for them, and under which names they lie.
RUNS = {
    (): "reports/none reports/before reports/a reports/last-week reports/run1 RUN FOLDER "
    "reports/20260101-120000-embedded-none",
    ("--quant=w8a8",): "reports/w8a8 reports/after reports/b reports/monday",
    ("--quant=gptq4",): "reports/gptq4",
    ("--quant=none,w8a8,gptq4",): "reports/all reports/all-variants",
    ("--quant=none,w8a8", "--style=direct,cot"): "reports/RUN",
}
#: A script with so few items that it takes seconds.
OF_SCRIPTS_RUN = {"benchmarks/harness.py": ["--items", "60"]}
OF_GATES = ("--gate", "--certify", "--max-rate", "--min-accuracy", "--baseline")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages' commands name: records, recorded outputs, other tools' logs."""
    folder: Path = tmp_path_factory.mktemp("docs")
    answers = [{"task": "gsm8k", "item": item, "output": "\\boxed{1}"} for item in range(4)]
    both = [{**answer, "quant": quant} for quant in ("none", "w8a8") for answer in answers]
    for name, lines in (("outputs.jsonl", both), ("results.jsonl", answers), ("gsm8k.jsonl", answers)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "policy.toml").write_text("margin = 5\n")
    shutil.copytree(FIXTURES / "user_task", folder / "fixtures" / "user_task")
    shutil.copytree(FIXTURES / "data", folder / "DATA")
    records = (folder / "DATA" / "math_test.jsonl").read_text()
    hard = json.loads(records.partition("\n")[0]) | {"level": "Level 5"}
    (folder / "DATA" / "math_test.jsonl").write_text(records + json.dumps(hard) + "\n")
    for name in ("data", "DIR"):
        (folder / name).symlink_to("DATA")
    shutil.copy(FIXTURES / "logs" / "data" / "gsm8k_test.jsonl", folder / "DATA")
    (sample,) = (FIXTURES / "logs" / "lm_eval" / "scripted").glob("samples_*.jsonl")
    places = {
        "samples_gsm8k_1.jsonl": sample,
        "out/MODEL/samples_gsm8k_1.jsonl": sample,
        "logs/one.json": FIXTURES / "logs" / "inspect.json",
        "outputs/1/reviews/MODEL/gsm8k_main.jsonl": FIXTURES / "logs/evalscope/reviews/scripted/gsm8k_main.jsonl",
        "outputs/1/predictions/MODEL/gsm8k_main.jsonl": FIXTURES
        / "logs/evalscope/predictions/scripted/gsm8k_main.jsonl",
    }
    for name, source in places.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def outcomes(sandbox: Path) -> dict[Command, tuple[object, str]]:
    """How each pytest command ended and what it said: all of them, in the order of the pages, in one process."""
    asked: list[tuple[str, list[str]]] = []
    for words, names in RUNS.items():
        first, *copies = names.split()
        tasks = ["--task=sort8_positive,arc_easy", "--data-dir=DATA", "--accept-data"]
        asked.append(("run", ["--model=MODEL", f"--report-dir={first}", *tasks, *words]))
        asked += [("copy", [first, name]) for name in copies]
    asked.append(("thinkslm", ["audit", "reports/run1", "--n", "150"]))
    asked += [("thinkslm", ["label", "audit-run1.csv", "--annotator", name]) for name in ("ben", "eve")]
    for number, command in enumerate(OF_PYTEST):
        words = [re.sub(r"\$\w+", "1", word) for word in command.words[1:]]
        if runs_here(command):
            words += [f"--report-dir=out/{number}"] if "--report-dir" not in words else []
            words += ["--accept-data"] if "--data-dir" in words else ["--data-dir=DATA", "--accept-data"]
            # Recorded outputs of GSM8K are here of the few records of the fixtures.
            words += ["--recorded-only"] if "replay" in words else []
        asked.append(("run" if runs_here(command) else "parse", words))
    # Several pages have a baseline of their own; what `thinkslm` compares are two runs that fit.
    asked += [("copy", ["reports/none", "baseline"]), ("copy", ["reports/w8a8", "report"])]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "docs_stand_ins.py")],
        input=json.dumps(asked),
        cwd=sandbox,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr
    found = [(status, text) for status, text in json.loads(done.stdout)]
    made, of_commands = found[: -len(OF_PYTEST) - 2], found[-len(OF_PYTEST) - 2 : -2]
    assert [text for status, text in made if status != 0] == []
    return dict(zip(OF_PYTEST, of_commands, strict=True))


@pytest.mark.parametrize("command", OF_PYTEST, ids=str)
def test_a_command_of_pytest_runs(command: Command, outcomes: dict[Command, tuple[object, str]]) -> None:
    """A real model is stood in for; a gate on so few items may fail."""
    status, text = outcomes[command]
    assert "Traceback" not in text
    if not runs_here(command):
        assert status == 0, text
        return
    gated = any(word.partition("=")[0] in OF_GATES for word in command.words)
    assert status == 0 or (gated and status == 1), text
    assert "files: " in text or {"--plan", "--help", "--collect-only"} & set(command.words), text


@pytest.mark.parametrize("command", OTHERS_RUN, ids=str)
def test_another_command_runs(
    command: Command,
    sandbox: Path,
    outcomes: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(sandbox)
    words = without_redirection(command.words)
    if command.program == "python":
        _run_python(words)
        return
    if "--svg" in words and not shutil.which("chromium"):
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    monkeypatch.setattr(sys, "stdin", io.StringIO("c\n" * 500))  # labels
    if words[1] == "audit":
        words += ["--out", f"again-{Path(words[2]).name}.csv"]  # the sample under its own name has labels
    if words[1] in ("import", "prompts", "shrink", "data") and "--data-dir" not in words:
        words += ["--data-dir", "DATA"]
    if words[1] in ("prompts", "shrink"):
        words += ["--accept-data"]
    if words[1] == "shrink":
        register_engine(ENGINE, stand_in)
        words = [{"17": "1", "transformers": ENGINE}.get(word, word) for word in words]
        words += [] if "--engine" in words else ["--engine", ENGINE]
    given = [found for word in words[1:] for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    status = main(given)
    said = capsys.readouterr()
    # 1: a certificate that is not GO, which so few items cannot be; nothing that is wrong; records that have no pin
    assert status in (0, 1), said.err
    assert said.out


def _run_python(words: Sequence[str]) -> None:
    """A script on few items; a module as it is."""
    program = [str(ROOT / words[1]), *OF_SCRIPTS_RUN[words[1]]] if words[1] in OF_SCRIPTS_RUN else words[1:]
    done = subprocess.run([sys.executable, *program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout
