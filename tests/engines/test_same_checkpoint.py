"""Two runs of one checkpoint in other batch shapes: equal in float32, and called unchanged where numerics flip some."""

from __future__ import annotations

import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import tiny_checkpoints

from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.statistics.paired import compare_paired

pytest.importorskip("torch")

QUESTIONS = [f"how many apples are there in {number * number + 7} {'and one ' * (number % 5)}?" for number in range(24)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    return resolve(str(tiny_checkpoints.random_llama(tmp_path_factory.mktemp("models") / "tiny", hidden=64)))


def rounds(model: ResolvedModel, shapes: list[int], dtype: str) -> list[dict[str, str]]:
    """The outputs by question for each shape: so many requests at once, in an order of its own."""
    engine = TransformersEngine(model, engine_args={"device": "cpu", "dtype": dtype, "threads": "1"})
    found = []
    try:
        for number, shape in enumerate(shapes):
            order = random.Random(number).sample(QUESTIONS, len(QUESTIONS))
            texts: dict[str, str] = {}
            for first in range(0, len(order), shape):
                some = order[first : first + shape]
                requests = [Request((Message("user", one),), Sampling(max_tokens=10), label=one) for one in some]
                for one, future in zip(some, engine.submit(requests), strict=True):
                    texts[one] = future.result(timeout=300).text
            found.append(texts)
    finally:
        engine.close()
    return found


def test_five_batch_shapes_give_equal_outputs_in_float32(model: ResolvedModel) -> None:
    first, *others = rounds(model, [1, 3, 5, 8, 24], "float32")
    assert len(set(first.values())) > 4, "they are outputs of their own"
    assert all(other == first for other in others)


def test_ten_pairs_of_runs_in_bfloat16_are_called_unchanged(model: ResolvedModel) -> None:
    """A verdict that any text gets: whether it stands before the middle one of the first run in the alphabet."""
    runs = rounds(model, [1, 24, 2, 12, 3, 8, 4, 6, 5, 16, 7], "bfloat16")
    middle = sorted(runs[0].values())[len(QUESTIONS) // 2]
    right = [{question: [float(text < middle)] for question, text in run.items()} for run in runs]
    assert 0 < sum(value for (value,) in right[0].values()) < len(QUESTIONS)
    assert [compare_paired(before, now).change.p >= 0.05 for before, now in pairwise(right)] == [True] * 10
