"""From (model, quant) to a checkpoint on this disk that the chosen engine can load; imports no torch.

A model is a catalogue key, ``embedded``, a local folder, a hub id, or one of GGUF files (``gguf_models``). Without a
quant it is the checkpoint as it is.
With one: a checkpoint that already is quantized has to be of that scheme (its own quantization config decides); a
catalogued model has published checkpoints; anything else is compressed on demand. What can be known without
the weights is checked before they are fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from pytest_thinkslm.core.configs import Config
from pytest_thinkslm.core.errors import ModelError, ThinkSLMError, UsageError, pages
from pytest_thinkslm.core.schemes import SCHEMES, Compression
from pytest_thinkslm.machine.placement import Need, need_of_catalogue, need_of_checkpoint
from pytest_thinkslm.models import checkpoint, embedded, gguf_models, hub, loading
from pytest_thinkslm.models.catalogue import Entry, Format, catalogue
from pytest_thinkslm.models.loading import Machine
from pytest_thinkslm.models.places import Place, find_place, not_on_demand, place_of
from pytest_thinkslm.models.preflight import Asked, Known, Preflight
from pytest_thinkslm.models.quantization import describe, of_checkpoint
from pytest_thinkslm.models.resolve import ResolvedModel, described

Progress = Callable[[str], None]

#: Keys for the same thing: weights and activations of so many bits, however they were found.
_SAME = (
    *({"w4a16", method} for method in ("gptq4", "awq4", "autoround4")),
    {"w8a16", "gptq8"},
    {"w8a8", "w8a8-smoothquant"},
)

_NOTHING: Mapping[str, str] = MappingProxyType({})


def resolve_variant(
    model: str,
    quant: str | None,
    engine: str,
    *,
    others: Sequence[str] = (),
    trust_remote_code: bool = False,
    engine_args: Mapping[str, str] = _NOTHING,
    data_dir: Path | None = None,
    seed: int = 0,
    machine: Machine | None = None,
    check: bool = True,
    progress: Progress = lambda line: None,
) -> ResolvedModel:
    """The checkpoint of a variant, fetched or compressed where it has to be.

    Args:
        model: catalogue key, ``embedded``, local folder or hub id.
        quant: key of ``SCHEMES``; None for the checkpoint as it is.
        engine: ``"transformers"``, ``"vllm"`` or ``"llamacpp"``, which is to load it.
        others: engines that ``--engine auto`` passed over; a message tells of them, too.
        trust_remote_code: whether code that the checkpoint brings along may run.
        engine_args: ``--engine-args``; some change what the checkpoint needs.
        data_dir: ``--data-dir``, for the calibration of a compression on demand.
        seed: which calibration texts such a compression draws.
        machine: what it is to run on; default: this machine.
        check: False where another process of the run has checked the machine already, and loads beside this one.
        progress: takes lines for the user.

    Raises:
        UsageError: a name that means nothing, a scheme that cannot be had, or that the checkpoint contradicts.
        ModelError: the checkpoint cannot be fetched, is incomplete, or cannot be loaded here; says all that is missing.
    """
    asked = Asked(model, quant, engine, tuple(others), trust_remote_code)
    gguf = gguf_models.find_gguf(model, (quant,), engine)
    place = None if gguf is not None else find_place(asked)
    here = _as_used(machine or loading.this_machine(engine, engine_args), engine, engine_args) if check else None
    preflight = Preflight(asked, here)
    if gguf is not None:
        return gguf_models.resolve_gguf(asked, gguf, preflight, progress)
    assert place is not None
    return _at(asked, place, preflight, data_dir, progress, seed)


def label_of(model: str, engine: str = "auto") -> str:
    """The quant of a variant for which none was typed: ``"none"``, or what the checkpoint itself says that it is.

    Looks at this disk and in the catalogue, and for another hub id at its config.json. A scheme without a key is called
    by its method. What cannot be looked up is called "none": it is an error as soon as it is resolved.
    """
    gguf = gguf_models.find_gguf(model, (), engine)
    if gguf is not None and gguf.checkpoint is None:
        return gguf_models.label_of(gguf, model)
    place = place_of(model, catalogue())
    if place is None or (place.hub_id is None and place.folder is None):
        return "none"
    if place.published is not None:
        return place.published.quant
    if place.folder is not None:
        if not (place.folder / "config.json").is_file():
            return "none"
        config = checkpoint.read_config(place.folder, model)
        found = of_checkpoint(place.folder, config, checkpoint.quantization_of(config))
    else:
        found = describe(checkpoint.quantization_of(_config_of(str(place.hub_id))))
    return found.scheme or str(found.method or "none")


def _config_of(hub_id: str) -> Config:
    cached = hub.cached_config(hub_id)
    if cached is not None:
        return cached
    try:
        return hub.look_up(hub_id).config
    except ModelError:
        return {}


def loads_with(model: str, quant: str | None, engine: str, machine: Machine) -> bool:
    """Whether an engine has a loader for a variant here, as far as the catalogue and this disk tell. For ``auto``."""
    asked = Asked(model, quant, engine, (), True)
    try:
        if gguf_models.find_gguf(model, (quant,), engine) is not None:
            return not Preflight(asked, machine).missing(Known(model, "gguf", quant))
        known, _ = _before_fetching(asked, find_place(asked))
    except ThinkSLMError:
        return True  # whatever is wrong is so with any engine, and is said when it is resolved
    return not Preflight(asked, machine).missing(replace(known, need=None, fetch=None))


def _as_used(machine: Machine, engine: str, engine_args: Mapping[str, str]) -> Machine:
    """The machine as the engine's arguments let it be used."""
    if engine == "llamacpp" or (engine == "transformers" and engine_args.get("device") == "cpu"):
        return replace(machine, gpus=(), capability=None)
    if engine == "vllm" and engine_args.get("linear_backend") == "marlin" and (machine.capability or 0) >= 7.5:
        return replace(machine, capability=None)  # FP8 weights computed in 16 bits, asked for by name
    return machine


