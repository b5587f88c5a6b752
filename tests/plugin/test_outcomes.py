"""Verdicts as a user meets them: outcomes, exit status, JUnit, files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from replayed import FOUR, four_sorts, items, results, sorted_answer

Replay = Callable[..., pytest.RunResult]


def junit(folder: Path) -> dict[str, ElementTree.Element]:
    root = ElementTree.parse(folder / "junit.xml").getroot()
    return {case.get("name", ""): case for case in root.iter("testcase")}


def test_each_verdict_is_a_test_outcome_with_one_line_and_no_traceback(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    result = replay(four_sorts(), *FOUR, "-v")
    assert result.ret == 0
    text = result.stdout.str()
    for word in ("PASSED", "INCORRECT", "UNPARSED", "TRUNCATED"):
        assert word in text
    assert "1 passed" in text
    assert "1 incorrect" in text
    assert "1 unparsed" in text
    assert "1 truncated" in text
    assert "Traceback" not in text
    assert "WrongAnswer" not in text
    verdicts = {line["item"]: line["verdict"] for line in items(pytester.path / "report")}
    assert verdicts == {"0000": "correct", "0001": "incorrect", "0002": "unparsed", "0003": "truncated"}


def test_items_lines_have_the_fields_of_the_contract_and_are_sorted(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(four_sorts()[::-1], *FOUR)
    lines = items(pytester.path / "report")
    assert [line["item"] for line in lines] == ["0000", "0001", "0002", "0003"]
    contract = [
        "model",
        "quant",
        "task",
        "style",
        "item",
        "repeat",
        "role",
        "messages",
        "output",
        "finish_reason",
        "prompt_tokens",
        "output_tokens",
        "answer",
        "rule",
        "gold",
        "verdict",
        "failure",
        "judge",
    ]
    assert set(contract) <= set(lines[0])
    assert lines[0]["model"] == "outputs"
    assert lines[0]["role"] == "item"
    assert lines[0]["gold"] == lines[0]["answer"]
    assert lines[0]["rule"] == "boxed"
    assert lines[0]["messages"][-1]["role"] == "user"
    assert lines[1]["failure"]


def test_an_item_without_an_output_is_an_error_and_fails_the_run(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay(four_sorts()[:3], *FOUR)
    assert result.ret == 1
    result.assert_outcomes(passed=1, errors=1)
    case = junit(pytester.path / "report")["test_sort8_positive[direct-0003]"]
    error = case.find("error")
    assert error is not None
    assert "no output" in (error.get("message") or "")
    assert items(pytester.path / "report")[3]["verdict"] == "error"


def test_junit_has_failures_in_one_line_and_properties_without_warnings(
    replay: Replay, pytester: pytest.Pytester
) -> None:
    # anyio's own plugin imports trio where that is installed, of which Hypothesis warns: not ours.
    result = replay(four_sorts(), *FOUR, "-p", "no:anyio")
    assert "warnings" not in result.parseoutcomes()
    cases = junit(pytester.path / "report")
    failure = cases["test_sort8_positive[direct-0001]"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("incorrect: ")
    assert "\n" not in (failure.text or "").strip()
    properties = {
        node.get("name"): node.get("value") for node in cases["test_sort8_positive[direct-0001]"].iter("property")
    }
    assert properties["verdict"] == "incorrect"
    assert properties["answer"] == "[1, 2, 3]"


def test_junitxml_of_the_user_wins(replay: Replay, pytester: pytest.Pytester) -> None:
    replay(four_sorts(), *FOUR, "--junitxml=mine.xml")
    assert (pytester.path / "mine.xml").exists()
    assert not (pytester.path / "report" / "junit.xml").exists()


def test_incorrect_fail_keeps_pytests_own_status(replay: Replay) -> None:
    assert replay(four_sorts(), *FOUR, "--incorrect=fail").ret == 1
    right = [{"task": "sort8_positive", "item": 0, "output": sorted_answer("sort8_positive", 0)}]
    assert replay(right, "--task=sort8_positive", "-k", "direct-0000", "--incorrect=fail").ret == 0


def test_incorrect_xfail_marks_wrong_answers_on_their_reports(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay(four_sorts(), *FOUR, "--incorrect=xfail")
    assert result.ret == 0
    result.assert_outcomes(passed=1, xfailed=3)
    assert junit(pytester.path / "report")["test_sort8_positive[direct-0001]"].find("skipped") is not None
    assert items(pytester.path / "report")[1]["verdict"] == "incorrect"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two workers"])
def test_stopping_at_the_first_failure_is_an_interrupted_partial_run(
    replay: Replay, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    result = replay(four_sorts(), *FOUR, "-x", *workers)
    assert result.ret == 2
    assert results(pytester.path / "report")["selection"] == "partial"


def test_last_failed_runs_wrong_answers_again(replay: Replay) -> None:
    replay(four_sorts(), *FOUR)
    result = replay(four_sorts(), *FOUR, "--lf")
    assert "3 deselected" not in result.stdout.str()
    result.assert_outcomes(passed=0)
    assert "1 incorrect" in result.stdout.str()


def test_errors_above_one_percent_make_an_accuracy_void(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay(four_sorts()[:3], *FOUR)
    row = results(pytester.path / "report")["results"][0]
    assert row["accuracy"] is None
    assert "void" in row
    assert "void" in result.stdout.str()


def test_a_test_of_the_users_own_beside_the_suite_counts_as_usual(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own="def test_wrong():\n    assert 1 == 2\n")
    result = replay(four_sorts(), "test_own.py")
    assert result.ret == 1
    result.assert_outcomes(failed=1)


def test_two_recorded_models_are_two_columns(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = [{**line, "model": model, "quant": "gptq4"} for model in ("a", "b") for line in four_sorts()]
    result = replay(lines, *FOUR, "-v")
    assert "test_sort8_positive[a+gptq4-direct-0000]" in result.stdout.str()
    rows = results(pytester.path / "report")["results"]
    assert [(row["model"], row["quant"], row["n"]) for row in rows] == [("a", "gptq4", 4), ("b", "gptq4", 4)]


def test_a_users_test_may_judge_by_its_own_assertions(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_own="""
        from pytest_thinkslm import reasoning_task

        @reasoning_task("sort8_positive")
        def test_mentions_turtles(case, slm):
            assert "turtles" in slm(case).text
        """
    )
    result = replay(four_sorts(), "test_own.py", "-k", FOUR[2])
    result.assert_outcomes(passed=1)
    verdicts = {line["item"]: line["verdict"] for line in items(pytester.path / "report")}
    assert verdicts == {"0000": "incorrect", "0001": "incorrect", "0002": "correct", "0003": "incorrect"}


def test_log_capture_stays_where_a_test_asks_for_it(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_own="""
        import logging
        from pytest_thinkslm import reasoning_task, verify

        @reasoning_task("sort8_positive")
        def test_sort8_positive(case, slm, caplog):
            logging.getLogger("own").warning("seen")
            assert "seen" in caplog.text
            verify(case, slm(case))
        """
    )
    result = replay(four_sorts(), "test_own.py", "-k", FOUR[2])
    assert result.ret == 0
    assert "1 passed" in result.stdout.str()


def test_a_test_that_is_run_again_reads_its_case_again(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from _pytest.runner import runtestprotocol

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            runtestprotocol(item, log=False, nextitem=nextitem)  # as plugins that rerun tests do
            item._initrequest()
        """
    )
    pytester.makepyfile(
        test_own="""
        from pytest_thinkslm import reasoning_task, verify

        @reasoning_task("sort8_positive")
        def test_sort8_positive(case, slm):
            verify(case, slm(case))
        """
    )
    result = replay(four_sorts(), "test_own.py", "-k", FOUR[2])
    assert result.ret == 0
    assert [line["item"] for line in items(pytester.path / "report")] == ["0000", "0001", "0002", "0003"]
    assert "1 passed" in result.stdout.str()
