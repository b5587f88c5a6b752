"""Where the checkpoint of a (model, quant) is, by its name alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.errors import UsageError, pages
from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.models.catalogue import HUB_ID, Entry, Published, catalogue, published_as
from pytest_thinkslm.models.hub import is_cached
from pytest_thinkslm.models.preflight import Asked
from pytest_thinkslm.models.resolve import unknown_name


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint is; all None: the embedded model. ``published`` is what the catalogue says of it."""

    hub_id: str | None = None
    folder: Path | None = None
    revision: str | None = None
    entry: Entry | None = None
    published: Published | None = None


def find_place(asked: Asked) -> Place:
    """Raises UsageError for a name that means nothing, and for a scheme that is neither published nor can be made."""
    entries = catalogue()
    entry = entries.get(asked.model)
    if entry is None:
        place = place_of(asked.model, entries)
        if place is None:
            raise unknown_name(asked.model, entries)
        return place
    published = entry.checkpoints.get(asked.quant or _default(entry))
    if published is not None:
        return Place(published.hub_id, published.folder, published.revision, entry, published)
    assert asked.quant is not None
    names = ", ".join(entry.checkpoints)
    lacks = f"{asked}: {entry.key} has no published {asked.quant} checkpoint (published: {names})"
    if not SCHEMES[asked.quant].on_demand:
        raise UsageError(
            f"{lacks}, and {not_on_demand(asked.quant)}. Give a checkpoint of that scheme itself (--model with a hub "
            f"id or a folder), or name one in pyproject.toml ({pages('models')})"
        )
    source = entry.checkpoints.get("none")
    if source is None:
        raise UsageError(f"{lacks}, nor one that is not compressed, from which it could be made")
    return Place(source.hub_id, source.folder, source.revision, entry, source)


def place_of(model: str, entries: Mapping[str, Entry]) -> Place | None:
    """The place that a name means when nothing is asked of it."""
    if model in entries:
        entry = entries[model]
        published = entry.checkpoints[_default(entry)]
        return Place(published.hub_id, published.folder, published.revision, entry, published)
    if not model.strip():
        return None
    folder = expanded(model)
    if folder.is_dir():
        return Place(folder=folder.resolve())
    if HUB_ID.fullmatch(model) and not folder.is_file():
        known = published_as(model, entries)
        if known is None:
            return Place(model)
        return Place(model, None, known[1].revision, *known)
    return None


def is_here(model: str) -> bool:
    """Whether a name means something that is on this disk; the embedded model counts as such."""
    if model == "embedded" or expanded(model).exists():
        return True
    place = place_of(model.partition(":")[0] if HUB_ID.match(model) else model, catalogue())
    if place is None:
        return False
    if place.folder is not None:
        return place.folder.exists()
    return place.hub_id is None or is_cached(place.hub_id, place.revision)


def _default(entry: Entry) -> str:
    return "none" if "none" in entry.checkpoints else next(iter(entry.checkpoints))


def not_on_demand(quant: str) -> str:
    """Why a scheme cannot be had by compressing, for the middle of a sentence."""
    if SCHEMES[quant].gguf:
        return (
            f"{quant} is a type of GGUF files: give a model that has them (--model owner/name-GGUF, FILE.gguf or a "
            "folder of them), or make one of it by llama.cpp's convert_hf_to_gguf.py; here 4-bit weights are w4a16 or "
            "gptq4, 8-bit ones w8a16"
        )
    possible = ", ".join(one.key for one in SCHEMES.values() if one.on_demand)
    return f"{quant} ({SCHEMES[quant].title}) cannot be made on demand (that is possible for {possible})"
