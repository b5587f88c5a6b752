"""One page of several runs: which variants stand on it, what is held against what, and whose items these are."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from page_folders import line, report_folder

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.reports.page.joined import join

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")


def run(folder: Path, right: set[int], quants: tuple[str, ...] = ("none",), **fields: Any) -> Path:
    lines = [line(item, item in right, f"{folder.name} {item}", quant=q, **fields) for item in range(8) for q in quants]
    return report_folder(folder, lines)


def lost(row: Any) -> tuple[str, str, str, list[str]]:
    return row["model"], row["quant"], f"{row['against']['model']}, {row['against']['quant']}", row["lost"]


def test_the_same_variant_of_two_runs_is_told_apart_and_compared(tmp_path: Path) -> None:
    folders = [run(tmp_path / "before", {0, 1, 2, 3}), run(tmp_path / "after", {0, 1, 5})]
    joined = join(folders)
    assert [row["model"] for row in joined.results["results"]] == ["before/m", "after/m"]
    rows = joined.results.get("deltas", [])
    assert [lost(row) for row in rows] == [("after/m", "none", "before/m, none", ["0002", "0003"])]
    assert rows[0]["gained"] == ["0005"]
    records = [json.loads(text) for text in joined.lines()]
    assert [(record["model"], record["output"]) for record in records[::8]] == [
        ("before/m", "before 0"),
        ("after/m", "after 0"),
    ]
    assert len(records) == 16


def test_what_the_outputs_tell_is_told_of_several_runs_as_of_one(tmp_path: Path) -> None:
    question = [{"role": "user", "content": "Tom buys 3 bags of 12 apples and gives 6 away. How many are left?"}]
    asked: dict[str, Any] = {"task": "gsm8k", "test": "test_gsm8k", "gold": "30", "answer": "30", "messages": question}
    right = line(0, True, "3 * 12 = 36 and 36 - 6 = 30. \\boxed{30}", output_tokens=20, **asked)
    wrong = {**line(0, False, "3 * 12 = 32 and 32 - 6 = 26. \\boxed{26}", output_tokens=30, **asked), "answer": "26"}
    joined = join([report_folder(tmp_path / "before", [right]), report_folder(tmp_path / "after", [wrong])])
    (row,) = joined.results.get("deltas", [])
    assert row.get("breaks") == {
        "lost": {"equation": 1},
        "gained": {},
        "steps": [{"item": "0000", "kind": "equation", "text": "3 * 12 = 32"}],
    }
    assert [(each["before"]["answer"], each["now"]["answer"]) for each in row.get("examples", [])] == [("30", "26")]
    assert row.get("lengths", {}).get("n") == 1


def test_variants_of_one_run_alone_keep_their_names(tmp_path: Path) -> None:
    folders = [
        run(tmp_path / "a", {0, 1, 2, 3}),
        run(tmp_path / "b", {0, 1}, ("q4",)),
        run(tmp_path / "c", {0, 1, 2}, ("none", "q8")),
    ]
    found = [lost(row) for row in join(folders).results.get("deltas", [])]
    assert found == [
        ("m", "q4", "a/m, none", ["0002", "0003"]),
        ("m", "q8", "a/m, none", ["0003"]),
        ("c/m", "none", "a/m, none", ["0003"]),
    ]


def test_what_was_asked_otherwise_is_not_compared(tmp_path: Path) -> None:
    other = [{"role": "user", "content": "Sort otherwise."}]
    folders = [run(tmp_path / "a", {0, 1}), run(tmp_path / "b", {0}, messages=other)]
    (row,) = join(folders).results.get("deltas", [])
    assert row["difference"] is None
    assert row["lost"] == []
    assert row["note"].startswith("not compared: other prompts of sort8_positive (direct) (8 of 8 shared items")


def test_folders_of_one_name_and_differences_are_said(tmp_path: Path) -> None:
    folders = [run(tmp_path / "x" / "run", {0}), run(tmp_path / "y" / "run", {0})]
    place = folders[1] / "results.json"
    results = json.loads(place.read_text())
    results["settings"]["temperature"] = 0.7
    results["problems"] = ["a figure is void"]
    place.write_text(json.dumps(results))
    joined = join(folders)
    assert list(joined.runs) == ["run, 1", "run, 2"]
    assert joined.results["problems"] == [
        "run, 2: a figure is void",
        "run, 2 beside run, 1: temperature (baseline: 0.0; this run: 0.7)",
    ]


@pytest.mark.parametrize(
    ("limits", "problems"),
    [((3, 3), []), ((3, 5), ["a: selection limit (--limit 3, hash)", "b: selection limit (--limit 5, hash)"])],
)
def test_selections_are_told_where_they_differ(tmp_path: Path, limits: tuple[int, int], problems: list[str]) -> None:
    folders = [run(tmp_path / name, {0}) for name in ("a", "b")]
    for folder, limit in zip(folders, limits, strict=True):
        results = json.loads((folder / "results.json").read_text())
        results["settings"]["limit"], results["selection"] = limit, "limit"
        (folder / "results.json").write_text(json.dumps(results))
    joined = join(folders).results
    assert joined["problems"] == problems
    assert joined["selection"] == ("partial" if problems else "limit")


def test_the_command_writes_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(run(tmp_path / "before", {0, 1})), str(run(tmp_path / "after", {0}))]
    target = tmp_path / "both.html"
    assert main(["page", *folders, "--out", str(target)]) == 0, capsys.readouterr().err
    text = target.read_text(encoding="utf-8")
    found = re.search(r'id="data-index">([A-Za-z0-9+/=]*)<', text)
    assert found is not None
    index = json.loads(zlib.decompress(base64.b64decode(found[1])))
    assert index["count"] == 16
    assert index["tables"]["model"] == ["before/m", "after/m"]
    assert main(["page", folders[0], "--out", str(target)]) == 4
    assert "the page of one run is its report.html" in capsys.readouterr().err
    assert main(["page", folders[0], str(tmp_path / "none")]) == 4


def test_it_works_in_a_browser(browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(run(tmp_path / "before", {0, 1, 2, 3})), str(run(tmp_path / "after", {0, 1}))]
    target = tmp_path / "both.html"
    assert main(["page", *folders, "--out", str(target)]) == 0, capsys.readouterr().err
    page = browser.new_page()
    page.goto(target.as_uri())
    page.wait_for_selector("html[data-plotted]", timeout=60_000)
    page.click("#deltas a.lost")
    status = page.locator("#status")
    sync_api.expect(status).to_have_text("lost: sort8_positive (direct), after/m: 2 of 16 items")
    page.locator(".row").first.click()
    sync_api.expect(page.locator("#detail .columns > section h3")).to_have_text(["before/m, none", "after/m, none"])
    sections = page.locator("#detail .columns > section")
    assert [sections.nth(n).locator("pre").last.text_content() for n in (0, 1)] == ["before 2", "after 2"]
    address = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    sync_api.expect(page.locator("#detail > h3")).to_have_text("sort8_positive direct 0002")
    page.close()
