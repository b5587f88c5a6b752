"""``--thinking`` on templates of real families: the right prompt, or a refusal that says what there is."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Message
from pytest_thinkslm.models.rendering import rendered, texts_of, variables_of
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.switches import Chat, Switch, effective
from pytest_thinkslm.models.thought import check_thinking, offers, switch_for, thinks_by_default

TEMPLATES = Path(__file__).parents[2] / "fixtures" / "templates"
VALUES = ("on", "off", "low", "medium", "high", "512")

#: What a prompt holds for a value: a pattern that the prompt by default has not, or "=" for that prompt.
#: A value that is not there is refused. A number gives the prompt of ``on``, with the budget where there is one.
TAKES: dict[str, dict[str, str]] = {
    "apriel-1.5": {"on": "=", "512": "="},
    "command-a-reasoning": {"on": "=", "off": "<\\|START_THINKING\\|><\\|END_THINKING\\|>", "512": "="},
    "deepseek-r1": {"on": "=", "512": "="},
    "deepseek-r1-distill-first": {"on": "=", "512": "="},
    "deepseek-v3.1": {"on": "<｜Assistant｜><think>", "off": "=", "512": "<｜Assistant｜><think>"},
    "exaone-4": {"on": "<think>\n$", "off": "=", "512": "<think>\n$"},
    "exaone-deep": {"on": "=", "512": "="},
    "falcon-h1": {},
    "gemma-3": {},
    "gemma-4-31b": {"on": "<\\|turn>system\n<\\|think\\|>", "off": "=", "512": "<\\|turn>system\n<\\|think\\|>"},
    "gemma-4-e2b": {"on": "<\\|turn>system\n<\\|think\\|>", "off": "=", "512": "<\\|turn>system\n<\\|think\\|>"},
    "glm-4.5": {"on": "=", "off": "/nothink<\\|assistant\\|>\n<think></think>", "512": "="},
    "gpt-oss": {"on": "=", "low": "Reasoning: low", "medium": "=", "high": "Reasoning: high", "512": "="},
    "granite-3.2": {"on": "Here is my thought process:", "off": "=", "512": "Here is my thought process:"},
    "granite-3.3": {"on": "<think></think> and your", "off": "=", "512": "<think></think> and your"},
    "granite-4": {},
    "hermes-4": {"on": "Think between <think>", "off": "=", "512": "Think between <think>"},
    "hunyuan-3": {"on": "reasoning_effort:high<think:opensource>", "off": "=", "low": "reasoning_effort:low<think",
                  "high": "reasoning_effort:high<think", "512": "reasoning_effort:high<think"},
    "hunyuan-a13b": {"on": "=", "off": "/no_thinkq7c1e", "512": "="},
    "intern-s1": {"on": "=", "off": "^<\\|im_start\\|>user", "512": "="},
    "kimi-k2.5": {"on": "=", "off": "<think></think>", "512": "="},
    "kimi-vl-thinking": {"on": "=", "512": "="},
    "lfm2.5-thinking": {"on": "=", "512": "="},
    "llama-3.1": {},
    "llama-nemotron-v1": {},
    "minimax-m2": {"on": "=", "512": "="},
    "ministral-3-reasoning": {"on": "=", "512": "="},
    "mistral-small-4": {"on": '"reasoning_effort": "high"', "off": "=", "high": '"reasoning_effort": "high"',
                        "512": '"reasoning_effort": "high"'},
    "nemotron-3-nano": {"on": "=", "off": "<think></think>", "512": "="},
    "nemotron-nano-v2": {"on": "=", "off": "<SPECIAL_11>Assistant\n<think></think>", "512": "="},
    "olmo-3-think": {"on": "=", "512": "="},
    "phi-4-mini": {},
    "phi-4-reasoning": {"on": "=", "512": "="},
    "qwen3": {"on": "=", "off": "<think>\n\n</think>\n\n", "512": "="},
    "qwen3-instruct-2507": {"512": "="},
    "qwen3-thinking-2507": {"on": "=", "512": "="},
    "qwen3.5": {"on": "=", "off": "<think>\n\n</think>\n\n", "512": "="},
    "qwen3.8": {"on": "=", "off": "<think>\n\n</think>\n\n", "low": "set to low",
                "medium": "set to medium", "512": "="},
    "seed-oss": {"on": "=", "off": "your thinking budget is 0", "512": "Your thinking budget is 512"},
    "smollm3": {"on": "=", "off": "Reasoning Mode: /no_think", "512": "="},
}  # fmt: skip
#: Those that think unless they are told not to.
THINKERS = {
    "apriel-1.5", "command-a-reasoning", "deepseek-r1", "deepseek-r1-distill-first", "exaone-deep", "glm-4.5",
    "gpt-oss", "hunyuan-a13b", "intern-s1", "kimi-k2.5", "kimi-vl-thinking", "lfm2.5-thinking", "minimax-m2",
    "ministral-3-reasoning", "nemotron-3-nano", "nemotron-nano-v2", "olmo-3-think", "phi-4-reasoning", "qwen3",
    "qwen3-thinking-2507", "qwen3.5", "qwen3.8", "seed-oss", "smollm3",
    "qwen3-instruct-2507",  # as far as its template tells; its name tells otherwise
}  # fmt: skip


def template_of(family: str) -> str:
    return (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")


def model(family: str) -> ResolvedModel:
    return ResolvedModel(family, "folder", Path(family), family.title(), {}, 0, chat_template=template_of(family))


def test_each_template_is_in_the_table() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.jinja")} == set(TAKES)
    assert len(TAKES) >= 25


@pytest.mark.parametrize(("family", "value"), list(itertools.product(TAKES, VALUES)))
def test_the_right_prompt_or_a_refusal(family: str, value: str) -> None:
    expected = TAKES[family].get(value)
    template, chat = template_of(family), Chat(template_of(family))
    if expected is None:
        with pytest.raises(UsageError) as caught:
            check_thinking(model(family), value)
        said = str(caught.value)
        assert f"--thinking {value}: {family.title()}" in said
        if offers(template):
            assert (
                f"it takes --thinking {', '.join(offers(template))}; or leave --thinking out" in said or value == "on"
            )
        else:
            assert "leave --thinking out" in said
        return
    check_thinking(model(family), value)
    switch = switch_for(template, value)
    assert switch is not None
    prompt, plain = chat.prompt(switch), chat.prompt()
    assert prompt is not None
    assert plain is not None
    assert "q7c1e" in prompt, "the question is asked"
    if expected == "=":
        assert prompt == plain
    else:
        assert re.search(expected, prompt)
        assert not re.search(expected, plain)


@pytest.mark.parametrize("family", TAKES)
def test_who_thinks_by_default(family: str) -> None:
    assert thinks_by_default(template_of(family)) is (family in THINKERS)


@pytest.mark.parametrize("family", TAKES)
def test_beside_a_system_message(family: str) -> None:
    """With a system message of the user's own a value does the same, or is refused."""
    chat = Chat(template_of(family), system=True)
    for value in TAKES[family]:
        switch = switch_for(chat.template, value, system=True)
        if switch is None:
            with pytest.raises(UsageError, match="leave --system or --thinking out"):
                check_thinking(model(family), value, "Be brief.")
            assert family.startswith("granite-3")
        else:
            prompt = chat.prompt(switch)
            assert prompt is not None
            if value == "off":
                assert prompt != chat.prompt(switch_for(chat.template, "on", system=True))


