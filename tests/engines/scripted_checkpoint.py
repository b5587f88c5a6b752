"""A checkpoint that says what a test wants it to say, token by token, on any engine that loads GPT-2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Chat turns in a form that no thought is opened by.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def scripted(folder: Path, tokenizer: Any, question: str, says: str, *, template: str = TEMPLATE) -> Path:
    """A checkpoint whose greedy answer to ``question`` is ``says`` and the end of the turn.

    Its blocks add nothing, so that the next token depends on the position alone: each position has a random code, and
    the output layer gives every token the codes of the positions at which it is to come.

    Args:
        tokenizer: a transformers tokenizer with ``<|im_end|>`` as its end token.
        says: may hold special tokens.
        template: the chat template.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer.chat_template = template
    chat = [{"role": "user", "content": question}]
    prompt: Sequence[int] = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    tokens = [*tokenizer(says, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    width, positions = 256, 512
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=positions, n_embd=width, n_layer=1, n_head=4, tie_word_embeddings=False,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        codes = torch.randn(positions, width)
        model.transformer.wpe.weight.copy_(codes)
        model.transformer.ln_f.weight.fill_(1.0)
        for step, token in enumerate(tokens):
            model.lm_head.weight[token] += codes[len(prompt) - 1 + step]
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
