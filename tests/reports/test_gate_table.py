"""One table of gates for terminal, Markdown and page."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_thinkslm.core.tables import html_table, markdown_table
from pytest_thinkslm.reports.gate_table import gate_sentences, gate_table

MARGIN: dict[str, Any] = {
    "baseline": 80.0,
    "candidate": 65.0,
    "difference": -15.0,
    "low": -24.9,
    "high": -5.6,
    "n": 100,
    "lost": 20,
    "gained": 5,
    "flips": 25.0,
    "p": 0.004,
    "p_corrected": 0.008,
    "margin": 2.0,
}


def gate(label: str, kind: str, passed: bool | None, fails: bool, **fields: Any) -> Any:
    state = {True: "passed", False: "failed", None: "not evaluated"}[passed]
    return {
        "name": f"gate::{label}::{kind}",
        "kind": kind,
        "label": label,
        "state": state,
        "passed": passed,
        "fails": fails,
        "sentence": f"{label}: because of {kind}",
        "fields": fields,
        "lost": [f"{item:04d}" for item in range(20)] if "lost" in fields else [],
        "gained": [f"{item:04d}" for item in range(5)] if "lost" in fields else [],
        "advisory": False,
        "model": "m",
        "quant": "none",
        "task": label,
        "test": f"test_{label}",
        "style": "direct",
    }


GATES = [
    gate("gsm8k", "max-error", True, False, rate=0.5, count=1, n=200, at_most=1.0),
    gate("math", "noninferiority", None, True),
    gate("arc_easy", "min-accuracy", None, False, accuracy=41.0, n=100, at_least=40.0, on="lower bound"),
    gate("sort8_mixed", "regression", False, True, **MARGIN),
]


def test_rows_have_what_was_decided_and_on_what_those_that_fail_first() -> None:
    _, _, *rows = markdown_table(gate_table(GATES))
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    change = "-15.0 (-24.9 to -5.6)"
    assert cells == [
        ["sort8_mixed", "regression 2", "100", "80.0%", "65.0%", change, "20", "5", "25.0%", "0.008", "failed"],
        ["math", "non-inferiority", *["–"] * 8, "not evaluated: fails"],
        ["arc_easy", "at least 40% (lower bound)", "100", "–", "41.0%", *["–"] * 5, "not evaluated"],
        ["gsm8k", "error at most 1%", "200", "–", "0.5%", *["–"] * 5, "passed"],
    ]


def test_each_sentence_stands_once() -> None:
    sentences = [sentence for _, sentence in gate_sentences(GATES)]
    assert len(sentences) == len(set(sentences)) == 4
    assert sentences[1].endswith("--allow-unevaluated lets it pass)")
    assert "allow-unevaluated" not in sentences[0] + sentences[2] + sentences[3]


@pytest.mark.parametrize("first", [0, 3])
def test_the_page_links_to_the_items_of_its_own_number(first: int) -> None:
    page = html_table(gate_table(GATES, first=first))
    assert f'href="#set=gate-{first + 3}-lost" class="lost">20</a>' in page
