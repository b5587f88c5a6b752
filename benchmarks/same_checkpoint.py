"""Two runs of one checkpoint in other batch shapes: whether a comparison calls them unchanged, and what fp32 does.

    python benchmarks/same_checkpoint.py [--items 24] [--pairs 10] > benchmarks/results/same-checkpoint.md

The embedded model on the transformers engine, greedy, answers sums in rounds: the same items in another order and in
batches of another size each time. Each round is compared with the one before it, as two runs are. In float32 the
outputs of five shapes are compared text by text.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from itertools import pairwise

from drift_ranking import MAX_TOKENS, sum_case

from pytest_thinkslm.core.records import Case, Output, Request, Sampling
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.resolve import resolve
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.statistics.paired import compare_paired
from pytest_thinkslm.tasks.prompts import prompt_messages

#: Rows of a batch, round by round.
SHAPES = (1, 24, 2, 12, 3, 8, 4, 6, 5, 16, 7, 10, 9, 11, 13, 14, 15, 20, 18, 22, 21)
EXACT_SHAPES = (1, 3, 5, 8, 24)
ALPHA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()
    cases = [sum_case(0, index) for index in range(options.items)]
    shapes = SHAPES[: options.pairs + 1]
    rounds = answered(cases, shapes, "bfloat16")
    lines = ["| rows of a batch | other texts | flipped | p of no change | called |", "|---|---:|---:|---:|---|"]
    called = 0
    for number, (before, now) in enumerate(pairwise(rounds)):
        right = [{case.item: [float(solved(case, run[case.item]))] for case in cases} for run in (before, now)]
        found = compare_paired(right[0], right[1])
        flipped = sum(right[0][item] != right[1][item] for item in right[0])
        texts = sum(before[item].text != now[item].text for item in before)
        unchanged = found.change.p >= ALPHA
        called += unchanged
        verdict = "unchanged" if unchanged else "changed"
        rows = f"{shapes[number]}, {shapes[number + 1]}"
        lines.append(f"| {rows} | {texts} | {flipped} | {found.change.p:.2f} | {verdict} |")
    exact = answered(cases, EXACT_SHAPES, "float32")
    equal = all(exact[0][item].text == run[item].text for run in exact for item in run)
    share = sum(solved(case, rounds[0][case.item]) for case in cases) / len(cases)
    print(
        f"# Two runs of one checkpoint\n\n`benchmarks/same_checkpoint.py --items {options.items} --pairs "
        f"{options.pairs}`: the embedded model, bfloat16, {len(cases)} sums ({share:.0%} solved), in batches of the "
        "sizes named and in another order.\n"
    )
    print("\n".join(lines))
    print(f"\n{called} of {len(rounds) - 1} pairs are called unchanged.")
    print(
        f"\nfloat32, batches of {', '.join(map(str, EXACT_SHAPES))}: the {len(cases)} outputs are "
        f"{'equal in all five' if equal else 'NOT equal'}."
    )


def solved(case: Case, output: Output) -> bool:
    return grade(case, output).verdict.name == "correct"


def answered(cases: Sequence[Case], shapes: Sequence[int], dtype: str) -> list[dict[str, Output]]:
    """For each shape the outputs by item: as many at once as the shape says, in an order of its own."""
    engine = TransformersEngine(resolve("embedded"), engine_args={"device": "cpu", "dtype": dtype})
    found = []
    try:
        for number, shape in enumerate(shapes):
            order = random.Random(number).sample(list(cases), len(cases))
            outputs: dict[str, Output] = {}
            for first in range(0, len(order), shape):
                some = order[first : first + shape]
                requests = [
                    Request(prompt_messages(case, "direct"), Sampling(max_tokens=MAX_TOKENS["sums"]), label=case.item)
                    for case in some
                ]
                for case, future in zip(some, engine.submit(requests), strict=True):
                    outputs[case.item] = future.result()
            found.append(outputs)
    finally:
        engine.close()
    return found


if __name__ == "__main__":
    main()
