"""How many items rank compression schemes: by the distance of their tokens (KL), and by the items that they lose.

Three steps, all in one folder; each takes what is there and adds what is missing, so that it can be ended at any time:

    python benchmarks/drift_ranking.py answer --workdir DIR --data-dir DIR --limit 250 [--schemes none,w8a8,...]
    python benchmarks/drift_ranking.py lead --workdir DIR --items 15 [--schemes w8a8,...]
    python benchmarks/drift_ranking.py count --workdir DIR > benchmarks/results/drift-ranking.md

The first runs the suite on the embedded model in each scheme (transformers engine, greedy): three choice tasks and sums
of its own, ``--limit`` items each. A folder ``checkpoints/SCHEME`` in
the workdir is taken where it is there, else the scheme is made on demand; types of GGUF files are run on their
dequantized weights. The second leads each
scheme along the outputs of the uncompressed model. The third correlates and subsamples.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from pytest_thinkslm.core.item_record import ItemLine
from pytest_thinkslm.core.records import Case, Message, Request, Sampling
from pytest_thinkslm.core.schemes import GGUF_ON_DEMAND
from pytest_thinkslm.engines.scoring import Forced
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.models.variants import resolve_variant
from pytest_thinkslm.runs.drift import item_drift
from pytest_thinkslm.tasks.registry import register
from pytest_thinkslm.tasks.task import Limit, Task

SCHEMES = ("none", "w8a8", "w4a16", "q4_0", "gptq4", "w8a16", "sparse-2of4", "q8_0", "gptq8")
TASKS = ("sums", "arc_easy", "openbookqa", "commonsenseqa")
#: New tokens: answers of this model to these are short.
MAX_TOKENS = 24
#: Random subsets of each size.
DRAWS = 400

Items = Mapping[tuple[str, str], bool]


def sum_case(data_seed: int, index: int) -> Case:
    """A sum, a difference or a product that the embedded model gets right about half the time."""
    rng = random.Random(f"sums:{data_seed}:{index}")
    kind = index % 3
    first, second = rng.randint(12, 99), rng.randint(12, 99)
    if kind == 2:
        first, second = rng.randint(3, 12), rng.randint(3, 12)
    first, second = max(first, second), min(first, second)
    sign, value = (("+", first + second), ("-", first - second), ("*", first * second))[kind]
    return Case("sums", index, "number", f"{first} {sign} {second} =", str(value))


register(Task("sums", "Sums", "number", generate=sum_case, count=1000, limit=Limit(MAX_TOKENS, MAX_TOKENS)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("answer", "lead", "count"))
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--limit", type=int, default=250, help="items a task that are answered")
    parser.add_argument("--items", type=int, default=15, help="items a task along which schemes are led")
    parser.add_argument("--schemes", type=lambda text: text.split(","), default=list(SCHEMES))
    options = parser.parse_args()
    options.workdir = options.workdir.absolute()
    options.data_dir = options.data_dir and options.data_dir.absolute()
    options.workdir.mkdir(parents=True, exist_ok=True)
    if options.step == "count":
        print(count(options.workdir))
        return
    for scheme in options.schemes:
        if options.step == "answer":
            answer(scheme, options)
        elif scheme != "none":
            lead(scheme, options)


# -- answers


def answer(scheme: str, options: argparse.Namespace) -> None:
    """Run the suite on one scheme; its report folder is the scheme's name."""
    model, quant = given(scheme, options.workdir)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "drift_ranking", "-p", "no:cacheprovider"]
    command += ["--model", model, *(["--quant", quant] if quant else []), "--engine", "transformers"]
    command += ["--task", ",".join(TASKS), "--limit", str(options.limit), "--max-tokens", str(MAX_TOKENS)]
    command += ["--report-dir", str(options.workdir / scheme), "--journal-dir", str(options.workdir / "journal")]
    if options.data_dir:
        command += ["--data-dir", str(options.data_dir)]
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    subprocess.run(command, cwd=options.workdir, env=environment, check=True)


