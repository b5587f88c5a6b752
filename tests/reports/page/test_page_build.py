"""The page as a file: what is in it, what cannot get out of its place, what it may load, how much memory it takes."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_folders import HOSTILE, delta, line, report_folder, run_results

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.text import preview
from pytest_thinkslm.reports.links import filter_link, item_link
from pytest_thinkslm.reports.page import write_page
from pytest_thinkslm.reports.page.build import formula_script, vendor_script
from pytest_thinkslm.reports.page.item_sets import item_sets
from pytest_thinkslm.reports.page.items import BLOCK_LINES, Index, pack

ELEMENT = re.compile(r'<script type="application/octet-stream" id="([a-z0-9-]+)">([A-Za-z0-9+/=]*)</script>')


def elements(page: Path) -> dict[str, str]:
    """The unpacked data of a page, by id of its element."""
    found = ELEMENT.findall(page.read_text(encoding="utf-8"))
    return {name: zlib.decompress(base64.b64decode(data)).decode("utf-8") for name, data in found}


def packed(lines: list[dict[str, Any]]) -> tuple[Index, list[list[dict[str, Any]]]]:
    blocks: list[bytes] = []
    index = pack(((json.dumps(each) + "\n").encode() for each in lines), blocks.append)
    return index, [[json.loads(text) for text in zlib.decompress(block).splitlines()] for block in blocks]


def test_every_line_is_found_again_at_its_place() -> None:
    lines = [line(item, item % 3 > 0, output="x" * (item % 7)) for item in range(BLOCK_LINES * 2 + 5)]
    index, blocks = packed(lines)
    assert index.count == len(lines)
    assert index.starts == [0, BLOCK_LINES, 2 * BLOCK_LINES]
    assert [each for block in blocks for each in block] == lines
    read = json.loads(index.to_json())
    verdicts = [read["tables"]["verdict"][code] for code in read["columns"]["verdict"]]
    assert verdicts == [each["verdict"] for each in lines]
    assert read["columns"]["item"] == [each["item"] for each in lines]
    assert read["columns"]["output_tokens"] == [7] * len(lines)
    assert index.verdicts == {"correct": verdicts.count("correct"), "incorrect": verdicts.count("incorrect")}


def test_a_long_output_closes_its_block() -> None:
    index, blocks = packed([line(0, True, output="x" * 500_000), line(1, True)])
    assert index.starts == [0, 1]
    assert [len(block) for block in blocks] == [1, 1]


def test_an_empty_run_has_an_empty_index() -> None:
    index, blocks = packed([])
    assert json.loads(index.to_json())["columns"]["item"] == []
    assert blocks == []


@given(st.text(st.characters(), max_size=40), st.text(max_size=80))
def test_any_text_survives_index_and_blocks(output: str, answer: str) -> None:
    index, blocks = packed([line(0, True, output=output, answer=answer)])
    assert blocks[0][0]["output"] == output
    assert json.loads(index.to_json())["columns"]["answer"] == [preview(answer)]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        ("12", "12"),
        ([3, 1, 2], "3, 1, 2"),
        ({"judgement": "wrong", "first_error_step": "2"}, "wrong, step 2"),
        ({"judgement": "correct", "first_error_step": None}, "correct"),
        ("x" * 61, "x" * 59 + "…"),
    ],
)
def test_previews(value: object, shown: str | None) -> None:
    assert preview(value) == shown


def test_the_page_has_its_data_and_nothing_breaks_out(tmp_path: Path) -> None:
    lines = [line(0, False, HOSTILE, reason=HOSTILE, task="sort8_mixed"), line(1, True)]
    folder = report_folder(
        tmp_path / "run",
        lines,
        problems=[HOSTILE],
        gates=[
            {"name": "gate::x", "kind": "max-error", "label": "x", "state": "failed", "passed": False}
            | {"sentence": HOSTILE, "fields": {}, "lost": [], "gained": [], "advisory": False}
        ],
    )
    page = write_page(folder)
    assert page == folder / "report.html"
    data = elements(page)
    assert set(data) == {"data-index", "data-page", "data-vendor", "data-formulas", "block-0"}
    assert [json.loads(text)["output"] for text in data["block-0"].splitlines()] == [HOSTILE, "the output"]
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == len(data) + 1
    assert "<img" not in text
    assert "<svg onload" not in text
    assert not list(folder.glob(".*")), "no draft is left"


def test_the_policy_allows_its_own_scripts_and_no_network(tmp_path: Path) -> None:
    text = write_page(report_folder(tmp_path / "run", [line(0, True)])).read_text(encoding="utf-8")
    found = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert found is not None
    policy = html.unescape(found[1])
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe-eval" not in policy
    own = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert own is not None
    for script in (own[1], vendor_script(), formula_script()):
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert not re.search(r'(?:src|href|action)\s*=\s*"?\s*(?:https?:)?//', text)
    assert not re.search(r"@import|url\(", text)


def test_a_page_without_items_is_small(tmp_path: Path) -> None:
    assert write_page(report_folder(tmp_path / "run", [])).stat().st_size < 700_000


def test_the_vendored_libraries_carry_their_licences_and_fit() -> None:
    assert "Copyright (c) 2013-2020 Khan Academy" in formula_script()
    script = vendor_script()
    assert "University of Washington Interactive Data Lab" in script
    assert "Mike Bostock" in script
    assert len(zlib.compress(script.encode(), 6)) < 350_000


def test_memory_does_not_grow_with_the_outputs(tmp_path: Path) -> None:
    """8 MB of outputs that do not compress to nothing, packed in less."""

    def lines() -> Iterator[bytes]:
        for item in range(4_000):
            text = hashlib.sha512(str(item).encode()).hexdigest() * 16
            yield (json.dumps(line(item, True, output=text)) + "\n").encode()

    total = 0

    def write(block: bytes) -> None:
        nonlocal total
        total += len(block)

    tracemalloc.start()
    pack(lines(), write)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 400_000
    assert peak < 4_000_000


def test_sections_that_a_run_has_nothing_for_are_absent(tmp_path: Path) -> None:
    text = write_page(report_folder(tmp_path / "run", [line(0, True)])).read_text(encoding="utf-8")
    for name in ("deltas", "reference", "judge", "gates"):
        assert f'<section id="{name}">' not in text
    for name in ("summary", "plots", "items", "environment"):
        assert f'<section id="{name}">' in text


def test_sections_of_a_full_run(tmp_path: Path) -> None:
    lines = [line(item, item > 1, quant=quant) for item in range(4) for quant in ("none", "q4")]
    gate = {
        "name": "gate::sort8_positive",
        "kind": "regression",
        "label": "sort8_positive",
        "state": "failed",
        "passed": False,
        "sentence": "sort8_positive: a drop is shown",
        "fields": {"baseline": 75.0, "candidate": 50.0, "difference": -25.0, "low": -60.0, "high": 10.0, "n": 4},
        "lost": ["0001"],
        "gained": [],
        "advisory": False,
        "model": "m",
        "quant": "q4",
        "task": "sort8_positive",
        "style": "direct",
    }
    disagreement = {"model": "m", "quant": "q4", "task": "sort8_positive", "style": "direct", "item": "0002"}
    disagreement |= {"repeat": 1, "parser": {"verdict": "correct", "answer": "1", "rule": "boxed"}}
    disagreement |= {"judge": {"verdict": "incorrect", "answer": "2", "reason": "not sorted & <b>short</b>"}}
    canaries = {"n": 10, "right": 10, "threshold": 0.9, "trusted": True, "failed": []}
    reference = {"model": "m", "quant": "none", "task": "sort8_positive", "style": "direct", "paper": 0.9}
    reference |= {"paper_n": 100, "accuracy": 0.5, "n": 4, "difference": -0.4, "ci95": None, "note": "unpaired"}
    folder = report_folder(
        tmp_path / "run",
        lines,
        deltas=[delta(["0001", "0003"], ["0002"])],
        gates=[gate],
        baseline={"name": "before", "paired": True, "advisory": False},
        judge={"model": "j", "policy": "all", "canaries": canaries, "disagreements": [disagreement], "unjudged": 0},
        reference=[reference],
    )
    text = write_page(folder).read_text(encoding="utf-8")
    for expected in (
        "q4 against none",
        'href="#set=delta-0-lost" class="lost">2</a>',
        'href="#item=m|q4|sort8_positive|direct|0001|1">0001</a>',
        'href="#set=gate-1-lost" class="lost">1</a>',
        "Change against the baseline before",
        "<h2>Gates, against the baseline before</h2>",
        "not sorted &amp; &lt;b&gt;short&lt;/b&gt;",
        'href="#item=m|q4|sort8_positive|direct|0002|1">sort8_positive direct 0002</a>',
        "<b>canaries</b> 10 of 10 right, trusted",
        "Beside the paper",
        "unparsed 0.0% → 25.0%; order 0 → 1",
    ):
        assert expected in text
    sets = json.loads(elements(folder / "report.html")["data-page"])["sets"]
    assert sets["delta-0-lost"]["items"] == ["0001", "0003"]
    assert sets["gate-1-lost"]["title"] == "lost: sort8_positive (direct), q4"
    results = json.loads((folder / "results.json").read_text())
    del results["baseline"]
    (folder / "results.json").write_text(json.dumps(results))
    alone = write_page(folder).read_text(encoding="utf-8")
    assert "<h2>Gates</h2>" in alone
    assert 'href="#set=gate-1-lost" class="lost">1</a>' in alone
    assert "the baseline" not in alone.partition("<script")[0]


def test_a_run_without_items_has_a_page(tmp_path: Path) -> None:
    variant = {"model": "m", "quant": "none", "display": "m", "engine": "replay"}
    page = write_page(report_folder(tmp_path / "run", [], variants=[variant], selection="partial"))
    assert json.loads(elements(page)["data-page"]) == {"charts": [], "sets": {}, "broke": {}, "variants": ["m|none"]}
    assert "<b>partial</b>" in page.read_text(encoding="utf-8")


def test_links_survive_odd_names() -> None:
    odd = GroupKey("a/b c|d", "q", "t", "test_t", "direct")
    assert item_link(odd, "0001") == "#item=a/b%20c%7Cd|q|t|direct|0001|1"
    assert item_link(odd._replace(test="test_own"), "0001", 2).endswith("|q|t|direct|0001|2|item|test_own")
    assert filter_link(task="gsm8k", verdict="a&b") == "#task=gsm8k&verdict=a%26b"
    results = run_results([line(0, True)], deltas=[delta()])
    assert item_sets(results) == {}


def test_a_rebuilt_page_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = report_folder(tmp_path / "run", [line(0, True), line(1, False)])
    before = write_page(folder).read_bytes()
    (folder / "report.html").unlink()
    assert main(["page", str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == before
    assert capsys.readouterr().out.strip() == str(folder / "report.html")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("missing", "has no results.json: give the report folder of a finished run"),
        ("items", "no report folder of this version"),
        ("plot", "this run has no such plot; it has accuracy"),
    ],
)
def test_the_command_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str, message: str
) -> None:
    folder = report_folder(tmp_path / "run", [line(0, True)])
    if broken == "missing":
        (folder / "results.json").unlink()
    if broken == "items":
        (folder / "items.jsonl").write_text("not JSON\n")
    assert main(["page", str(folder), *(["--svg", "nonsense"] if broken == "plot" else [])]) == 4
    assert message in capsys.readouterr().err
    assert not (folder / "report.html").exists()
    assert not list(folder.glob(".*"))
