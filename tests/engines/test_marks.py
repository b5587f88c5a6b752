"""Marks of a thought that are special tokens of the tokenizer: the local engines keep them until they are read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripted_checkpoint import TEMPLATE, scripted

from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines.thinking import ENOUGH, ThinkingEngine
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.marks import OwnMarks, closing_ids, mark_ids, own_marks, special_marks
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.scoring.answers.region import final_region

QUESTION = "How many?"
#: By family: its special tokens, what a model says, and what of it is the answer.
SAID = {
    "harmony": (
        ["<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>"],
        "<|channel|>analysis<|message|>Maybe 7.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.",
    ),
    "gemma": (["<|channel>", "<channel|>", "<|think|>"], "<|channel>thought\nMaybe 7.<channel|>It is 4."),
    "ministral": (["[THINK]", "[/THINK]"], "[THINK]Maybe 7.[/THINK]It is 4."),
    "think": (["<think>", "</think>"], "<think>\nMaybe 7.\n</think>\n\nIt is 4."),
    "unknown": (["<|musing|>", "<|/musing|>"], "<|musing|>Maybe 7.<|/musing|>It is 4."),
    "apriel": (["[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"],
               "Here are my reasoning steps:\nMaybe 7.\n[BEGIN FINAL RESPONSE]\nIt is 4.\n[END FINAL RESPONSE]"),
    "seed": (["<seed:think>", "</seed:think>"], "<seed:think>Maybe 7.</seed:think>It is 4."),
}  # fmt: skip
#: A template that writes a thought back with marks of its own.
MUSING = TEMPLATE.replace(
    "{{ m.content }}",
    "{% if m.reasoning_content is defined %}<|musing|>{{ m.reasoning_content }}<|/musing|>{% endif %}{{ m.content }}",
)


@pytest.fixture
def speaking(tmp_path: Path, embedded_model: ResolvedModel) -> Callable[[str], ResolvedModel]:
    """A checkpoint that answers as a family does, with the embedded model's tokenizer and the family's tokens."""
    from transformers import AutoTokenizer

    def make(family: str) -> ResolvedModel:
        tokens, says = SAID[family]
        tokenizer = AutoTokenizer.from_pretrained(embedded_model.path)
        tokenizer.add_tokens(tokens, special_tokens=True)
        template = MUSING if family == "unknown" else TEMPLATE
        return resolve(str(scripted(tmp_path / family, tokenizer, QUESTION, says, template=template)))

    return make


@pytest.fixture
def engine_of() -> Iterator[Callable[[ResolvedModel], TransformersEngine]]:
    made: list[TransformersEngine] = []

    def make(model: ResolvedModel) -> TransformersEngine:
        made.append(TransformersEngine(model, engine_args={"device": "cpu", "dtype": "float32", "threads": "1"}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def asked(thinking: str | None = None, max_tokens: int = 64) -> Request:
    return Request((Message("user", QUESTION),), Sampling(max_tokens=max_tokens), thinking=thinking)


def check(engine: Any) -> None:
    """The whole output is read right, and of those that a limit cuts none gives anything of the thought."""
    whole: Output = engine.submit([asked()])[0].result(timeout=300)
    region = final_region(whole)
    assert region.text.strip() == "It is 4."
    assert region.thought is not None
    assert "Maybe 7." in region.thought
    assert whole.finish_reason == "stop"
    futures = engine.submit([asked(max_tokens=limit) for limit in range(1, whole.output_tokens or 0)])
    for future in futures:
        output = future.result(timeout=300)
        region = final_region(output)
        assert "7" not in region.text, output.text
        assert region.unfinished or "7" not in output.text or region.text.strip() in "It is 4."


@pytest.mark.model
@pytest.mark.parametrize("family", SAID)
def test_transformers_keeps_them(
    family: str, speaking: Callable[[str], ResolvedModel], engine_of: Callable[[ResolvedModel], TransformersEngine]
) -> None:
    check(engine_of(speaking(family)))


@pytest.mark.model
@pytest.mark.parametrize("family", ["harmony", "unknown", "gemma"])
def test_a_bound_is_spelled_as_the_model_does(
    family: str, speaking: Callable[[str], ResolvedModel], engine_of: Callable[[ResolvedModel], TransformersEngine]
) -> None:
    from transformers import AutoTokenizer

    from pytest_thinkslm.models.template import render

    model = speaking(family)
    prompts: list[str] = []
    backend = engine_of(model)
    submit = backend.submit

    def seen(requests: Sequence[Request]) -> Any:
        tokenizer = AutoTokenizer.from_pretrained(model.path)
        prompts.extend(tokenizer.decode(render(tokenizer, r.messages, model, None, r.prefix)) for r in requests)
        return submit([Request(r.messages, r.sampling, prefix=r.prefix) for r in requests])

    backend.submit = seen  # type: ignore[method-assign]
    output = ThinkingEngine(backend).submit([asked("5")])[0].result(timeout=300)
    assert output.thought_closed
    assert ENOUGH in prompts[1]
    end = {"harmony": "<|end|><|start|>assistant<|channel|>final<|message|>", "unknown": "<|/musing|>",
           "gemma": "<channel|>"}[family]  # fmt: skip
    assert prompts[1].rstrip().endswith(end)
    assert "<think>" not in prompts[1]
    assert not final_region(output).unfinished


@pytest.mark.vllm
@pytest.mark.model
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no module vllm in this environment")
@pytest.mark.parametrize("family", ["harmony", "gemma", "unknown"])
def test_vllm_keeps_them(family: str, speaking: Callable[[str], ResolvedModel]) -> None:
    from pytest_thinkslm.engines.vllm_engine import VLLMEngine

    engine = VLLMEngine(speaking(family), engine_args={"max_num_seqs": "8"})
    try:
        check(engine)
    finally:
        engine.close()


@pytest.mark.model
def test_which_tokens_stay(speaking: Callable[[str], ResolvedModel]) -> None:
    from transformers import AutoTokenizer

    model = speaking("harmony")
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    kept = mark_ids(tokenizer, own_marks(model.chat_template))
    assert sorted(tokenizer.convert_ids_to_tokens(sorted(kept))) == [
        "<|channel|>",
        "<|end|>",
        "<|message|>",
        "<|start|>",
    ]
    assert special_marks(model.path, model.chat_template) == ("<|channel|>", "<|end|>", "<|message|>", "<|start|>")
    tokenizer = AutoTokenizer.from_pretrained(speaking("seed").path)
    tokenizer.add_tokens(["<|end|>"], special_tokens=True)
    kept = mark_ids(tokenizer, OwnMarks())
    assert sorted(tokenizer.convert_ids_to_tokens(sorted(kept))) == ["</seed:think>", "<seed:think>"], "no Harmony here"


@pytest.mark.parametrize(
    ("family", "ends"),
    [
        ("think", ["</think>"]),
        ("ministral", ["[/THINK]"]),
        ("gemma", ["<channel|>"]),
        ("unknown", ["<|/musing|>"]),
        ("harmony", []),
    ],
)
def test_the_tokens_that_end_a_thought_by_themselves(
    speaking: Callable[[str], ResolvedModel], family: str, ends: list[str]
) -> None:
    from transformers import AutoTokenizer

    model = speaking(family)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    found = closing_ids(tokenizer, own_marks(model.chat_template))
    assert tokenizer.convert_ids_to_tokens(sorted(found)) == ends


def test_a_template_s_own_marks() -> None:
    assert own_marks(MUSING) == OwnMarks("<|musing|>", "<|/musing|>")
    assert own_marks(MUSING.replace("musing", "think")) == OwnMarks()
    assert own_marks(TEMPLATE) == own_marks(None) == own_marks("{{ broken") == OwnMarks()
    own = own_marks(MUSING)
    assert own.shown("<|musing|>a<|/musing|>b") == "<think>a</think>b"
    assert own.spelled("<think>a</think>b") == "<|musing|>a<|/musing|>b"
