"""A GGUF model by its name: a file, a folder of several, a hub repository, the embedded file; imports no torch.

``owner/name:Q4_K_M`` is llama.cpp's and Ollama's own notation. A quant picks the file; what the file is, its header
says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_thinkslm.core.errors import ModelError, ThinkSLMError, UsageError
from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.schemes import GGUF_ON_DEMAND, SCHEMES
from pytest_thinkslm.machine.placement import Need, kv_bytes_per_token, need
from pytest_thinkslm.models import embedded, gguf_convert, gguf_header, hub
from pytest_thinkslm.models.catalogue import HUB_ID, catalogue
from pytest_thinkslm.models.gguf_header import Header
from pytest_thinkslm.models.preflight import Asked, Known, Preflight
from pytest_thinkslm.models.resolve import ResolvedModel

#: The engine that reads these files.
ENGINE = "llamacpp"

#: The type of the embedded file.
_EMBEDDED = "q4_1"
#: What a repository without a tag means, as to llama.cpp's own -hf.
_DEFAULT = "q4_k_m"
_PLAIN = ("bf16", "f16", "fp16", "f32", "fp32")
_TAG = re.compile(r"(?:^|[-._])((?:ud[-_])?(?:i?q\d\w*|tq\d\w*|mxfp4\w*|bf16|fp?16|fp?32))$", re.IGNORECASE)
_PART = re.compile(r"-(\d{5})-of-\d{5}$")
#: Files beside a model that are none: image encoders, importance matrices.
_NO_MODEL = re.compile(r"mmproj|imatrix", re.IGNORECASE)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class GgufPlace:
    """Where GGUF files of one model are; ``file``, ``folder``, ``checkpoint`` and ``hub_id`` all None: the embedded
    one.

    Attributes:
        name: the model's name in reports.
        checkpoint: a Hugging Face checkpoint, of which a file is made.
        tag: what stands behind the colon of ``owner/name:TAG``, as ``tag_of`` writes it.
    """

    name: str
    file: Path | None = None
    folder: Path | None = None
    checkpoint: Path | None = None
    hub_id: str | None = None
    tag: str | None = None


def find_gguf(model: str, quants: Iterable[str | None] = (), engine: str = "auto") -> GgufPlace | None:
    """The place that a name means where it means GGUF files; None where it means something else.

    A folder or repository that may be either is one of GGUF files for the llamacpp engine, and where a type of GGUF
    files is asked of it.

    Raises:
        UsageError: a file that is not there.
    """
    wanted = engine == ENGINE or any(quant is not None and _is_type(quant) for quant in quants)
    if model == "embedded":
        return GgufPlace("embedded") if wanted else None
    path = expanded(model)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UsageError(f"--model {model}: no such file")
        path = path.resolve()
        return GgufPlace(_model_of(path.name), file=path)
    if path.is_dir():
        holds = any(path.glob("*.gguf")) and (wanted or not (path / "config.json").is_file())
        if wanted and gguf_convert.is_checkpoint(path):
            return GgufPlace(path.resolve().name, checkpoint=path.resolve())
        return GgufPlace(path.resolve().name, folder=path.resolve()) if holds else None
    repository, colon, tag = model.partition(":")
    if model in catalogue() or not HUB_ID.fullmatch(repository) or (colon and not tag):
        return None
    if not (colon or wanted or "gguf" in repository.lower()):
        return None
    return GgufPlace(repository, hub_id=repository, tag=_plain_tag(tag) if tag else None)


def label_of(place: GgufPlace, model: str) -> str:
    """The quant of a variant for which none was typed; "none" where it cannot be looked up, which is said later."""
    try:
        if place.hub_id is not None:
            found = place.tag or _default_of(_on_hub(place.hub_id))
            return "none" if found in _PLAIN else found or "none"
        if place.file is None and place.folder is None:
            return _EMBEDDED  # without fetching it
        files = _here(place, model, lambda line: None)
        return next(iter(files)) if len(files) == 1 else "none"
    except ThinkSLMError:
        return "none"


def resolve_gguf(asked: Asked, place: GgufPlace, preflight: Preflight, progress: Progress) -> ResolvedModel:
    """The file of a variant on this disk, fetched or quantized where it has to be.

    Raises:
        UsageError: no file of that quant is there, and it cannot be made; or the file is of another one.
        ModelError: it cannot be fetched or read, or the machine lacks what it takes.
    """
    preflight.require(Known(place.name, "gguf", asked.quant if asked.quant in SCHEMES else None))
    revision = None
    if place.hub_id is not None:
        label, path, revision = _fetched(asked, place, preflight, progress)
    else:
        files = _here(place, asked.model, progress)
        label, path = _choose(asked, place, files)
    if path.is_dir():
        path = gguf_convert.converted(path, place.name, progress)
    header = gguf_header.read(path, asked.model)
    made = asked.quant is not None and label != asked.quant
    if made:
        from pytest_thinkslm.models.gguf_quantize import quantized

        assert asked.quant is not None
        header = gguf_header.read(quantized(header, place.name, asked.quant, progress), asked.model)
    elif asked.quant in SCHEMES and header.scheme not in (None, asked.quant) and tag_of(path.name) in (None, *SCHEMES):
        raise UsageError(
            f"{asked}: {path.name} is {header.scheme} by its own header: give --quant {header.scheme}, or leave it out"
        )
    preflight.require(Known(place.name, "gguf", header.scheme, need=_need(header), exact=True))
    return _described(asked, place, header, label, made, revision)


def tag_of(file: str) -> str | None:
    """The type that a file's name ends with, in lower case with underscores; None where it names none."""
    found = _TAG.search(_PART.sub("", re.sub(r"\.gguf$", "", file, flags=re.IGNORECASE)))
    return _plain_tag(found[1]) if found else None


