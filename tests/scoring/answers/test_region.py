"""The final region and the boxes of an output."""

from __future__ import annotations

import pytest

from pytest_thinkslm.core.records import Output
from pytest_thinkslm.scoring.answers.region import Box, Region, boxes, final_region, is_placeholder

MARKS = [
    ("<think>", "</think>"),
    ("<THINK>", "</Think>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("◁think▷", "◁/think▷"),
]


@pytest.mark.parametrize(("start", "end"), MARKS)
def test_only_what_follows_the_thought_is_graded(start: str, end: str) -> None:
    region = final_region(Output(f"{start}first 3, hmm{end}\n\n4"))
    assert region == Region("\n\n4", "first 3, hmm")


@pytest.mark.parametrize(("start", "_end"), MARKS)
def test_unfinished_thought_has_nothing_to_grade(start: str, _end: str) -> None:
    region = final_region(Output(f"{start}the answer is \\boxed{{3}}", finish_reason="length"))
    assert region.unfinished
    assert region.text == ""


def test_an_end_mark_without_a_start_mark_ends_the_thought() -> None:
    assert final_region(Output("so 3</think>4")) == Region("4", "so 3")


def test_a_second_thought_that_never_ends_is_unfinished() -> None:
    assert final_region(Output("<think>a</think>4<think>b")).unfinished


def test_the_last_end_mark_counts() -> None:
    assert final_region(Output("<think>a</think>3<think>b</think>4")).text == "4"


def test_a_thought_that_the_server_separated_leaves_the_text() -> None:
    assert final_region(Output("4", reasoning="so 3")) == Region("4", "so 3")
    assert final_region(Output("", reasoning="so 3", finish_reason="length")).unfinished


def test_finish_reason_length_is_kept() -> None:
    assert final_region(Output("4", finish_reason="length")).cut
    assert not final_region(Output("4")).cut


def test_only_the_end_of_a_very_long_output_is_read() -> None:
    assert len(final_region(Output("x" * 1_000_000)).text) == 200_000


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{5}", ["5"]),
        (r"\fbox{5}", ["5"]),
        (r"\boxed 5.", ["5"]),
        (r"\boxed{\frac{1}{2}} then \boxed{3}", [r"\frac{1}{2}", "3"]),
        (r"\boxed{\text{ab}}", [r"\text{ab}"]),
        (r"\boxed{\boxed{5}}", ["5"]),
        (r"\boxed\frac{1}{2}.", [r"\frac{1}{2}"]),
        (r"\boxed{\{1,2\}}", [r"\{1,2\}"]),
        (r"\boxed[1, 2]", ["[1, 2]"]),
        ("boxed{7}", ["7"]),
        (r"\boxedly{7} unboxed{7}", []),
    ],
)
def test_boxes(text: str, contents: list[str]) -> None:
    assert [box.content for box in boxes(text)] == contents
    assert all(box.closed for box in boxes(text))


def test_an_unclosed_box_is_marked_and_swallows_no_later_box() -> None:
    first, second = boxes(r"\boxed{4 and then \boxed{5}")
    assert (first.closed, second.closed, second.content) == (False, True, "5")


@pytest.mark.parametrize("content", ["answer", "", "...", "X", r"\text{answer}", "answer.", "your answer", r"\ldots"])
def test_placeholders_copied_from_the_prompt(content: str) -> None:
    assert is_placeholder(content)


@pytest.mark.parametrize("content", ["5", "C", "x", r"\frac{1}{2}", "answer = 5", "[1, 2]"])
def test_answers_are_no_placeholders(content: str) -> None:
    assert not is_placeholder(content)


def test_only_a_cut_after_a_separated_thought_without_an_answer_is_unfinished() -> None:
    assert not final_region(Output("4", reasoning="so 3", finish_reason="length")).unfinished
    assert not final_region(Output("", reasoning="so 3")).unfinished


def test_the_end_of_a_long_output_and_its_last_boxes_are_read() -> None:
    assert final_region(Output("x" * 300_000 + "end")).text.endswith("xend")
    many = boxes("".join(rf"\boxed{{{number}}}" for number in range(1_500)))
    assert (len(many), many[-1].content) == (1_000, "1499")


def test_a_long_text_of_wrappers_is_no_placeholder() -> None:
    assert is_placeholder(r"\text{ } " * 8)
    assert not is_placeholder("$" * 90)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"so \boxed{5}.", Box("5", 3, 12, True)),
        (r"\boxed{1\}2}", Box(r"1\}2", 0, 12, True)),
        (r"\boxed{\boxed{5} + 1}", Box(r"\boxed{5} + 1", 0, 21, True)),
        (r"\boxed{4 and", Box("4 and", 0, 12, False)),
        (r"\boxed[1, 2] x", Box("[1, 2]", 0, 12, True)),
        (r"\boxed(1, 2] x)", Box("(1, 2] x)", 0, 15, True)),
        (r"\boxed 5. x", Box("5", 0, 8, True)),
        (r"\boxed\frac{1}{2}{3} x", Box(r"\frac{1}{2}{3}", 0, 20, True)),
        (r"a \boxed", Box("", 2, 8, False)),
        (r"a \boxed $", Box("", 2, 8, True)),
    ],
)
def test_where_a_box_stands(text: str, box: Box) -> None:
    assert boxes(text) == [box]
