"""``--drift`` from outside: in every place of the report, and refused where it could measure nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from replayed import results, sorted_answer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import tiny_checkpoints

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made outside of pytester: it takes back what was imported, and torch bears no second import."""
    return tiny_checkpoints.random_llama(tmp_path_factory.mktemp("made") / "first", hidden=32)


@pytest.mark.model
def test_each_variant_is_led_along_the_outputs_of_the_first(pytester: pytest.Pytester, first: Path) -> None:
    shutil.copytree(first, pytester.path / "first")
    shutil.copytree(first, pytester.path / "second")
    result = pytester.runpytest_subprocess(
        "--model=./first,./second",
        "--engine=transformers",
        "--task=sort8_positive",
        "--limit=3",
        "--max-tokens=6",
        "--drift=2",
        "--report-dir=report",
        timeout=300,
    )
    assert result.ret == 0
    report = pytester.path / "report"
    found = results(report)
    schema = json.loads(resources.files("pytest_thinkslm.runs").joinpath("results.schema.json").read_text())
    jsonschema.validate(found, schema)
    assert found["settings"]["drift"] == 2
    (row,) = found["deltas"]
    assert (row["drift"]["items"], row["drift"]["top1_agreement"], row["drift"]["diverged"]) == (2, 1, 0)
    assert row["drift"]["kl_mean"] < 1e-4
    said = "top token kept 100.0%"
    for text in (str(result.stdout), (report / "summary.md").read_text(), (report / "report.html").read_text()):
        assert said in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--drift=2",), "--drift needs the model's probabilities of a given text, and the engine replay does not"),
        (("--drift=0",), "--drift"),
        (("--drift=2", "--rescore"), "--rescore loads none"),
    ],
)
def test_it_is_refused_where_it_could_measure_nothing(
    replay: Callable[..., pytest.RunResult], arguments: tuple[str, ...], says: str
) -> None:
    lines = [
        {"task": "sort8_positive", "item": 0, "quant": quant, "output": sorted_answer("sort8_positive", 0)}
        for quant in ("none", "w8a8")
    ]
    result = replay(lines, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert says in " ".join((str(result.stderr) + str(result.stdout)).split())


def test_one_variant_has_nothing_to_be_held_against(replay: Callable[..., pytest.RunResult]) -> None:
    result = replay([{"task": "sort8_positive", "item": 0, "output": "1"}], "--drift=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "there is one: give several" in str(result.stderr) + str(result.stdout)
