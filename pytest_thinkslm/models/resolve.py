"""From what the user typed after ``--model`` to a folder with a checkpoint; imports no torch.

Order: ``embedded``, an existing local folder, a catalogue key, a hub id (``organisation/name``).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pytest_thinkslm.core.configs import Config
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.schemes import Compression, Source
from pytest_thinkslm.models import chat_templates, checkpoint, embedded, hub
from pytest_thinkslm.models.gguf_header import Header
from pytest_thinkslm.models.hashes import file_hash, folder_hashes

Kind = Literal["embedded", "folder", "hub", "gguf"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_NO_CATALOGUE: Mapping[str, str] = MappingProxyType({})
#: Files that cannot change an output.
_DOCUMENTS = (".md", ".png", ".jpg", ".jpeg", ".gif", ".pdf")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a checkpoint that is not here: its compression, its generation_config.json, since which day."""

    compression: Compression
    sampling: Mapping[str, float]
    day: str


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A checkpoint on this disk and what is known of it before anything is loaded.

    Attributes:
        name: what the user typed.
        kind: where it came from.
        path: folder with config.json, safetensors and tokenizer; a GGUF model's (first) file.
        display: its name in reports.
        hub_id: ``organisation/name``; None where it is of no repository.
        revision: commit of the hub repository; None where it is of none.
        config: content of config.json.
        quantization: the checkpoint's own quantization config; None where it has none.
        disk_bytes: size of all its files, in bytes.
        chat_template: text of the chat template; None for a base model, which gets a plain prompt format.
        context: longest sequence in tokens, prompt and answer together; None where the checkpoint does not say.
        source: where the checkpoint came from, as far as compression goes.
        catalogue: key of the catalogue that it stands for; None where it is not catalogued.
        scheme: what the catalogue calls its compression, where that fits its own config; None: the config alone tells.
        sparsity: share of zeros that a pruned checkpoint was published with, 0 for others.
        gguf: the header of a GGUF model; None for others.
        recorded: what an earlier run noted of a checkpoint that is not here any more (``--rescore``); None: it is here.
    """

    name: str
    kind: Kind
    path: Path
    display: str
    config: Config
    disk_bytes: int
    hub_id: str | None = None
    revision: str | None = None
    quantization: Config | None = None
    chat_template: str | None = None
    context: int | None = None
    source: Source = "original"
    catalogue: str | None = None
    scheme: str | None = None
    sparsity: float = 0.0
    gguf: Header | None = None
    recorded: Recorded | None = None

    @property
    def compression(self) -> Compression:
        """How the checkpoint is compressed: from its own files, by the catalogue's name where it has one."""
        from pytest_thinkslm.models.quantization import of_checkpoint

        if self.recorded is not None:
            return self.recorded.compression
        if self.gguf is not None:
            return replace(self.gguf.compression, source=self.source)
        found = of_checkpoint(self.path, self.config, self.quantization, source=self.source, disk_bytes=self.disk_bytes)
        return replace(found, scheme=self.scheme or found.scheme, sparsity=found.sparsity or self.sparsity)

    @property
    def has_chat_template(self) -> bool:
        """False for a base model."""
        return self.chat_template is not None

    @property
    def template_sha256(self) -> str:
        """SHA-256 (hex) of the chat template's text; ``"plain"`` for the plain prompt format of a base model."""
        return "plain" if self.chat_template is None else hashlib.sha256(self.chat_template.encode()).hexdigest()

    def prompt_facts(self) -> dict[str, object]:
        """The prompt format as facts for a fingerprint: the template's hash, and the day where it asks for the date."""
        facts: dict[str, object] = {"template": self.template_sha256}
        if self.chat_template is not None and chat_templates.asks_for_date(self.chat_template):
            facts["day"] = f"{chat_templates.DAY:%Y-%m-%d}"
        return facts

    @property
    def note(self) -> str:
        """What a user should know before the run; usually empty."""
        if self.recorded is not None:
            return f"{self.display} is not here: it is scored by what the journal has of it, of {self.recorded.day}"
        if self.chat_template is None:
            return f"{self.display} has no chat template: prompts use a plain format (Question: ... Answer:)"
        found = chat_templates.remarks(self.chat_template)
        return f"{self.display}: its chat template {'; it '.join(found)}" if found else ""

    def identity(self) -> dict[str, object]:
        """The weights and tokenizer as facts for a fingerprint: a commit, a GGUF hash, or the hashes of all files."""
        if self.gguf is not None:
            # By content: the same file is the same model, wherever it came from.
            return {"files": {file.name: file_hash(file) for file in self.gguf.files}}
        if self.kind == "embedded":
            return {"model": embedded.NAME, "gguf": embedded.GGUF_SHA256, "recipe": embedded.RECIPE}
        if self.kind == "hub":
            return {"model": self.hub_id, "revision": self.revision}
        hashes = folder_hashes(self.path)
        return {"files": {name: digest for name, digest in hashes.items() if not name.lower().endswith(_DOCUMENTS)}}


