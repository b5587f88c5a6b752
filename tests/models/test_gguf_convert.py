"""Hugging Face checkpoints made GGUF files: names, tokens, weights; the same prompts and outputs as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("gguf")

import gguf
import numpy as np
from models.tiny_checkpoints import TEMPLATE, layout

from pytest_thinkslm.core.errors import ModelError, UsageError
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.models import gguf_header
from pytest_thinkslm.models.embedded import gguf_path, prepared_folder
from pytest_thinkslm.models.gguf_convert import _SPLITTERS, _rope_factors, converted
from pytest_thinkslm.models.loading import Machine
from pytest_thinkslm.models.variants import label_of, resolve_variant

TEXTS = ["In 1984 there were 12345 of them, weren't there?\n\n  And 6.78  too", "日本語 ñ ½ x² WE'LL\r\n\tit's"]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}


@pytest.fixture(autouse=True)
def cache(request, tmp_path, monkeypatch):
    if request.node.get_closest_marker("model") is None:
        monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path / "cache"))


def random_checkpoint(folder: Path, family: str, splitter: str, **more: object) -> Path:
    """A model of two layers with random weights in 32 bits, and a tokenizer that splits as ``splitter`` does."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    steps = [{"trim_offsets": True, "invert": False, **step} for step in dict(_SPLITTERS)[splitter]]
    bpe = Tokenizer(models.BPE(ignore_merges=splitter == "llama-bpe"))
    made = json.loads(bpe.to_str()) | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}
    bpe = Tokenizer.from_str(json.dumps(made))
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([*TEXTS, "they were there in 1984 and 2024, 12345 and 67 of them, it's all"] * 3, trainer)
    bpe.add_tokens([AddedToken("<note>", special=False)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape |= {"num_hidden_layers": 2, "vocab_size": 608, "max_position_embeddings": 512, "initializer_range": 0.3}
    config = AutoConfig.for_model(family, **shape, bos_token_id=0, eos_token_id=1, **more)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "splitter", "more"),
    [
        ("llama", "gpt-2", {"tie_word_embeddings": True}),
        ("llama", "smollm", {"attention_bias": True}),
        ("llama", "llama-bpe", {"rope_parameters": LLAMA3}),
        ("mistral", "gpt-2", {"sliding_window": None, "head_dim": 32}),
        ("qwen2", "qwen2", {"tie_word_embeddings": False}),
        ("qwen3", "qwen2", {"head_dim": 32}),
    ],
)
def test_prompts_and_outputs_are_those_of_transformers(tmp_path, family, splitter, more):
    pytest.importorskip("xllamacpp")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from pytest_thinkslm.engines.llamacpp_engine import LlamaCppEngine

    folder = random_checkpoint(tmp_path / "tiny", family, splitter, **more)
    model = resolve_variant(str(folder), "none", "llamacpp", check=False)
    engine = LlamaCppEngine(model, engine_args={"threads": "1", "slots": "1", "context": "256"})
    asked = [Request((Message("user", text),), Sampling(max_tokens=12)) for text in TEXTS]
    try:
        outputs = [future.result() for future in engine.submit(asked)]
    finally:
        engine.close()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    checkpoint = transformers.AutoModelForCausalLM.from_pretrained(folder)
    lengths = []
    for request, output in zip(asked, outputs, strict=True):
        messages = [{"role": "user", "content": request.messages[0].content}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        assert output.prompt_tokens == prompt.shape[1]
        with torch.no_grad():
            whole = checkpoint.generate(prompt, max_new_tokens=12, do_sample=False, pad_token_id=1)
        text = tokenizer.decode(whole[0, prompt.shape[1] :], skip_special_tokens=True)
        assert output.text.replace("\ufffd", "") == text.replace("\ufffd", "")  # of characters that are not whole
        lengths.append(len(text))
    assert all(lengths)


@pytest.mark.model
def test_the_embedded_checkpoint_becomes_what_it_was_made_of(tmp_path, monkeypatch):
    original, folder = gguf_header.read(gguf_path(print), "embedded"), prepared_folder(print)
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path / "cache"))
    made = gguf_header.read(converted(folder, "embedded", print), "embedded")
    kept = {name for name in original.metadata if name.startswith(("llama.", "tokenizer."))}
    assert len(kept) > 15
    silent = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix"}
    assert {name: made.metadata[name] for name in kept - silent} == {
        name: original.metadata[name] for name in kept - silent
    }
    tensors = [{tensor.name: tensor for tensor in gguf.GGUFReader(one.files[0]).tensors} for one in (original, made)]
    assert tensors[0].keys() == tensors[1].keys()
    for name in ("blk.0.attn_q.weight", "blk.29.attn_k.weight", "blk.3.ffn_down.weight", "output_norm.weight"):
        values = [gguf.dequantize(one[name].data, one[name].tensor_type) for one in tensors]
        assert np.allclose(*values, rtol=2**-8), name


def test_scaled_positions_are_those_of_transformers():
    rope = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    given = {"head_dim": 64, "rope_parameters": {**LLAMA3, "original_max_position_embeddings": 8192}}
    config = LlamaConfig(**given, max_position_embeddings=131_072)
    scaled, _ = rope.ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1 / 10_000.0 ** (np.arange(0, 64, 2) / 64)
    assert np.allclose(plain / scaled.numpy(), _rope_factors(given), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "its architecture is GPT2LMHeadModel"),
        ({"architectures": []}, "its architecture is None"),
        ({"quantization_config": {"quant_method": "gptq"}}, "it is compressed itself"),
        ({"hidden_act": "gelu"}, "its activation is gelu"),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 4096}, "it attends to a window"),
        ({}, "KeyError"),  # a tokenizer.json of {}
    ],
)
def test_what_is_not_written_here_names_the_command(tmp_path, change, said):
    folder = layout(tmp_path / "it", **change)
    with pytest.raises(ModelError, match=rf"{said}.*convert_hf_to_gguf\.py --outtype bf16 --outfile it-bf16\.gguf"):
        converted(folder, "it", print)


def test_a_folder_is_converted_where_a_type_is_asked_of_it(tmp_path, monkeypatch):
    from pytest_thinkslm.models import gguf_convert

    folder = layout(tmp_path / "it")
    assert label_of(str(folder), "llamacpp") == "none"
    machine = Machine(memory=1 << 34)
    monkeypatch.setattr(gguf_convert, "_write", lambda *_: pytest.fail("before the quant is known to be of use"))
    with pytest.raises(UsageError, match=r"no q4_k_m.*llama-quantize"):
        resolve_variant(str(folder), "q4_k_m", "llamacpp", machine=machine)
