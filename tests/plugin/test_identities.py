"""Who an outcome belongs to: models of one name, several tests of one task, free names, items that are tried again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from replayed import Line, items, results, sorted_answer

from pytest_thinkslm.core.identity import limited

Replay = Callable[..., pytest.RunResult]

#: The items that ``--limit=4`` draws.
DRAWN = [f"{index:04d}" for index in limited("sort8_positive", 100, 4, 0)]

TWO_TESTS = """
import os
import signal
from pathlib import Path

from pytest_thinkslm import reasoning_task, verify

def once(name, case):
    died = Path(__file__).parent / f"died-{name}-{case.item}"
    if case.item == ITEM and (ALWAYS or not died.exists()):
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)

@reasoning_task("sort8_positive")
def test_capitals(case, slm):
    once("capitals", case)
    verify(case, slm(case))

@reasoning_task("sort8_positive")
def test_cities(case, slm):
    once("cities", case)
    assert slm(case).text
"""


def lines(wrong: int = 1, **more: object) -> list[Line]:
    """The drawn items of sort8_positive, of which the first ``wrong`` are answered wrongly."""
    return [
        {
            "task": "sort8_positive",
            "item": item,
            "output": "\\boxed{1, 2, 3}" if place < wrong else sorted_answer("sort8_positive", int(item)),
            **more,
        }
        for place, item in enumerate(DRAWN)
    ]


def test_two_models_of_one_name_have_labels_and_figures_of_their_own(replay: Replay, pytester: pytest.Pytester) -> None:
    recorded = [*lines(0, model="a/foo"), *lines(2, model="b/foo")]
    result = replay(recorded, "--task=sort8_positive", "--limit=4", "-rA")
    assert result.ret == 0
    shown = result.stdout.str()
    assert "[a/foo+none-direct-" in shown
    assert "[b/foo+none-direct-" in shown
    assert "foo+none-direct-00030" not in shown, "pytest gives a suffix to ids that occur twice"
    report = results(pytester.path / "report")
    assert {row["model"]: row["accuracy"] for row in report["results"]} == {"a/foo": 1.0, "b/foo": 0.5}
    assert set(report["measured"]["variants"]) == {"a/foo|none", "b/foo|none"}
    assert [values["generated"] for values in report["measured"]["variants"].values()] == [0, 0]


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_two_tests_of_one_task_are_two_rows(
    replay: Replay, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_own=TWO_TESTS.replace("ALWAYS", "False").replace("ITEM", "None"))
    result = replay(lines(), "test_own.py", "--limit=4", *workers)
    assert result.ret == 0
    rows = results(pytester.path / "report")["results"]
    assert [(row["test"], row["label"], row["n"], row["correct"]) for row in rows] == [
        ("test_capitals", "sort8_positive (test_capitals)", 4, 3),
        ("test_cities", "sort8_positive (test_cities)", 4, 4),
    ]
    assert [line["test"] for line in items(pytester.path / "report")] == ["test_capitals"] * 4 + ["test_cities"] * 4
    assert "(test_cities)" in result.stdout.str()


def test_two_tests_of_one_name_on_one_task_are_refused(replay: Replay, pytester: pytest.Pytester) -> None:
    source = TWO_TESTS.replace("ALWAYS", "False").partition('@reasoning_task("sort8_positive")\ndef test_cities')[0]
    pytester.makepyfile(test_a=source, test_b=source)
    result = replay(lines(), "test_a.py", "test_b.py", "--limit=4")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*tests of one name (test_capitals) on the task sort8_positive*"])


@pytest.mark.parametrize("always", [False, True])
def test_function_names_are_free_under_a_crashed_worker(
    replay: Replay, pytester: pytest.Pytester, always: bool
) -> None:
    pytester.makepyfile(test_own=TWO_TESTS.replace("ALWAYS", str(always)).replace("ITEM", repr(DRAWN[1])))
    result = replay(lines(wrong=0), "test_own.py", "--limit=4", "-n2")
    assert result.ret == (1 if always else 0)
    report = results(pytester.path / "report")
    assert report["selection"] == "limit"
    found = {(line["test"], line["item"]): line for line in items(pytester.path / "report")}
    assert len(found) == 8
    for test in ("test_capitals", "test_cities"):
        assert found[test, DRAWN[1]]["verdict"] == ("error" if always else "correct")
        assert found[test, DRAWN[1]]["attempts"] == 2
        assert "attempts" not in found[test, DRAWN[2]]


def test_a_crashed_item_that_a_hook_puts_back_is_run_again(replay: Replay, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_own=f"""
        import os
        import signal
        from pathlib import Path

        from pytest_thinkslm import reasoning_task, verify

        @reasoning_task("sort8_positive")
        def test_mine(case, slm):
            deaths = Path(__file__).parent / "deaths"
            count = len(deaths.read_text()) if deaths.exists() else 0
            if case.item == {DRAWN[1]!r} and count < 2:
                deaths.write_text("x" * (count + 1))
                os.kill(os.getpid(), signal.SIGKILL)
            verify(case, slm(case))
        """,
        conftest="""
        def pytest_handlecrashitem(crashitem, report, sched):
            sched.mark_test_pending(crashitem)
        """,
    )
    result = replay(lines(wrong=0), "test_own.py", "--limit=4", "-n2", "--max-worker-restart=4")
    assert result.ret == 0
    found = {line["item"]: line for line in items(pytester.path / "report")}
    assert {line["verdict"] for line in found.values()} == {"correct"}
    assert found[DRAWN[1]]["attempts"] == 3


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_rerun_that_passes_counts(replay: Replay, pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytest.importorskip("pytest_rerunfailures")
    pytester.makepyfile(
        test_own=f"""
        from pathlib import Path

        from pytest_thinkslm import reasoning_task, verify

        @reasoning_task("sort8_positive")
        def test_mine(case, slm):
            tried = Path(__file__).parent / ("tried-" + case.item)
            if case.item in {DRAWN[1:3]} and not tried.exists():
                tried.touch()
                raise OSError("no network")
            verify(case, slm(case))

        def test_plain():
            tried = Path(__file__).parent / "tried-plain"
            if not tried.exists():
                tried.touch()
                raise OSError("no network")
        """
    )
    result = replay(lines(), "test_own.py", "--limit=4", "--reruns=1", "--only-rerun=OSError", *workers)
    assert result.ret == 0, result.stdout.str()
    report = results(pytester.path / "report")
    assert report["results"][0]["correct"] == 3
    assert report["results"][0]["error_rate"] == 0
    found = {line["item"]: line for line in items(pytester.path / "report")}
    assert [found[item].get("attempts", 1) for item in DRAWN] == [1, 2, 2, 1]
