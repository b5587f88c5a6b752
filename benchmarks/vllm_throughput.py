"""Tokens per second of vLLM through the plugin against a bare ``LLM.chat`` over the same GSM8K prompts, in one run.

The pytest run and the bare engine take turns, so that what else the machine does falls on both. Loading is not
counted. Goal: at least 0.95 of the bare engine; below 0.85 is a defect. ``--bare-core 1`` runs the bare engine's core
in a process of its own, as vLLM does by default; 0 in the same process, as the plugin has it on one device.

    python benchmarks/vllm_throughput.py --data-dir DIR [--prompts 128] [--tokens 128] [--rounds 2] [--bare-core 0]
"""

from __future__ import annotations

from throughput import compare, read_arguments

from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.models.resolve import resolve

BARE = """
import json, sys, time
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    job = json.load(open(sys.argv[1]))
    llm = LLM(**job["arguments"])
    params = SamplingParams(temperature=0.0, max_tokens=job["tokens"])
    llm.chat([[{"role": "user", "content": "Hello"}]], SamplingParams(temperature=0.0, max_tokens=2), use_tqdm=False)
    print("RESULT [0, 0]", flush=True)
    for _ in sys.stdin:
        llm.reset_prefix_cache()
        begin = time.perf_counter()
        outputs = llm.chat(job["messages"], params, use_tqdm=False)
        seconds = time.perf_counter() - begin
        tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        print("RESULT " + json.dumps([seconds, tokens]), flush=True)
"""


def main() -> None:
    core = {"choices": ("0", "1"), "default": "0", "help": "VLLM_ENABLE_V1_MULTIPROCESSING of the bare engine"}
    arguments = read_arguments(__doc__, ("--bare-core", core))
    given = dict(pair.split("=", 1) for pair in arguments.engine_args)
    engine = VLLMEngine(resolve(arguments.model, progress=print), engine_args=given)
    environ = engine._environ(engine._groups[0]) | {"VLLM_ENABLE_V1_MULTIPROCESSING": arguments.bare_core}
    compare("vllm", BARE, {"arguments": dict(engine._arguments)}, environ, arguments)


if __name__ == "__main__":
    main()
