"""Every command that the documentation shows: those that can be run here are, every other one is read to its end."""

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
from pathlib import Path

import pytest
from docs_commands import ROOT, Command, options, shown, spans, without_redirection
from plugin.replayed import sorted_answer

from pytest_thinkslm.__main__ import COMMANDS, command_parser, main
from pytest_thinkslm.plugin.options import OPTIONS

SHOWN, SPANS = shown(), spans()
FIXTURES = ROOT / "fixtures"

#: Options of other programs that the pages name: gh, mypy's like, schedulers, servers, package managers.
OF_OTHERS = frozenset(
    "--array --branch --create-if-none --body-file --data-parallel-size --dependency --dir --edit-last --enable-lora "
    "--generation-config  --jq --json --lora-modules --name --port --reasoning-parser --status --workflow "
    "--parallel --model-path --local-dir --all-files --tx --working-dir".split()
)
#: Of programs that are run by their file: benchmarks.
OF_SCRIPTS = frozenset("--busy --rounds --concurrency --items --outputs --prose".split())

#: Parses each command line as pytest would, makes its settings, and runs nothing.
PARSER = """
import contextlib, io, json, sys
import pytest

class Probe:
    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config):
        from pytest_thinkslm.plugin.options import raw_values
        from pytest_thinkslm.settings.run_settings import build_settings
        from pytest_thinkslm.tasks import registry
        settings = build_settings(raw_values(config))
        if settings is not None:
            registry.select(settings.tasks)
        return 0

from pytest_thinkslm import engine_from, register_engine
register_engine("mine", engine_from(lambda prompts: prompts))  # the pages' own engine
found = []
for words in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = pytest.main([*words, "-p", "no:cacheprovider"], plugins=[Probe()])
        except Exception as error:
            status = repr(error)
    found.append([0 if status == 0 else str(status), out.getvalue()])
json.dump(found, sys.stdout)
"""


