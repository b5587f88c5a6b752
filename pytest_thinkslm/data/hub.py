"""Records from the Hugging Face hub, at a known revision where there is one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.tasks.task import Task

#: Hub data set -> the revision that is asked for. As they stand in public text (other suites' caches and logs); that
#: they are the newest was not verified, and need not be: the content pins say what is read. A data set without one,
#: and another copy named with --hub-id, is read at its newest revision.
KNOWN_REVISIONS: Mapping[str, str] = MappingProxyType(
    {
        "openai/gsm8k": "740312add88f781978c0658806c59bc2815b9866",
        "EleutherAI/hendrycks_math": "21a5633873b6a120296cce3e2df9d5550074f4a3",
        "allenai/ai2_arc": "210d026faf9955653af8916fad021475a3f00453",
        "tau/commonsense_qa": "94630fe30dad47192a8546eb75f094926d47e155",
        "allenai/openbookqa": "388097ea7776314e93a529163e0fea805b8a6454",
        "qintongli/GSM-Plus": "3b708db57b96a16e8e3368ed2956990c0809440e",
        "Randolphzeng/Mr-GSM8K": "f944ff9e0cd6d635e6204afb2e8bf07a430cb225",
        "Randolphzeng/Mr-Ben": "f6217b8856a6d2f36c5ec426be8b623f9733fa9c",
    }
)

#: Errors that say that the hub cannot be reached, by the name of a class in their ancestry: another revision would
#: be no nearer.
_UNREACHABLE = frozenset(
    {"ConnectionError", "TimeoutError", "TimeoutException", "NetworkError", "OfflineModeIsEnabled"}
)


@dataclass(frozen=True, slots=True)
class HubRows:
    """The rows of a split, the revision they were asked at (None: the newest), and what a reader has to know of it."""

    rows: list[dict[str, Any]]
    hub_id: str
    revision: str | None = None
    note: str = ""


def fetch_rows(hub_id: str, config: str | None, split: str, revision: str | None = None) -> list[dict[str, Any]]:
    """All rows of one split, as the ``datasets`` library gives them. The one place that talks to the hub."""
    import datasets

    return [dict(row) for row in datasets.load_dataset(hub_id, config, split=split, revision=revision)]


def read_hub(task: Task, hub: Mapping[str, str]) -> HubRows:
    """A task's rows, its configurations joined.

    ``hub`` overrides hub ids by task key (``owner/name`` or ``owner/name@revision``). Raises ``DataError`` naming the
    setting and ``--data-dir``.
    """
    assert task.source is not None
    files = " or ".join(f"{file.stem}.jsonl[.gz]" for file in task.source.files)
    asked = hub.get(task.key) or task.source.hub
    return read_rows(task.key, asked, task.source.configs, task.source.split, f"--hub-id {task.key}=OWNER/NAME", files)


def rows(
    asked_by: str, hub_id: str, configs: tuple[str | None, ...], split: str, setting: str, files: str
) -> list[dict[str, Any]]:
    """The rows of all configurations; ``DataError`` with what to do where they cannot be had."""
    return read_rows(asked_by, hub_id, configs, split, setting, files).rows


def read_rows(
    asked_by: str, asked: str, configs: tuple[str | None, ...], split: str, setting: str, files: str
) -> HubRows:
    """The rows of all configurations at the known revision, else at the newest one, with a note.

    Args:
        asked_by: task or command, for messages.
        asked: ``owner/name``, or ``owner/name@revision`` for one that is not to be replaced by the newest.
        configs: configurations to join.
        split: which split.
        setting: what names another data set.
        files: local files that would do.

    Raises:
        DataError: they cannot be had, with what to do.
    """
    if importlib.util.find_spec("datasets") is None:
        raise DataError(
            f"{asked_by}: the hub's data sets are read with the library datasets, which is not installed: "
            f"pip install 'pytest-thinkslm[hub]', or give a folder that has {files} with --data-dir"
        )
    hub_id, _, named = asked.partition("@")
    known = None if named else KNOWN_REVISIONS.get(hub_id)
    note = ""
    try:
        if known:
            try:
                return HubRows(_joined(hub_id, configs, split, known), hub_id, known)
            except _NotHadError as error:
                if _unreachable(error):
                    raise
                note = f"the known revision {known[:12]} of {hub_id} cannot be had: its newest one was read"
        return HubRows(_joined(hub_id, configs, split, named or None), hub_id, named or None, note)
    except _NotHadError as error:
        where = f"{asked}, config {error.config}, split {split}" if error.config else f"{asked}, split {split}"
        cause = next(iter(str(error.__cause__).splitlines()), "")
        raise DataError(
            f"{asked_by}: the hub data set {where} cannot be had ({type(error.__cause__).__name__}: {cause}). "
            f"Give a folder that has {files} with --data-dir, check the network, "
            f"or name another hub data set with {setting} (ini: slm_hub_id)"
        ) from error


class _NotHadError(Exception):
    """A configuration that cannot be had; the cause says why."""

    def __init__(self, config: str | None) -> None:
        self.config = config


def _joined(hub_id: str, configs: tuple[str | None, ...], split: str, revision: str | None) -> list[dict[str, Any]]:
    joined: list[dict[str, Any]] = []
    for config in configs:
        try:
            joined += fetch_rows(hub_id, config, split, revision)
        except Exception as error:  # the library raises many types; each means that the data cannot be had
            raise _NotHadError(config) from error
    return joined


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unreachable(error: BaseException) -> bool:
    return any(base.__name__ in _UNREACHABLE for cause in _causes(error) for base in type(cause).__mro__)
