"""Tokens per second of the vllm engine against a bare ``LLM.chat`` over the same GSM8K prompts, in one run.

Both engines are loaded once, in processes of their own, and then take turns, so that what else the machine
does falls on both. Loading is not counted. Goal: at least 0.95 of the bare engine; below 0.85 is a defect.

    python benchmarks/vllm_throughput.py --data-dir DIR [--model embedded] [--prompts 128] [--tokens 128] [--rounds 3]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from throughput import compare, read_arguments, read_questions, request, start_bare

from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.models.resolve import resolve

BARE = """
import json, sys, time
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    job = json.load(open(sys.argv[1]))
    llm = LLM(**job["arguments"])
    chats = [[{"role": "user", "content": question}] for question in job["questions"]]
    params = SamplingParams(temperature=0.0, max_tokens=job["tokens"])
    llm.chat([[{"role": "user", "content": "Hello"}]], SamplingParams(temperature=0.0, max_tokens=2), use_tqdm=False)
    print("RESULT [0, 0]", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        outputs = llm.chat(chats, params, use_tqdm=False)
        seconds = time.perf_counter() - begin
        tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        print("RESULT " + json.dumps([seconds, tokens]), flush=True)
"""


def main() -> None:
    core = {"choices": ("0", "1"), "default": "1", "help": "VLLM_ENABLE_V1_MULTIPROCESSING of the bare engine"}
    arguments = read_arguments(__doc__, ("--bare-core", core))
    questions = read_questions(arguments.data_dir, arguments.prompts)
    engine = VLLMEngine(
        resolve(arguments.model, progress=print),
        engine_args=dict(pair.split("=", 1) for pair in arguments.engine_args),
    )
    engine.submit([request("Hello", 2)])[0].result()
    job = {"questions": questions, "tokens": arguments.tokens, "arguments": dict(engine._arguments)}
    environ = engine._environ(engine._groups[0]) | {"VLLM_ENABLE_V1_MULTIPROCESSING": arguments.bare_core}
    with tempfile.TemporaryDirectory() as folder:
        bare = start_bare(Path(folder), BARE, job, environ)
        try:
            compare(engine, bare, questions, arguments, "bare LLM.chat")
        finally:
            engine.close()
            bare.end()


if __name__ == "__main__":
    main()
