"""Whether outputs ever leave the loops that the loop guard stops, and whether their verdicts would have been others.

Two steps, each with a model as it is or compressed here by rounding (``--round``), greedy, with the limits of new
tokens that a run has:

    python benchmarks/loop_guard.py generate --data-dir DIR --out outputs.jsonl [--round none|int4|int3|2of4] [--plain]
    python benchmarks/loop_guard.py count outputs.jsonl ... > benchmarks/results/loop-guard.md

The first generates with vLLM *without* the guard and writes each output's token ids. An output that the guard would
have stopped is generated on for ``--past`` tokens, every ``--whole``-th one to its whole limit. The second applies the
guard to the token ids and reads every output twice, as the guard would have cut it and as far as it was generated.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.engines.loop_guard import (
    REPEATS,
    SHORT_TAIL,
    STRIDE,
    TAIL,
    WINDOW,
    LoopWatch,
    block_length,
)
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.limits import default_max_tokens
from pytest_thinkslm.tasks.prompts import prompt_messages

#: Tasks and styles, taken in turns.
ASKED = (
    ("gsm8k", "direct"),
    ("sort8_positive", "direct"),
    ("math", "cot"),
    ("sort16_mixed", "direct"),
    ("gsm8k", "cot"),
    ("sort32_positive", "direct"),
    ("math", "direct"),
    ("sort8_mixed", "cot"),
    ("arc_challenge", "cot"),
    ("sort32_mixed", "direct"),
    ("sort16_positive", "cot"),
)


Rule = tuple[int, int, int]  # tokens of the tail, of a short block's tail, blocks in it
#: The guard's rule, and laxer ones to see what they would have done.
GUARD = (TAIL, SHORT_TAIL, REPEATS)
LAXER = ((32, 32, 3), (64, 64, 4), (128, 128, 6), (192, 192, 6), (TAIL, 320, REPEATS), GUARD)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: whose, and in which style."""

    task: str
    style: str
    index: int


def questions(per_pair: int, tasks: Sequence[str]) -> Iterator[Asked]:
    """The first items of each task, tasks and styles in turns."""
    for index in range(per_pair):
        for task, style in ASKED:
            if task in tasks and index < (registry.get(task).count or per_pair):
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
    asked = replace(model, chat_template=None) if arguments.plain else model
    engine = LLMEngine.from_engine_args(
        EngineArgs(model=str(folder), dtype="bfloat16", max_model_len=8192, generation_config="vllm",
                   max_num_seqs=arguments.rows, seed=0)
    )  # fmt: skip
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    known = {line["id"] for line in lines(arguments.out)} if arguments.out.exists() else set()
    variant = arguments.round + (", plain prompts" if arguments.plain else "")
    waiting = [one for one in questions(arguments.items, arguments.tasks) if identity(variant, one) not in known]
    by_item = cases(waiting, arguments.data_dir)
    running: dict[str, dict[str, Any]] = {}
    watches: dict[str, LoopWatch] = {}
    begin, written, tokens, number = time.monotonic(), 0, 0, 0
    with arguments.out.open("a", encoding="utf-8") as out:

        def write(line: dict[str, Any], ended: str) -> None:
            nonlocal written, tokens
            out.write(json.dumps({**line, "ended": ended}) + "\n")
            out.flush()
            written, tokens = written + 1, tokens + len(line["tokens"])

        while time.monotonic() - begin < arguments.seconds and (waiting or running):
            while waiting and len(running) < arguments.rows:
                one = waiting.pop(0)
                messages = prompt_messages(by_item[one.task, one.index], one.style)
                limit = default_max_tokens(registry.get(one.task), one.style)
                name = identity(variant, one)
                number += 1
                params = SamplingParams(
                    temperature=0.0, max_tokens=limit, stop_token_ids=[end], detokenize=False,
                    output_kind=RequestOutputKind.DELTA, stream_interval=STRIDE,
                )  # fmt: skip
                engine.add_request(name, TokensPrompt(prompt_token_ids=template(tokenizer, messages, asked)), params)
                running[name] = {
                    "id": name, "variant": variant, "task": one.task, "style": one.style, "index": one.index,
                    "limit": limit, "whole": number % arguments.whole == 0, "tokens": [], "stop": None,
                }  # fmt: skip
                watches[name] = LoopWatch()
            for result in engine.step():
                line = running[result.request_id]
                line["tokens"] += result.outputs[0].token_ids
                if not line["stop"]:
                    line["stop"] = watches[result.request_id].stop_at(line["tokens"], lambda kept: False)
                if result.finished:
                    write(running.pop(result.request_id), str(result.outputs[0].finish_reason))
                elif line["stop"] and not line["whole"] and len(line["tokens"]) >= line["stop"] + arguments.past:
                    engine.abort_request([result.request_id])
                    write(running.pop(result.request_id), "past")
    seconds = time.monotonic() - begin
    print(f"{arguments.round}: {written} outputs, {tokens} tokens, {seconds:.0f} s, {tokens / seconds:.0f} tokens/s")


