"""Tokens per second of the llamacpp engine against its own server asked directly, at the same concurrency, in one run.

"Directly" is a bare HTTP client that sends the same prompts to the same process, without streaming. The two take turns.
Goal: at least 0.95 of the direct rate. It prints what each request of a loop guard costs, too (``engine, no guard``).

    python benchmarks/llamacpp_throughput.py [--model FILE.gguf] [--prompts 64] [--tokens 128] [--rounds 3]
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.llamacpp_engine import LlamaCppEngine
from pytest_thinkslm.models.variants import resolve_variant


def main() -> None:
    arguments = read_arguments()
    engine = LlamaCppEngine(resolve_variant(arguments.model, None, "llamacpp", progress=print))
    requests = [request(number, arguments.tokens) for number in range(arguments.prompts)]
    wait(engine.submit(requests))  # loads the model
    ratios: dict[str, list[float]] = {"engine": [], "engine, no guard": []}
    for number in range(arguments.rounds):
        rates = {}
        order = ("engine", "engine, no guard", "direct")
        for who in order if number % 2 else reversed(order):
            begin = time.perf_counter()
            if who == "direct":
                tokens = directly(engine, requests)
            else:
                engine._guard = who == "engine"
                tokens = sum(future.result().output_tokens or 0 for future in engine.submit(requests))
            seconds = time.perf_counter() - begin
            rates[who] = tokens / seconds
            print(f"round {number} {who:16} {seconds:7.2f} s {tokens:6} tokens {rates[who]:8.1f} tok/s", flush=True)
        for who, found in ratios.items():
            found.append(rates[who] / rates["direct"])
    for who, found in ratios.items():
        print(f"{who} / direct: median {statistics.median(found):.3f}, rounds {[round(one, 3) for one in found]}")
    print(dict(engine.measured()))
    engine.close()


def directly(engine: LlamaCppEngine, requests: list[Request]) -> int:
    """The same prompts, rendered and tokenized before, a thread a slot."""
    assert engine._server is not None
    bodies = []
    for one in requests:
        asked = engine._rendered(one)
        body = replace(asked.completion, guarded=False).body(asked.sampling)
        bodies.append(json.dumps(body))
    address, key = engine._server.address.removeprefix("http://"), engine._server.key
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(body: str) -> int:
        connection = http.client.HTTPConnection(address)
        connection.request("POST", "/completion", body, headers)
        reply = json.loads(connection.getresponse().read())
        connection.close()
        return int(reply["tokens_predicted"])

    with ThreadPoolExecutor(engine._slots + 4) as pool:
        return sum(pool.map(ask, bodies))


def request(number: int, tokens: int) -> Request:
    text = (
        f"A farmer has {number + 3} cows and buys {2 * number + 1} more. Each gives {number % 9 + 5} litres of milk a "
        "day, and a fifth of it is made into cheese. How many litres are left in a week? Explain each step."
    )
    return Request((Message("user", text),), Sampling(max_tokens=tokens))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
