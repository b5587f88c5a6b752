"""Whether outputs ever leave the loops that the loop guard stops, and whether their verdicts would have been others.

Two steps, each with a model as it is or compressed here by rounding (``--round``), greedy, with the limits of new
tokens that a run has:

    python benchmarks/loop_guard.py generate --data-dir DIR --out outputs.jsonl [--round none|int4|2of4] [--seconds 900]
    python benchmarks/loop_guard.py count outputs.jsonl ... > benchmarks/results/loop-guard.md

The first generates with vLLM *without* the guard and writes each output's token ids. An output that the guard would
have stopped is generated on for ``--past`` tokens, every ``--whole``-th one to its whole limit. The second applies the
guard to the token ids and reads every output twice, as the guard would have cut it and as far as it was generated.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.engines.loop_guard import STRIDE, stop_at
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.data.reader import load_cases
from pytest_thinkslm.tasks.limits import default_max_tokens
from pytest_thinkslm.tasks.prompts import render

#: Tasks and styles, taken in turns.
ASKED = (
    ("gsm8k", "direct"),
    ("math", "cot"),
    ("sort16_mixed", "direct"),
    ("gsm8k", "cot"),
    ("math", "direct"),
    ("arc_challenge", "cot"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: whose, and in which style."""

    task: str
    style: str
    index: int


def questions(per_pair: int) -> Iterator[Asked]:
    """The first items of each task, tasks and styles in turns."""
    for index in range(per_pair):
        for task, style in ASKED:
            if index < (registry.get(task).count or per_pair):
                yield Asked(task, style, index)


def cases(asked: list[Asked], data_dir: Path | None) -> dict[tuple[str, int], Case]:
    """The cases by task and item."""
    found: dict[tuple[str, int], Case] = {}
    for task in dict.fromkeys(one.task for one in asked):
        indices = sorted({one.index for one in asked if one.task == task})
        read = load_cases(registry.get(task), indices, data_dir, data_seed=0).cases
        found |= {(task, index): read[index] for index in indices}
    return found


def generate(arguments: argparse.Namespace) -> None:
    """Write outputs until the time is up; those of an earlier call are not asked again."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
    model = resolve(arguments.model, progress=print)
    folder = model.path if arguments.round == "none" else rounded(model, arguments.round, arguments.out.parent)

    from transformers import AutoTokenizer
    from vllm import EngineArgs, LLMEngine, SamplingParams, TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    from pytest_thinkslm.models.template import render as template

    tokenizer = AutoTokenizer.from_pretrained(folder)
    engine = LLMEngine.from_engine_args(
        EngineArgs(model=str(folder), dtype="bfloat16", max_model_len=8192, generation_config="vllm",
                   max_num_seqs=arguments.rows, enforce_eager=True, seed=0)
    )  # fmt: skip
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    known = {line["id"] for line in lines(arguments.out)} if arguments.out.exists() else set()
    waiting = [one for one in questions(arguments.items) if identity(arguments.round, one) not in known]
    by_item = cases(waiting, arguments.data_dir)
    running: dict[str, dict[str, Any]] = {}
    begin, written, tokens, number = time.monotonic(), 0, 0, 0
    with arguments.out.open("a", encoding="utf-8") as out:

        def write(line: dict[str, Any], ended: str) -> None:
            nonlocal written, tokens
            out.write(json.dumps({**line, "ended": ended, "seen": None}) + "\n")
            out.flush()
            written, tokens = written + 1, tokens + len(line["tokens"])

        while time.monotonic() - begin < arguments.seconds and (waiting or running):
            while waiting and len(running) < arguments.rows:
                one = waiting.pop(0)
                messages = render(by_item[one.task, one.index], one.style)
                limit = default_max_tokens(registry.get(one.task), one.style)
                name = identity(arguments.round, one)
                number += 1
                params = SamplingParams(
                    temperature=0.0, max_tokens=limit, stop_token_ids=[end], detokenize=False,
                    output_kind=RequestOutputKind.DELTA, stream_interval=STRIDE,
                )  # fmt: skip
                engine.add_request(name, TokensPrompt(prompt_token_ids=template(tokenizer, messages, model)), params)
                running[name] = {
                    "id": name, "variant": arguments.round, "task": one.task, "style": one.style, "index": one.index,
                    "limit": limit, "whole": number % arguments.whole == 0, "tokens": [], "stop": None,
                }  # fmt: skip
            for result in engine.step():
                line = running[result.request_id]
                seen = len(line["tokens"])
                line["tokens"] += result.outputs[0].token_ids
                line["stop"] = line["stop"] or stop_at(line["tokens"], seen)
                if result.finished:
                    write(running.pop(result.request_id), str(result.outputs[0].finish_reason))
                elif line["stop"] and not line["whole"] and len(line["tokens"]) >= line["stop"] + arguments.past:
                    engine.abort_request([result.request_id])
                    write(running.pop(result.request_id), "past")
    seconds = time.monotonic() - begin
    print(f"{arguments.round}: {written} outputs, {tokens} tokens, {seconds:.0f} s, {tokens / seconds:.0f} tokens/s")


def identity(variant: str, one: Asked) -> str:
    """Names an output in the file."""
    return f"{variant}|{one.task}|{one.style}|{one.index}"


def rounded(model: ResolvedModel, scheme: str, folder: Path) -> Path:
    """A copy whose linear layers are rounded to 4 bits (groups of 64) or have the smaller half of every 4 weights 0."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = folder / f"{model.name}-{scheme}"
    if target.is_dir():
        return target
    loaded = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.bfloat16)
    for name, module in loaded.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            weight = module.weight.data.float()
            if scheme == "int4":
                groups = weight.reshape(-1, 64)
                scale = groups.abs().amax(1, keepdim=True).clamp(min=1e-8) / 7
                weight = ((groups / scale).round().clamp(-8, 7) * scale).reshape(weight.shape)
            else:
                groups = weight.reshape(-1, 4)
                small = groups.abs().argsort(1)[:, :2]
                weight = groups.scatter(1, small, 0.0).reshape(weight.shape)
            module.weight.data = weight.to(torch.bfloat16)
    loaded.save_pretrained(target)
    AutoTokenizer.from_pretrained(model.path).save_pretrained(target)
    return target


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The outputs of a file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    making = steps.add_parser("generate")
    data = os.environ.get("THINKSLM_DATA_DIR")
    making.add_argument("--data-dir", type=Path, default=data and Path(data), required=data is None)
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--model", default="embedded")
    making.add_argument("--round", choices=("none", "int4", "2of4"), default="none")
    making.add_argument("--items", type=int, default=400, help="of each task and style")
    making.add_argument("--rows", type=int, default=96, help="outputs in flight")
    making.add_argument("--past", type=int, default=160)
    making.add_argument("--whole", type=int, default=25)
    making.add_argument("--seconds", type=float, default=900)
    arguments = parser.parse_args()
    if arguments.step == "generate":
        generate(arguments)


if __name__ == "__main__":
    main()