@dataclass(slots=True)
class Tally:
    """What was found of the outputs of one variant and task."""

    outputs: int = 0
    looping: int = 0
    left: int = 0
    past: list[int] = field(default_factory=list)
    whole: int = 0
    tokens: int = 0
    saved: int = 0
    verdicts: int = 0

    def add(self, other: Tally) -> None:
        for name in ("outputs", "looping", "left", "whole", "tokens", "saved", "verdicts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.past += other.past


def count(arguments: argparse.Namespace) -> None:
    """Print the table: loops, how many were left, what the guard saves, verdicts that it changes."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve(arguments.model, progress=lambda line: None).path)
    found = [line for path in arguments.files for line in lines(path)]
    asked = [Asked(line["task"], line["style"], line["index"]) for line in found]
    by_item = cases(asked, arguments.data_dir)
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    laxer = {rule: [0, 0] for rule in LAXER}
    changed: list[str] = []
    for line in found:
        one = tallies[line["variant"], line["task"]]
        tokens = line["tokens"]
        one.outputs += 1
        one.tokens += len(tokens)
        for rule, (loops, left) in laxer.items():
            stop = first_stop(tokens, rule)
            laxer[rule] = [loops + (stop > 0), left + (stop > 0 and leaves(tokens, stop, rule) is not None)]
        stop = first_stop(tokens, GUARD)
        if not stop:
            continue
        one.looping += 1
        away = leaves(tokens, stop, GUARD)
        one.left += away is not None
        one.past.append((len(tokens) if away is None else away) - stop)
        one.whole += line["ended"] == "length"
        one.saved += line["limit"] - stop
        case = by_item[line["task"], line["index"]]
        ended = "stop" if line["ended"] == "stop" else "length"
        early = grade(case, Output(text_of(tokenizer, tokens[:stop]), finish_reason="length", stopped="loop"))
        late = grade(case, Output(text_of(tokenizer, tokens), finish_reason=ended))
        if (early.verdict.name, early.answer.value) != (late.verdict.name, late.answer.value):
            one.verdicts += 1
            changed.append(f"{line['id']}: {early.verdict.name} {early.answer.value!r} at {stop} tokens, "
                           f"{late.verdict.name} {late.answer.value!r} at {len(tokens)}")  # fmt: skip
    show(tallies, laxer, changed)


def first_stop(tokens: Sequence[int], rule: Rule) -> int:
    """Where a guard with this rule ends an output; 0: nowhere."""
    tail, short_tail, repeats = rule
    for end in range(STRIDE, len(tokens), STRIDE):
        if block_length(tokens[max(0, end - WINDOW) : end], tail=tail, short_tail=short_tail, repeats=repeats):
            return end
    return 0


def leaves(tokens: Sequence[int], stop: int, rule: Rule) -> int | None:
    """The place of the first token behind ``stop`` that does not go on with the loop; None: there is none."""
    tail, short_tail, repeats = rule
    period = block_length(tokens[max(0, stop - WINDOW) : stop], tail=tail, short_tail=short_tail, repeats=repeats)
    return next((at for at in range(stop, len(tokens)) if tokens[at] != tokens[at - period]), None)


def text_of(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def show(tallies: Mapping[tuple[str, str], Tally], laxer: Mapping[Rule, Sequence[int]], changed: Sequence[str]) -> None:
    print("| model | task | outputs | looping | left the loop | at most (95%) | tokens past the stop, median | "
          "to the limit | limit's tokens saved | verdicts changed |")  # fmt: skip
    print("|---|---|" + "---:|" * 8)
    whole = Tally()
    for (variant, task), one in sorted(tallies.items()):
        whole.add(one)
        print(f"| {variant} | {task} |{row(one)}")
    print(f"| **all** | |{row(whole)}")
    print(
        f"\n{whole.tokens:,} tokens were generated, {sum(whole.past):,} of them past the stop. What a laxer rule would"
    )
    print("have done with the same outputs:\n")
    print("| tail, tokens | of a short block | blocks | ended | of these, left the loop |\n|---:|---:|---:|---:|---:|")
    for (tail, short_tail, repeats), (loops, left) in laxer.items():
        print(f"| {tail} | {short_tail} | {repeats} | {loops} | {left} |")
    if changed:
        print("\nVerdicts that differ:\n")
        print("\n".join(f"- {line}" for line in changed))


def row(one: Tally) -> str:
    bound = "–" if not one.looping else f"{100 * upper(one.left, one.looping):.2f}%"
    past = f"{statistics.median(one.past):.0f}" if one.past else "–"
    values = (one.outputs, one.looping, one.left, bound, past, one.whole, f"{one.saved:,}", one.verdicts)
    return " " + " | ".join(map(str, values)) + " |"


def upper(seen: int, of: int) -> float:
    """Clopper-Pearson's one-sided 95% bound; for none of n it is the rule of three, 3 / n."""
    from scipy.stats import beta

    return 1.0 if seen == of else float(beta.ppf(0.95, seen + 1, of - seen))


def identity(variant: str, one: Asked) -> str:
    """Names an output in the file."""
    return f"{variant}|{one.task}|{one.style}|{one.index}"


def rounded(model: ResolvedModel, scheme: str, folder: Path) -> Path:
    """A copy whose linear layers are rounded to so many bits (groups of 64), or have half of every 4 weights at 0."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = folder / f"{model.name}-{scheme}"
    if target.is_dir():
        return target
    loaded = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.bfloat16)
    for name, module in loaded.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            weight = module.weight.data.float()
            if scheme.startswith("int"):
                most = 2 ** (int(scheme[3:]) - 1) - 1
                groups = weight.reshape(-1, 64)
                scale = groups.abs().amax(1, keepdim=True).clamp(min=1e-8) / most
                weight = ((groups / scale).round().clamp(-most - 1, most) * scale).reshape(weight.shape)
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
    making.add_argument("--round", choices=("none", "int4", "int3", "2of4"), default="none")
    making.add_argument(
        "--plain", action="store_true", help="prompts as a base model gets them: nearly all outputs loop"
    )
    making.add_argument("--items", type=int, default=400, help="of each task and style")
    making.add_argument(
        "--tasks", type=lambda text: text.split(","), default=[task for task, _ in ASKED],
        help="a loop of a few tokens is stopped after 640: tasks with less room than that (sorting, choices) tell less",
    )  # fmt: skip
    making.add_argument("--rows", type=int, default=96, help="outputs in flight")
    making.add_argument("--past", type=int, default=160)
    making.add_argument("--whole", type=int, default=25)
    making.add_argument("--seconds", type=float, default=900)
    counting = steps.add_parser("count")
    counting.add_argument("files", type=Path, nargs="+")
    counting.add_argument("--data-dir", type=Path, default=data and Path(data), required=data is None)
    counting.add_argument("--model", default="embedded")
    arguments = parser.parse_args()
    if arguments.step == "generate":
        generate(arguments)
    else:
        count(arguments)


if __name__ == "__main__":
    main()
