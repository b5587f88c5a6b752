"""What a run contributes to the leaderboard: figures, and under which conditions they were measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.gates.baselines import Group, RecordedRun, load_run
from pytest_thinkslm.reference.table import paper_row
from pytest_thinkslm.reports.summary import further_sampling, selection_of
from pytest_thinkslm.runs.types import CompressionJson, FigureRow, LoadedJson, VariantFacts

CellKey = tuple[str, str]

_GIB = 2**30

#: Facts of a fingerprint that tell one checkpoint from another of the same name.
_WEIGHTS = ("model", "revision", "gguf", "recipe", "files", "compression")


@dataclass(frozen=True, slots=True)
class Score:
    """The accuracy of one (task, style), a fraction with its 95% interval; None where it is void.

    ``n`` is the number of items. The paper's figures have no interval of their own.
    """

    accuracy: float | None
    interval: tuple[float, float] | None
    n: int
    void: str = ""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a cell rests on: the items' names, the digest of each one's prompt, the state of the data."""

    items: frozenset[str]
    prompts: Mapping[str, bytes]
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One variant of one run.

    Attributes:
        identity: equal for the same checkpoint in other runs.
        conditions: settings that have to be equal for figures to be ranked together, in words.
        speed: tokens a second while generating.
        started: when the run began, ISO 8601; the newest entry of an identity wins.
    """

    identity: tuple[str, ...]
    run: str
    started: str
    model: str
    quant: str
    display: str
    parameters: str
    quantization: str
    gpu_memory: float | None
    disk: float | None
    engine: str
    conditions: Mapping[str, str]
    cells: Mapping[CellKey, Score]
    asked: Mapping[CellKey, Basis]
    speed: float | None = None


def entries(place: Path) -> list[RunEntry]:
    """Read a run. Raises ``UsageError`` that names the folder."""
    run = load_run(place, "leaderboard")
    found = []
    for variant in run.results.get("variants", ()):
        key = variant["model"], variant["quant"]
        # Of several tests on one task the first one fills its cell: the suite's own where it is among them.
        keys = sorted((group for group in run.rows if group.variant == key), key=lambda group: group.test)
        keys.sort(key=lambda group: group.test != f"test_{group.task}")
        chosen: dict[CellKey, GroupKey] = {}
        for group in keys:
            chosen.setdefault((group.task, group.style), group)
        rows = {cell: run.rows[group] for cell, group in chosen.items()}
        if rows:
            groups = {cell: run.groups[group] for cell, group in chosen.items()}
            found.append(_entry(run, variant, rows, groups))
    return found


def _entry(
    run: RecordedRun, variant: VariantFacts, rows: Mapping[CellKey, FigureRow], groups: Mapping[CellKey, Group]
) -> RunEntry:
    model, quant = variant["model"], variant["quant"]
    measured = run.results.get("measured", {})
    own = measured.get("variants", {}).get(f"{model}|{quant}", {})
    compression = variant.get("compression")
    disk = (compression and compression["bytes"]) or variant.get("disk_bytes")
    gpu = own.get("peak_gpu_memory_bytes")
    return RunEntry(
        identity=(model, quant, _weights(variant)),
        run=run.name,
        started=str(measured.get("started", "")),
        model=model,
        quant=quant,
        display=str(variant.get("display", model)),
        parameters=_parameters(variant),
        quantization=_quantization(quant, own.get("loaded") or compression),
        gpu_memory=gpu / _GIB if gpu else None,
        disk=disk / _GIB if disk else None,
        engine=str(variant.get("engine", run.settings.get("engine", ""))),
        conditions=_conditions(run),
        cells={key: _cell(row) for key, row in rows.items()},
        speed=own.get("tokens_per_second"),
        asked={key: _asked(groups[key], row) for key, row in rows.items()},
    )


def _cell(row: FigureRow) -> Score:
    interval = None if row["ci95"] is None else (row["ci95"][0], row["ci95"][1])
    return Score(row["accuracy"], interval, row["items"], str(row.get("void", "")))


#: Equal ones are kept once: many runs ask the same items.
_KNOWN: dict[bytes, Basis] = {}


def _asked(items: Group, row: FigureRow) -> Basis:
    data = row.get("data")
    state = (data["digest"], data["pin"], data["partial"] or "") if data else ("", "", "")
    asked = Basis(frozenset(items.scores), items.prompts, state)
    digest = hashlib.blake2b(json.dumps([sorted(asked.items), state]).encode())
    for item in sorted(asked.prompts):
        digest.update(item.encode() + asked.prompts[item])
    return _KNOWN.setdefault(digest.digest(), asked)


def _conditions(run: RecordedRun) -> dict[str, str]:
    """What is the same for every figure of a run, in words."""
    settings = run.settings
    temperature = settings.get("temperature", 0.0)
    found = {
        "selection": selection_of(run.results),
        "temperature": f"{temperature:g}",
        "top-p": f"{settings.get('top_p', 1.0):g}" if temperature else "",
        "other sampling": ", ".join(further_sampling(settings)),
        "system message": str(settings.get("system") or "")[:80],
        "max tokens": str(settings.get("max_tokens") or "by task"),
        "thinking": str(settings.get("thinking") or "as the model does"),
        "repeats": str(settings.get("repeats", 1)),
        "judge": "",
    }
    judge = run.results.get("judge")
    if judge:
        found["judge"] = f"{judge.get('model')}, {judge.get('policy')}"
    return {name: value for name, value in found.items() if value}


def _weights(variant: VariantFacts) -> str:
    """Tells checkpoints of one name apart, as far as the run knows them."""
    facts = variant["fingerprint"]["facts"] if "fingerprint" in variant else {}
    known = {name: facts[name] for name in _WEIGHTS if name in facts}
    known["revision"] = variant.get("revision")
    return hashlib.blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=8).hexdigest()


def _parameters(variant: VariantFacts) -> str:
    """As the paper words it, or from the catalogue; empty where neither knows the model."""
    from pytest_thinkslm.models.catalogue import shipped

    row = paper_row(variant["model"], variant["quant"]) or paper_row(variant["model"], "none")
    if row is not None:
        return row.parameters
    name = str(variant.get("catalogue") or variant["model"])
    for entry in shipped().values():
        if name == entry.key or any(name == checkpoint.hub_id for checkpoint in entry.checkpoints.values()):
            return f"{entry.params:g}B"
    return ""


def _quantization(quant: str, known: LoadedJson | CompressionJson | None) -> str:
    """The scheme in words, with what was loaded where the run knows it."""
    title = "None" if quant == "none" else SCHEMES[quant].title if quant in SCHEMES else quant
    if known is None:
        return title
    if quant == "none" and known.get("scheme") in (None, "none") and float(known.get("bits") or 16) >= 16:
        return title
    parts = [f"{known['bits']:g} bits"] if known.get("bits") is not None else []
    parts += [f"groups of {known['group_size']}"] if known.get("group_size") else []
    return f"{title} ({', '.join(parts)})" if parts else title
