"""Tokens per second of transformers through the plugin against a hand-written batched loop over the same GSM8K prompts.

The loop is what one writes by hand: prompts sorted by length, left-padded batches of 64 through ``model.generate``,
greedy, with nothing set in its environment. The two take turns. Loading is not counted. Goal: at least 0.95 of the
loop; below 0.85 is a defect. ``--busy 1`` keeps one core busy all the while.

    python benchmarks/transformers_throughput.py --data-dir DIR [--prompts 128] [--tokens 128] [--rounds 2] [--busy 0]
"""

from __future__ import annotations

from throughput import compare, read_arguments

from pytest_thinkslm.machine.hardware import decide
from pytest_thinkslm.models.resolve import resolve

BARE = """
import json, sys, time
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
job = json.load(open(sys.argv[1]))
tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
texts = tokenizer.apply_chat_template(job["messages"], tokenize=False, add_generation_prompt=True)
texts.sort(key=len)

def loop(tokens):
    made = 0
    for start in range(0, len(texts), 64):
        batch = tokenizer(texts[start : start + 64], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=tokens, do_sample=False)
        new = out[:, batch["input_ids"].shape[1]:]
        for row in new.tolist():
            made += row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
        tokenizer.batch_decode(new, skip_special_tokens=True)
    return made

loop(2)
print("RESULT [0, 0]", flush=True)
for _ in sys.stdin:
    begin = time.perf_counter()
    made = loop(job["tokens"])
    print("RESULT " + json.dumps([time.perf_counter() - begin, made]), flush=True)
"""


def main() -> None:
    arguments = read_arguments(__doc__)
    job = {"model": str(resolve(arguments.model, progress=print).path), "dtype": decide().dtype}
    compare("transformers", BARE, job, {}, arguments)


if __name__ == "__main__":
    main()
