"""An engine of this project and a bare program take turns over the same prompts."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.records import Message, Request, Sampling


class Bare:
    """A program that prints ``RESULT [seconds, tokens]`` once it is ready, and again for each line that it reads."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self) -> tuple[float, int]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("RESULT "):
                seconds, tokens = json.loads(line.removeprefix("RESULT "))
                return seconds, tokens
        raise SystemExit("the bare program ended early")

    def round(self) -> tuple[float, int]:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self.read()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def start_bare(folder: Path, program: str, job: Mapping[str, Any], environ: Mapping[str, str] | None) -> Bare:
    """Start ``program`` on its job and wait until it is ready."""
    (folder / "bare.py").write_text(program)
    (folder / "job.json").write_text(json.dumps(job))
    bare = Bare(
        subprocess.Popen(
            [sys.executable, str(folder / "bare.py"), str(folder / "job.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            text=True,
        )
    )
    bare.read()
    return bare


def compare(engine: Engine, bare: Bare, questions: list[str], arguments: Any, name: str) -> None:
    """Rounds of both; the order alternates, since the first of a pair may find a colder cache."""
    ratios = []
    for number in range(arguments.rounds):
        rates = {}
        for who in ("engine", "bare") if number % 2 else ("bare", "engine"):
            seconds, tokens = one_round(engine, questions, arguments.tokens) if who == "engine" else bare.round()
            rates[who] = tokens / seconds
            line = f"round {number} {who:6} {seconds:7.2f} s {tokens:6} tokens {tokens / seconds:8.1f} tok/s"
            print(line, flush=True)
        ratios.append(rates["engine"] / rates["bare"])
    print(f"ratio engine / {name}: median {statistics.median(ratios):.3f}, rounds {[round(r, 3) for r in ratios]}")
    print(json.dumps({key: str(value) for key, value in engine.measured().items()}, indent=1))


def one_round(engine: Engine, questions: list[str], tokens: int) -> tuple[float, int]:
    begin = time.perf_counter()
    futures = engine.submit([request(question, tokens) for question in questions])
    wait(futures)
    seconds = time.perf_counter() - begin
    return seconds, sum(future.result().output_tokens or 0 for future in futures)


def request(question: str, tokens: int) -> Request:
    return Request((Message("user", question),), Sampling(max_tokens=tokens))


def read_questions(folder: Path, count: int) -> list[str]:
    lines = (folder / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line)["question"] for line in lines]


def read_arguments(description: str | None, *extra: tuple[str, Mapping[str, Any]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("THINKSLM_DATA_DIR")
    parser.add_argument("--data-dir", type=Path, default=folder and Path(folder), required=folder is None)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine-args", nargs="*", default=[], metavar="K=V")
    for name, attributes in extra:
        parser.add_argument(name, **attributes)
    return parser.parse_args()