def commands(program: str, of: Sequence[Command] = (*SHOWN, *SPANS)) -> list[Command]:
    return [command for command in of if command.program == program]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages' commands name: runs, recorded outputs, other tools' logs, a file of labels."""
    folder: Path = tmp_path_factory.mktemp("docs")
    lines = [
        {"task": "sort8_positive", "item": item, "model": "m", "quant": quant, "style": style,
         "output": sorted_answer("sort8_positive", item) if item % 4 else "\\boxed{1, 2}"}
        for item in range(100) for quant in ("none", "w8a8", "gptq4") for style in ("direct", "cot")
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "outputs.jsonl").write_text(text)
    answers = [{"task": "gsm8k", "item": item, "output": "\\boxed{1}"} for item in range(4)]
    for name in ("results.jsonl", "gsm8k.jsonl"):
        (folder / name).write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    (folder / "policy.toml").write_text("margin = 5\n")
    runs = {
        "none": ["--quant=none"],
        "w8a8": ["--quant=w8a8"],
        "gptq4": ["--quant=gptq4"],
        "all": ["--quant=none,w8a8,gptq4"],
        "RUN": ["--quant=none,w8a8", "--style=direct,cot"],
    }
    for name, asked in runs.items():
        done = run(
            ["pytest", "--engine=replay", "--model=outputs.jsonl", f"--report-dir=reports/{name}", *asked], folder
        )
        assert done.returncode == 0, done.stdout
    also = {
        "none": ("before", "a", "last-week"),
        "w8a8": ("after", "b", "monday"),
        "all": ("all-variants", "run1"),
    }
    also["none"] += ("20260101-120000-embedded-none",)
    for source, names in also.items():
        for name in names:
            shutil.copytree(folder / "reports" / source, folder / "reports" / name)
    for name in ("baseline", "report", "FOLDER", "RUN"):
        shutil.copytree(folder / "reports" / "none", folder / name)
    shutil.copytree(FIXTURES / "user_task", folder / "fixtures" / "user_task")
    shutil.copytree(FIXTURES / "data", folder / "DATA")
    (folder / "data").symlink_to("DATA")
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


def run(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, in the folder."""
    command = [sys.executable, "-m", *words, "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)


# -- read --------------------------------------------------------------------------------------------------------


def test_the_pages_show_commands() -> None:
    assert len(commands("pytest", SHOWN)) > 50
    assert len(commands("thinkslm", SHOWN)) > 30
    assert len({command.page for command in SHOWN}) > 15


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


@pytest.fixture(scope="module")
def parsed(sandbox: Path) -> dict[Command, tuple[object, str]]:
    """How each pytest command is read, from a folder that has what they name."""
    asked = [command for command in commands("pytest") if "--help" not in command.words]
    words = [[re.sub(r"\$\w+", "1", word) for word in command.words[1:]] for command in asked]
    labels = sandbox / "audit-run1.of-nobody.csv"  # settings look for the file; agreement would read it
    labels.touch()
    done = subprocess.run(
        [sys.executable, "-c", PARSER],
        input=json.dumps(words),
        cwd=sandbox,
        capture_output=True,
        text=True,
        timeout=300,
    )
    labels.unlink()
    assert done.returncode == 0, done.stderr
    return {command: (status, text) for command, (status, text) in zip(asked, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize("command", [one for one in commands("pytest") if "--help" not in one.words], ids=str)
def test_pytest_knows_what_a_page_types(command: Command, parsed: dict[Command, tuple[object, str]]) -> None:
    status, text = parsed[command]
    assert status == 0, text


@pytest.mark.parametrize("command", commands("thinkslm", SHOWN), ids=str)
def test_thinkslm_knows_what_a_page_types(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        command_parser().parse_args(without_redirection(command.words[1:]))
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


@pytest.mark.parametrize("command", commands("thinkslm", SPANS), ids=str)
def test_commands_within_sentences_are_there(command: Command) -> None:
    names = [module.__name__.rpartition(".")[2].rstrip("_") for module in COMMANDS]
    assert command.words[1] in (*names, "--help")


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_examples_of_the_help_are_read(module: object, capsys: pytest.CaptureFixture[str]) -> None:
    examples = [line.strip() for line in module.EXAMPLES.splitlines() if line.strip().startswith("thinkslm ")]  # type: ignore[attr-defined]
    assert examples
    for line in examples:
        words = shlex.split(line, comments=True)
        try:
            command_parser().parse_args(without_redirection(tuple(words[1:])))
        except SystemExit:
            pytest.fail(f"{line}: {capsys.readouterr().err}")


@pytest.mark.parametrize("command", [one for one in commands("python", SHOWN) if one.words[1].endswith(".py")], ids=str)
def test_a_script_has_the_options_that_a_page_gives_it(command: Command) -> None:
    script = [sys.executable, str(ROOT / command.words[1]), "--help"]
    text = subprocess.run(script, capture_output=True, text=True, check=True, timeout=120).stdout
    for option in (word for word in command.words if word.startswith("--")):
        assert f"{option} " in text


# -- run ---------------------------------------------------------------------------------------------------------

#: Subcommands that need nothing but files; the others ask a model, compress one, or search one's outputs.
OF_FILES = (
    "compare",
    "certify",
    "choose",
    "leaderboard",
    "page",
    "models",
    "import",
    "export",
    "audit",
    "label",
    "agreement",
)


def runs_here(command: Command) -> bool:
    words = command.words
    if command.page == "first-hour.md":
        return False  # test_first_hour.py runs them in the order in which they stand
    if command.program == "thinkslm":
        return words[1] in OF_FILES
    return "replay" in words or ("--plan" in words and "embedded" in words)


RUN = list({command.words: command for command in SHOWN if runs_here(command)}.values())


@pytest.mark.parametrize("command", RUN, ids=str)
def test_a_command_runs(
    command: Command, sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sandbox)
    words = without_redirection(command.words)
    if command.program == "pytest":
        # Recorded outputs of GSM8K are here of the few records of the fixtures.
        more = ["--data-dir=DATA", "--accept-data", "--recorded-only"] if "replay" in words else []
        done = run([*words, *more], sandbox)
        assert done.returncode == 0, done.stdout
        assert "files: " in done.stdout or "--plan" in words, done.stdout
        return
    if "--svg" in words and not shutil.which("chromium"):
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    if words[1] in ("label", "agreement"):
        _label(sandbox, monkeypatch)
    if words[1] == "import" and "--data-dir" not in words:
        words += ["--data-dir", "DATA"]
    given = [found for word in words[1:] for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    status = main(given)
    said = capsys.readouterr()
    assert status in (0, 1), said.err  # 1: a certificate that is not GO, which so few items cannot be
    assert said.out


def _label(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample and two people's labels of it; standard input answers "correct" from here on."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("c\n" * 500))
    if not (sandbox / "audit-run1.csv").exists():
        assert main(["audit", "reports/run1", "--n", "150"]) == 0
    for name in ("ben", "eve"):
        assert main(["label", "audit-run1.csv", "--annotator", name]) == 0