def resolve(
    name: str,
    *,
    trust_remote_code: bool = False,
    revision: str | None = None,
    catalogue: Mapping[str, str] = _NO_CATALOGUE,
    progress: Callable[[str], None] = lambda line: None,
) -> ResolvedModel:
    """Find the checkpoint that ``name`` means; fetches what is not on this disk.

    Args:
        name: ``embedded``, a local folder, a key of ``catalogue``, or a hub id.
        trust_remote_code: fetch the repository's Python files, too.
        revision: branch, tag or commit of a hub repository.
        catalogue: catalogue key -> hub id.
        progress: receives lines for the user.

    Raises:
        UsageError: the name means nothing, or a revision was given for something that has none.
        ModelError: the checkpoint cannot be fetched, or is incomplete.
    """
    if not name.strip():
        raise unknown_name(name, catalogue)
    hub_id = catalogue.get(name) or (name if _HUB_ID.fullmatch(name) else None)
    folder = expanded(name)
    is_folder = folder.is_dir() and name != "embedded" and name not in catalogue
    if revision is not None and (is_folder or hub_id is None):
        raise UsageError(f"--model {name}: a revision ({revision!r}) can be given for a hub repository only")
    if name == "embedded":
        path = embedded.prepared_folder(progress)
        return described(name, "embedded", path, embedded.DISPLAY_NAME)
    if is_folder:
        path = folder.resolve()
        return described(name, "folder", path, f"{path.name} (local folder)")
    if hub_id is not None and not folder.is_file():
        path, commit = hub.snapshot(hub_id, revision, trust_remote_code, progress)
        return described(name, "hub", path, f"{hub_id} ({commit[:7]})", hub_id, commit)
    raise unknown_name(name, catalogue)


def unknown_name(name: str, keys: Iterable[str]) -> UsageError:
    """The error for a name that means nothing, with the nearest catalogue keys."""
    if not name.strip():
        return UsageError("--model: no model is named; give 'embedded', a catalogue key, a local folder or a hub id")
    return UsageError(f"unknown model {name!r}: {_advice(name, expanded(name), keys)}")


def _advice(name: str, folder: Path, keys: Iterable[str]) -> str:
    if folder.is_file():
        return (
            "that is a file; --model takes a folder, a hub id, a .gguf file or 'embedded' (a recorded file needs "
            "--engine replay)"
        )
    if os.sep in name or name.startswith((".", "~")):
        return "no such folder, and it is no hub id (organisation/name) either"
    near = nearest(name, ["embedded", *keys], "'thinkslm models' lists the names that there are")
    return f"{near}; or give a local folder or a hub id (organisation/name)"


def described(
    name: str, kind: Kind, path: Path, display: str, hub_id: str | None = None, revision: str | None = None
) -> ResolvedModel:
    """The checkpoint in a folder that is here, whole. Raises ModelError for one that is not."""
    found = checkpoint.read(path, name)
    return ResolvedModel(
        name=name,
        kind=kind,
        path=path,
        display=display,
        config=found.config,
        disk_bytes=found.disk_bytes,
        hub_id=hub_id,
        revision=revision,
        quantization=found.quantization,
        chat_template=found.chat_template,
        context=found.context,
    )
