"""Prompts as token ids: one BOS, the plain format, the thinking switch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.records import Message
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.template import plain_text, render
from pytest_thinkslm.models.thought import switch_for

USER = Message("user", "b c")
CHAT = "{{ bos_token }}{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Five words, and a tokenizer that puts a BOS in front of any text, as Llama's does."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {"<s>": 0, "a": 1, "b": 2, "c": 3, "?": 4}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made.add_special_tokens(["<s>"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="?")


def model(template: str | None) -> ResolvedModel:
    return ResolvedModel("m", "folder", Path("m"), "m", {}, 0, chat_template=template)


def test_the_template_s_bos_is_the_only_one(tokenizer: Any) -> None:
    assert render(tokenizer, [USER], model(CHAT)) == [0, 2, 3]


def test_a_second_bos_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(EngineError, match=r"two BOS tokens \('<s>'\)"):
        render(tokenizer, [USER], model("{{ bos_token }}" + CHAT))


def test_a_template_that_refuses_the_messages(tokenizer: Any) -> None:
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT
    assert render(tokenizer, [USER], model(template)) == [0, 2, 3]
    with pytest.raises(EngineError, match=r"refuses these messages \(system, user\): no system role"):
        render(tokenizer, [Message("system", "a"), USER], model(template))


def test_a_base_model_gets_the_plain_format(tokenizer: Any) -> None:
    messages = [Message("system", "a"), USER, Message("assistant", "c"), Message("user", "d")]
    assert plain_text(messages) == "a\n\nQuestion: b c\nAnswer: c\n\nQuestion: d\nAnswer:"
    ids = render(tokenizer, [USER], model(None))
    assert ids[0] == 0
    assert ids.count(0) == 1


@pytest.mark.parametrize(
    ("template", "thinking", "variables"),
    [
        ("{{ enable_thinking }}", "on", {"enable_thinking": True}),
        ("{{ enable_thinking }}", "off", {"enable_thinking": False}),
        ("{{ thinking }}", "off", {"thinking": False}),
        ("{{ enable_thinking }} {{ thinking_budget }}", "512", {"enable_thinking": True, "thinking_budget": 512}),
        ("{{ messages }}", "on", None),
        ("{{ '<thinking>' }} thinking {{ message.thinking }}", "on", None),
    ],
)
def test_thinking_switches(template: str, thinking: str, variables: dict[str, object] | None) -> None:
    found = switch_for(template, thinking)
    assert (None if found is None else found.variables) == variables


def test_thinking_reaches_the_template_or_is_an_error(tokenizer: Any) -> None:
    template = CHAT + "{% if enable_thinking %}a{% else %}c{% endif %}"
    assert render(tokenizer, [USER], model(template), "on")[-1] == 1
    assert render(tokenizer, [USER], model(template), "off")[-1] == 3
    for one in (model(CHAT), model(None)):
        with pytest.raises(EngineError, match="thinking"):
            render(tokenizer, [USER], one, "on")


def test_the_hash_follows_the_template() -> None:
    first, second = model("a"), model("b")
    assert first.template_sha256 != second.template_sha256
    assert dataclasses.replace(first, chat_template=None).template_sha256 == "plain"
    json.dumps(first.template_sha256)
