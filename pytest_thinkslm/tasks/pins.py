"""Content pins: a short hash of each normalised record of a data set, shipped in the package.

A pins file ``pins/<task>.txt`` has a JSON header line (file it was made from, number of records, byte sizes
of known files, hashes of its content and of all records, names of the parts) and then, in the order that defines item
names, one line a record: the hash of its question, the hash of the whole item, and four hex digits of each further
part, so that a difference can be told apart.
``python -m pytest_thinkslm.data.make_pins DIR`` writes them; ``matching.py`` holds records against them.

Beside them ``pins/<task>.strata`` says which items are of one kind, for samples in proportion: a line for each facet,
and one for the judgement of reviews, with a character for each item. What a character stands for is not said.
"""

from __future__ import annotations

import functools
import hashlib
import json
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.records import Case, Review

PINS_FOLDER = Path(__file__).parent / "pins"

#: Of the hash of a part: enough to tell a reader which one differs; what decides is the hash of the whole item.
_PART_DIGITS = 4

#: The codes of strata, in order.
_CODES = string.digits + string.ascii_letters


@dataclass(frozen=True, slots=True)
class PinHeader:
    """What a pins file says of itself: the file it was made from, its records, sizes in bytes by file name.

    ``parts`` names the parts, beside the question, of which each record has a hash of its own. ``content`` is the
    ``content_hash`` of that file: one that has it is pinned record for record, and needs no further look. ``digest`` is
    of all records.
    """

    stem: str
    records: int
    sizes: Mapping[str, int]
    parts: tuple[str, ...] = ()
    content: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Pins:
    """The pins of one data set; ``questions[i]`` and ``records[i]`` are the hashes of item ``i``.

    ``parts[i]`` has the hashes of its further parts, in the order of ``header.parts``.
    """

    header: PinHeader
    questions: tuple[str, ...]
    records: tuple[str, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an item as it is pinned: ``name`` for people, ``text`` normalised."""

    name: str
    text: str


def question_hash(question: str) -> str:
    """Ten hex digits of a question, blind to blanks and Unicode composition."""
    return _short_hash(_normal(question))


def content_hash(content: bytes) -> str:
    """32 hex digits of a file's bytes, uncompressed."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


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


def parts(case: Case) -> tuple[Part, ...]:
    """What an item consists of, part by part, as its record hash sees it; the question comes first."""
    gold = case.gold
    found = [Part("question", _normal(case.question))]
    if case.options:
        found.append(Part("options", " | ".join(map(_normal, case.options))))
    if isinstance(gold, Review):
        found += [
            Part("steps", " | ".join(map(_normal, case.steps))),
            Part("judgement", gold.judgement),
            Part("first error step", _normal(gold.first_error_step or "")),
        ]
    else:
        found.append(Part("gold", _normal(gold) if isinstance(gold, str) else ", ".join(map(str, gold))))
    if case.facets:
        found.append(Part("groups", ", ".join(f"{name} {value}" for name, value in sorted(case.facets.items()))))
    return tuple(found)


def differing_parts(pins: Pins, index: int, case: Case) -> tuple[Part, ...]:
    """The parts of a record that are not those of the pinned item ``index``; empty where no part's hash tells it."""
    pinned = dict(zip(pins.header.parts, _split(pins.parts[index]), strict=True)) if pins.parts else {}
    question, *others = parts(case)
    found = [question] if question_hash(case.question) != pins.questions[index] else []
    return (*found, *(part for part in others if pinned.get(part.name, "") != _part_hash(part) and pinned))


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
    first, *lines = path.read_text(encoding="ascii").splitlines()
    columns = [line.split() for line in lines]
    return Pins(
        _header(first),
        questions=tuple(column[0] for column in columns),
        records=tuple(column[1] for column in columns),
        parts=tuple(column[2] for column in columns if len(column) > 2),
    )


@functools.cache
def strata(task: str) -> tuple[str, ...]:
    """A code for each item of a task, a character for each facet and class; empty where all are of one kind."""
    path = PINS_FOLDER / f"{task}.strata"
    return tuple(map("".join, zip(*path.read_text(encoding="ascii").split(), strict=True))) if path.exists() else ()


@functools.cache
def question_index(task: str) -> Mapping[str, int]:
    """Question hash -> item index of a task; empty where it has no pins."""
    pins = load(task)
    return {} if pins is None else {key: index for index, key in enumerate(pins.questions)}


def write(
    task: str, stem: str, cases: Sequence[Case], sizes: Mapping[str, int], folder: Path, content: str = ""
) -> Path:
    """Write the pins of a task into ``folder`` from its cases in item order; returns the file."""
    names = [part.name for part in parts(cases[0])[1:]]
    facts = {"stem": stem, "records": len(cases), "sizes": dict(sorted(sizes.items())), "content": content}
    records = [record_hash(case) for case in cases]
    facts |= {"digest": hashlib.sha256(" ".join(records).encode("ascii")).hexdigest()[:12], "parts": names}
    lines = [json.dumps(facts)]
    for case, record in zip(cases, records, strict=True):
        hashes = "".join(map(_part_hash, parts(case)[1:]))
        lines.append(f"{question_hash(case.question)} {record} {hashes}")
    path = folder / f"{task}.txt"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    if columns := _strata(cases):
        (folder / f"{task}.strata").write_text("\n".join(columns) + "\n", encoding="ascii")
    return path


def _strata(cases: Sequence[Case]) -> list[str]:
    """One line for each facet, then one for the judgement of reviews, of those that differ between items at all.

    Letters of right options are left out: they would be the answer key, and no group of any figure.
    """
    names = sorted({name for case in cases for name in case.facets})
    columns = [[case.facets.get(name, "") for case in cases] for name in names]
    columns.append([case.gold.judgement if isinstance(case.gold, Review) else "" for case in cases])
    lines = []
    for column in columns:
        values = sorted(set(column))
        if 1 < len(values) <= len(_CODES):
            lines.append("".join(_CODES[values.index(value)] for value in column))
    return lines


def _header(line: str) -> PinHeader:
    facts = json.loads(line)
    return PinHeader(
        facts["stem"],
        facts["records"],
        facts["sizes"],
        tuple(facts.get("parts", ())),
        facts.get("content", ""),
        facts.get("digest", ""),
    )


def _part_hash(part: Part) -> str:
    return _short_hash(part.text)[:_PART_DIGITS]


def _split(hashes: str) -> list[str]:
    return [hashes[start : start + _PART_DIGITS] for start in range(0, len(hashes), _PART_DIGITS)]


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
