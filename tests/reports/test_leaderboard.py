"""``thinkslm leaderboard``: what is merged, what is kept apart, and the three files."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import SETTINGS, record, write_run

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.reference.table import COLUMNS, paper_rows
from pytest_thinkslm.reports.leaderboard import SORTING, Leaderboard, merge
from pytest_thinkslm.reports.leaderboard_entries import entries
from pytest_thinkslm.reports.leaderboard_files import csv_text, html, markdown

TASKS = tuple(task for task, _ in SORTING)


def run(
    folder: Path,
    right: int = 5,
    *,
    items: int = 10,
    tasks: tuple[str, ...] = ("sort8_positive",),
    started: str = "2026-01-01T00:00:00Z",
    settings: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    variant: Mapping[str, Any] | None = None,
    selection: str = "full",
    **fields: Any,
) -> Path:
    """A report folder in which the first ``right`` items of each task are right."""
    lines = [record(item, item < right, task=task, **fields) for task in tasks for item in range(items)]
    write_run(folder, lines, settings={**SETTINGS, "repeats": 1, **(settings or {})}, selection=selection)
    file = folder / "results.json"
    value = json.loads(file.read_text())
    value["measured"] = {"started": started, "variants": {}}
    value["variants"] = [{**known, **(variant or {})} for known in value["variants"]]
    file.write_text(json.dumps({**value, **(results or {})}))
    return folder


def board(*folders: Path, paper: str = "none") -> Leaderboard:
    return merge([entry for folder in folders for entry in entries(folder)], paper)  # type: ignore[arg-type]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def files(value: Leaderboard) -> Iterator[str]:
    for render in (html, csv_text, markdown):
        yield render(value)


def test_runs_of_the_same_settings_make_one_group_with_ci_and_settings(tmp_path: Path) -> None:
    measured = {
        "started": "2026-01-02T00:00:00Z",
        "variants": {"a|gptq4": {"peak_gpu_memory_bytes": 3 * 2**30, "loaded": {"bits": 4, "group_size": 64}}},
    }
    value = board(
        run(tmp_path / "one", 5, model="b"),
        run(
            tmp_path / "two",
            8,
            model="a",
            quant="gptq4",
            results={"measured": measured},
            variant={"disk_bytes": 2**31, "engine": "vllm", "display": "A"},
        ),
    )
    (group,) = value.groups
    assert [(line.model, line.quant) for line in group.lines] == [("a", "gptq4"), ("b", "none")]
    assert value.remarks == ()
    first, second = table(csv_text(value))
    assert (first["source"], first["group"], first["sort8_positive_direct"], first["sort8_positive_direct_n"]) == (
        "run",
        "A",
        "0.8",
        "10",
    )
    assert 0.4 < float(first["sort8_positive_direct_low"]) < 0.5
    assert (first["gpu_memory_gib"], first["disk_gib"], first["engine"], first["runs"]) == ("3", "2", "vllm", "two")
    assert first["quantization"] == "GPTQ, 4-bit weights (4 bits, groups of 64)"
    assert (second["temperature"], second["selection"], second["max_tokens"], second["repeats"]) == (
        "0",
        "full",
        "by task",
        "1",
    )
    assert "| 80.0 (49.0–94.3) |" in markdown(value)
    page = html(value)
    assert "80.0<small>49.0–94.3</small>" in page
    assert "temperature 0; max tokens by task; thinking as the model does; repeats 1; 10 items a figure" in page
    assert "GPTQ, 4-bit weights (4 bits, groups of 64); vllm; run two; 2026-01-02" in page


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"settings": {"temperature": 0.7}}, "temperature 0.7"),
        ({"settings": {"temperature": 0.0, "max_tokens": 99}}, "max tokens 99"),
        ({"settings": {"thinking": "off"}}, "thinking off"),
        ({"settings": {"repeats": 3}}, "repeats 3"),
        ({"settings": {"limit": 10}, "selection": "limit"}, "selection limit (--limit 10, hash)"),
        ({"selection": "partial"}, "selection partial"),
        ({"results": {"judge": {"model": "j", "policy": "all"}}}, "judge j, all"),
        ({"prompt": "Please sort."}, "other prompts in sort8_positive (direct)"),
        ({"items": 9}, "other items (10, not 9) in sort8_positive (direct)"),
    ],
)
def test_what_was_measured_otherwise_is_kept_apart_and_every_format_says_so(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    value = board(
        run(tmp_path / "a", model="a"),
        run(tmp_path / "b", model="b", started="2027-01-01T00:00:00Z", **other),
    )
    assert [len(group.lines) for group in value.groups] == [1, 1]
    shown = [re.sub(r"<.*?>|\\", "", text) for text in files(value)]
    assert "2 groups of runs differ in prompts, sampling, selection or data" in shown[0]
    assert "2 groups of runs differ in prompts, sampling, selection or data" in shown[2]
    assert {row["group"] for row in table(shown[1])} == {"A", "B"}
    name, _, rest = said.partition(" ")
    for text in (shown[0], shown[2]):
        assert said in text
    plain = {"max": "max_tokens"}.get(name, name)
    rows = table(shown[1])
    if plain in rows[0]:
        assert rest.removeprefix("tokens ") in {row[plain] for row in rows}
    else:
        assert any(said in row["notes"] for row in rows)


def test_top_p_and_seeds_do_not_part_greedy_runs(tmp_path: Path) -> None:
    value = board(
        run(tmp_path / "a", model="a", settings={"top_p": 0.9, "seed": 1}),
        run(tmp_path / "b", model="b", settings={"seed": 2}),
    )
    assert len(value.groups) == 1


def test_other_data_is_kept_apart(tmp_path: Path) -> None:
    folders = []
    for name, pin in (("a", "ok"), ("b", "accepted")):
        folder = run(tmp_path / name, model=name)
        value = json.loads((folder / "results.json").read_text())
        value["results"][0]["data"] = {"digest": "abc", "pin": pin, "partial": None}
        (folder / "results.json").write_text(json.dumps(value))
        folders.append(folder)
    merged = board(*folders)
    assert len(merged.groups) == 2
    assert merged.groups[1].differs[0].startswith("against group A: other data (abc ok, not abc accepted) in sort8")


def test_tasks_of_several_runs_are_joined_and_the_newest_figure_wins(tmp_path: Path) -> None:
    value = board(
        run(tmp_path / "old", 1, tasks=TASKS[:2], started="2026-01-01T00:00:00Z"),
        run(tmp_path / "new", 9, tasks=TASKS[1:], started="2026-01-05T00:00:00Z"),
    )
    (line,) = value.groups[0].lines
    figures = {key[0]: cell.accuracy for key, cell in line.cells.items()}
    assert figures == {**dict.fromkeys(TASKS[1:], 0.9), TASKS[0]: 0.1}
    assert line.runs == ["new", "old"]
    assert board(tmp_path / "old").groups[0].lines[0].sorting_average is None
    assert line.sorting_average == pytest.approx((0.1 + 5 * 0.9) / 6)
    assert value.remarks == ("m (none): sort8_mixed (direct) of run old is older than what is shown, and left out",)


def test_other_weights_under_one_name_are_two_rows(tmp_path: Path) -> None:
    facts = [{"fingerprint": {"digest": name, "facts": {"files": {"model": name}}}} for name in ("x", "y")]
    value = board(*(run(tmp_path / str(place), variant=fact) for place, fact in enumerate(facts)))
    assert [len(group.lines) for group in value.groups] == [2]


def test_a_void_accuracy_is_no_figure(tmp_path: Path) -> None:
    value = board(run(tmp_path / "a", verdict="error"))
    (row,) = table(csv_text(value))
    assert row["sort8_positive_direct"] == ""
    assert "void sort8_positive_direct: 10 of 10 items are errors" in row["notes"]
    assert "| void |" in markdown(value)
    assert 'title="10 of 10 items are errors' in html(value)


def test_the_papers_rows_are_as_given_and_marked(tmp_path: Path) -> None:
    value = board(run(tmp_path / "a", model="Qwen/Qwen2.5-7B-Instruct", quant="gptq4"), paper="all")
    rows = table(csv_text(value))
    assert [row["source"] for row in rows].count("paper") == 72
    ours, first = rows[0], next(row for row in rows if row["source"] == "paper")
    assert ours["params"] == "7B"
    assert (first["params"], first["quantization"], first["gpu_memory_gib"], first["disk_gib"]) == (
        "1B",
        "None",
        "4.73",
        "2.4",
    )
    assert (first["gsm8k_direct"], first["sorting_average"], first["overall_average"]) == (
        "0.3639",
        "0.078333",
        "0.2967",
    )
    assert ours["overall_average"] == ""
    for text in files(value):
        assert re.search("paper", text, re.IGNORECASE)
        assert "published" in text or text.startswith("source,")
    same = board(tmp_path / "a", paper="same")
    assert [line.quant for line in same.groups[1].lines] == ["none", "gptq8", "gptq4"]
    assert board(tmp_path / "a", paper="none").groups[0].paper is False
    for row in paper_rows():
        assert set(row.accuracies) <= set(COLUMNS.values())


def test_columns_are_the_papers_then_the_suites_further_tasks(tmp_path: Path) -> None:
    value = board(run(tmp_path / "a", tasks=("hellaswag", "math", "gsm8k", "arc_easy"), style="cot"))
    assert value.columns == [
        *COLUMNS.values(),
        ("math", "cot"),
        ("arc_easy", "cot"),
        ("hellaswag", "cot"),
    ]


HOSTILE = "=cmd|'/c calc'!A1</script><img src=x onerror=alert(1)>\"&[x](javascript:1)"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "action")]
        assert not [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_hostile_names_are_text_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "a<b>", model=HOSTILE, quant=HOSTILE, variant={"display": HOSTILE, "engine": HOSTILE})
    assert main(["leaderboard", str(folder), "--out", str(tmp_path / "out"), "--paper", "none"]) == 0
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    parsed = _Tags()
    parsed.feed(page)
    assert "img" not in parsed.tags
    assert parsed.addresses == []
    assert any(HOSTILE in text for text in parsed.text)
    (row,) = table((tmp_path / "out" / "leaderboard.csv").read_text())
    assert row["model"] == row["quant"] == "'" + HOSTILE
    lines = (tmp_path / "out" / "leaderboard.md").read_text().splitlines()
    (head,) = (line for line in lines if line.startswith("| model"))
    (text,) = (line for line in lines if "calc" in line and line.startswith("|"))
    assert text.replace("\\|", "").count("|") == head.count("|")
    assert "<img" not in text
    assert "[x](" not in text


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    page = html(board(run(tmp_path / "a"), paper="all"))
    assert not re.search(r"https?:|url\(|@import|<link|<img|<iframe|src=", page)


def test_other_files_are_passed_over_and_each_run_is_read_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path / "a")
    (tmp_path / "README.md").write_text("")
    arguments = ["leaderboard", str(folder), str(folder / "results.json"), str(tmp_path / "README.md"), f"{folder}/"]
    assert main([*arguments, "--out", str(tmp_path / "new" / "out"), "--format", "csv,markdown"]) == 0
    said = capsys.readouterr()
    assert "README.md: no report folder" in said.err
    assert "1 variant in 1 group\n" in said.out
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["leaderboard.csv", "leaderboard.md"]


def test_each_bad_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = run(tmp_path / "good")
    (tmp_path / "killed").mkdir()
    other = run(tmp_path / "other")
    (other / "items.jsonl").unlink()
    asked = ["leaderboard", str(good), str(tmp_path / "killed"), str(other), "--out", str(tmp_path / "out")]
    assert main(asked) == 4
    said = capsys.readouterr().err
    for name in ("killed", "other"):
        assert f"leaderboard {tmp_path / name}: " in said
    assert "--skip-unreadable" in said
    assert not (tmp_path / "out").exists()
    assert main([*asked, "--skip-unreadable"]) == 0
    assert capsys.readouterr().err.count("passed over") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "pdf"], "--format 'pdf': choose from html, csv, markdown"),
        (["--out", "FILE"], "leaderboard.html cannot be written"),
    ],
)
def test_wrong_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    (tmp_path / "file").write_text("")
    given = [str(tmp_path / "file") if value == "FILE" else value for value in arguments]
    assert main(["leaderboard", str(run(tmp_path / "a")), *given]) == 4
    assert said in capsys.readouterr().err


def test_nothing_but_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.md").write_text("")
    assert main(["leaderboard", str(tmp_path / "x.md")]) == 4
    assert "no report folder was given" in capsys.readouterr().err


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")
def test_sorting_by_click_and_by_keyboard(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    value = board(
        *(run(tmp_path / name, right, model=name) for name, right in (("a", 3), ("b", 9), ("c", 5))),
        run(tmp_path / "d", 10, model="d", settings={"temperature": 1.0}),
        run(tmp_path / "e", tasks=("sort8_mixed",), model="e"),
    )
    file = tmp_path / "page.html"
    file.write_text(html(value))
    said: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())

        def order() -> str:
            rows = page.locator("tbody:not([hidden]) tr:not(.group):not([hidden]) th")
            return "".join(str(rows.nth(place).get_attribute("data-value")) for place in range(rows.count()))

        head = page.locator("button", has_text="Sort 8 positive").first
        assert order() == "abced"
        head.click()
        assert order() == "bcaed"  # within the groups; what is not known comes last
        head.press("Enter")
        assert order() == "acbed"
        assert head.locator("xpath=..").get_attribute("aria-sort") == "ascending"
        assert not page.locator("#caution").is_visible()
        page.locator("#together").press("Space")
        assert order() == "acbde"
        assert page.locator("#caution").is_visible()
        page.locator("#together").click()
        assert order() == "acbed"
        page.locator("#filter").press_sequentially("B")
        assert order() == "b"
        browser.close()
    assert said == []
