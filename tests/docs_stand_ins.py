"""Runs the documentation's pytest commands one after the other in one process, with stand-ins for models and servers.

    python docs_stand_ins.py < commands.json > outcomes.json

Reads ``[["run" | "parse" | "copy" | "thinkslm", [WORD, ...]], ...]`` and writes ``[[status, text], ...]``. ``parse``
reads the command line as pytest would, makes its settings and runs nothing; ``copy`` gives a run another name;
``thinkslm`` has "correct" typed for every question. In the current folder lies what the commands name.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from judging.judge_server import JudgeServer

from pytest_thinkslm import Engine, EngineSpec, Output, Sampling, engine_from, register_engine
from pytest_thinkslm.__main__ import main as thinkslm

#: The name under which it is an engine.
ENGINE = "stand-in"
#: Options whose values belong to a real engine, or to more than one process.
_OF_ENGINES = ("--engine", "--server-url", "--engine-args", "-n", "--dist")


def generate(
    prompts: Sequence[str], sampling: Sampling, model: str, quant: str, args: Mapping[str, str]
) -> list[Output]:
    """Sorts the numbers of a question, and says A to one that has options; a compressed model gets some wrong."""
    outputs = []
    for prompt in prompts:
        numbers = sorted(map(int, re.findall(r"-?\d+", prompt.rpartition("\n\nUser: ")[2])))
        if quant not in (None, "none") and sum(numbers) % 5 == 0:
            numbers.reverse()
        text = "Answer: A" if "Answer:" in prompt else f"\\boxed{{{', '.join(map(str, numbers))}}}"
        outputs.append(Output(text, finish_reason="stop", output_tokens=len(text) // 3, prompt_tokens=len(prompt) // 4))
    return outputs


def stand_in(spec: EngineSpec) -> Engine:
    """It takes ``--thinking`` and does not think."""
    return engine_from(generate)(replace(spec, thinking=None))


def stood_in(words: Sequence[str], judge: str) -> list[str]:
    """A page's command on the stand-in: the model's name stays, and whatever is no matter of a real engine."""
    kept, wanted = [], iter(words)
    for word in wanted:
        name, _, value = word.partition("=")
        if name in _OF_ENGINES:
            if not value:
                next(wanted)
        elif name == "--judge":
            kept += [name, "judge-1", "--judge-url", judge]
            next(wanted)
        elif name == "--judge-url":
            next(wanted)
        else:
            kept.append(word)
    path = any(os.path.exists(word) and not before.startswith("-") for before, word in pairwise(["", *words]))
    if not path and not {"--task", "--preset", "-k"} & set(words):
        kept += ["--task", "sort8_positive"]
    return [*kept, "--engine", ENGINE]


class _Reading:
    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        from pytest_thinkslm.plugin.options import raw_values
        from pytest_thinkslm.settings.run_settings import build_settings
        from pytest_thinkslm.tasks import registry

        settings = build_settings(raw_values(config))
        if settings is not None:
            registry.select(settings.tasks)
        return 0


def _outcome(how: str, words: Sequence[str], judge: str) -> tuple[str | int, str]:
    if how == "copy":
        source, target = words
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        return 0, ""
    out = io.StringIO()
    if how == "thinkslm":
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            return thinkslm(list(words)), out.getvalue()
    asked = list(words) if how == "parse" or "replay" in words else stood_in(words, judge)
    plugins: list[object] = [_Reading()] if how == "parse" else []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status: str | int = int(pytest.main([*asked, "-p", "no:cacheprovider"], plugins=plugins))
        except Exception as error:
            status = repr(error)
    return status, f"{' '.join(asked)}\n{out.getvalue()}"


def main() -> None:
    register_engine(ENGINE, stand_in)
    register_engine("mine", stand_in)  # the pages' own engine
    asked = json.load(sys.stdin)
    sys.stdin = io.StringIO("c\n" * 5_000)
    with JudgeServer() as judge:
        found = [_outcome(how, words, judge.url) for how, words in asked]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
