"""Helpers of the tests that run the suite with a judge: recorded outputs and a run's files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.tasks import registry

TASK = "sort8_positive"

#: A server that does not answer is given up sooner than by default.
IMPATIENT = """
from pytest_thinkslm.judging import judge
judge.TIMEOUT, judge.RETRIES = 3.0, 0
"""


def reference(index: int) -> str:
    """The sorted list of an item, as the judge is shown it."""
    gold = load_cases(registry.get(TASK), [index], None, data_seed=0).cases[index].gold
    assert isinstance(gold, tuple)
    return ", ".join(map(str, gold))


def outputs() -> list[dict[str, object]]:
    """Items 0 to 6: right; wrong; right in words that the parser does not read; no answer; cut; unfinished; empty."""
    texts = [
        f"\\boxed{{{reference(0)}}}",
        "\\boxed{1, 2, 3}",
        f"In order they would be ({reference(2)}); or ({reference(3)}), no: the first of the two.",
        "I like turtles.",
        "Let me think about",
        "<think>First",
        "",
    ]
    lines: list[dict[str, object]] = [{"task": TASK, "item": index, "output": text} for index, text in enumerate(texts)]
    lines[4]["finish_reason"] = "length"
    return lines


#: Selects the items of ``outputs``.
SEVEN = (f"--task={TASK}", "-k", " or ".join(f"direct-000{index}" for index in range(7)))


class JudgedRuns:
    """Runs in processes of their own, from one folder with one journal."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.folder = pytester.path / "report"
        pytester.makeconftest(IMPATIENT)

    def __call__(
        self,
        *arguments: str,
        url: str | None = None,
        judge: str = "judge-1",
        lines: Iterable[Mapping[str, object]] | None = None,
    ) -> pytest.RunResult:
        self.write(outputs() if lines is None else lines)
        return self.pytester.runpytest_subprocess(*self.arguments(*arguments, url=url, judge=judge), timeout=180)

    def write(self, lines: Iterable[Mapping[str, object]]) -> None:
        (self.pytester.path / "outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def arguments(self, *arguments: str, url: str | None, judge: str = "judge-1") -> list[str]:
        named = any(word.startswith("--model") for word in arguments)
        given = ["--report-dir=report"] + ["--model=outputs.jsonl", "--engine=replay"] * (not named)
        given += [f"--judge={judge}"] * bool(judge) + ([f"--judge-url={url}"] if url else [])
        selected = any(word.startswith("--task") or word.endswith(".py") for word in arguments)
        return [*given, *(() if selected else SEVEN), *arguments]

    def items(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "items.jsonl").read_text().splitlines()]

    def results(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / "results.json").read_text())
        return value
