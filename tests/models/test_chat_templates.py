"""Chat templates: sound or not, the question in the prompt, one day for all, remarks."""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import tiny_checkpoints

from pytest_thinkslm.core.errors import EngineError, ModelError
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.transformers_load import stop_ids_of
from pytest_thinkslm.models.chat_templates import asks_for_date, holds, problem_of, remarks, shows_parts
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.models.template import Prompts

TURNS = "{% for m in messages %}<{{ m.role }}> {{ m.content }}</s>{% endfor %}"
CHAT = TURNS + "{% if add_generation_prompt %}<assistant> {% endif %}"
PARTS = (
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}{% endfor %}<assistant>"
)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (CHAT, ""),
        ("{% generation %}" + CHAT + "{% endgeneration %}", ""),
        ("{% for m in messages %}{{ raise_exception('only with tools') }}{% endfor %}", ""),
        ("{% for m in messages", "damaged: line 1"),
        ("{{ messages | nosuchfilter }}", "damaged: line 1: No filter named 'nosuchfilter'"),
        ("{# made for nothing #}", "an empty prompt"),
        ("{% if tools %}x{% endif %}", "an empty prompt"),
    ],
)
def test_a_template_that_cannot_be_used(template: str, says: str) -> None:
    found = problem_of(template)
    assert says in found
    assert bool(found) == bool(says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        ("{{ 'é' }}".encode("latin-1"), "is no UTF-8 text"),
        (b"{% if %}", "cannot be used: it is damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "is a Git LFS pointer"),
    ],
)
def test_the_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    folder = tiny_checkpoints.layout(tmp_path / "model")
    (folder / "chat_template.jinja").write_bytes(content)
    with pytest.raises(ModelError, match=f"chat_template.jinja.* {re.escape(says)}"):
        resolve(str(folder))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = {letter: place for place, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


def model(template: str | None) -> ResolvedModel:
    return ResolvedModel("m", "folder", Path("m"), "m", {}, 0, chat_template=template)


def request(text: str, task: str = "gsm8k") -> Request:
    return Request((Message("user", text),), Sampling(), task=task, style="direct")


def prompt(tokenizer: Any, template: str | None, text: str = "How many\n apples?") -> str:
    return str(tokenizer.decode(Prompts(tokenizer, model(template)).ids(request(text))))


@pytest.mark.parametrize(
    "template",
    [CHAT, PARTS, TURNS.replace("m.content", "m.content | tojson"), TURNS.replace("m.content", "m['content'] | trim")],
)
def test_the_question_stands_in_the_prompt(tokenizer: Any, template: str) -> None:
    found = prompt(tokenizer, template)
    assert "How many" in found
    assert "apples?" in found
    assert not shows_parts(found)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}<{{ m.role }}>{% endfor %}<assistant>",
        TURNS.replace("m.content", "m.content[:12]"),
        "{% for m in messages %}{% if m.role == 'tool' %}{{ m.content }}{% endif %}{% endfor %}<assistant>",
        TURNS.replace("m.content", "m.text"),
    ],
)
def test_a_template_that_drops_the_question(tokenizer: Any, template: str) -> None:
    prompts = Prompts(tokenizer, model(template))
    for text in ("How many apples does Ada have?", "And now?"):
        with pytest.raises(EngineError, match="leaves the question out of the prompt"):
            prompts.ids(request(text))


def test_the_check_is_made_once_a_task(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    real = tokenizer.apply_chat_template

    def counting(*given: Any, tokenize: bool, **named: Any) -> Any:
        asked.append(tokenize)
        return real(*given, tokenize=tokenize, **named)

    monkeypatch.setattr(type(tokenizer), "apply_chat_template", lambda self, *g, **n: counting(*g, **n))
    prompts = Prompts(tokenizer, model(CHAT))
    for task in ("gsm8k", "gsm8k", "math", "gsm8k"):
        prompts.ids(request("How many?", task))
    assert asked.count(False) == 2


def test_a_base_model_needs_no_check(tokenizer: Any) -> None:
    assert prompt(tokenizer, None, "b") == "Question: b\nAnswer:"


@given(st.text(min_size=1, max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_a_text_is_found_between_others(content: str, before: str, after: str) -> None:
    assert holds(f"{before} {content} {after}", content)


LLAMA = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}"
    "{% endif %}Today: {{ date_string }}\n" + CHAT
)


@pytest.mark.parametrize(
    ("template", "day"),
    [
        (LLAMA, "Today: 26 Jul 2024"),
        ("{{ strftime_now('%A %H:%M %Y-%m-%d') }}" + CHAT, "Friday 00:00 2024-07-26"),
        ("{{ strftime_now('100%% %-d. %B') }}" + CHAT, "100% 26. July"),
        ("{{ strftime_now('%c|%x|%D %R|%Z') }}" + CHAT, "Fri Jul 26 00:00:00 2024|07/26/24|07/26/24 00:00|"),
        ("{% macro head() %}{{ strftime_now('%Y-%m-%d') }}{% endmacro %}{{ head() }}" + CHAT, "2024-07-26"),
        ("\n  {% if true %}{{ strftime_now('%Y') }}{% endif %}" + CHAT, "\n2024"),
        ("{{ date_string }}" + CHAT, "26 Jul 2024"),
    ],
)
def test_every_day_is_one_day(tokenizer: Any, template: str, day: str) -> None:
    assert prompt(tokenizer, template).startswith(day)
    assert "asks for today's date, and is told 26 July 2024 on every day" in model(template).note
    assert model(template).prompt_facts()["day"] == "2024-07-26"


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("{% for m in messages %}<u>{{ m.content }}<e>{% endfor %}", "<e>"),
        ("{% for m in messages %}<u>{% for part in m.content %}{{ part.text }}{% endfor %}<e>{% endfor %}", "<e>"),
        ("{% for m in messages %}<u>{{ 1 / 0 if m.role == 'assistant' else m.content }}<e>{% endfor %}", None),
    ],
)
def test_the_token_that_ends_a_turn(tokenizer: Any, template: str, end: str | None) -> None:
    own = copy.deepcopy(tokenizer)
    own.add_tokens(["<u>", "<e>"], special_tokens=True)
    found = stop_ids_of(model(template), SimpleNamespace(config=SimpleNamespace()), own)
    assert own.convert_ids_to_tokens(found) == ([] if end is None else [end])


def test_whatever_a_template_raises_is_its_refusal(tokenizer: Any) -> None:
    for broken in ("{{ 1 / 0 }}", "{{ 'a' * 10 ** 15 }}", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"):
        with pytest.raises(EngineError, match="its chat template refuses these messages"):
            prompt(tokenizer, broken + CHAT)


def test_a_date_of_the_template_s_own_is_left_alone(tokenizer: Any) -> None:
    own = "{% if not date_string is defined %}{% set date_string = '01 Jan 2020' %}{% endif %}{{ date_string }}" + CHAT
    assert not asks_for_date(own)
    assert prompt(tokenizer, own).startswith("01 Jan 2020")
    assert "day" not in model(own).prompt_facts()
    assert model(CHAT).note == ""


@pytest.mark.parametrize(
    ("template", "remark"),
    [
        (TURNS, "begin with '<assistant>', and the prompt ends before that"),
        (CHAT, ""),
        ("{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>"
         "{% endif %}{% endfor %}", ""),
        (CHAT.replace("<assistant> ", "<assistant> <think>"), ""),
    ],
)  # fmt: skip
def test_a_template_without_a_generation_prompt(template: str, remark: str) -> None:
    found = "; ".join(remarks(template))
    assert remark in found
    assert bool(found) == bool(remark)
