"""Tokens per second of the vllm engine against a bare ``LLM.chat`` over the same GSM8K prompts, in one run.

Both engines are loaded once, in processes of their own, and then take turns, so that what else the machine
does falls on both. Loading is not counted. Goal: at least 0.95 of the bare engine; below 0.85 is a defect.

    python benchmarks/vllm_throughput.py --data-dir DIR [--model embedded] [--prompts 128] [--tokens 128] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.models.resolve import resolve
from pytest_thinkslm.records import Message, Request, Sampling


def main() -> None:
    arguments = read_arguments()
    questions = read_questions(arguments.data_dir, arguments.prompts)
    model = resolve(arguments.model, progress=print)
    engine = VLLMEngine(model, engine_args=dict(pair.split("=", 1) for pair in arguments.engine_args))
    engine.submit([request("Hello", 2)])[0].result()
    engine_arguments = dict(engine._arguments)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job.json").write_text(
            json.dumps({"questions": questions, "tokens": arguments.tokens, "arguments": engine_arguments})
        )
        environ = engine._environ(engine._groups[0])
        environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = arguments.bare_core
        bare = start_bare(Path(folder), environ)
        try:
            compare(engine, bare, questions, arguments)
        finally:
            engine.close()
            assert bare.stdin is not None
            bare.stdin.close()
            bare.wait()


def compare(engine: VLLMEngine, bare: subprocess.Popen[str], questions: list[str], arguments: Any) -> None:
    ratios = []
    for number in range(arguments.rounds):
        # The order alternates, too: the first of a pair may find a colder cache.
        order = ("engine", "bare") if number % 2 else ("bare", "engine")
        rates = {}
        for who in order:
            seconds, tokens = (
                one_round(engine, questions, arguments.tokens) if who == "engine" else one_bare_round(bare)
            )
            rates[who] = tokens / seconds
            print(
                f"round {number} {who:6} {seconds:7.2f} s {tokens:6} tokens {tokens / seconds:8.1f} tok/s", flush=True
            )
        ratios.append(rates["engine"] / rates["bare"])
    print(
        f"ratio engine / bare LLM.chat: median {statistics.median(ratios):.3f}, rounds {[round(r, 3) for r in ratios]}"
    )
    print(json.dumps({key: str(value) for key, value in engine.measured().items()}, indent=1))


def one_round(engine: VLLMEngine, questions: list[str], tokens: int) -> tuple[float, int]:
    begin = time.perf_counter()
    futures = engine.submit([request(question, tokens) for question in questions])
    wait(futures)
    seconds = time.perf_counter() - begin
    return seconds, sum(future.result().output_tokens or 0 for future in futures)


def request(question: str, tokens: int) -> Request:
    return Request((Message("user", question),), Sampling(max_tokens=tokens))


def one_bare_round(bare: subprocess.Popen[str]) -> tuple[float, int]:
    assert bare.stdin is not None
    assert bare.stdout is not None
    bare.stdin.write("go\n")
    bare.stdin.flush()
    return read_result(bare)


def read_result(bare: subprocess.Popen[str]) -> tuple[float, int]:
    assert bare.stdout is not None
    for line in bare.stdout:
        if line.startswith("RESULT "):
            seconds, tokens = json.loads(line.removeprefix("RESULT "))
            return seconds, tokens
    raise SystemExit("the bare engine ended early")


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


def start_bare(folder: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    (folder / "bare.py").write_text(BARE)
    bare = subprocess.Popen(
        [sys.executable, str(folder / "bare.py"), str(folder / "job.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
        text=True,
    )
    read_result(bare)
    return bare


def read_questions(folder: Path, count: int) -> list[str]:
    lines = (folder / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line)["question"] for line in lines]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("THINKSLM_DATA_DIR")
    parser.add_argument("--data-dir", type=Path, default=folder and Path(folder), required=folder is None)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine-args", nargs="*", default=[], metavar="K=V")
    parser.add_argument(
        "--bare-core", choices=("0", "1"), default="1", help="VLLM_ENABLE_V1_MULTIPROCESSING of the bare"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
