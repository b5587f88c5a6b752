"""What a journal says of the variants whose outputs it has, which are scored where checkpoint or server have gone."""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import ThinkSLMError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.identity import Variant
from pytest_thinkslm.core.schemes import Compression, Source
from pytest_thinkslm.core.shapes import misfit
from pytest_thinkslm.engines.openai_wire import Endpoint
from pytest_thinkslm.models.generation import asked_sampling
from pytest_thinkslm.models.places import is_here
from pytest_thinkslm.models.resolve import Kind, Recorded, ResolvedModel
from pytest_thinkslm.runs.types import CompressionJson
from pytest_thinkslm.settings.run_settings import Settings, is_own_engine


@dataclass(frozen=True, slots=True)
class Recalled:
    """A variant of an earlier run: ``model`` is its checkpoint as it was, None where the engine had none here."""

    variant: Variant
    engine: str
    fingerprint: Fingerprint
    model: ResolvedModel | None
    written: float


def remember(
    root: Path,
    fingerprint: Fingerprint,
    variant: Variant,
    asked: tuple[str, str | None, str],
    model: ResolvedModel | None,
) -> None:
    """Write down what a variant is, beside its outputs; where the journal has no folder for them there is no need.

    Args:
        root: the journal.
        fingerprint: the engine's.
        variant: as the report names it.
        asked: the model and quant as they were typed, and the engine.
        model: its checkpoint; None where the engine has none here.
    """
    name = hashlib.sha256(repr((variant.model, asked[1:])).encode()).hexdigest()[:8]
    path = root / fingerprint.digest / f"about-{name}.json"
    if path.exists() or not path.parent.is_dir():
        return
    typed, quant, engine = asked
    about: _About = {
        "given": Path(typed).name if files.expanded(typed).exists() else typed,
        "asked": quant,
        "model": variant.model,
        "quant": variant.quant,
        "engine": engine,
        "checkpoint": None if model is None else _checkpoint(model),
    }
    with contextlib.suppress(OSError):  # the journal says itself that it cannot be written
        files.write_json(path, about)


def recalled_variants(settings: Settings) -> dict[tuple[str, str | None], Recalled]:
    """What the journal says of the variants whose checkpoints are not on this disk, by model and quant as typed.

    All are of one engine; another's are left out.
    """
    if settings.engine in ("replay", "openai") or is_own_engine(settings.engine):
        return {}
    found: dict[tuple[str, str | None], Recalled] = {}
    engine = settings.engine
    for model in settings.models:
        for quant in (settings.quants or (None,)) if not is_here(model) else ():
            recalled = _recall(settings.journal_dir, model, quant, engine)
            if recalled is not None:
                found[model, quant] = recalled
                engine = recalled.engine
    return found


def asked_quant(quant: str | None, *, local: bool) -> str | None:
    """A variant's ``--quant``, None where none was asked for; also where ``none`` says the same.

    It does not of a checkpoint that is loaded here, which may be quantized already.
    """
    return None if quant == "none" and not local else quant


def recalled_of_server(settings: Settings, model: str) -> Recalled | None:
    """Under ``--rescore`` what the journal says of the model of a server that cannot be asked; None where nothing."""
    if not settings.rescore or settings.engine != "openai" or settings.server_url is None:
        return None
    quant = asked_quant(settings.quants[0] if settings.quants else None, local=False)
    return _recall(settings.journal_dir, model, quant, "openai", Endpoint.parse(settings.server_url, {}).url)


def _recall(
    root: Path, model: str, quant: str | None, engine: str = "auto", server: str | None = None
) -> Recalled | None:
    """The variant of this name whose outputs came last to the journal; None where it has none. Never raises.

    Args:
        root: the journal.
        model: as it is typed now: its name, or a path whose last part is its name.
        quant: as it is typed now.
        engine: ``"auto"``: any.
        server: the address of an openai engine's server. Models of some servers are known by it.
    """
    found: list[Recalled] = []
    for path in sorted(root.glob("*/about-*.json")):
        try:
            about, facts = files.read_json(path), files.read_json(path.with_name("manifest.json"))
            written = path.stat().st_mtime
        except (OSError, ValueError):
            continue
        fingerprint = Fingerprint(facts if isinstance(facts, dict) else {})
        if misfit(about, _About) or fingerprint.digest != path.parent.name:
            continue
        known = about["checkpoint"]
        names = {model, Path(model).name} if known and known["kind"] in ("folder", "gguf") else {model}
        of_engine = engine in ("auto", about["engine"]) and (server is None or facts.get("server") in (None, server))
        if names & {about["given"], about["model"]} and about["asked"] == quant and of_engine:
            variant = Variant(about["model"], about["quant"])
            found.append(Recalled(variant, about["engine"], fingerprint, _model(known, model, written), written))
    return max(found, key=lambda one: one.written, default=None)


class _Checkpoint(TypedDict):
    """Fields of ``ResolvedModel``, and what is read of its files."""

    kind: Kind
    display: str
    disk_bytes: int
    hub_id: str | None
    revision: str | None
    quantization: dict[str, Any] | None
    chat_template: str | None
    context: int | None
    source: Source
    catalogue: str | None
    compression: CompressionJson
    sampling: dict[str, float]


class _About(TypedDict):
    """What ``remember`` writes. ``given`` and ``asked`` are the model and the quant as they were typed."""

    given: str
    asked: str | None
    model: str
    quant: str
    engine: str
    checkpoint: _Checkpoint | None


def _checkpoint(model: ResolvedModel) -> _Checkpoint:
    compression = asdict(model.compression)
    del compression["kernel"]  # known to the engine alone
    try:
        card = asked_sampling(model.path, model.display)
    except ThinkSLMError:  # a run that needs it says so
        card = {}
    return {
        "kind": model.kind,
        "display": model.display,
        "disk_bytes": model.disk_bytes,
        "hub_id": model.hub_id,
        "revision": model.revision,
        "quantization": None if model.quantization is None else dict(model.quantization),
        "chat_template": model.chat_template,
        "context": model.context,
        "source": model.source,
        "catalogue": model.catalogue,
        "compression": cast("CompressionJson", compression),
        "sampling": card,
    }


def _model(known: _Checkpoint | None, name: str, written: float) -> ResolvedModel | None:
    if known is None:
        return None
    own: dict[str, Any] = {name: value for name, value in known.items() if name not in ("compression", "sampling")}
    day = time.strftime("%Y-%m-%d", time.localtime(written))
    recorded = Recorded(Compression(**known["compression"]), known["sampling"], day)
    return ResolvedModel(name=name, path=Path(name), config={}, recorded=recorded, **own)