def _described(
    asked: Asked, place: GgufPlace, header: Header, label: str, made: bool, revision: str | None
) -> ResolvedModel:
    display = embedded.NAME if place.name == "embedded" else place.name
    noted = f", importance matrix {Path(header.imatrix.replace(chr(92), '/')).name}" if header.imatrix else ""
    quantized = f", quantized here{'' if label == 'none' else f' from {label}'}" if made else ""
    what = (asked.quant if made else label) or "gguf"
    return ResolvedModel(
        name=asked.model,
        kind="gguf",
        path=header.files[0],
        display=f"{display} (GGUF {what}, {header.bits_per_weight:.2f} bits per weight{noted}{quantized})",
        config=header.config,
        disk_bytes=header.bytes,
        hub_id=place.hub_id,
        revision=revision,
        quantization=header.config.get("quantization_config"),  # type: ignore[arg-type]
        chat_template=header.chat_template,
        context=header.context,
        source="on-demand" if made else "published" if place.hub_id or place.name == "embedded" else "local",
        gguf=header,
    )


def _need(header: Header) -> Need:
    weights = sum(tensor.bytes for tensor in header.tensors)
    return need(weights, kv_bytes_per_token(header.config), batch=1, overhead=0)


def _here(place: GgufPlace, model: str, progress: Progress) -> Mapping[str, Path]:
    """Quant -> file (or checkpoint, of which one is made), of a place on this disk."""
    if place.checkpoint is not None:
        return {"none": place.checkpoint}
    if place.folder is None and place.file is None:
        return {_EMBEDDED: embedded.gguf_path(progress)}
    files = [place.file] if place.file is not None else sorted((place.folder or Path()).glob("*.gguf"))
    found: dict[str, Path] = {}
    for file in files:
        if (_NO_MODEL.search(file.name) and place.file is None) or file != gguf_header.parts_of(file)[0]:
            continue
        quant = _label(gguf_header.read(file, model), file.name)
        if quant in found:
            raise UsageError(
                f"--model {model}: {found[quant].name} and {file.name} are both {quant}: give the file itself"
            )
        found[quant] = file
    if not found:
        raise UsageError(f"--model {model}: there is no GGUF model in it")
    return found


def _label(header: Header, file: str) -> str:
    """A file's quant: its header's word, or its name's for a type that has no key (``ud_q4_k_xl``)."""
    tag = tag_of(file)
    if tag is not None and tag not in SCHEMES and tag not in _PLAIN and header.scheme != "none":
        return tag
    return header.scheme or tag or "gguf"


