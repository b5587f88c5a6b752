"""The page in headless Chromium: what a reader does with it, and that nothing of a model's text comes alive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_folders import HOSTILE, delta, line, report_folder
from page_watch import Watch

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.reports.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

COUNT = 900  # items of each variant: three blocks


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    lines = [
        line(item, item % 4 > 0, f"out {quant} number {item}", quant=quant, failure="order" if item % 4 == 0 else None)
        for item in range(COUNT)
        for quant in ("none", "q4")
    ]
    lines[2 * 77]["output"] = HOSTILE
    lines[2 * 78]["output"] = 'A Ünïcödé needle "quoted" and \\slashed'
    lines += [line(item, True, task="sort16_mixed", style="cot", quant="q4", output="quite other") for item in range(9)]
    lines += [line(0, True, role="seed", output="asked beside")]
    folder = tmp_path_factory.mktemp("page") / "run"
    lines[2 * 33]["judge"] = {"status": "judged", "verdict": "correct", "answer": None, "reason": "as asked"}
    lines[2 * 33] |= {"source": "parser", "parser_verdict": "incorrect"}
    rows = [{"model": "m", "quant": "none", "task": "sort8_positive", "style": "direct", "item": "0033", "repeat": 1}]
    rows[0] |= {"parser": {"verdict": "incorrect", "answer": "2", "rule": "boxed"}}
    rows[0] |= {"judge": {"verdict": "correct", "answer": None, "reason": "as asked"}}
    judge = {"model": "j", "policy": "all", "disagreements": rows, "unjudged": 0}
    return write_page(report_folder(folder, lines, deltas=[delta(["0004", "0008"])], judge=judge)).as_uri()


@pytest.fixture
def page(browser: Any, address: str, watch: Watch) -> Iterator[Any]:
    """The page, opened and plotted; at the end it has neither complained nor asked for anything but itself."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    opened = context.new_page()
    watch.on(opened)
    opened.goto(address)
    opened.wait_for_selector("html[data-plotted]", timeout=60_000)
    yield opened
    assert watch.said == []
    assert {asked.partition("#")[0] for asked in watch.asked} == {address}
    context.close()


def status(page: Any, expected: str) -> None:
    sync_api.expect(page.locator("#status")).to_have_text(expected, timeout=15_000)


def output(page: Any, place: int = 0) -> str:
    """The text under "output" in a column of the opened item."""
    text: str = page.locator("#detail .columns > section").nth(place).locator("pre").last.text_content()
    return text


def opened(page: Any, name: str) -> None:
    sync_api.expect(page.locator("#detail > h3")).to_have_text(name, timeout=15_000)


def test_it_opens_with_items_and_plots(page: Any) -> None:
    status(page, "1,809 of 1,809 items")
    rows = page.locator(".row")
    assert 10 < rows.count() < 60, "the list draws what is in sight"
    plots = page.locator("[data-chart]")
    assert plots.count() >= 6
    for place in range(plots.count()):
        assert plots.nth(place).locator("svg path").count() > 0


def test_filters_narrow_the_list(page: Any) -> None:
    page.select_option("#filter-task", "sort16_mixed")
    status(page, "9 of 1,809 items")
    assert page.locator(".row").count() == 9
    page.select_option("#filter-verdict", "incorrect")
    status(page, "0 of 1,809 items")
    page.click("#clear")
    status(page, "1,809 of 1,809 items")
    page.select_option("#filter-failure", "order")
    status(page, "450 of 1,809 items")
    page.select_option("#filter-role", "seed")
    status(page, "0 of 1 items")


@pytest.mark.parametrize(
    ("words", "found"),
    [("q4 number 89", 11), ("QUITE OTHER", 9), ("ünïcödé NEEDLE", 1), ('"quoted" and \\slashed', 1), ("sort. 899", 2),
     ("nowhere to be found", 0), ("verdict", 0)],
)  # fmt: skip
def test_search_finds_text_and_not_the_names_of_fields(page: Any, words: str, found: int) -> None:
    page.fill("#search", words)
    status(page, f"{found} of 1,809 items have “{words.lower()}”")
    if found:
        page.locator(".row").first.click()
        assert page.locator("#detail mark").count() >= 1


def test_an_item_shows_everything_side_by_side(page: Any) -> None:
    page.locator(".row").nth(4).click()
    opened(page, "sort8_positive direct 0004")
    page.goto(page.url.partition("#")[0] + "#item=m|none|sort8_positive|direct|0005|1")
    opened(page, "sort8_positive direct 0005")
    assert page.locator("#detail .columns > section").count() == 2
    assert [output(page, 0), output(page, 1)] == ["out none number 5", "out q4 number 5"]
    text = page.locator("#detail").inner_text()
    for expected in ("Sort. 5", "correct", "rule: boxed", "finish: stop", "7 tokens", "length: 8", "gold", "answer"):
        assert expected in text


