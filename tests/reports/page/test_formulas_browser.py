"""LaTeX of items as formulas, in headless Chromium: what is drawn, what stays as written, and what cannot get out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from page_folders import line, report_folder
from page_watch import Watch

from pytest_thinkslm.reports.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

#: A text, and the LaTeX of the formulas that are drawn in it.
CASES: tuple[tuple[str, list[str]], ...] = (
    (r"Let $x^2 = 4$, so \(x = \pm 2\).", ["x^2 = 4", r"x = \pm 2"]),
    (r"Thus \[\frac{1}{2} + \frac{1}{3}\] and $$y$$ hold.", [r"\frac{1}{2} + \frac{1}{3}", "y"]),
    (r"The answer is \boxed{\frac{3}{4}}.", [r"\boxed{\frac{3}{4}}"]),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} is it", [r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"]),
    ("She paid $5 for one and $10 for two, $2-$3 less.", []),
    (r"An escaped \$x\$ is a sign, \boxed{ is unclosed, \( too", []),
    (r"Give the answer inside \boxed{}.", []),
    (r"$\frac{1}{2$ is broken, $z$ is not", ["z"]),
    (r"$\def\a{\a\a}\a$ defines, $\newcommand{\b}{c}\b$ too", []),
    (r"\(" * 30_000, []),
    ("$a " * 20_000, []),
    ("\\begin{x" * 8_000 + "{" * 8_000, []),
    ("$" + "{" * 1500 + "$", []),
    ("no LaTeX at all, <b>no HTML</b>", []),
)
#: What must not act: links, images, HTML attributes, boxes that cover the page.
HOSTILE = (
    r"$\href{javascript:alert(1)}{x}$ $\includegraphics{http://127.0.0.1:9/x.png}$ $\htmlStyle{position:fixed}{x}$ "
    r"$\rule{9000em}{9000em}$ $\text{<img src=x onerror=window.hacked=1>}$ $\htmlData{a=b}{y}$ $\url{http://127.0.0.1:9}$"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    lines = [line(item, True, text) for item, (text, _) in enumerate(CASES)]
    lines += [line(92, True, "so $6-8=-2$, and $y$", quant="none"), line(92, True, "so $6-7=-1$, and $y$", quant="q4")]
    lines += [line(90, True, HOSTILE), line(91, True, "out", gold=r"\frac{7}{8}", answer="7/8")]
    return write_page(report_folder(tmp_path_factory.mktemp("formulas") / "run", lines)).as_uri()


@pytest.fixture
def page(browser: Any, address: str, watch: Watch) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    watch.on(opened)
    opened.goto(f"{address}#formulas=on")
    opened.wait_for_selector("html[data-plotted]", timeout=60_000)
    sync_api.expect(opened.locator("#formulas")).to_have_attribute("aria-pressed", "true")
    yield opened
    assert watch.said == []
    assert {asked.partition("#")[0] for asked in watch.asked} == {address}
    context.close()


def show(page: Any, item: int) -> Any:
    page.evaluate(f"location.hash = '#item=m|none|sort8_positive|direct|{item:04d}|1'")
    sync_api.expect(page.locator("#detail > h3")).to_have_text(f"sort8_positive direct {item:04d}", timeout=15_000)
    output = page.locator("#detail .columns > section pre").last
    sync_api.expect(output).to_have_class("typeset")
    return output


@pytest.mark.parametrize("item", range(len(CASES)))
def test_formulas_are_drawn_and_everything_else_stays(page: Any, item: int) -> None:
    text, expected = CASES[item]
    output = show(page, item)
    assert output.locator("math annotation").all_text_contents() == expected
    assert output.locator("b").count() == 0
    if not expected:
        assert output.text_content() == text


def test_hostile_formulas_do_nothing(page: Any) -> None:
    output = show(page, 90)
    assert output.locator("math").count() >= 2, "what is harmless in it is drawn"
    assert page.locator("#detail pre a, #detail pre img, #detail pre [data-a], #detail pre script").count() == 0
    assert page.evaluate("window.hacked") is None
    assert page.locator("#detail [style*=fixed]").count() == 0
    assert output.bounding_box()["height"] < 2000, "no box grows without bound"
    assert output.evaluate("element => getComputedStyle(element).contain") == "paint"


def test_a_gold_is_a_formula_as_a_whole(page: Any) -> None:
    show(page, 91)
    assert page.locator("#detail > pre.value math annotation").all_text_contents() == [r"\frac{7}{8}"]
    assert page.locator("#detail .pair pre.value").text_content() == "7/8"


def test_a_formula_with_a_mark_in_it_stays_and_those_around_it_are_drawn(page: Any) -> None:
    output = show(page, 92)
    assert output.locator("math annotation").all_text_contents() == ["y"]
    assert output.locator("mark").text_content() == "7"
    assert output.inner_text().startswith("so $6-7=-1$, and ")


def test_on_demand_alone_and_kept_in_the_address(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("html[data-plotted]", timeout=60_000)
    page.locator(".row").first.click()
    sync_api.expect(page.locator("#detail > h3")).to_have_text("sort8_positive direct 0000")
    assert page.locator("#detail math").count() == 0
    assert page.evaluate("window.katex") is None, "unpacked when it is asked for"
    page.keyboard.press("m")
    page.locator("#detail math").first.wait_for()
    assert page.evaluate("location.hash").endswith("&formulas=on")
    page.keyboard.press("j")
    sync_api.expect(page.locator("#detail > h3")).to_have_text("sort8_positive direct 0001")
    assert page.locator("#detail math").count() == 2
    page.click("#formulas")
    sync_api.expect(page.locator("#detail math")).to_have_count(0)
    assert "formulas" not in page.evaluate("location.hash")
    page.close()


def test_wide_formulas_scroll_within_their_text_on_a_phone(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    small = context.new_page()
    small.goto(f"{address}#item=m|none|sort8_positive|direct|0090|1&formulas=on")
    small.locator("#detail math").first.wait_for()
    assert small.evaluate("document.documentElement.scrollWidth") == 390
    context.close()