def _choose(asked: Asked, place: GgufPlace, files: Mapping[str, Path]) -> tuple[str, Path]:
    """Quant and file of what is asked for, or of what it can be made from."""
    wanted = asked.quant or place.tag
    if wanted in _PLAIN:
        wanted = "none"
    if wanted is None:
        if len(files) == 1:
            return next(iter(files.items()))
        raise UsageError(f"--model {asked.model} has {', '.join(files)}: say which with --quant, or give the file")
    if wanted in files:
        return wanted, files[wanted]
    if wanted in GGUF_ON_DEMAND:
        if "none" in files:
            return "none", files["none"]
        if place.name == "embedded":  # 4-bit itself: there is nothing better
            return next(iter(files.items()))
    lacks = "file that is not compressed" if wanted == "none" else wanted
    raise UsageError(f"{asked}: there is {', '.join(files)}, but no {lacks}; {_how_to_have(wanted, place, files)}")


def _how_to_have(wanted: str, place: GgufPlace, files: Iterable[str]) -> str:
    source = "none" in files
    if wanted in GGUF_ON_DEMAND:
        return (
            f"{wanted} is made on demand from a file that is not compressed (bf16, f16 or f32), and there is none: "
            "quantizing what is quantized measures both together"
        )
    if wanted == "none" and place.name == "embedded":
        return "--engine transformers and vllm run its bfloat16 copy"
    if wanted == "none":
        return "a file that is not compressed is named ...-bf16.gguf or ...-f16.gguf; fetch or convert one"
    key = wanted.upper()
    made = f"llama.cpp makes one: llama-quantize {'SOURCE' if source else 'SOURCE-bf16'}.gguf NAME-{key}.gguf {key}"
    return f"{key} is published in many repositories (--model owner/name-GGUF:{key}), and {made}"


def _fetched(asked: Asked, place: GgufPlace, preflight: Preflight, progress: Progress) -> tuple[str, Path, str]:
    """Quant, first file and commit of what a repository has of the quant asked for."""
    assert place.hub_id is not None
    listed = _on_hub(place.hub_id)
    if not listed and hub.listing(place.hub_id, ".safetensors") and place.tag is None:
        label, _ = _choose(asked if asked.quant else replace(asked, quant="none"), place, {"none": Path()})
        preflight.require(Known(place.name, "gguf", None, fetch=hub.look_up(place.hub_id).bytes))
        folder, commit = hub.snapshot(place.hub_id, None, False, progress)
        return label, folder, commit
    if not listed:
        raise UsageError(f"{asked}: {place.hub_id} has no GGUF files: their repositories are mostly called ...-GGUF")
    by_tag: dict[str, Path] = {}
    for name in sorted(listed):
        by_tag.setdefault(_hub_label(name), Path(name))
    wanted = replace(asked, quant=asked.quant or place.tag or _default_of(listed))
    label, first = _choose(wanted, place, by_tag)
    names = [str(part) for part in gguf_header.parts_of(first)]
    preflight.require(Known(place.name, "gguf", None, fetch=sum(listed.get(name, 0) for name in names)))
    folder, commit = hub.snapshot(place.hub_id, None, False, progress, patterns=names)
    return label, folder / first, commit


def _on_hub(hub_id: str) -> Mapping[str, int]:
    """Files of models, first parts and others, with their sizes in bytes."""
    return {name: size for name, size in hub.listing(hub_id, ".gguf").items() if not _NO_MODEL.search(name)}


def _hub_label(name: str) -> str:
    tag = tag_of(Path(name).name) or "gguf"
    return "none" if tag in _PLAIN else tag


def _default_of(listed: Mapping[str, int]) -> str | None:
    tags = [_hub_label(name) for name in sorted(listed)]
    return _DEFAULT if _DEFAULT in tags else next(iter(tags), None)


def _model_of(file: str) -> str:
    """A file's name without type, part and ending, so that two types of one model are variants of it."""
    stem = _PART.sub("", re.sub(r"\.gguf$", "", file, flags=re.IGNORECASE))
    return _TAG.sub("", stem) or stem


def _plain_tag(tag: str) -> str:
    return tag.lower().replace("-", "_")


def _is_type(quant: str) -> bool:
    return quant in SCHEMES and SCHEMES[quant].gguf


__all__ = ["ENGINE", "GgufPlace", "ModelError", "find_gguf", "label_of", "resolve_gguf", "tag_of"]
