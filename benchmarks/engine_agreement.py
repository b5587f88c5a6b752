"""How far the engines agree: the same items, greedy, by several engines, held against the first run.

    pytest --model embedded --engine transformers --task gsm8k --limit 64 --report-dir a
    pytest --model embedded --engine vllm --task gsm8k --limit 64 --report-dir b
    python benchmarks/engine_agreement.py a b

Prompts must be the same. Prints the share of equal outputs, where the others differ first (in tokens, by the embedded
model's tokenizer), and the share of equal verdicts. Greedy decoding in bfloat16 depends on what else is in
the batch, so engines differ; that is noise to report, not an error.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from pytest_thinkslm.models.resolve import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    first, *others = [read(folder) for folder in parser.parse_args().runs]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve("embedded").path)
    print("| engines | quant | items | prompt lengths | equal outputs | first difference at token | equal verdicts |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for other in others:
        for quant in sorted(first.keys() & other.keys()):
            print(row(tokenizer, quant, first[quant], other[quant]))


def row(tokenizer: Any, quant: str, one: Run, other: Run) -> str:
    pairs = [(one.items[key], other.items[key]) for key in sorted(one.items.keys() & other.items.keys())]
    assert all(a["messages"] == b["messages"] for a, b in pairs), "the runs asked different prompts"
    places = [difference(tokenizer, a["output"], b["output"]) for a, b in pairs if a["output"] != b["output"]]
    where = f"median {statistics.median(places):.0f}, earliest {min(places)}" if places else "–"
    lengths = share(a["prompt_tokens"] == b["prompt_tokens"] for a, b in pairs)
    equal = share(a["output"] == b["output"] for a, b in pairs)
    verdicts = share(a["verdict"] == b["verdict"] for a, b in pairs)
    engines = f"{one.engine}, {other.engine}"
    return f"| {engines} | {quant} | {len(pairs)} | {lengths} | {equal} | {where} | {verdicts} |"


@dataclass
class Run:
    """One variant of a run: its engine, and its items by (task, style, item, repeat)."""

    engine: str
    items: dict[tuple[str, str, str, int], dict[str, Any]]


def read(folder: Path) -> dict[str, Run]:
    """A run's variants by quant."""
    variants = json.loads((folder / "results.json").read_text())["variants"]
    runs = {variant["quant"]: Run(variant["engine"], {}) for variant in variants}
    for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines():
        r = json.loads(line)
        if r["role"] == "item":
            runs[r["quant"]].items[r["task"], r["style"], r["item"], r["repeat"]] = r
    return runs


def difference(tokenizer: Any, one: str, other: str) -> int:
    """Position of the first token that differs, from 0."""
    pairs = zip(tokenizer(one)["input_ids"], tokenizer(other)["input_ids"], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def share(flags: Any) -> str:
    values = list(flags)
    return f"{100 * sum(values) / len(values):.1f}%"


if __name__ == "__main__":
    main()