def contradicts(quant: str | None, found: Compression) -> bool:
    """Whether a checkpoint is something else than what ``quant`` asks for; nothing asked contradicts nothing."""
    return quant is not None and quant != found.scheme and not any({quant, found.scheme} <= same for same in _SAME)


def _at(
    asked: Asked, place: Place, preflight: Preflight, data_dir: Path | None, progress: Progress, seed: int
) -> ResolvedModel:
    known, config = _before_fetching(asked, place)
    preflight.refuse_unloadable(known)
    if place.hub_id is not None and config is None:
        if _to_compress(asked, place, None):
            from pytest_thinkslm.models.compression.environment import interpreter

            interpreter()  # where none is set up this says so before gigabytes are fetched
        progress(f"looking up {place.hub_id} on the hub")
        try:
            remote = hub.look_up(place.hub_id, place.revision)
        except ModelError as problem:
            preflight.require(known, hub_problem=problem)
            raise
        config = remote.config
        known = _with_config(asked, place, replace(known, fetch=remote.bytes), config)
    preflight.require(known)
    model = _obtained(asked, place, progress)
    found = _found(place, model.config)
    _check_agreement(asked, place, found)
    if _to_compress(asked, place, found):
        from pytest_thinkslm.models.compression import compressed

        assert asked.quant is not None
        folder = compressed(
            model,
            asked.quant,
            progress=progress,
            data_dir=data_dir,
            seed=seed,
            trust_remote_code=asked.trust_remote_code,
        )
        made = described(asked.model, "folder", folder, f"{model.display}, compressed to {asked.quant}")
        return replace(made, source="on-demand", catalogue=model.catalogue)
    if preflight.machine is not None:
        dtype = "auto" if model.quantization else preflight.machine.dtype
        need = need_of_checkpoint(model.path, model.config, dtype)
        preflight.require(replace(known, need=need, fetch=None, config=model.config, exact=True))
    return model


def _before_fetching(asked: Asked, place: Place) -> tuple[Known, Config | None]:
    """What is known of what will be loaded, and its source's config where that is on this disk."""
    entry, published = place.entry, place.published
    title = place.hub_id or (f"{place.folder.name} (local folder)" if place.folder else embedded.DISPLAY_NAME)
    known = Known(title, published.format if published else "unknown", published.quant if published else None)
    known = replace(known, entry=entry)
    if entry is not None and published is not None:
        need = _need(entry, published.quant, published.disk_gib)
        known = replace(known, need=need, fetch=need.weights if place.hub_id else None)
    if place.folder is not None:
        config: Config | None = checkpoint.read_config(place.folder, asked.model)
    elif place.hub_id is not None:
        config = hub.cached_config(place.hub_id, place.revision)
    else:
        config = None
    if config is not None:
        return _with_config(asked, place, replace(known, fetch=None), config), config
    return _as_compressed(asked, known) if published and _to_compress(asked, place, None) else known, None


def _with_config(asked: Asked, place: Place, known: Known, config: Config) -> Known:
    """The checkpoint's own config decides; what is asked and what the catalogue promises have to agree with it."""
    found = _found(place, config)
    _check_agreement(asked, place, found)
    if _to_compress(asked, place, found):
        return _as_compressed(asked, replace(known, config=config))
    stored = loading.stored_as(checkpoint.quantization_of(config))
    return replace(known, stored=stored, scheme=found.scheme, config=config)


