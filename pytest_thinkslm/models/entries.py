"""What the catalogue has of a model: an entry, its published checkpoints, and the sampling of its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

Kind = Literal["paper", "pruned", "distilled", "newer", "embedded", "own"]
#: How a checkpoint's weights are stored; what loads each is in ``loading.py``.
Format = Literal[
    "safetensors",
    "pickle",
    "gptq",
    "awq",
    "compressed-tensors",
    "sparse-24",
    "sparse-dense",
    "fp8-static",
    "gguf",
    "fp8-block",
    "mxfp4",
    "unknown",
]
#: Whether a model writes a thought: by a switch of its template, on or off where nothing is said; at an effort; always;
#: never; empty where it is not known.
Thinking = Literal["", "never", "always", "on", "off", "effort"]

_NOWHERE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CardSampling:
    """The sampling that a model's card recommends; None where it says nothing of a parameter.

    ``when`` is the mode that it is for, in a word or two ("thinking"); empty: all.
    """

    when: str = ""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None

    def __str__(self) -> str:
        values = {
            "temperature": self.temperature,
            "top-p": self.top_p,
            "top-k": self.top_k,
            "min-p": self.min_p,
            "presence penalty": self.presence_penalty,
            "repetition penalty": self.repetition_penalty,
        }
        given = ", ".join(f"{name} {value:g}" for name, value in values.items() if value is not None)
        return f"{given} ({self.when})" if self.when else given


@dataclass(frozen=True, slots=True)
class Published:
    """One checkpoint of a model.

    Attributes:
        quant: its scheme, a key of ``SCHEMES``.
        hub_id: ``owner/name``; None for the embedded model and for a local folder.
        folder: a local folder in the hub's place (entries of the user's).
        disk_gib: size of its files in GiB; None where it is not known.
        format: how its weights are stored, as far as is known before it is here.
        gated: whether its terms have to be accepted on the hub.
        revision: branch or commit where it is not the repository's main one.
        beside_paper: of a model of kind "paper": no row of the paper's table is of it.
        remark: what is not sure about it.
    """

    quant: str
    hub_id: str | None = None
    folder: Path | None = None
    disk_gib: float | None = None
    format: Format = "safetensors"
    gated: bool = False
    revision: str | None = None
    beside_paper: bool = False
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model and its published checkpoints by scheme.

    Attributes:
        key: its name after ``--model``; contains no task key, so that ``-k gsm8k`` means the task.
        params: parameters in billions (all of them, also of experts that a token does not use).
        no_engine: engine -> why it cannot load the architecture, and what can.
        remote_code: needs ``--trust-remote-code``.
        base: has no chat template.
        sparsity: ``"2of4"`` where its weights are pruned.
        context: longest sequence in tokens by its card; None where it is not known.
        thinking: whether and how it thinks; its chat template decides, this is for people.
        sampling: what its card recommends.
        licence: as its card names it; empty where it is not known.
        note: for users. ``remark``: what is not sure.
        unconfirmed: what of the entry was not seen on its card.
    """

    key: str
    family: str
    params: float
    kind: Kind
    checkpoints: Mapping[str, Published]
    no_engine: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)
    remote_code: bool = False
    base: bool = False
    sparsity: str | None = None
    context: int | None = None
    thinking: Thinking = ""
    sampling: tuple[CardSampling, ...] = ()
    licence: str = ""
    note: str = ""
    remark: str = ""
    unconfirmed: tuple[str, ...] = ()