@pytest.mark.parametrize(
    "link",
    ["#item=m|q4|sort8_positive|direct|0899|1", "#item=m%7Cq4%7Csort8_positive%7Cdirect%7C0899%7C1",
     "#item=m|q4|sort8_positive|direct|899"],
)  # fmt: skip
def test_a_link_opens_its_item(browser: Any, address: str, watch: Watch, link: str) -> None:
    fresh = browser.new_page()
    watch.on(fresh)
    fresh.goto(address + link)
    opened(fresh, "sort8_positive direct 0899")
    assert fresh.locator('.row[aria-selected="true"] .name').text_content() == "sort8_positive direct 0899"
    assert output(fresh, 1) == "out q4 number 899"
    assert watch.said == []
    fresh.close()


def test_a_link_to_nothing_says_so(page: Any) -> None:
    page.evaluate("location.hash = '#item=m|q4|sort8_positive|direct|9999|1'")
    sync_api.expect(page.locator("#detail")).to_contain_text("This run has no item m q4 sort8_positive direct 9999 1.")


def test_lost_items_open_from_the_table_of_changes(page: Any) -> None:
    page.click("#deltas a.lost")
    status(page, "lost: sort8_positive (direct), q4: 2 of 1,809 items")
    assert page.locator(".row .name").all_text_contents() == [
        "sort8_positive direct 0004",
        "sort8_positive direct 0008",
    ]


def test_disagreements_open_with_both_opinions(page: Any) -> None:
    page.click("#judge a[href='#set=disagreements']")
    status(page, "judge and parser disagree: 1 of 1,809 items")
    page.locator(".row").click()
    opened(page, "sort8_positive direct 0033")
    shown = page.locator("#detail").inner_text()
    assert "as asked" in shown
    assert "parser: incorrect, decided by the parser" in shown


def test_a_hostile_output_stays_text(page: Any) -> None:
    page.evaluate("location.hash = '#item=m|none|sort8_positive|direct|0077|1'")
    opened(page, "sort8_positive direct 0077")
    shown = output(page)
    assert shown.replace("\ufffd", "\ud800") == HOSTILE.replace("\ufffd", "\ud800")
    assert page.locator("#detail img, #detail svg, #detail script").count() == 0
    assert page.evaluate("window.hacked") is None
    page.fill("#search", "</script><img")
    status(page, "1 of 1,809 items have “</script><img”")
    page.locator(".row").click()
    sync_api.expect(page.locator("#detail mark")).to_have_text("</script><img")
    assert page.locator("#detail img, #detail svg, #detail script").count() == 0
    assert page.evaluate("window.hacked") is None


def test_keyboard(page: Any) -> None:
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("q4 number 12")
    status(page, "11 of 1,809 items have “q4 number 12”")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "list"
    opened(page, "sort8_positive direct 0012")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    opened(page, "sort8_positive direct 0121")
    page.keyboard.press("k")
    opened(page, "sort8_positive direct 0120")
    page.keyboard.press("End")
    opened(page, "sort8_positive direct 0129")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.id === 'detail'")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    status(page, "1,809 of 1,809 items")
    assert page.evaluate("location.hash") == "#items", "what is searched for no more is no part of the address"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_the_list_is_virtual_and_keeps_its_place(page: Any) -> None:
    page.locator("#list").focus()
    page.keyboard.press("End")
    opened(page, "sort8_positive direct 0899")
    assert page.locator(".row").count() < 60
    assert page.locator('.row[aria-selected="true"]').get_attribute("aria-posinset") == "1809"
    assert page.locator("#list").get_attribute("aria-activedescendant") == "row-1808"


def test_filters_stay_in_the_address_and_beside_an_item(page: Any) -> None:
    page.select_option("#filter-task", "sort8_positive")
    page.select_option("#filter-verdict", "incorrect")
    assert page.evaluate("location.hash") == "#task=sort8_positive&verdict=incorrect"
    page.locator("#list").focus()
    page.keyboard.press("Home")
    opened(page, "sort8_positive direct 0000")
    address = page.evaluate("location.href")
    assert address.endswith("&task=sort8_positive&verdict=incorrect")
    page.goto("about:blank")
    page.goto(address)
    opened(page, "sort8_positive direct 0000")
    status(page, "450 of 1,809 items")
    page.wait_for_selector("html[data-plotted]", timeout=60_000)
    page.click("#clear")
    status(page, "1,809 of 1,809 items")
    assert page.evaluate("location.hash") == "#items"


def test_the_first_difference_of_two_outputs_is_marked(page: Any) -> None:
    page.locator("#list").focus()
    page.keyboard.press("Home")
    opened(page, "sort8_positive direct 0000")
    assert page.locator("mark.differs").all_text_contents() == ["none", "q4"]
    assert output(page, 1) == "out q4 number 0"


