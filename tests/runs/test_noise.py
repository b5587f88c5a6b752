from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from recorded_runs import record

from pytest_thinkslm.core.identity import ItemRef, id_of, item_refs
from pytest_thinkslm.core.item_record import ItemRecord
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.journal.journal import entry_key
from pytest_thinkslm.runs.noise import noise_figures, outcomes
from pytest_thinkslm.runs.types import NoiseJson


def figures(lines: Sequence[Mapping[str, Any]]) -> NoiseJson | None:
    found = outcomes(cast("Sequence[ItemRecord]", lines))
    keys = {key.quant: key for key in found}
    return noise_figures(found[keys["none"]], found[keys["q"]].right)


def run(right: Sequence[bool], quant: str = "none", **fields: Any) -> list[dict[str, Any]]:
    return [record(item, is_right, quant=quant, **fields) for item, is_right in enumerate(right)]


def test_flips_are_split_into_numerics_and_what_is_beyond() -> None:
    """Of 40 items 12 flip in the variant; in two further runs one item flips in both, and one in one of them."""
    first = [True] * 40
    again = [item != 0 for item in range(40)], [item not in (0, 1) for item in range(40)]
    lines = [
        *run(first),
        *(line for k, right in enumerate(again, 1) for line in run(right, role="noise", repeat=k)),
        *run([item >= 12 for item in range(40)], "q"),
    ]
    found = figures(lines)
    assert found is not None
    assert (found["runs"], found["items"], found["flips"]) == (2, 40, 0.3)
    assert found["numerics"] == pytest.approx(1.5 / 40)
    assert found["compression"] == pytest.approx(0.3 - 1.5 / 40)
    # Eleven items have an excess (ten of 1, one of a half); by flips of sign none of the others is as far.
    assert found["p"] == pytest.approx(2**-11)
    assert found["compression_ci95"] is not None
    assert found["compression_ci95"][0] > 0


def test_errors_further_repeats_and_items_without_all_runs_are_left_out() -> None:
    lines = [
        *run([True] * 4),
        *run([False] * 4, repeat=2),
        *run([True, True, True], role="noise", repeat=1),
        *run([True, True], role="noise", repeat=2),
        *run([True, True, True, True], "q"),
    ]
    lines[-1] = record(0, False, quant="q", verdict="error")
    lines[-4] = record(3, True, quant="q")
    found = figures(lines)
    assert found is not None
    assert (found["items"], found["flips"], found["p"]) == (1, 0, 1)
    assert figures([*run([True]), *run([True], "q")]) is None


def test_variants_that_flip_by_numerics_alone_are_called_unchanged() -> None:
    draw, called, runs = random.Random(3), 0, 200
    for _ in range(runs):
        chances = [draw.choice((0.02, 0.1, 0.5, 0.98)) for _ in range(60)]
        sides = [[draw.random() < chance for chance in chances] for _ in range(4)]
        lines = [*run(sides[0]), *run(sides[3], "q")]
        lines += [line for k in (1, 2) for line in run(sides[k], role="noise", repeat=k)]
        found = figures(lines)
        assert found is not None
        called += found["p"] <= 0.05
    assert called / runs <= 0.05


def test_further_runs_are_of_the_first_variant_and_in_other_orders() -> None:
    refs = list(item_refs(2, "gsm8k", ("direct",), range(30), 1, noise=2))
    runs = [[ref.index for ref in refs if ref.noise == run] for run in (1, 2)]
    assert {ref.variant for ref in refs if ref.noise} == {0}
    assert sorted(runs[0]) == sorted(runs[1]) == list(range(30))
    assert runs[0] != runs[1]
    assert runs[0] != list(range(30))
    keys = [ref.key([_Variant(), _Variant("q")]) for ref in refs]  # type: ignore[list-item]
    assert len(set(keys)) == len(keys) == 120
    assert {(key.role, key.repeat) for key in keys} == {("item", 1), ("noise", 1), ("noise", 2)}
    assert id_of(ItemRef(0, "gsm8k", "direct", 7, noise=2), repeats=1) == "direct-0007-noise-2"


class _Variant:
    def __init__(self, quant: str = "none") -> None:
        self.model, self.quant = "m", quant


def test_the_journal_answers_no_further_run_with_the_first_one() -> None:
    keys = {entry_key(Request((Message("user", "?"),), Sampling(), noise=noise)) for noise in range(3)}
    assert len(keys) == 3