def given(scheme: str, workdir: Path) -> tuple[str, str]:
    """What ``--model`` and ``--quant`` are told: a checkpoint in ``checkpoints/SCHEME`` comes first."""
    if (made := workdir / "checkpoints" / scheme).exists():
        return str(made), ""
    if scheme not in GGUF_ON_DEMAND:
        return "embedded", scheme
    folder = workdir / "gguf" / f"embedded-{scheme}"
    if not folder.is_dir():
        from pytest_thinkslm.models.dequantize import dequantize

        model = resolve_variant("embedded", scheme, "llamacpp", check=False, progress=print)
        part = folder.with_name(f"{folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        dequantize(model.path, part, 8192)
        part.rename(folder)
    return str(folder), ""


# -- drift


def lead(scheme: str, options: argparse.Namespace) -> None:
    """Write the distance of each item (``drift-SCHEME.json``) where it is not there yet."""
    target = options.workdir / f"drift-{scheme}.json"
    if target.exists():
        return
    texts = forced(options.workdir, options.items)
    kept = options.workdir / f"reference-{options.items}.pickle"
    if not kept.exists():
        found = scored(resolve("embedded"), [text for _, text in texts])
        kept.write_bytes(pickle.dumps([one.distributions for one in found]))
    before = pickle.loads(kept.read_bytes())  # noqa: S301  # written above
    model, quant = given(scheme, options.workdir)
    checkpoint = resolve_variant(model, quant or None, "transformers", data_dir=options.data_dir, progress=print)
    led = [replace(text, against=one) for (_, text), one in zip(texts, before, strict=True)]
    lines = []
    for (key, text), one in zip(texts, scored(checkpoint, led), strict=True):
        drift = item_drift(one.tokens, key, ended=text.ended)
        lines.append({"task": key[0], "item": key[1], "tokens": drift.tokens, "kl": drift.kl, "top1": drift.agreement})
    target.write_text(json.dumps(lines))


def forced(workdir: Path, items: int) -> list[tuple[tuple[str, str], Forced]]:
    """The uncompressed model's outputs to the first items of each task."""
    found = []
    for task in TASKS:
        for line in [one for one in lines_of(workdir, "none") if one["task"] == task][:items]:
            messages = tuple(Message(turn["role"], turn["content"]) for turn in line["messages"])
            request = Request(messages, Sampling(), label=f"{task} {line['item']}")
            text = Forced(request, line["output"] or "", line["finish_reason"] == "stop")
            found.append(((task, line["item"]), text))
    return found


def scored(model: ResolvedModel, texts: Sequence[Forced]) -> list[Any]:
    engine = TransformersEngine(model)
    try:
        return [future.result() for future in engine.score(texts)]
    finally:
        engine.close()


def lines_of(workdir: Path, scheme: str) -> list[ItemLine]:
    file = workdir / scheme / "items.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# -- counting


def count(workdir: Path) -> str:
    """The tables, in Markdown."""
    solved = {scheme: answers(workdir, scheme) for scheme in SCHEMES if lines_of(workdir, scheme)}
    drift = {
        scheme: json.loads(file.read_text())
        for scheme in SCHEMES
        if (file := workdir / f"drift-{scheme}.json").exists()
    }
    both = [scheme for scheme in solved if scheme in drift]
    before = solved["none"]
    tasks = sorted({task for task, _ in before})
    head = "| scheme | KL, nats a token | top token kept | items lost | gained | flipped | accuracy | output tokens |"
    rows = [head, "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for scheme in ["none", *sorted(both, key=lambda one: fmean(item["kl"] for item in drift[one]))]:
        now, tokens = solved[scheme], fmean(line["output_tokens"] or 0 for line in lines_of(workdir, scheme))
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


def answers(workdir: Path, scheme: str) -> Items:
    """Which items are solved, of those that the uncompressed model was asked, too."""
    asked = {(line["task"], line["item"]) for line in lines_of(workdir, "none")}
    own = {(line["task"], line["item"]): line["verdict"] == "correct" for line in lines_of(workdir, scheme)}
    if missing := asked - own.keys():
        raise SystemExit(f"{scheme} lacks {len(missing)} of the {len(asked)} items: answer --schemes {scheme}")
    return {key: own[key] for key in asked}


if __name__ == "__main__":
    main()
