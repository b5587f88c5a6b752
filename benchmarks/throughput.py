"""The plugin and a bare program take turns over the same prompts: what the throughput benchmarks share."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Messages = list[list[dict[str, str]]]


def compare(engine: str, program: str, job: Mapping[str, Any], environ: Mapping[str, str], arguments: Any) -> None:
    """Rounds of both, in alternating order; prints tokens a second, loading left out, and the ratios.

    Args:
        engine: of the pytest runs.
        program: source of the bare program: reads its job from the file in ``argv[1]`` (``job`` and the ``messages`` of
            the pytest run), prints ``RESULT [seconds, tokens]`` once it is ready and again for each line that it reads.
        environ: added to the bare program's environment.
    """
    with tempfile.TemporaryDirectory() as name, busy_cores(arguments.busy):
        folder = Path(name)
        rates = {"plugin": [plugin_round(engine, folder, 0, arguments)], "bare": []}
        job = {**job, "messages": messages_of(folder / "report-0"), "tokens": arguments.tokens}
        bare = Bare(folder, program, job, {**os.environ, **environ})
        try:
            for number in range(arguments.rounds):
                rates["bare"].append(rate("bare", number, *bare.round()))
                if number + 1 < arguments.rounds:
                    rates["plugin"].append(plugin_round(engine, folder, number + 1, arguments))
        finally:
            bare.end()
    ratios = [plugin / other for plugin, other in zip(rates["plugin"], rates["bare"], strict=True)]
    print(f"ratio plugin / bare: median {statistics.median(ratios):.3f}, rounds {[round(r, 3) for r in ratios]}")


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """So many processes that do nothing but count."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def plugin_round(engine: str, folder: Path, number: int, arguments: Any) -> float:
    """A pytest run with an empty journal; tokens a second between the first request and the last output."""
    report = folder / f"report-{number}"
    command = [sys.executable, "-m", "pytest", "-q", f"--model={arguments.model}", f"--engine={engine}", "--task=gsm8k"]
    command += [f"--limit={arguments.prompts}", f"--max-tokens={arguments.tokens}", "--fresh"]
    command += [f"--data-dir={arguments.data_dir}", f"--report-dir={report}", f"--journal-dir={folder / 'journal'}"]
    command += [f"--engine-args={pair}" for pair in arguments.engine_args]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (measured,) = json.loads((report / "results.json").read_text())["measured"]["variants"].values()
    return rate("plugin", number, measured["generating_seconds"], measured["output_tokens"])


def messages_of(report: Path) -> Messages:
    """The chats of a run's items."""
    lines = (report / "items.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def rate(who: str, number: int, seconds: float, tokens: int) -> float:
    """Tokens a second, printed."""
    print(f"round {number} {who:6} {seconds:7.2f} s {tokens:6} tokens {tokens / seconds:8.1f} tok/s", flush=True)
    return tokens / seconds


class Bare:
    """The bare program, loaded once."""

    def __init__(self, folder: Path, program: str, job: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        (folder / "bare.py").write_text(program)
        (folder / "job.json").write_text(json.dumps(job))
        self._process = subprocess.Popen(
            [sys.executable, str(folder / "bare.py"), str(folder / "job.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            text=True,
        )
        self._read()

    def round(self) -> tuple[float, int]:
        """Seconds and output tokens."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> tuple[float, int]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("RESULT "):
                seconds, tokens = json.loads(line.removeprefix("RESULT "))
                return seconds, tokens
        raise SystemExit("the bare program ended early")


def read_arguments(description: str | None, *extra: tuple[str, Mapping[str, Any]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("THINKSLM_DATA_DIR")
    parser.add_argument("--data-dir", type=Path, default=folder and Path(folder), required=folder is None)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0, help="cores that a loop keeps busy beside both")
    parser.add_argument("--engine-args", nargs="*", default=[], metavar="K=V")
    for name, attributes in extra:
        parser.add_argument(name, **attributes)
    return parser.parse_args()
