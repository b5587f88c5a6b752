"""The models that have a name of their own after ``--model``: ``catalogue.toml``, and the user's own entries.

A user adds models, or replaces the checkpoints of catalogued ones, in the nearest pyproject.toml at or above
the current folder (docs/models.md)::

    [tool.thinkslm.models.my-model]
    params = 1.5
    hub_id = "owner/my-model"
    quants = { gptq4 = "owner/my-model-GPTQ-Int4", w8a8 = { folder = "checkpoints/w8a8" } }
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.models.entries import CardSampling, Entry, Format, Kind, Published, Thinking

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*")

__all__ = ["HUB_ID", "Entry", "Format", "Kind", "Published", "architectures", "catalogue", "published_as", "shipped"]


def catalogue(start: Path | None = None) -> Mapping[str, Entry]:
    """Every model by its key: the shipped ones, with the entries of the user's pyproject.toml added and put in place.

    Args:
        start: where the search for pyproject.toml begins, upward; default: the current folder.

    Raises:
        UsageError: an entry of the user's cannot be used; names the file and the key.
    """
    file = pyproject((start or Path.cwd()).absolute())
    if file is None:
        return shipped()
    return _with_own(file, file.stat().st_mtime_ns)


@cache
def shipped() -> Mapping[str, Entry]:
    """The models of ``catalogue.toml``."""
    document = _document()
    entries = {}
    for table in document["model"]:
        entry = _entry(table["key"], {name: value for name, value in table.items() if name != "key"}, _Where())
        if entry.key in entries:
            raise UsageError(f"catalogue.toml: model {entry.key!r} is there twice")
        entries[entry.key] = entry
    return MappingProxyType(entries)


@cache
def architectures() -> Mapping[str, Mapping[str, str]]:
    """``model_type`` of a config.json -> engine -> why it cannot load it, and what can."""
    return {
        str(table["model_type"]): {engine: str(why) for engine, why in table.items() if engine != "model_type"}
        for table in _document()["architecture"]
    }


def published_as(hub_id: str, entries: Mapping[str, Entry]) -> tuple[Entry, Published] | None:
    """The entry and checkpoint that a hub id stands for; an organisation's former name counts, too."""
    wanted = _canonical(hub_id)
    for entry in entries.values():
        for checkpoint in entry.checkpoints.values():
            if checkpoint.hub_id is not None and _canonical(checkpoint.hub_id) == wanted:
                return entry, checkpoint
    return None


def _canonical(hub_id: str) -> str:
    owner, _, name = hub_id.lower().partition("/")
    return f"{'redhatai' if owner == 'neuralmagic' else owner}/{name}"


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(resources.files("pytest_thinkslm.models").joinpath("catalogue.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class _Where:
    """The place of an entry, for messages; ``folder`` is what relative paths start from."""

    file: str = "catalogue.toml"
    table: str = "model"
    folder: Path | None = None

    def wrong(self, key: str, what: str) -> UsageError:
        return UsageError(f"{self.file}: [{self.table}.{key}]: {what}")


#: Field of an entry -> its type; of a checkpoint -> its type.
_ENTRY_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "family": str,
    "params": (int, float),
    "kind": str,
    "quants": dict,
    "architecture": str,
    "remote_code": bool,
    "base": bool,
    "sparsity": str,
    "context": int,
    "thinking": str,
    "sampling": list,
    "licence": str,
    "note": str,
    "remark": str,
    "unconfirmed": list,
}
_SAMPLING_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    name.name: str if name.name == "when" else (int, float) for name in fields(CardSampling)
}
_CHECKPOINT_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "hub_id": str,
    "folder": str,
    "disk_gib": (int, float),
    "format": str,
    "gated": bool,
    "revision": str,
    "beside_paper": bool,
    "remark": str,
}


#: Fields of an entry that are taken as they are given.
_KEPT = ("family", "remote_code", "base", "sparsity", "context", "thinking", "licence", "note", "remark")


