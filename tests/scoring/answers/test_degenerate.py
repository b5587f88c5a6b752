"""Degenerate outputs."""

from __future__ import annotations

import pytest
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.scoring.answers.degenerate import FAILURES, _repeated_tail, degenerate, stuck

PROMPT = "Tom has 3 red pens and buys 4 blue pens at the shop on the corner. How many pens does he have now?"


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("", "empty"),
        (" \n...\n", "empty"),
        ("The answer is 225.\n#### 225\n" * 20, "repetition"),
        ("!" * 300, "repetition"),
        ("!" * 30, "empty"),
        ("We add. " + "ha" * 60, "repetition"),
        ("A. clerk\nB. mall\nC. strip mall\nD. city\nE. neighbourhood\n\n" * 3, "repetition"),
        (
            "".join(f"{i}. So one car wash costs {i} * 1 = {i} car wash in a month.\n" for i in range(3, 14)),
            "repetition",
        ),
        (", ".join(map(str, range(-60, 40))), None),
        ("1. 17\n2. 34\n3. 9\n4. 88\n5. 21\n6. 40\n7. 52\n8. 63\n9. 11\n10. 70\n11. 19\n12. 20\n13. 65\n14. 2\n", None),
        ("def solve(a):\n    return a + 4\n\nprint(solve(3))", "code"),
        (PROMPT, "restated"),
        ("Tom has 3 red pens and buys 4 blue pens at the shop on the corner.", "restated"),
        ("Tom has 3 pens. He buys 4. So he has 3 + 4 = 7 pens. The answer is 7.", None),
        ("7", None),
    ],
)
def test_classes(text: str, failure: str | None) -> None:
    assert degenerate(text, PROMPT) == failure
    assert failure is None or failure in FAILURES


def test_a_program_with_an_answer_after_it_is_no_code() -> None:
    assert degenerate("print(3 + 4)\nx = 3 + 4\n\nSo Tom has 7 pens.") is None


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("!" * 40, "!"),
        ("\n" + "C. " * 20, "C. "),
        ("the the " * 12 + "th", "the "),
        ("\ufffd" * 200, "\ufffd"),
        ("!" * 39, None),
        (" " * 400, None),
        ("So " + "!" * 400, None),
        ("!" * 400 + " The answer is 7.", None),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15", None),
    ],
)
def test_what_is_one_unit_from_its_first_character_on(text: str, unit: str | None) -> None:
    assert stuck(text) == unit


@ends_a_hang
@pytest.mark.parametrize("fragment", ["a", "ab ", "x = 1\n", "\ud800", "\0", "(", "print(", "word word2 "])
def test_hostile_text_costs_linear_time(fragment: str) -> None:
    text = (fragment * 100_000)[:100_000]
    assert calls(lambda: degenerate(text, PROMPT * 100)) <= CALLS_A_CHARACTER * len(text)
    stuck(text + "end of a text")


@pytest.mark.parametrize(
    ("tail", "length"), [("aaaaa", 5), ("bcaaaaa", 5), ("ab" * 5, 10), ("b" + "ab" * 5, 11), ("aaaa", 0), ("abc", 0)]
)
def test_what_one_unit_fills(tail: str, length: int) -> None:
    assert _repeated_tail(tail, longest=120, times=5) == length
