"""Content pins: a short hash of each normalised record of a data set, shipped in the package.

A pins file ``pins/<task>.txt`` has a JSON header line (file it was made from, number of records, byte sizes
of known files) and then, in the order that defines item names, one line a record: the hash of its question
and the hash of the whole item. ``python -m pytest_thinkslm.tasks.data.make_pins DIR`` writes them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_thinkslm.core.records import Case, Review

PINS_FOLDER = Path(__file__).parent / "pins"


@dataclass(frozen=True, slots=True)
class PinHeader:
    """What a pins file says of itself: the file it was made from, its records, and sizes in bytes by file name."""

    stem: str
    records: int
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pins:
    """The pins of one data set; ``questions[i]`` and ``records[i]`` are the hashes of item ``i``."""

    header: PinHeader
    questions: tuple[str, ...]
    records: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Match:
    """How delivered records stand to the pins.

    ``order`` lists positions in the delivered sequence, in item order: matched records at their pins' places, a
    record whose question is pinned but whose content differs at that question's place, the others after them.
    ``differing`` and ``missing`` are pinned indices, ``new`` positions in the delivered sequence.
    """

    order: tuple[int, ...]
    differing: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    new: tuple[int, ...] = field(default=())


def question_hash(question: str) -> str:
    """Ten hex digits of a question, blind to blanks and Unicode composition."""
    return _short_hash(_normal(question))


def record_hash(case: Case) -> str:
    """Ten hex digits of an item: question, options, list or steps under review, gold and facets.

    The written reason of a gold review is left out: annotators' wordings (and languages) differ between copies
    of one data set, and only a judge ever reads it.
    """
    gold: object = case.gold
    if isinstance(gold, Review):
        gold = [gold.judgement, _normal(gold.first_error_step or "")]
    elif isinstance(gold, str):
        gold = _normal(gold)
    parts = [
        _normal(case.question),
        [_normal(option) for option in case.options],
        [_normal(step) for step in case.steps],
        gold,
        sorted(case.facets.items()),
    ]
    return _short_hash(json.dumps(parts, ensure_ascii=True, separators=(",", ":")))


@functools.cache
def header(task: str) -> PinHeader | None:
    """The header of a task's pins, read without the hashes; None where a task has no pins."""
    path = PINS_FOLDER / f"{task}.txt"
    if not path.exists():
        return None
    with path.open(encoding="ascii") as lines:
        return _header(lines.readline())


@functools.cache
def load(task: str) -> Pins | None:
    """A task's pins; None where it has none (a user's task)."""
    path = PINS_FOLDER / f"{task}.txt"
    if not path.exists():
        return None
    content = path.read_bytes()
    first, *lines = content.decode("ascii").splitlines()
    pairs = [line.split() for line in lines]
    return Pins(
        _header(first),
        questions=tuple(pair[0] for pair in pairs),
        records=tuple(pair[1] for pair in pairs),
        digest=hashlib.sha256(content).hexdigest()[:12],
    )


@functools.cache
def question_index(task: str) -> Mapping[str, int]:
    """Question hash -> item index of a task; empty where it has no pins."""
    pins = load(task)
    return {} if pins is None else {key: index for index, key in enumerate(pins.questions)}


def match(pins: Pins, cases: Sequence[Case]) -> Match:
    """Bring delivered records into the pinned order and name what differs, is missing, or is new."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, key in reversed(list(enumerate(pins.records))):
        places[key].append(index)
    placed: list[tuple[int, int]] = []
    leftover: list[int] = []
    for position, case in enumerate(cases):
        free = places[record_hash(case)]
        if free:
            placed.append((free.pop(), position))
        else:
            leftover.append(position)
    unmatched: dict[str, list[int]] = defaultdict(list)
    for index in sorted((index for free in places.values() for index in free), reverse=True):
        unmatched[pins.questions[index]].append(index)
    differing, new = [], []
    for position in leftover:
        free = unmatched[question_hash(cases[position].question)]
        if free:
            differing.append(free[-1])
            placed.append((free.pop(), position))
        else:
            new.append(position)
    return Match(
        order=tuple(position for _, position in sorted(placed)) + tuple(new),
        differing=tuple(sorted(differing)),
        missing=tuple(sorted(index for free in unmatched.values() for index in free)),
        new=tuple(new),
    )


def write(task: str, stem: str, cases: Sequence[Case], sizes: Mapping[str, int], folder: Path) -> Path:
    """Write the pins of a task into ``folder`` from its cases in item order; returns the file."""
    facts = {"stem": stem, "records": len(cases), "sizes": dict(sorted(sizes.items()))}
    lines = [json.dumps(facts), *(f"{question_hash(case.question)} {record_hash(case)}" for case in cases)]
    path = folder / f"{task}.txt"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def _header(line: str) -> PinHeader:
    facts = json.loads(line)
    return PinHeader(stem=facts["stem"], records=facts["records"], sizes=facts["sizes"])


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
