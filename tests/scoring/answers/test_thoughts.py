"""Thoughts of every family, in the form in which its models write them: none of them is graded."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.answers.region import final_region
from pytest_thinkslm.scoring.answers.thoughts import closing_mark, is_mark, opening_mark, split
from pytest_thinkslm.scoring.verdicts import decide

#: What a thought says; every reader would find 7 or B in it.
THOUGHT = (
    "The user asks for a number. First try: the answer is \\boxed{7}.\n#### 7\nAnswer: B\nFinal Judgement: correct\n"
    "Let me check that again, step by step, before I say it."
)
ANSWER = "There are 4 of them.\n\n\\boxed{4}"


@dataclass(frozen=True)
class Family:
    """How a family writes: what stands before, between and behind thought and answer.

    ``stripped``: the same without special tokens, as some servers send it; None where that leaves nothing to see.
    """

    name: str
    start: str
    end: str
    behind: str = ""
    stripped: tuple[str, str] | None = None


HARMONY = Family(
    "gpt-oss",
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|return|>",
    ("analysis", "assistantfinal"),
)
FAMILIES = [
    Family("Qwen3, GLM-4.5, SmolLM3, Nemotron Nano, OLMo 3, LFM2.5", "<think>\n", "\n</think>\n\n"),
    Family("DeepSeek-R1, QwQ: opened in the prompt", "", "\n</think>\n\n"),
    Family("Qwen3.5: a blank thought before the real one", "<think>\n\n</think>\n\n<think>\n", "\n</think>\n\n"),
    Family("Hunyuan", "<think>\n", "\n</think>\n<answer>\n", "\n</answer>"),
    Family("Hunyuan 3", "<think:opensource>", "</think:opensource>"),
    HARMONY,
    Family(
        "gpt-oss with a preamble",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>",
        "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>",
        "<|return|>",
        ("analysisHm.assistantcommentary", "assistantfinal"),
    ),
    Family("Gemma 4", "<|channel>thought\n", "<channel|>", "<turn|>", ("thought\n", "<channel|>")),
    Family("Magistral, Ministral 3 Reasoning", "[THINK]", "[/THINK]"),
    Family("Apriel", "Here are my reasoning steps:\n", "\n[BEGIN FINAL RESPONSE]\n", "\n[END FINAL RESPONSE]\n<|end|>"),
    Family("EXAONE Deep", "<thought>\n", "\n</thought>\n\n"),
    Family("EXAONE 4", "<think>\n", "\n</think>\n\n"),
    Family("Granite 3.2", "Here is my thought process:\n\n", "\n\nHere is my response:\n\n"),
    Family("Granite 3.2, short", "Here's my thought process: ", " Here's my response: "),
    Family("Granite 3.3", "<think>", "</think>\n<response>", "</response>"),
    Family("Seed-OSS", "<seed:think>\n", "\n</seed:think>\n"),
    Family(
        "Seed-OSS with a budget",
        "<seed:think>Hm.\n<seed:cot_budget_reflect>512 tokens are used.</seed:cot_budget_reflect>\n",
        "</seed:think>",
        "<seed:eos>",
    ),
    Family("Kimi", "◁think▷", "◁/think▷"),
    Family("Command A Reasoning", "<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>", "<|END_RESPONSE|>"),
    Family("OpenThinker", "<|begin_of_thought|>\n\n", "\n\n<|end_of_thought|>\n\n"),
    Family("Nanbeige and others", "<reasoning>\n", "\n</reasoning>\n"),
]
BY_NAME = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)

CASES = [
    Case("gsm8k", 0, "number", "How many?", "4"),
    Case("math", 0, "expression", "How many?", "4"),
    Case("arc_easy", 0, "choice", "How many?", "C", options=("7", "6", "4")),
    Case("sort8_positive", 0, "list", "Sort.", (4,), given=(7, 4)),
]


def read(text: str, finish: str, case: Case) -> tuple[str, object]:
    """Verdict and answer."""
    output = Output(text, finish_reason=finish)  # type: ignore[arg-type]
    answer = read_answer(case, output)
    return decide(case, output, answer).name, answer.value


@BY_NAME
def test_whole(family: Family) -> None:
    text = family.start + THOUGHT + family.end + ANSWER + family.behind
    region = final_region(Output(text))
    assert region.text.strip() == ANSWER
    assert region.thought is not None
    assert "First try" in region.thought
    assert not region.unfinished
    for case in CASES[:2]:
        assert read(text, "stop", case) == ("correct", "4")


@BY_NAME
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_cut_in_the_thought(family: Family, case: Case) -> None:
    text = (family.start or "<think>\n") + THOUGHT
    for end in range(len(family.start) + 12, len(text) + 1, 7):
        assert read(text[:end], "length", case) == ("truncated", None), text[:end]


@BY_NAME
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_cut_in_the_end_mark(family: Family, case: Case) -> None:
    """A part of an end mark is no end."""
    before = (family.start or "<think>\n") + THOUGHT
    mark = family.end.strip()
    for length in range(1, len(closing_mark(before) or "")):
        assert read(before + mark[:length], "length", case)[0] == "truncated", mark[:length]


@BY_NAME
def test_cut_in_the_answer(family: Family) -> None:
    text = family.start + THOUGHT + family.end + "There are four of th"
    for case in CASES:
        assert read(text, "length", case) == ("truncated", None)
    region = final_region(Output(text, finish_reason="length"))
    assert (region.text.strip(), region.unfinished) == ("There are four of th", False)


@pytest.mark.parametrize(
    "family", [one for one in FAMILIES if one.stripped], ids=lambda family: family.name
)  # fmt: skip
def test_stripped_of_special_tokens(family: Family) -> None:
    assert family.stripped is not None
    start, end = family.stripped
    for case in CASES:
        for length in range(20, len(THOUGHT), 7):
            assert read(start + THOUGHT[:length], "length", case) == ("truncated", None)
        assert read(start + THOUGHT, "stop", case) == ("truncated", None), "nothing says where a thought ends"
    assert final_region(Output(start + THOUGHT + end + ANSWER)).text.strip() == ANSWER


def test_stripped_answer_of_a_channel_alone() -> None:
    assert split("finalThe answer is 4.").answer == "The answer is 4."
    assert split("final answer: 4").answer == "final answer: 4"
    assert split("<|channel|>final<|message|>4<|return|>") == split("4")


@pytest.mark.parametrize(
    "text",
    [
        "Here are my reasoning steps:\n1. 2 + 2 = 4\n\n\\boxed{4}",
        "Here is my thought process: 2 + 2. The answer is 4.",
        "analysis: 2 + 2 is 4",
        "analysis of the text shows 4",
        "Analysis\n\n4",
        "thoughtful people say 4",
        "thought: 4",
        "the channel is 4",
        "the assistant, finally: 4",
        "[BEGIN] 4",
        "a <b>4</b>",
        "final 4",
        "finally, 4",
    ],
)
def test_ordinary_answers_are_whole(text: str) -> None:
    assert split(text).answer == text
    assert split(text).thought is None


@BY_NAME
def test_the_end_that_belongs_to_a_start(family: Family) -> None:
    """What the bound on a thought writes is read as its end."""
    text = (family.start or "<think>\n") + THOUGHT
    mark = closing_mark(text)
    assert mark is not None
    assert split(text + mark + "4", cut=True).answer == "4"
    assert mark in family.end or family.name.startswith(("gpt-oss", "Granite 3.2, short"))


@pytest.mark.parametrize(
    "prompt",
    ["<|im_start|>assistant\n<think>\n", "[|assistant|]<thought>\n", "</s>[THINK]",
     "<|begin_assistant|>\nHere are my reasoning steps:\n",
     "<|turn>model\n<|channel>thought\n", "<|start|>assistant<|channel|>analysis<|message|>"],
)  # fmt: skip
def test_a_prompt_that_opens_a_thought(prompt: str) -> None:
    mark = opening_mark(prompt)
    assert mark
    assert prompt.endswith(mark)
    assert split(mark + "The answer is 7", cut=True).open is not None


def test_a_prompt_that_closes_a_thought_opens_none() -> None:
    assert opening_mark("assistant\n<think>\n\n</think>\n\n") == ""
    assert opening_mark("<|turn>model\n<|channel>thought\n<channel|>") == ""


@pytest.mark.parametrize(
    ("token", "mark"),
    [("<|channel|>", True), ("<|channel>", True), ("<channel|>", True), ("[THINK]", True), ("[/THINK]", True),
     ("<think>", True), ("</think>", True), ("[BEGIN FINAL RESPONSE]", True), ("◁think▷", True),
     ("<|START_THINKING|>", True), ("<|END_THINKING|>", True), ("</seed:think>", True), ("</thought>", True),
     ("<|im_end|>", False), ("<s>", False), ("[INST]", False), ("<|turn>", False), ("<turn|>", False)],
)  # fmt: skip
def test_tokens_that_stay(token: str, mark: bool) -> None:
    assert is_mark(token) is mark


def test_a_server_that_separated_one_thought_only() -> None:
    region = final_region(Output("<think>more: 7", reasoning="so 7", finish_reason="length"))
    assert (region.text, region.unfinished, region.thought) == ("", True, "so 7\n\nmore: 7")
    assert final_region(Output("more</think>4", reasoning="so 7")).text == "4"


@given(st.lists(st.sampled_from([one for f in FAMILIES for one in (f.start, f.end, f.behind, "7", "\n", "a ")])))
def test_whatever_the_order_of_marks(parts: list[str]) -> None:
    text = "".join(parts)
    found = split(text)
    assert found.answer in text
    if found.open is not None:
        assert found.answer == ""
        mark = closing_mark(text)
        assert mark is not None
        assert split(text + mark + " 4", cut=True).answer.strip() == "4"
