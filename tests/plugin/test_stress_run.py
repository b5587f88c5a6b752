"""``--stress`` from outside: the table, gates, exit status, usage errors."""

from __future__ import annotations

import json

import numpy  # noqa: F401  (cannot be loaded twice by runs within one process)
import pytest
import scipy.stats  # noqa: F401  (as numpy)
from replayed import items, results, sorted_answer

from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.tasks import registry, stress

TASK = "sort8_positive"


def line(item: int, form: str = "", right: bool = True, **more: object) -> dict[str, object]:
    """A recorded output of an item or of a changed form of it."""
    output = sorted_answer(TASK, item) if right else "\\boxed{1, 2, 3}"
    return {"task": TASK, "item": item, "output": output, **({"stress": form} if form else {}), **more}


def replay(pytester: pytest.Pytester, lines: list[dict[str, object]], *more: str) -> pytest.RunResult:
    file = pytester.path / "recorded.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    fixed = ("-p", "no:cacheprovider", "--model", str(file), "--engine", "replay", "--report-dir", "report")
    return pytester.runpytest(*fixed, *more)


FOUR = ("--task", TASK, "--limit", "4", "--sample", "hash")


def chosen() -> list[int]:
    from pytest_thinkslm.core.identity import limited

    return limited(TASK, 100, 4, 0)


def recorded(**wrong: int) -> list[dict[str, object]]:
    """All right, but the named forms of the n-th chosen item."""
    return [
        line(item, form, right=wrong.get(form.partition("-")[0]) != place)
        for place, item in enumerate(chosen())
        for form in ("", "order-1", "layout-1")
    ]


def test_the_table_says_what_changed(pytester: pytest.Pytester) -> None:
    result = replay(pytester, recorded(order=1), *FOUR, "--stress", "order:1,layout:1")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*Changed forms of items*",
            "*sort8_positive*order*4*100.0%*75.0%*-25.0*75.0%*75.0%*1*",
            "*layout*100.0%*+0.0*",
        ]
    )
    result.stdout.fnmatch_lines(["*75.0% of 4 items are right in every form*"])
    result.stdout.fnmatch_lines(["*8 of 12 tests are changed forms of items (--stress)*"])
    (row,) = results(pytester.path / "report")["stress"]
    assert (row["consistency"], row["errors"]) == (0.75, 0)
    assert row["transformations"]["order"]["flips"] == 1
    forms = [one for one in items(pytester.path / "report") if one["role"] == "stress"]
    assert sorted({one["stress"] for one in forms}) == ["layout-1", "order-1"]
    assert len(forms) == 8
    summary = (pytester.path / "report" / "summary.md").read_text()
    assert "## Changed forms of items" in summary
    page = (pytester.path / "report" / "report.html").read_text()
    assert 'id="stress"' in page


@pytest.mark.parametrize(("bar", "status"), [("20", 1), ("25", 0)])
def test_the_gate_on_inconsistent_items(pytester: pytest.Pytester, bar: str, status: int) -> None:
    more = ("--stress", "order:1", "--max-rate", f"inconsistent={bar}")
    result = replay(pytester, recorded(order=1), *FOUR, *more)
    assert result.ret == status
    (gate,) = results(pytester.path / "report")["gates"]
    assert (gate["kind"], gate["passed"], gate["fields"]["count"]) == ("max-inconsistent", not status, 1)


def test_a_changed_form_without_an_output_is_an_error(pytester: pytest.Pytester) -> None:
    lines = [one for one in recorded() if not (one["item"] == chosen()[2] and one.get("stress") == "order-1")]
    result = replay(pytester, lines, *FOUR, "--stress", "order:1")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1 outcomes of changed forms are errors*"])
    assert "-order-1-r1" in (pytester.path / "report" / "gates.xml").read_text()


def test_a_gate_that_no_form_came_for_fails(pytester: pytest.Pytester) -> None:
    lines = [one for one in recorded() if "stress" not in one]
    result = replay(pytester, lines, *FOUR, "--stress", "order:1", "--max-rate", "inconsistent=50")
    assert result.ret == 1
    assert [gate["state"] for gate in results(pytester.path / "report")["gates"]] == ["not evaluated"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stress", "options"), "*--stress options*fits none of the selected tasks*arc_easy*order, layout*"),
        (("--stress", "orders"), "*--stress orders*did you mean*order*"),
        (("--max-rate", "inconsistent=5"), "*add --stress*"),
    ],
)
def test_what_cannot_be_is_refused(pytester: pytest.Pytester, options: tuple[str, ...], said: str) -> None:
    result = replay(pytester, recorded(), *FOUR, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_consistency_is_compared_between_variants(pytester: pytest.Pytester) -> None:
    lines = [{**one, "quant": "none"} for one in recorded()] + [{**one, "quant": "gptq4"} for one in recorded(order=1)]
    result = replay(pytester, lines, *FOUR, "--stress", "order:1", "--quant", "none,gptq4")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*consistency under --stress 100.0% → 75.0% (-25.0 points*"])
    (row,) = results(pytester.path / "report")["deltas"]
    assert row["consistency"]["lost"] == [f"{chosen()[1]:04d}"]


def test_workers_write_the_same(pytester: pytest.Pytester) -> None:
    options = (*FOUR, "--stress", "order:1,layout:1")
    replay(pytester, recorded(order=1), *options)
    alone = results(pytester.path / "report")["stress"], items(pytester.path / "report")
    replay(pytester, recorded(order=1), *options, "-n", "2")
    assert (results(pytester.path / "report")["stress"], items(pytester.path / "report")) == alone


def test_the_plan_counts_changed_forms(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest(
        "--model", "embedded", "--plan", "--engine", "transformers", *FOUR, "--stress", "order:2"
    )
    result.stdout.fnmatch_lines(["*sort8_positive*12*"])


def test_forms_of_an_item_differ() -> None:
    case = load_cases(registry.get(TASK), [0], None, data_seed=0).cases[0]
    forms = [stress.apply(case, f"layout-{n}", 0) for n in range(1, 6)]
    questions = [form.question for form in forms if form is not None]
    assert len(set(questions)) == len(questions) >= 3


def test_frames_leave_changed_forms_out_unless_asked(pytester: pytest.Pytester) -> None:
    frames = pytest.importorskip("pytest_thinkslm.frames")
    replay(pytester, recorded(order=1), *FOUR, "--stress", "order:1,layout:1")
    folder = pytester.path / "report"
    assert frames.items(folder).correct.mean() == 1.0
    whole = frames.items(folder, forms=True)
    assert whole.groupby("stress").correct.mean().to_dict() == {"layout-1": 1.0, "order-1": 0.75}


@pytest.mark.parametrize("asked", [("--stress", "order:1,layout:1"), ()], ids=["now", "before"])
def test_changed_forms_have_no_part_in_a_comparison_with_a_baseline(
    pytester: pytest.Pytester, asked: tuple[str, ...]
) -> None:
    before = () if asked else ("--stress", "order:1,layout:1")
    replay(pytester, recorded(order=1), *FOUR, *before)
    (pytester.path / "report").rename(pytester.path / "base")
    result = replay(pytester, recorded(layout=2), *FOUR, *asked, "--baseline", "base", "--gate", "5")
    assert result.ret == 0
    (gate,) = results(pytester.path / "report")["gates"]
    assert gate["state"] == "passed"
    assert "0 lost and 0 gained of 4 items" in gate["sentence"]
