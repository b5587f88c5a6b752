"""``--noise-floor`` from outside, on recorded outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources

import jsonschema
import pytest
from replayed import Line, items, results, sorted_answer

Replay = Callable[..., pytest.RunResult]
TASK = "sort8_positive"


def lines(runs: int = 2) -> list[Line]:
    """Twenty items; the first is wrong in the first further run, and the first eight in the compressed variant."""

    def line(item: int, right: bool, **fields: object) -> Line:
        output = sorted_answer(TASK, item) if right else "I like turtles."
        return {"task": TASK, "item": item, "model": "m", "quant": "none", "output": output, **fields}

    return [
        *(line(item, True) for item in range(20)),
        *(line(item, item > 0 or run > 1, noise=run) for run in range(1, runs + 1) for item in range(20)),
        *(line(item, item >= 8, quant="w8a8") for item in range(20)),
    ]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "two workers"])
def test_flips_are_split_and_accuracy_is_of_the_first_run(
    replay: Replay, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    result = replay(lines(), "--noise-floor=2", "--limit=20", "--recorded-only", *workers)
    assert result.ret == 0
    report = pytester.path / "report"
    found = results(report)
    schema = json.loads(resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text())
    jsonschema.validate(found, schema)
    assert [(row["quant"], row["n"], row["accuracy"]) for row in found["results"]] == [
        ("none", 20, 1.0),
        ("w8a8", 20, 0.6),
    ]
    (row,) = found["deltas"]
    noise = row["noise"]
    assert (noise["runs"], noise["items"], noise["flips"], noise["numerics"]) == (2, 20, 0.4, 0.025)
    assert sum(item["role"] == "noise" for item in items(report)) == 40
    said = "flips 40.0%, by numerics alone 2.5% (2 further runs; excess p 0.0"
    for text in (str(result.stdout), (report / "summary.md").read_text(), (report / "report.html").read_text()):
        assert said in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(
    ("kept", "arguments", "says"),
    [
        ("none", ("--noise-floor=2",), "there is one variant"),
        ("", ("--noise-floor=-1",), "--noise-floor"),
        (
            "",
            ("--noise-floor=1", "--adaptive", "--certify=2", "--quant=none,w8a8"),
            "--adaptive cannot be used with --noise-floor",
        ),
    ],
)
def test_it_is_refused_where_it_says_nothing(replay: Replay, kept: str, arguments: tuple[str, ...], says: str) -> None:
    result = replay([line for line in lines() if kept in str(line["quant"])], *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert says in " ".join((str(result.stderr) + str(result.stdout)).split())


def test_an_error_of_a_further_run_fails_the_run(replay: Replay, pytester: pytest.Pytester) -> None:
    recorded = [line for line in lines(1) if (line.get("noise"), line["item"]) != (1, 3)]
    result = replay(recorded, "--noise-floor=1", "--task", TASK, "-k", "-0003 or -0004")
    assert result.ret == 1
    assert [(item["role"], item["item"]) for item in items(pytester.path / "report") if item["verdict"] == "error"] == [
        ("noise", "0003")
    ]
    assert "-0003-noise-1" in (pytester.path / "report" / "gates.xml").read_text()
