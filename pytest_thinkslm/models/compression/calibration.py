"""The texts that a compression is calibrated with: solved problems of GSM8K's training split, or made-up ones."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.errors import DataError

#: As many as published recipes use at least; a file with fewer gives all that it has.
SAMPLES = 128
#: Longer samples are cut.
MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Calibration:
    """Solved questions and where they are from; ``source`` is a file's name, a hub id or "generated"."""

    source: str
    records: Sequence[Mapping[str, str]]

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the texts."""
        return hashlib.sha256(json.dumps(list(self.records), sort_keys=True).encode()).hexdigest()


def from_folder(data_dir: Path, seed: int, samples: int = SAMPLES) -> Calibration | None:
    """A seeded sample of GSM8K's training split in a data folder; None where it has none.

    Raises:
        DataError: the file is damaged or has other records.
    """
    from pytest_thinkslm.data.local import SUFFIXES, read_jsonl
    from pytest_thinkslm.tasks.gsm8k import TRAIN

    for path in (data_dir / f"{file.stem}{suffix}" for file in TRAIN.files for suffix in SUFFIXES):
        if path.is_file():
            rows = [row for _, row in read_jsonl(path, "calibration")]
            return Calibration(path.name, _drawn(rows, seed, samples, str(path)))
    return None


def from_hub(seed: int, samples: int = SAMPLES) -> Calibration:
    """A seeded sample of GSM8K's training split on the hub. Raises DataError where it cannot be had."""
    from pytest_thinkslm.data import hub
    from pytest_thinkslm.tasks.gsm8k import TRAIN

    names = " or ".join(file.stem for file in TRAIN.files)
    rows = hub.rows("calibration", TRAIN.hub, TRAIN.configs, TRAIN.split, "--hub-id", names)
    return Calibration(TRAIN.hub, _drawn(rows, seed, samples, TRAIN.hub))


def generated(seed: int, samples: int = SAMPLES) -> Calibration:
    """Made-up word problems with their solutions, the same for the same seed: for machines without any data."""
    rng = random.Random(f"calibration:{seed}")
    return Calibration("generated", tuple(rng.choice(_PROBLEMS)(rng) for _ in range(samples)))


def _drawn(rows: Sequence[Mapping[str, object]], seed: int, samples: int, source: str) -> tuple[Mapping[str, str], ...]:
    from pytest_thinkslm.tasks.gsm8k import worked_solution

    if any(not isinstance(row.get(key), str) for row in rows for key in ("question", "answer")):
        raise DataError(f"calibration: {source} has records without 'question' and 'answer'; GSM8K's have both")
    drawn = random.Random(f"calibration:{seed}").sample(rows, min(samples, len(rows)))
    return tuple({"question": str(row["question"]), "answer": worked_solution(row)} for row in drawn)


_NAMES = [
    "Ada",
    "Bao",
    "Chidi",
    "Dara",
    "Elif",
    "Femi",
    "Grace",
    "Hana",
    "Ivo",
    "Jun",
    "Kofi",
    "Lena",
    "Milo",
    "Nia",
    "Omar",
    "Priya",
    "Quinn",
    "Rosa",
    "Sven",
    "Tara",
]
_GOODS = [
    "apples",
    "books",
    "candles",
    "drawings",
    "eggs",
    "flowers",
    "hats",
    "kites",
    "lamps",
    "marbles",
    "pens",
    "stickers",
]


def _shopping(rng: random.Random) -> dict[str, str]:
    name, thing = rng.choice(_NAMES), rng.choice(_GOODS)
    count, price, paid = rng.randint(3, 15), rng.randint(2, 12), 10 * rng.randint(18, 30)
    cost = count * price
    return {
        "question": f"{name} buys {count} {thing} for ${price} each and pays with ${paid}. How much change is there?",
        "answer": f"The {thing} cost {count} x {price} = ${cost}.\nThe change is {paid} - {cost} = ${paid - cost}.",
    }


def _sharing(rng: random.Random) -> dict[str, str]:
    name, other = rng.sample(_NAMES, 2)
    thing, each, children = rng.choice(_GOODS), rng.randint(3, 20), rng.randint(2, 9)
    total = each * children
    brought = rng.randint(1, total - 1)
    return {
        "question": f"{name} has {total - brought} {thing}. {other} brings {brought} more, and they share all of them "
        f"equally among {children} children. How many {thing} does each child get?",
        "answer": f"Together there are {total - brought} + {brought} = {total} {thing}.\nEach child gets {total} / "
        f"{children} = {each} {thing}.",
    }


def _travel(rng: random.Random) -> dict[str, str]:
    name, speed, hours = rng.choice(_NAMES), 5 * rng.randint(6, 24), rng.randint(2, 6)
    rest, slower = rng.randint(1, 4), 5 * rng.randint(2, 5)
    first, second = speed * hours, slower * rest
    return {
        "question": f"{name} drives {hours} hours at {speed} km an hour, and then {rest} hours at {slower} km an hour "
        "on a mountain road. How far is that in total?",
        "answer": f"The first part is {hours} x {speed} = {first} km.\nThe second part is {rest} x {slower} = {second} "
        f"km.\nThe total is {first} + {second} = {first + second} km.",
    }


def _percent(rng: random.Random) -> dict[str, str]:
    name, price, percent = rng.choice(_NAMES), 20 * rng.randint(2, 20), 5 * rng.randint(1, 12)
    off = price * percent // 100
    return {
        "question": f"A coat costs ${price}. {name} has a coupon for {percent}% off. What does {name} pay?",
        "answer": f"{percent}% of {price} is {price} x {percent} / 100 = ${off}.\nSo {name} pays {price} - {off} = "
        f"${price - off}.",
    }


def _ages(rng: random.Random) -> dict[str, str]:
    name, other = rng.sample(_NAMES, 2)
    age, factor, years = rng.randint(4, 15), rng.randint(2, 4), rng.randint(2, 10)
    older = age * factor
    return {
        "question": f"{name} is {age} years old, and {other} is {factor} times as old. How old will both be together "
        f"in {years} years?",
        "answer": f"Now {other} is {factor} x {age} = {older}.\nIn {years} years {name} is {age + years} and {other} "
        f"{older + years}.\nTogether that is {age + years} + {older + years} = {age + older + 2 * years}.",
    }


def _largest(rng: random.Random) -> dict[str, str]:
    numbers = rng.sample(range(2, 99), 5)
    ranked = sorted(numbers)
    return {
        "question": f"Put the numbers {', '.join(map(str, numbers))} in order, the smallest first. What is the "
        "difference between the largest and the smallest?",
        "answer": f"In order they are {', '.join(map(str, ranked))}.\nThe difference is {ranked[-1]} - {ranked[0]} = "
        f"{ranked[-1] - ranked[0]}.",
    }


_PROBLEMS: Sequence[Callable[[random.Random], dict[str, str]]] = (
    _shopping,
    _sharing,
    _travel,
    _percent,
    _ages,
    _largest,
)