def _entry(key: str, table: object, where: _Where, old: Entry | None = None) -> Entry:
    """A validated entry; with ``old`` one that takes over what the table does not say."""
    if not _KEY.fullmatch(key):
        raise where.wrong(key, "a key is made of lower-case letters, digits, '.', '_' and '-'")
    if not isinstance(table, dict):
        raise where.wrong(key, f"a table is expected, not {table!r}")
    own = where.folder is not None
    # A user's table with one checkpoint alone may name it directly.
    direct = {name: value for name, value in table.items() if own and name in ("hub_id", "folder", "disk_gib", "gated")}
    given_fields = {name: value for name, value in table.items() if name not in direct}
    _check_fields(key, given_fields, _ENTRY_FIELDS, where)
    given = dict(given_fields.get("quants", {}))
    if direct:
        if "none" in given:
            raise where.wrong(key, f"{', '.join(direct)} and quants.none name the same checkpoint: give one of them")
        given["none"] = direct
    checkpoints = dict(old.checkpoints) if old else {}
    for quant, value in given.items():
        checkpoints[quant] = _checkpoint(key, quant, value, where, checkpoints.get(quant))
    if not checkpoints:
        raise where.wrong(key, 'no checkpoint is named: give hub_id = "owner/name", folder = "path", or quants')
    params = given_fields.get("params", old.params if old else None)
    if params is None or params <= 0:
        raise where.wrong(key, f"params, the number of parameters in billions, is {params or 'missing'}")
    kind = given_fields.get("kind", old.kind if old else "own")
    if kind not in get_args(Kind):
        raise where.wrong(key, f"kind {kind!r} is unknown: {nearest(str(kind), get_args(Kind))}")
    architecture = given_fields.get("architecture")
    if architecture is not None and architecture not in architectures():
        raise where.wrong(key, f"architecture {architecture!r} is unknown: {nearest(architecture, architectures())}")
    entry = old or Entry(key, "own" if own else "", params, kind, {})
    thinking = given_fields.get("thinking", "")
    if thinking not in get_args(Thinking):
        raise where.wrong(key, f"thinking {thinking!r} is unknown: {nearest(thinking, get_args(Thinking)[1:])}")
    kept = {name: given_fields[name] for name in _KEPT if name in given_fields}
    if "sampling" in given_fields:
        kept["sampling"] = tuple(_sampling(key, table, where) for table in given_fields["sampling"])
    if "unconfirmed" in given_fields:
        kept["unconfirmed"] = tuple(map(str, given_fields["unconfirmed"]))
    no_engine = entry.no_engine if architecture is None else architectures()[architecture]
    return replace(
        entry, params=float(params), kind=kind, checkpoints=MappingProxyType(checkpoints), no_engine=no_engine, **kept
    )


def _sampling(key: str, table: object, where: _Where) -> CardSampling:
    if not isinstance(table, dict):
        raise where.wrong(key, f"sampling: a list of tables is expected, not {table!r}")
    _check_fields(key, table, _SAMPLING_FIELDS, where, "sampling.")
    return CardSampling(**table)


def _checkpoint(key: str, quant: str, value: object, where: _Where, old: Published | None) -> Published:
    if quant not in SCHEMES:
        raise where.wrong(key, f"quants.{quant} is no known scheme: {nearest(quant, SCHEMES)}")
    fields: Any = {"hub_id": value} if isinstance(value, str) else value
    if not isinstance(fields, dict):
        raise where.wrong(key, f'quants.{quant}: expected "owner/name" or a table, not {value!r}')
    _check_fields(key, fields, _CHECKPOINT_FIELDS, where, f"quants.{quant}.")
    hub_id, folder = fields.get("hub_id"), fields.get("folder")
    if hub_id is not None and not HUB_ID.fullmatch(hub_id):
        raise where.wrong(key, f"quants.{quant}: hub_id {hub_id!r} is not of the form owner/name")
    if where.folder is not None and (hub_id is None) == (folder is None):
        raise where.wrong(key, f"quants.{quant}: one of hub_id and folder is needed")
    stored = fields.get("format")
    if stored is not None and stored not in get_args(Format):
        raise where.wrong(key, f"quants.{quant}: format {stored!r} is unknown: {nearest(stored, get_args(Format))}")
    if stored is None:
        # Another checkpoint in a catalogued one's place may be stored in another way: its own config tells, later.
        stored = "safetensors" if SCHEMES[quant].key in ("none", "sparse-2of4") else "unknown"
    size = fields.get("disk_gib", old.disk_gib if old else None)
    return Published(
        quant=quant,
        hub_id=hub_id,
        folder=None if folder is None or where.folder is None else (where.folder / files.expanded(folder)),
        disk_gib=None if size is None else float(size),
        format=cast("Format", stored),
        gated=bool(fields.get("gated")),
        revision=fields.get("revision"),
        beside_paper=bool(fields.get("beside_paper")),
        remark=fields.get("remark", ""),
    )


def _check_fields(
    key: str, fields: Mapping[str, Any], valid: Mapping[str, type | tuple[type, ...]], where: _Where, prefix: str = ""
) -> None:
    for name, value in fields.items():
        if name not in valid:
            raise where.wrong(key, f"{prefix}{name} is unknown: {nearest(name, valid)}")
        kinds = valid[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
            raise where.wrong(key, f"{prefix}{name} = {value!r}: {names} is expected")


def pyproject(folder: Path) -> Path | None:
    """The nearest pyproject.toml at or above a folder, which has the user's own tables."""
    return next((file for parent in (folder, *folder.parents) if (file := parent / "pyproject.toml").is_file()), None)


@cache
def _with_own(file: Path, _modified: int) -> Mapping[str, Entry]:
    try:
        document = files.read_toml(file)
    except (OSError, ValueError) as problem:
        raise UsageError(f"{file} cannot be read: {problem}") from None
    tables: Any = document
    for name in ("tool", "thinkslm", "models"):
        tables = tables.get(name, {}) if isinstance(tables, dict) else {}
    if not isinstance(tables, dict):
        raise UsageError(f"{file}: [tool.thinkslm.models] is no table of models")
    if not tables:
        return shipped()
    from pytest_thinkslm.tasks import registry

    entries = dict(shipped())
    where = _Where(str(file), "tool.thinkslm.models", file.parent)
    for key, table in tables.items():
        task = next((task for task in registry.all_tasks() if task in key), None)
        if task is not None:
            raise where.wrong(key, f"a key must not contain a task's ({task!r}), so that -k {task} means the task")
        entries[key] = _entry(key, table, where, entries.get(key))
    return MappingProxyType(entries)
