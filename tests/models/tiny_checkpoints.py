"""Tiny checkpoints: a layout without weights worth the name, and a random llama that every engine loads."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }} </s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


def layout(folder: Path, hidden: int = 128, **config: Any) -> Path:
    """A checkpoint folder as far as files tell: one linear layer of ``hidden`` columns, and an embedding."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(
        folder / "model.safetensors",
        {
            "model.embed_tokens.weight": ("BF16", (10, hidden), bytes(20 * hidden)),
            "model.layers.0.mlp.up_proj.weight": ("BF16", (8, hidden), b"\x80\x3f" * (8 * hidden)),
            "model.norm.weight": ("BF16", (hidden,), bytes(2 * hidden)),
            "lm_head.weight": ("BF16", (10, hidden), bytes(20 * hidden)),
        },
    )
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", **config})
    )
    (folder / "tokenizer.json").write_text("{}")
    return folder


def write_weights(file: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """A safetensors file of (dtype, shape, bytes) by name."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def random_llama(folder: Path, hidden: int = 128, layers: int = 2, vocabulary: int = 400) -> Path:
    """A llama with random weights (seed 0) in bfloat16, a byte-level tokenizer and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["the answer is forty two apples", "how many apples are there in all"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder
