"""Every claim that the docs make about GPUs, held against the GPUs of this machine, in at most ten minutes.

Engines, placement, memory by process, what an ended process leaves, ``-n auto``, a model that does not fit, no visible
GPU, FP8, tensor parallel where there are two GPUs. Sorting tasks alone: no data set and no hub. Prints a Markdown
table; ``not run`` names what a claim lacks here. Exit status 0: every claim that could be run holds; 1: one does not;
4: there is no GPU.

    python benchmarks/gpu_claims.py [--model embedded] [--limit 40] [--minutes 10]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_thinkslm.machine.gpus import devices
from pytest_thinkslm.machine.hardware import compute_capability

GIB = 2**30
USER_TEST = """
import os
import pytest

@pytest.mark.parametrize("number", range(16))
def test_where(gpu, number):
    with open(os.environ["SEEN"], "a") as file:
        file.write(f"{os.environ.get('PYTEST_XDIST_WORKER')} {os.environ.get('CUDA_VISIBLE_DEVICES')} {gpu.device}\\n")
"""
FILL = """
import sys, torch
free, total = torch.cuda.mem_get_info()
kept = torch.empty(free - int(0.5 * 2**30), dtype=torch.uint8, device="cuda")
print("filled", flush=True)
sys.stdin.read()
"""


class NotRun(Exception):
    """This machine lacks what the claim is about; the text says what."""


@dataclass(frozen=True)
class Bench:
    """What every claim is tried with."""

    folder: Path
    model: str
    limit: int
    until: float

    def run(self, name: str, *options: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One pytest run of three sorting tasks, which must end with 0; its results.json."""
        ended = self.pytest(name, *options, environ=environ)
        assert ended.returncode == 0, f"exit status {ended.returncode}: {ended.stdout[-800:]} {ended.stderr[-400:]}"
        results: dict[str, Any] = json.loads((self.folder / name / "results.json").read_text())
        return results

    def pytest(
        self, name: str, *options: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, *options),
            cwd=self.folder,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=max(1.0, self.until - time.monotonic()),
        )

    def command(self, name: str, *options: str) -> list[str]:
        command = [sys.executable, "-m", "pytest", "-q", "--model", self.model, "--task", "sort8_*,sort16_positive"]
        command += ["--limit", str(self.limit), "--max-tokens", "128", "--fresh"]
        return [*command, "--report-dir", str(self.folder / name), "--journal-dir", str(self.folder / "j"), *options]

    def items(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / name / "items.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def measured(results: Mapping[str, Any]) -> dict[str, Any]:
    (only,) = results["measured"]["variants"].values()
    found: dict[str, Any] = only
    return found


def on_gpu(results: Mapping[str, Any]) -> str:
    """The model was on GPUs, of which a plausible part of the memory was seen to be used."""
    facts = measured(results)
    assert facts["devices"], "no GPU is named"
    peak, total = facts["peak_gpu_memory_bytes"], sum(device["total_bytes"] for device in facts["devices"])
    assert 0 < (peak or 0) <= total, f"peak GPU memory {peak} of {total}"
    assert facts["gpu_seconds"] > 0
    name = facts["devices"][0]["name"]
    rate, source = facts["tokens_per_second"], facts.get("peak_gpu_memory_source")
    return f"{len(facts['devices'])} x {name}, {rate:.0f} tokens/s, {peak / GIB:.1f} GiB at most ({source})"


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise NotRun(f"{module} is not installed")


def transformers_engine(bench: Bench) -> str:
    needs("transformers")
    return on_gpu(bench.run("transformers", "--engine", "transformers"))


def vllm_engine(bench: Bench) -> str:
    needs("vllm")
    return on_gpu(bench.run("vllm", "--engine", "vllm"))


def auto_takes_vllm(bench: Bench) -> str:
    needs("vllm")
    results = bench.run("auto", "--limit", "2")
    (variant,) = results["variants"]
    assert variant["engine"] == "vllm", variant["engine"]
    return "vllm"


def engines_ask_the_same(bench: Bench) -> str:
    """After both engines ran."""
    needs("vllm")
    pairs = list(zip(bench.items("transformers"), bench.items("vllm"), strict=True))
    assert all(a["messages"] == b["messages"] and a["prompt_tokens"] == b["prompt_tokens"] for a, b in pairs)
    return f"{len(pairs)} prompts; outputs equal: {sum(a['output'] == b['output'] for a, b in pairs)}"


def memory_is_given_back(bench: Bench) -> str:
    """A killed run's engine process ends with it."""
    engine = "vllm" if importlib.util.find_spec("vllm") else "transformers"
    before = used_bytes()
    process = subprocess.Popen(
        bench.command("killed", "--engine", engine, "--max-tokens", "4096", "--limit", "100"),
        cwd=bench.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait("the model to be loaded", lambda: used_bytes() > before + 200 * 2**20 or process.poll() is not None, 120)
    assert process.poll() is None, "the run ended before it could be killed"
    time.sleep(5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    seconds = wait("the memory to be free again", lambda: used_bytes() < before + 100 * 2**20, 60)
    return f"{engine}: free {seconds:.1f} s after kill -9"


def workers_by_group(bench: Bench) -> str:
    """``-n auto`` takes a worker for each GPU group, and each sees its own group."""
    seen = bench.folder / "seen.txt"
    (bench.folder / "test_where.py").write_text(USER_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--model", bench.model, "test_where.py"]
    subprocess.run(command, cwd=bench.folder, env={**os.environ, "SEEN": str(seen)}, check=True, capture_output=True)
    lines = {line.split()[0]: line.split()[1:] for line in seen.read_text().splitlines()}
    groups = [where[0] for where in lines.values()]
    assert all(where[1] == "cuda" for where in lines.values()), lines
    assert len(set(groups)) == len(lines) == len(devices()), f"{len(devices())} GPUs, workers: {lines}"
    return f"{len(lines)} workers on {len(devices())} GPUs, each with its own"


def too_large(bench: Bench) -> str:
    """A model for which no GPU has room is refused before it is loaded, with figures."""
    needs("torch")
    if len(devices()) > 1:
        raise NotRun("fills one GPU; here are several")
    fill = subprocess.Popen([sys.executable, "-c", FILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert fill.stdout is not None
        assert fill.stdout.readline().strip() == "filled"
        ended = bench.pytest("full", "--engine", "transformers", "--limit", "1")
    finally:
        fill.kill()
        fill.wait()
    told = ended.stdout + ended.stderr
    refused = ended.returncode == 4 and "does not fit" in told
    assert refused, f"exit status {ended.returncode}: {told[-600:]}"
    return next(line for line in told.splitlines() if "does not fit" in line)[:160]


def no_visible_gpu(bench: Bench) -> str:
    results = bench.run("hidden", "--engine", "transformers", "--limit", "1", environ={"CUDA_VISIBLE_DEVICES": ""})
    facts = measured(results)
    assert not facts.get("devices"), facts
    assert facts["device"] == "cpu", facts
    return "computed on the CPU"


def fp8(bench: Bench) -> str:
    capability = compute_capability()
    if capability is None or capability < 8.9:
        raise NotRun(f"FP8 needs compute capability 8.9; here it is {capability}")
    needs("vllm")
    ended = bench.pytest("fp8", "--quant", "fp8-dynamic", "--engine", "vllm")
    if "pip" in ended.stderr + ended.stdout and ended.returncode == 4:
        raise NotRun("the environment for compression could not be made (no package index)")
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-800:]
    results = json.loads((bench.folder / "fp8" / "results.json").read_text())
    loaded = measured(results)["loaded"]
    assert (loaded["bits"], loaded["quantized_layers"] > 0) == (8, True), loaded
    return f"{loaded['scheme']}, kernel {loaded.get('kernel')}"


def tensor_parallel(bench: Bench) -> str:
    needs("vllm")
    if len(devices()) < 2:
        raise NotRun("there is one GPU")
    results = bench.run("parallel", "--engine", "vllm", "--engine-args", "tensor_parallel_size=2,replicas=1")
    assert len(measured(results)["devices"]) == 2
    return on_gpu(results)


CLAIMS: dict[str, Callable[[Bench], str]] = {
    "the transformers engine computes on the GPU; its memory is measured": transformers_engine,
    "the vllm engine computes on the GPU; its memory is measured": vllm_engine,
    "`--engine auto` takes vLLM": auto_takes_vllm,
    "both engines are asked the same token for token": engines_ask_the_same,
    "a killed run leaves no process on the GPU": memory_is_given_back,
    "`-n auto` takes one worker for each GPU group": workers_by_group,
    "a model that does not fit is refused with figures": too_large,
    "`CUDA_VISIBLE_DEVICES=` hides the GPUs": no_visible_gpu,
    "`--quant fp8-dynamic` computes in FP8": fp8,
    "tensor parallel over two GPUs": tensor_parallel,
}


def used_bytes() -> int:
    """Memory in use on all GPUs, by the driver's own tool."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    told = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return sum(int(line) for line in told.split()) * 2**20


def wait(what: str, done: Callable[[], bool], seconds: float) -> float:
    begin = time.monotonic()
    while not done():
        assert time.monotonic() - begin < seconds, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)
    return time.monotonic() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--limit", type=int, default=40, help="items of each of three sorting tasks")
    parser.add_argument("--minutes", type=float, default=10.0, help="claims that have not begun by then are not run")
    options = parser.parse_args()
    if not devices():
        print("no GPU is visible here (nvidia-ml-py and a driver are needed): no claim was run", file=sys.stderr)
        return 4
    broken = 0
    until = time.monotonic() + 60 * options.minutes
    print("| claim | here | |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.model, options.limit, until)
        for claim, check in CLAIMS.items():
            try:
                if time.monotonic() > until:
                    raise NotRun("no time was left")
                outcome, told = "holds", check(bench)
            except NotRun as error:
                outcome, told = "not run", str(error)
            except (AssertionError, OSError, KeyError, subprocess.SubprocessError) as error:
                outcome, told = "does not hold", f"{type(error).__name__}: {error}"
                broken += 1
            print(f"| {claim} | {outcome} | {' '.join(told.split())} |", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
