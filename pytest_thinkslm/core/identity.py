"""Which items a run asks: variants, item references, the ``--limit`` sample, test ids. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """One (model, quant) of a run; ``quant`` is "none" for the checkpoint as it is."""

    model: str
    quant: str = "none"

    @property
    def label(self) -> str:
        """Name in test ids, file names and the summary, e.g. ``qwen2.5-7b+gptq4``."""
        return f"{short_name(self.model)}+{self.quant}"


@dataclass(frozen=True, slots=True)
class ItemRef:
    """A parametrized test's index: which item, asked how, of which variant. ``repeat`` counts from 1."""

    variant: int
    task: str
    style: str
    index: int
    repeat: int = 1


def short_name(model: str) -> str:
    """A model's name without folders and without characters that test ids give a meaning to."""
    name = model.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in name) or "model"


def limited(task: str, count: int, limit: int | None, data_seed: int) -> list[int]:
    """Indices of the ``limit`` items of ``count`` that rank first by a hash of data seed and item, in item order.

    A larger limit contains a smaller one; no data is needed.
    """
    if limit is None or limit >= count:
        return list(range(count))
    return sorted(sorted(range(count), key=lambda index: (_rank(task, index, data_seed), index))[:limit])


def item_refs(
    variants: int, task: str, styles: Sequence[str], indices: Sequence[int], repeats: int
) -> Iterator[ItemRef]:
    """Every reference of one task: variant by variant, style by style, in item order."""
    for variant in range(variants):
        for style in styles:
            for index in indices:
                for repeat in range(1, repeats + 1):
                    yield ItemRef(variant, task, style, index, repeat)


def id_of(ref: ItemRef, *, repeats: int, variant: Variant | None = None) -> str:
    """``direct-0017``, ``direct-0017-r2`` when repeated, the variant in front when there are several."""
    name = f"{ref.style}-{ref.index:04d}"
    if repeats > 1:
        name += f"-r{ref.repeat}"
    return name if variant is None else f"{variant.label}-{name}"


def _rank(task: str, index: int, data_seed: int) -> bytes:
    return hashlib.blake2b(f"limit|{data_seed}|{task}|{index}".encode(), digest_size=8).digest()
