"""How much a run prints: few lines without -v however many items, variants and gates it has, all of them with it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from replayed import Line, sorted_answer
from rich.cells import cell_len

Replay = Callable[..., pytest.RunResult]
TASKS = tuple(f"sort{length}_{kind}" for length in (8, 16, 32) for kind in ("positive", "mixed"))
QUANTS = (
    "none",
    "gptq8",
    "gptq4",
    "w8a8",
    "w8a16",
    "w4a16",
    "fp8",
    "fp8-dynamic",
    "awq4",
    "sparse-2of4",
    "q8_0",
    "q4_0",
)
GATES = ("--gate=5", "--certify=2", "--min-accuracy=sort8_*=90", "--max-rate=error=1,unparsed=2", "--allow-unevaluated")


def lines(models: int, quants: int, items: int) -> list[Line]:
    return [
        {
            "task": task,
            "item": item,
            "model": f"owner/model-{model}",
            "quant": quant,
            "output": "I like turtles." if item % 3 == 0 else sorted_answer(task, item),
        }
        for task in TASKS
        for item in range(items)
        for model in range(models)
        for quant in QUANTS[:quants]
    ]


def rows(text: list[str]) -> int:
    """Rows of a terminal of 80 columns, which goes on in the next one where a line is longer.

    A machine that is slow has lines on the wait for outputs besides.
    """
    return sum(max(1, -(-cell_len(line) // 80)) for line in text if not re.match(r"thinkslm: \d+/\d+ outputs", line))


# Of six tasks; all 17 take some twenty rows more (docs/performance.md).
@pytest.mark.parametrize(("models", "quants", "items", "most"), [(1, 2, 60, 95), (2, 12, 3, 150)])
def test_rows_of_a_run_with_all_gates(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, models: int, quants: int, items: int, most: int
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = replay(
        lines(models, quants, items),
        "--task=sort*",
        f"--quant={','.join(QUANTS[:quants])}",
        f"--limit={items}",
        "--sample=hash",
        "--recorded-only",
        *GATES,
    )
    text = found.outlines
    assert rows(text) <= most
    assert [line for line in text if line.count("%]") > 1] == [], "two shares of progress in one line"
    assert [line for line in text if line.endswith("[100%]")]
    ours = [line for line in text if "thinkslm: " in line]
    assert [line for line in ours if not line.startswith("thinkslm: ")] == [], "it goes on behind the dots"
    assert len([line for line in ours if "on replay" in line]) == models * quants
    assert not [line for line in text if "FAILURES" in line or "at the table of gates" in line]
    assert [line for line in text if line.startswith("mean: each task weighs the same")]
    assert [line for line in text if line.startswith("gates: ")]
    examples = [line for line in text if re.match(r"(\S+::)?test_\S+ - ", line)]
    assert examples
    assert {"::" in line for line in examples} == {False}, "of a long line the file's name goes"


def test_verbose_leaves_nothing_out_and_quiet_has_the_figures(replay: Replay) -> None:
    asked = ("--task=sort*", "--quant=none,gptq8", "--recorded-only", *GATES)
    told = lines(1, 2, 3)
    quiet, normal, whole = (replay(told, *asked, *more).outlines for more in (("-q",), (), ("-v",)))
    assert len(quiet) < len(normal) < len(whole)
    assert [line for line in quiet if line.startswith("gate failed")]
    assert not [line for line in quiet if "on replay" in line or line.startswith("p: of any change")]
    assert len([line for line in whole if line.startswith("gate ")]) > 30
    assert len([line for line in whole if " UNPARSED" in line]) >= 12
