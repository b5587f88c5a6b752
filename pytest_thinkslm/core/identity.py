"""Who an outcome belongs to: variants, items and their groups as data, and the names that people see. Pure.

Test ids are made from an ``ItemRef`` and never read back: a controller of xdist workers, which is told ids alone, gets
the table of ids and keys from its workers (``plugin/identities.py``).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

VariantKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Variant:
    """One (model, quant) of a run; ``quant`` is "none" for the checkpoint as it is."""

    model: str
    quant: str = "none"

    @property
    def name(self) -> str:
        """Its name where a mapping of JSON needs one: ``model|quant``."""
        return f"{self.model}|{self.quant}"


class GroupKey(NamedTuple):
    """What one row of figures is about. ``test`` is the test function's name, without its path."""

    model: str
    quant: str
    task: str
    test: str
    style: str

    @property
    def variant(self) -> VariantKey:
        """(model, quant)."""
        return self.model, self.quant

    def of(self, variant: VariantKey) -> GroupKey:
        """The same group of another variant."""
        return self._replace(model=variant[0], quant=variant[1])


class ItemKey(NamedTuple):
    """What one line of ``items.jsonl`` is about, in the order by which lines are sorted.

    ``item`` is the item's index, padded to four digits; ``repeat`` counts from 1; ``role`` is "seed" for a further
    case that was asked beside an item, "stress" for a changed form of the item, which ``stress`` names ("options-2"),
    "noise" for a further run of the same item, which ``repeat`` counts.
    """

    model: str
    quant: str
    task: str
    test: str
    style: str
    item: str
    repeat: int = 1
    role: str = "item"
    stress: str = ""

    @property
    def group(self) -> GroupKey:
        """The row of figures that it counts in."""
        return GroupKey(*self[:5])


@dataclass(frozen=True, slots=True)
class ItemRef:
    """A parametrized test's index: which item, asked how, of which variant. ``repeat`` counts from 1.

    ``test`` is the test function's name, without its path; ``stress`` names a changed form of the item; ``noise``
    counts from 1 the further runs that ask the same in other batches.
    """

    variant: int
    task: str
    style: str
    index: int
    repeat: int = 1
    test: str = ""
    stress: str = ""
    noise: int = 0

    def key(self, variants: Sequence[Variant]) -> ItemKey:
        """Its key in a run of these variants."""
        variant = variants[self.variant]
        role = "stress" if self.stress else "noise" if self.noise else "item"
        group = GroupKey(variant.model, variant.quant, self.task, self.test, self.style)
        return ItemKey(*group, f"{self.index:04d}", self.noise or self.repeat, role, self.stress)


def short_name(model: str) -> str:
    """A model's name without folders and without characters that test ids give a meaning to."""
    return _tail(model, 1)


def short_names(models: Iterable[str]) -> dict[str, str]:
    """A name for each model: the last part of its id, and as much more of the id as tells two models apart."""
    wanted = list(dict.fromkeys(models))
    names = {model: _tail(model, 1) for model in wanted}
    for parts in range(2, max((len(_parts(model)) for model in wanted), default=0) + 1):
        times = Counter(names.values())
        names = {model: _tail(model, parts) if times[name] > 1 else name for model, name in names.items()}
    times = Counter(names.values())  # ids that differ in nothing but characters that no name may have
    return {
        model: name if times[name] == 1 else f"{name}-{hashlib.sha256(model.encode()).hexdigest()[:6]}"
        for model, name in names.items()
    }


def labels(variants: Sequence[Variant]) -> dict[Variant, str]:
    """Names of variants in test ids, file names and the summary, e.g. ``qwen2.5-7b+gptq4``; no two are equal."""
    names = short_names(variant.model for variant in variants)
    return {variant: f"{names[variant.model]}+{variant.quant}" for variant in variants}


def task_labels(keys: Iterable[GroupKey]) -> dict[GroupKey, str]:
    """The task of each row, with its test's name where several tests are on one task: ``capitals (test_cities)``."""
    known = list(keys)
    tests: dict[str, set[str]] = {}
    for key in known:
        tests.setdefault(key.task, set()).add(key.test)
    return {key: key.task if len(tests[key.task]) == 1 else f"{key.task} ({key.test})" for key in known}


def matching(key: GroupKey, variant: VariantKey, there: Mapping[GroupKey, object]) -> GroupKey | None:
    """The group of ``variant`` among ``there`` that ``key`` is compared with; None where there is none.

    The same test; where the other side has one test of the task and style, that one, however it is called.
    """
    same = GroupKey(*variant, key.task, key.test, key.style)
    if same in there:
        return same
    found = [other for other in there if (other.variant, other.task, other.style) == (variant, key.task, key.style)]
    return found[0] if len(found) == 1 else None


def limited(task: str, items: Sequence[int] | int, limit: int | None, data_seed: int) -> list[int]:
    """The ``limit`` of these items (indices, or how many) that rank first by a hash of data seed and item, in order.

    A larger limit contains a smaller one; no data is needed.
    """
    items = range(items) if isinstance(items, int) else items
    if limit is None or limit >= len(items):
        return list(items)
    return sorted(sorted(items, key=lambda index: (rank(task, index, data_seed), index))[:limit])


def rank(task: str, index: int, data_seed: int, purpose: str = "limit") -> bytes:
    """The place of an item among its task's, drawn by the data seed; another ``purpose`` is another draw."""
    return hashlib.blake2b(f"{purpose}|{data_seed}|{task}|{index}".encode(), digest_size=8).digest()


def shuffled(task: str, items: Iterable[int], data_seed: int, purpose: str = "order") -> list[int]:
    """These items in a random order that data seed, task and purpose fix, whatever else is among them."""
    return sorted(items, key=lambda index: (rank(task, index, data_seed, purpose), index))


def item_refs(
    variants: int,
    task: str,
    styles: Sequence[str],
    indices: Sequence[int],
    repeats: int,
    test: str = "",
    stress: Sequence[str] = (),
    noise: int = 0,
    data_seed: int = 0,
) -> Iterator[ItemRef]:
    """Every reference of one test, variant by variant, style by style, item by item, changed forms after the item.

    ``noise`` further runs of the first variant come after its items, each in a random order of its own.
    """
    for variant in range(variants):
        for style in styles:
            for index in indices:
                for repeat in range(1, repeats + 1):
                    yield ItemRef(variant, task, style, index, repeat, test)
                for name in stress:
                    for repeat in range(1, repeats + 1):
                        yield ItemRef(variant, task, style, index, repeat, test, name)
        for run in range(1, 1 + noise if variant == 0 else 0):
            for style in styles:
                for index in shuffled(task, indices, data_seed, f"noise-{run}"):
                    yield ItemRef(variant, task, style, index, 1, test, noise=run)


def id_of(ref: ItemRef, *, repeats: int, label: str = "") -> str:
    """``direct-0017``, ``direct-0017-r2`` when repeated, ``direct-0017-options-2`` for a changed form; the variant's
    label in front when there are several.
    """
    name = f"{ref.style}-{ref.index:04d}" + (f"-{ref.stress}" if ref.stress else "")
    if ref.noise:
        name += f"-noise-{ref.noise}"
    elif repeats > 1:
        name += f"-r{ref.repeat}"
    return f"{label}-{name}" if label else name


def _parts(model: str) -> list[str]:
    return [part for part in model.replace("\\", "/").split("/") if part]


def _tail(model: str, parts: int) -> str:
    name = "/".join(_parts(model)[-parts:])
    return "".join(char if char.isalnum() or char in "._-/" else "_" for char in name) or "model"