def _as_compressed(asked: Asked, known: Known) -> Known:
    """What will be loaded once the checkpoint is compressed on demand."""
    assert asked.quant is not None
    scheme = SCHEMES[asked.quant]
    stored: Format = "safetensors" if scheme.weight_bits == 16 else "compressed-tensors"
    need = None if known.entry is None else _need(known.entry, scheme.key, None)
    return replace(
        known, title=f"{known.title}, compressed to {scheme.key}", stored=stored, scheme=scheme.key, need=need
    )


def _obtained(asked: Asked, place: Place, progress: Progress) -> ResolvedModel:
    """The checkpoint at the place, on this disk."""
    if place.folder is not None:
        model = described(asked.model, "folder", place.folder, f"{place.folder.name} (local folder)")
    elif place.hub_id is not None:
        path, commit = hub.snapshot(place.hub_id, place.revision, asked.trust_remote_code, progress)
        model = described(asked.model, "hub", path, f"{place.hub_id} ({commit[:7]})", place.hub_id, commit)
    else:
        path = embedded.prepared_folder(progress)
        model = described(asked.model, "embedded", path, embedded.DISPLAY_NAME)
    found = _found(place, model.config)
    entry, published = place.entry, place.published
    if found.scheme != "none" and found.source == "original":
        model = replace(model, source="local" if place.folder is not None else "published")
    if entry is None or published is None:
        return model
    named = published.quant if published.quant != "none" and not contradicts(published.quant, found) else None
    sparsity = 0.5 if entry.sparsity and published.quant == "none" else 0.0
    return replace(model, catalogue=entry.key, scheme=named, sparsity=sparsity)


def _found(place: Place, config: Config) -> Compression:
    """How the checkpoint is compressed by its own files, by the name that the catalogue has for it."""
    quantization = checkpoint.quantization_of(config)
    found = describe(quantization) if place.folder is None else of_checkpoint(place.folder, config, quantization)
    if place.entry is None or place.published is None:
        return found
    quant = place.published.quant
    if quant == "sparse-2of4" and found.scheme == "none":
        return replace(found, scheme=quant, sparsity=0.5)  # stored dense: no file tells
    if place.entry.sparsity and found.scheme == "sparse-2of4" and quant == "none":
        return replace(found, scheme="none")
    if place.entry.sparsity and found.scheme is None and found.bits == SCHEMES[quant].weight_bits:
        return replace(found, scheme=quant)  # pruned and quantized has no key of its own
    return found


def _to_compress(asked: Asked, place: Place, found: Compression | None) -> bool:
    """Whether the checkpoint has to be compressed on demand. Without ``found`` the catalogue's word counts."""
    is_now = found.scheme if found is not None else place.published.quant if place.published else None
    return asked.quant not in (None, "none") and is_now == "none"


def _check_agreement(asked: Asked, place: Place, found: Compression) -> None:
    name = place.hub_id or (place.folder.name if place.folder else embedded.NAME)
    if _to_compress(asked, place, found):
        assert asked.quant is not None
        if place.published is not None and place.published.quant == asked.quant:
            raise ModelError(
                f"{asked}: the catalogue has {name} as {asked.quant}, but by its own config it is not compressed: "
                f"name another checkpoint in pyproject.toml ({pages('models')})"
            )
        if not SCHEMES[asked.quant].on_demand:
            raise UsageError(
                f"{asked}: {name} is not compressed, and {not_on_demand(asked.quant)}: give one of that scheme"
            )
        return
    if contradicts(asked.quant, found):
        raise UsageError(
            f"{asked}: {name} is {_in_words(found)} by its own config, and --quant {asked.quant} asks for "
            f"{_in_words(Compression(asked.quant, 16))}. A checkpoint is loaded as it is: leave --quant out"
            + (f" or give --quant {found.scheme}" if found.scheme else "")
            + ", or give the model that is not compressed"
        )
    if place.published is not None and asked.model != place.hub_id and contradicts(place.published.quant, found):
        raise ModelError(
            f"{asked}: {name} is {_in_words(found)} by its own config, and the catalogue has it as "
            f"{place.published.quant}: name another checkpoint in pyproject.toml ({pages('models')})"
        )


def _in_words(found: Compression) -> str:
    if found.scheme is not None:
        return "not compressed" if found.scheme == "none" else f"{found.scheme} ({SCHEMES[found.scheme].title})"
    sparse = ", 2:4 pruned" if found.sparsity == 0.5 else ""
    bits = "an unknown number of" if found.bits is None else f"{found.bits:g}"
    return f"quantized by {found.method or 'an unnamed method'} to {bits} bits{sparse}"


def _need(entry: Entry, quant: str, disk_gib: float | None) -> Need:
    return need_of_catalogue(disk_gib, entry.params, SCHEMES[quant].weight_bits)
