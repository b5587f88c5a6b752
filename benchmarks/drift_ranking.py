"""How many items rank compression schemes: by the distance of their tokens (KL), and by the items that they lose.

Two steps in one folder; what is there is not made again, so that the first can be ended at any time and go on:

    python benchmarks/drift_ranking.py run --workdir DIR --data-dir DIR [--items 250] [--led 15] [--schemes none,...]
    python benchmarks/drift_ranking.py count --workdir DIR > benchmarks/results/drift-ranking.md

The first loads the embedded model in each scheme (transformers engine, greedy), has it answer ``--items`` items of
each of three choice tasks and of sums of its own, and leads it along ``--led`` of the uncompressed model's outputs to
each. ``answer`` and ``lead`` do one of the two; ``answer --engine vllm`` answers thousands of items in less time. The
second step correlates and subsamples. A folder ``checkpoints/SCHEME`` in the workdir is taken where it
is there, else the scheme is made on demand. Schemes of weights alone, those of GGUF files among them, are run on their
dequantized weights, so that the kernels are the same and vLLM needs none for 8 bits on a CPU, where it has none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from pytest_thinkslm.core.identity import limited
from pytest_thinkslm.core.records import Case, Message, Request, Sampling
from pytest_thinkslm.core.schemes import GGUF_ON_DEMAND
from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.engines.scoring import Distributions, Forced, Scorer
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.models.dequantize import dequantize
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.models.variants import resolve_variant
from pytest_thinkslm.runs.drift import item_drift
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.prompts import prompt_messages
from pytest_thinkslm.tasks.task import Limit, Task

SCHEMES = ("none", "w8a8", "w4a16", "q4_0", "gptq4", "w8a16", "sparse-2of4", "q8_0", "gptq8")
TASKS = ("sums", "arc_easy", "openbookqa", "commonsenseqa")
#: New tokens: answers of this model to these are short.
MAX_TOKENS = {"sums": 40, "arc_easy": 24, "openbookqa": 24, "commonsenseqa": 24}
#: Random subsets of each size.
DRAWS = 400

Key = tuple[str, str]


def sum_case(data_seed: int, index: int) -> Case:
    """A product or a sum of small numbers, which the embedded model gets right now and then."""
    rng = random.Random(f"sums:{data_seed}:{index}")
    first, second = rng.randint(2, 12), rng.randint(2, 12)
    sign, value = ("*", first * second) if index % 2 else ("+", first + second)
    return Case("sums", index, "number", f"{first} {sign} {second} =", str(value))


registry.register(Task("sums", "Sums", "number", generate=sum_case, count=1000, limit=Limit(MAX_TOKENS["sums"], 0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("run", "answer", "lead", "count"))
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers", help="that answers")
    parser.add_argument("--items", type=int, default=250, help="items a task that are answered")
    parser.add_argument("--led", type=int, default=15, help="items a task along whose outputs schemes are led")
    parser.add_argument("--schemes", type=lambda text: text.split(","), default=list(SCHEMES))
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS), help="that are answered")
    options = parser.parse_args()
    options.workdir.mkdir(parents=True, exist_ok=True)
    if options.step == "count":
        print(count(options.workdir, options.tasks))
        return
    for scheme in options.schemes:
        run(scheme, options)
        print(f"{scheme}: done", flush=True)


# -- outputs and distances


def run(scheme: str, options: argparse.Namespace) -> None:
    """Answer and lead with one scheme, as far as that was not done yet."""
    workdir: Path = options.workdir
    outputs = workdir / f"outputs-{scheme}.jsonl"
    target = workdir / ("reference.safetensors" if scheme == "none" else f"drift-{scheme}.json")
    known = {(line["task"], line["item"]) for line in lines_of(outputs)}
    left = [] if options.step == "lead" else [one for one in asked(options) if (one.task, one.item) not in known]
    leads = options.step != "answer" and not target.exists()
    if not left and not leads:
        return
    kind = VLLMEngine if options.step == "answer" and options.engine == "vllm" else TransformersEngine
    with contextlib.closing(kind(checkpoint(scheme, options))) as engine:
        answer(engine, left, outputs)
        if leads:
            lead(engine, workdir, options.led, target)


def checkpoint(scheme: str, options: argparse.Namespace) -> ResolvedModel:
    if (made := options.workdir / "checkpoints" / scheme).exists():
        return resolve(str(made))
    part = made.with_name(f"{scheme}.part")
    if scheme in GGUF_ON_DEMAND:
        file = resolve_variant("embedded", scheme, "llamacpp", check=False, progress=print).path
        part.mkdir(parents=True, exist_ok=True)
        dequantize(file, part, 8192)
    else:
        found = resolve_variant("embedded", scheme, "transformers", data_dir=options.data_dir, progress=print)
        if found.quantization is None or found.quantization.get("format") != "pack-quantized":
            return found
        unpack(found.path, part)
    part.rename(made)
    return resolve(str(made))


def unpack(packed: Path, out: Path) -> None:
    """Write the checkpoint with its weights dequantized, as the transformers engine has them."""
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
    from safetensors.torch import load_file, save_file

    shutil.copytree(packed, out, dirs_exist_ok=True)
    config = json.loads((out / "config.json").read_text())
    (group,) = config.pop("quantization_config")["config_groups"].values()
    weights = load_file(packed / "model.safetensors")
    for name in [name for name in weights if name.endswith("weight_packed")]:
        layer = name.removesuffix("_packed")
        shape, scale = weights.pop(f"{layer}_shape").tolist(), weights.pop(f"{layer}_scale")
        whole = unpack_from_int32(weights.pop(name), group["weights"]["num_bits"], shape).to(scale.dtype)
        weights[layer] = whole * scale.repeat_interleave(shape[1] // scale.shape[1], dim=1)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=2))
    (out / "thinkslm_compression.json").unlink(missing_ok=True)


def asked(options: argparse.Namespace) -> list[Case]:
    """The first items of each task by the rank that ``--limit`` takes, so that more items contain fewer."""
    found: list[Case] = []
    for task in options.tasks:
        indices = limited(task, registry.get(task).count or 0, options.items, 0)
        found += load_cases(registry.get(task), indices, options.data_dir, data_seed=0).cases.values()
    return found


def answer(engine: Engine, cases: Sequence[Case], file: Path) -> None:
    """Append a line an output, when it is there."""
    requests = [
        Request(prompt_messages(case, "direct"), Sampling(max_tokens=MAX_TOKENS[case.task]), label=case.item)
        for case in cases
    ]
    with file.open("a", encoding="utf-8") as out:
        for case, request, future in zip(cases, requests, engine.submit(requests), strict=True):
            output = future.result()
            line = {"task": case.task, "item": case.item, "right": grade(case, output).verdict.name == "correct"}
            line |= {"tokens": output.output_tokens, "text": output.text, "ended": output.finish_reason == "stop"}
            line |= {"messages": [[turn.role, turn.content] for turn in request.messages]}
            out.write(json.dumps(line) + "\n")
            out.flush()


def forced(workdir: Path, led: int) -> list[tuple[Key, Forced]]:
    """Outputs of the uncompressed model, so many of each task."""
    found = []
    for task in TASKS:
        for line in [one for one in lines_of(workdir / "outputs-none.jsonl") if one["task"] == task][:led]:
            messages = tuple(Message(role, content) for role, content in line["messages"])
            request = Request(messages, Sampling(), label=f"{task} {line['item']}")
            found.append(((task, line["item"]), Forced(request, line["text"], line["ended"])))
    return found


#: Of a text's distributions, what is kept of the reference: tensors, and the text's tokens as one.
PARTS = ("own", "ids", "logs", "counts", "rest", "rest_logs")


def lead(engine: Scorer, workdir: Path, each: int, target: Path) -> None:
    """Write the distributions of the reference, or the distance of each item from it."""
    import torch
    from safetensors.torch import load_file, save_file

    texts, reference = forced(workdir, each), workdir / "reference.safetensors"
    if target == reference:
        kept: dict[str, torch.Tensor] = {}
        for at, future in enumerate(engine.score([text for _, text in texts])):
            found = future.result().distributions
            kept |= {f"{at}.{part}": getattr(found, part).contiguous() for part in PARTS}
            kept[f"{at}.tokens"] = torch.tensor(found.tokens)
        save_file(kept, target)
        return
    before = load_file(reference)
    led = [
        replace(
            text,
            against=Distributions(before[f"{at}.tokens"].tolist(), *(before[f"{at}.{part}"] for part in PARTS)),
        )
        for at, (_, text) in enumerate(texts)
    ]
    lines = []
    for (key, text), future in zip(texts, engine.score(led), strict=True):
        drift = item_drift(future.result().tokens, key, ended=text.ended)
        lines.append({"task": key[0], "item": key[1], "tokens": drift.tokens, "kl": drift.kl, "top1": drift.agreement})
    target.write_text(json.dumps(lines))


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# -- counting


def count(workdir: Path, tasks: Sequence[str]) -> str:
    """The tables, in Markdown, by the answers to these tasks."""
    outputs = {
        scheme: [line for line in lines_of(workdir / f"outputs-{scheme}.jsonl") if line["task"] in tasks]
        for scheme in SCHEMES
    }
    every = {(line["task"], line["item"]) for line in outputs["none"]}
    solved = {
        scheme: {(line["task"], line["item"]): line["right"] for line in own}
        for scheme, own in outputs.items()
        if every <= {(line["task"], line["item"]) for line in own}
    }
    drift = {
        scheme: json.loads(file.read_text())
        for scheme in SCHEMES
        if (file := workdir / f"drift-{scheme}.json").exists()
    }
    both = [scheme for scheme in solved if scheme in drift]
    before = solved["none"]
    head = "| scheme | KL, nats a token | top token kept | items lost | gained | flipped | accuracy | output tokens |"
    rows = [head, "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for scheme in ["none", *sorted(both, key=lambda one: fmean(item["kl"] for item in drift[one]))]:
        now, tokens = solved[scheme], fmean(line["tokens"] or 0 for line in outputs[scheme])
        lost, gained = (sum(before[key] == side and now[key] != side for key in before) for side in (True, False))
        kl = fmean(item["kl"] for item in drift[scheme]) if scheme in drift else None
        kept = f"{fmean(item['top1'] for item in drift[scheme]):.1%}" if scheme in drift else ""
        accuracy = f"{fmean(now.values()):.1%}"
        flipped = f"{(lost + gained) / len(before):.1%}"
        cells = [scheme, "" if kl is None else f"{kl:.4f}", kept, lost, gained, flipped, accuracy, f"{tokens:.1f}"]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    kls = {scheme: [item["kl"] for item in drift[scheme]] for scheme in both}
    keys = sorted(before)
    lost_of = {scheme: [float(before[key] and not solved[scheme][key]) for key in keys] for scheme in both}
    flips_of = {scheme: [float(before[key] != solved[scheme][key]) for key in keys] for scheme in both}
    drop_of = {scheme: [float(before[key]) - float(solved[scheme][key]) for key in keys] for scheme in both}
    kinds = {"KL": kls, "items lost": lost_of, "items flipped": flips_of, "accuracy lost": drop_of}
    whole = {name: {scheme: fmean(own[scheme]) for scheme in both} for name, own in kinds.items()}
    texts = len(next(iter(kls.values())))
    parts = [
        f"{len(keys)} items ({', '.join(f'{task} {sum(key[0] == task for key in keys)}' for task in tasks)}), "
        f"{sum(before.values())} of them solved uncompressed; KL along {texts} of the outputs.",
        "\n".join(rows),
        "Spearman's rho over the schemes, between KL and: "
        + ", ".join(f"{name} {spearman(whole['KL'], whole[name]):.2f}" for name in list(kinds)[1:])
        + ".",
        "How well random subsets rank the schemes: mean of Spearman's rho with the ranking by all items "
        f"({DRAWS} subsets each; the whole is what is at hand, not the truth).",
        subsets(kinds, whole, len(keys), texts),
    ]
    return "\n\n".join(parts)


def subsets(
    kinds: Mapping[str, Mapping[str, Sequence[float]]],
    whole: Mapping[str, Mapping[str, float]],
    items: int,
    texts: int,
) -> str:
    sizes = sorted({2, 5, 10, 20, 50, 100, 200, 500, texts, items})
    rows = [f"| ranked by | {' | '.join(map(str, sizes))} |", f"|---|{'---:|' * len(sizes)}"]
    for name, own in kinds.items():
        cells = [recovered(own, whole[name], size) for size in sizes]
        rows.append(f"| {name} | {' | '.join('' if cell is None else f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(rows)


def recovered(own: Mapping[str, Sequence[float]], whole: Mapping[str, float], size: int) -> float | None:
    """The mean correlation of rankings by ``size`` items with the whole one; None beyond what there is."""
    available = len(next(iter(own.values())))
    if size > available:
        return None
    rng = random.Random(size)
    found = []
    for _ in range(DRAWS):
        drawn = rng.sample(range(available), size)
        found.append(spearman({scheme: fmean(values[at] for at in drawn) for scheme, values in own.items()}, whole))
    return fmean(found)


def spearman(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Over the keys of both; 0 where one ranks nothing (all are equal)."""
    ranks = [ranked([side[key] for key in first]) for side in (first, second)]
    means = [fmean(side) for side in ranks]
    spread = [sum((one - mean) ** 2 for one in side) for side, mean in zip(ranks, means, strict=True)]
    together = sum((a - means[0]) * (b - means[1]) for a, b in zip(*ranks, strict=True))
    return together / (spread[0] * spread[1]) ** 0.5 if all(spread) else 0.0


def ranked(values: Sequence[float]) -> list[float]:
    """Ranks; equal values share the mean of theirs."""
    return [sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in list(values)]


if __name__ == "__main__":
    main()
