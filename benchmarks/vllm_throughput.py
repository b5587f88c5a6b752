"""vLLM through the plugin against a bare ``LLM.chat`` as a user writes it, over the same GSM8K prompts, in one run.

A pytest run and a bare program take turns, each a process of its own with an engine of its own, so that what else the
machine does falls on both. Nothing is set on the bare side, neither arguments nor environment. Two ratios: tokens a
second while generating (goal: at least 0.95; below 0.85 is a defect), and seconds of the whole process (at most 1.15).
``--busy 1`` keeps one core busy all the while.

    python benchmarks/vllm_throughput.py --data-dir DIR [--prompts 128] [--tokens 128] [--rounds 3] [--busy 0]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from throughput import busy_cores, messages_of, plugin_round, rate, read_arguments

from pytest_thinkslm.models.resolve import resolve

BARE = """
import json, sys, time
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    job = json.load(open(sys.argv[1]))
    llm = LLM(model=job["model"])
    begin = time.perf_counter()
    outputs = llm.chat(job["messages"], SamplingParams(temperature=0.0, max_tokens=job["tokens"]))
    seconds = time.perf_counter() - begin
    print("RESULT " + json.dumps([seconds, sum(len(output.outputs[0].token_ids) for output in outputs)]))
"""


def main() -> None:
    arguments = read_arguments(__doc__)
    model = str(resolve(arguments.model, progress=print).path)
    rates: dict[str, list[float]] = {"plugin": [], "bare": []}
    walls: dict[str, list[float]] = {"plugin": [], "bare": []}
    with tempfile.TemporaryDirectory() as name, busy_cores(arguments.busy):
        folder = Path(name)
        for number in range(arguments.rounds):
            # The first round's prompts come from the plugin; after that the two take turns in being first.
            for who in ("plugin", "bare") if number % 2 == 0 else ("bare", "plugin"):
                begin = time.perf_counter()
                if who == "plugin":
                    rates[who].append(plugin_round("vllm", folder, number, arguments))
                else:
                    rates[who].append(bare_round(folder, model, number, arguments.tokens))
                walls[who].append(time.perf_counter() - begin)
                print(f"round {number} {who:6} whole process {walls[who][-1]:7.2f} s", flush=True)
    for what, found, form in (("tokens/s", rates, ".1f"), ("whole process, s", walls, ".2f")):
        ratios = [plugin / bare for plugin, bare in zip(found["plugin"], found["bare"], strict=True)]
        medians = {who: format(statistics.median(values), form) for who, values in found.items()}
        print(f"{what}: medians {medians}, ratio plugin / bare: median {statistics.median(ratios):.3f}, {ratios}")


def bare_round(folder: Path, model: str, number: int, tokens: int) -> float:
    """The bare program from start to end; tokens a second of its ``LLM.chat``."""
    job = folder / "job.json"
    job.write_text(json.dumps({"model": model, "messages": messages_of(folder / "report-0"), "tokens": tokens}))
    (folder / "bare.py").write_text(BARE)
    command = [sys.executable, str(folder / "bare.py"), str(job)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        # With nothing set vLLM on a CPU wants 92% of the machine's memory to be free.
        errors = [line for line in done.stderr.splitlines() if "Error" in line] or ["it said nothing"]
        raise SystemExit(f"the bare program ended with status {done.returncode}:\n" + "\n".join(errors[:5]))
    return rate("bare", number, *json.loads(found[0].removeprefix("RESULT ")))


if __name__ == "__main__":
    main()