@pytest.fixture(scope="module")
def lost_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run in which q4 has lost 0000 to a false equation behind a thought, and gained 0001."""
    texts = {
        ("none", 0): ("Add \U0001d7d9 first.", "14 * 12 = 168, so 73", True),
        ("q4", 0): ("Add \U0001d7d9 last. 59 rolls.", "14 * 12 = 158, so 63", False),
        ("none", 1): ("", "14 + 12 = 27", False),
        ("q4", 1): ("", "73", True),
    }
    question = [{"role": "user", "content": "14 trays of 12 rolls, 95 are sold. How many are left?"}]
    lines = [
        line(item, right, output, quant=quant, task="gsm8k", gold="73", reasoning=thought, messages=question)
        for (quant, item), (thought, output, right) in texts.items()
    ]
    lost = {"copied": 1}
    broke = {"lost": lost, "gained": {"equation": 1}, "steps": [{"item": "0000", "kind": "copied", "text": "59"}]}
    rows = [delta(["0000"], ["0001"], task="gsm8k", breaks=broke)]
    return write_page(report_folder(tmp_path_factory.mktemp("lost") / "run", lines, deltas=rows)).as_uri()


def test_a_lost_item_shows_the_first_difference_and_the_first_false_step(
    browser: Any, lost_address: str, watch: Watch
) -> None:
    fresh = browser.new_page(viewport={"width": 390, "height": 800})
    watch.on(fresh)
    fresh.goto(lost_address)
    fresh.click("#deltas summary:has-text('Where lost')")
    fresh.click("#deltas a[href='#set=delta-0-lost&broke=copied']")
    status(fresh, "lost: gsm8k (direct), q4: 1 of 4 items")
    fresh.locator(".row").first.click()
    opened(fresh, "gsm8k direct 0000")
    assert fresh.locator("#detail .columns > section").count() == 2
    assert fresh.locator("mark.differs").all_text_contents() == ["first", "last"]
    assert fresh.locator("mark.false").all_text_contents() == ["59"]
    fresh.click("text=show the first false step")
    sync_api.expect(fresh.locator("mark.false")).to_be_in_viewport()
    fresh.evaluate("location.hash = '#item=m|none|gsm8k|direct|0001|1'")
    opened(fresh, "gsm8k direct 0001")
    assert fresh.locator("mark.differs").all_text_contents() == ["14", "73"], "a mark ends with its text"
    assert "".join(fresh.locator("mark.false").all_text_contents()) == "14 + 12 = 27"
    assert fresh.evaluate("document.documentElement.scrollWidth") == 390
    assert watch.said == []
    fresh.close()


def test_the_listed_items_are_saved_as_lines(page: Any) -> None:
    page.select_option("#filter-task", "sort16_mixed")
    status(page, "9 of 1,809 items")
    with page.expect_download() as download:
        page.click("#save")
    lines = [json.loads(text) for text in Path(download.value.path()).read_text().splitlines()]
    assert [found["item"] for found in lines] == [f"{item:04d}" for item in range(9)]
    assert {found["output"] for found in lines} == {"quite other"}


def test_what_changed_stands_on_top(page: Any) -> None:
    assert page.locator('#summary [aria-label="What changed"] tbody tr').count() == 1


def test_light_dark_and_phone(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    small = context.new_page()
    small.goto(address)
    small.wait_for_selector('html[data-plotted="dark"]', timeout=60_000)
    assert small.evaluate("document.documentElement.scrollWidth") == 390
    dark = small.evaluate("getComputedStyle(document.body).backgroundColor")
    small.click("#theme")
    small.wait_for_selector('html[data-plotted="light"]', timeout=60_000)
    assert small.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    context.close()


def test_a_plot_as_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = report_folder(tmp_path / "run", [line(item, item < 3) for item in range(4)])
    target = tmp_path / "accuracy.svg"
    assert main(["page", str(folder), "--svg", "accuracy", "--out", str(target), "--width", "500"]) == 0, (
        capsys.readouterr().err
    )
    drawn = target.read_text()
    assert drawn.startswith("<svg")
    assert "sort8_positive" in drawn
    assert 'width="5' in drawn


def test_of_many_variants_the_first_and_the_opened_one_are_shown(browser: Any, tmp_path: Path, watch: Watch) -> None:
    quants = ["none", *(f"q{number}" for number in range(12, 1, -1))]
    lines = [line(0, True, f"of {quant}", quant=quant) for quant in quants]
    variants = [{"model": "m", "quant": quant, "display": "m", "engine": "replay"} for quant in quants]
    fresh = browser.new_page()
    watch.on(fresh)
    fresh.goto(write_page(report_folder(tmp_path / "run", lines, variants=variants)).as_uri())
    for quant, shown in (("q2", [*quants[:7], "q2"]), ("q12", quants[:8])):
        fresh.evaluate(f"location.hash = '#item=m|{quant}|sort8_positive|direct|0000|1'")
        sync_api.expect(fresh.locator("#detail .columns h3")).to_have_text([f"m, {name}" for name in shown])
    assert "8 of 12 variants" in fresh.locator("#detail").inner_text()
    assert watch.said == []
    fresh.close()
