"""A project whose warnings are errors: the plugin brings none, beside other tests or with a model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from replayed import FOUR, four_sorts, items

STRICT = "[pytest]\nfilterwarnings = error\n"

workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])


def said_nothing(result: pytest.RunResult) -> bool:
    text = result.stdout.str() + result.stderr.str()
    return "Warning" not in text and "Exception ignored" not in text


@workers
def test_an_unrelated_suite(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytester.makeini(STRICT)
    pytester.makepyfile("def test_x(): pass")
    result = pytester.runpytest_subprocess(*workers)
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert said_nothing(result)


@workers
def test_a_run(pytester: pytest.Pytester, replay: Callable[..., pytest.RunResult], workers: tuple[str, ...]) -> None:
    pytester.makeini(STRICT)
    result = replay(four_sorts(), *FOUR, *workers)
    assert result.ret == 0
    verdicts = [item["verdict"] for item in items(pytester.path / "report")]
    assert verdicts == ["correct", "incorrect", "unparsed", "truncated"]
    assert said_nothing(result)


@pytest.mark.model
@pytest.mark.timeout(500)
def test_the_embedded_model(pytester: pytest.Pytester) -> None:
    pytest.importorskip("transformers")
    pytester.makeini(STRICT)
    result = pytester.runpytest_subprocess(
        "--model=embedded",
        "--engine=transformers",
        "--task=sort8_positive",
        "--limit=1",
        "--max-tokens=8",
        "--report-dir=report",
        timeout=450,
    )
    assert result.ret == 0, result.stdout.str()
    (item,) = items(pytester.path / "report")
    assert item["verdict"] == "truncated"
    assert said_nothing(result)
