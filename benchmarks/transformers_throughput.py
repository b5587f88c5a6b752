"""Tokens per second of the transformers engine against a hand-written batched loop over the same GSM8K prompts.

The loop is what one writes by hand: prompts sorted by length, left-padded batches through ``model.generate``, greedy.
Both are loaded once, in processes of their own, and then take turns. Loading is not counted. Goal: at least
0.95 of the loop; below 0.85 is a defect.

    python benchmarks/transformers_throughput.py --data-dir DIR [--model embedded] [--prompts 128] [--tokens 128]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from throughput import compare, read_arguments, read_questions, request, start_bare

from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.resolve import resolve

BARE = """
import json, os, sys, time
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
job = json.load(open(sys.argv[1]))
tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
chats = [[{"role": "user", "content": question}] for question in job["questions"]]
texts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
texts.sort(key=len)

def loop(tokens):
    made = 0
    for start in range(0, len(texts), job["batch"]):
        part = texts[start : start + job["batch"]]
        batch = tokenizer(part, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=tokens, do_sample=False)
        new = out[:, batch["input_ids"].shape[1]:]
        for row in new.tolist():
            ends = [row.index(t) + 1 for t in {tokenizer.eos_token_id} if t in row]
            made += min(ends, default=len(row))
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
    questions = read_questions(arguments.data_dir, arguments.prompts)
    model = resolve(arguments.model, progress=print)
    engine = TransformersEngine(model, engine_args=dict(pair.split("=", 1) for pair in arguments.engine_args))
    engine.submit([request("Hello", 2)])[0].result()
    job = {
        "questions": questions,
        "tokens": arguments.tokens,
        "model": str(model.path),
        "dtype": engine.measured()["dtype"],
        "batch": 64,
    }
    with tempfile.TemporaryDirectory() as folder:
        bare = start_bare(Path(folder), BARE, job, None)
        try:
            compare(engine, bare, questions, arguments, "a hand-written loop")
        finally:
            engine.close()
            bare.end()


if __name__ == "__main__":
    main()