def test_a_command_goes_behind_what_there_is() -> None:
    user = Message("user", "How many?")
    off = Switch(command="/no_think", place="system")
    assert off.messages([user]) == [Message("system", "/no_think"), user]
    assert off.messages([Message("system", "Be brief."), user]) == [Message("system", "Be brief.\n/no_think"), user]
    last = Switch(command="/no_think", place="user").messages([user, Message("assistant", "4"), user])
    assert last == [user, Message("assistant", "4"), Message("user", "How many?\n/no_think")]
    assert Switch().messages([user]) == [user]


@pytest.mark.parametrize(
    "template",
    [
        "{# enable_thinking, /no_think #}{{ messages[0].content }}",
        "{{ 'enable_thinking' }}{{ messages[0].content }}",
        "{% set ns = namespace(enable_thinking=true) %}{{ messages[0].content }}{{ ns.enable_thinking }}",
        "{% if enable_thinking %}{% endif %}{{ messages[0].content }}",
        "{{ messages[-1].content.replace('/no_think', '').replace('/think', '') }}",
        "{% set enable_thinking = true %}{{ enable_thinking }}{{ messages[0].content }}",
        "{{ messages[0].content }}</think>/think",
    ],
)
def test_a_word_is_no_switch(template: str) -> None:
    assert switch_for(template, "off") is None
    assert all(switch_for(template, value) is None for value in ("low", "medium", "high"))


def test_commands_in_the_user_s_turn() -> None:
    template = "{% set off = '/no_think' in messages[-1].content %}{{ messages[-1].content }}{{ '<think>' if not off }}"
    switch = switch_for(template, "off")
    assert switch == Switch(command="/no_think", place="user")
    assert Chat(template).prompt(switch) == "q7c1e\n/no_think"


@pytest.mark.parametrize(
    ("prompts", "taken"),
    [
        ({"low": "l", "medium": "m", "high": "h"}, ["low", "medium", "high"]),
        ({"low": "m", "medium": "m", "high": "m"}, []),
        ({"low": "m", "medium": "m", "high": "h"}, ["high"]),
        ({"low": "l", "medium": "m", "high": None}, ["low", "medium"]),
        ({"low": None, "medium": None, "high": "h"}, ["high"]),
        ({"low": None, "medium": "m", "high": None}, []),
    ],
)
def test_which_efforts_there_are(prompts: dict[str, str | None], taken: list[str]) -> None:
    assert effective(prompts, "m") == taken


def test_what_a_template_reads() -> None:
    assert variables_of("{% if a is not defined %}{% set a = 1 %}{% endif %}{{ a }}{{ b.c }}") == {"a", "b"}
    assert variables_of("{{ broken") == texts_of("{{ broken") == frozenset()
    assert texts_of("{{ 'none' }} medium {% if x == 'high' %}{% endif %}") == {"none", "high"}
    assert rendered("{{ messages[0].content }}{% generation %}!{% endgeneration %}", [{"content": "a"}]) == "a!"
    assert rendered("{{ raise_exception('no') }}", []) is None


def test_a_bound_needs_an_end() -> None:
    resolved = ResolvedModel("m", "folder", Path("m"), "M", {}, 0, chat_template="{{ messages[0].content }}"
                             "{% if thinking %}Think first.{% endif %}")  # fmt: skip
    check_thinking(resolved, "on")
    with pytest.raises(UsageError, match=r"what ends its thought is not known.*it takes --thinking on, off"):
        check_thinking(resolved, "512")


def test_an_instruct_model_whose_template_cuts_thoughts() -> None:
    with pytest.raises(UsageError, match="called one that answers at once"):
        check_thinking(model("qwen3-instruct-2507"), "on")
