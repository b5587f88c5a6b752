"""Records from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.tasks.task import Task


def fetch_rows(hub_id: str, config: str | None, split: str) -> list[dict[str, Any]]:
    """All rows of one split, as the ``datasets`` library gives them. The one place that talks to the hub."""
    import datasets

    return [dict(row) for row in datasets.load_dataset(hub_id, config, split=split)]


def read_hub(task: Task, hub: Mapping[str, str]) -> tuple[str, list[dict[str, Any]]]:
    """A task's rows, its configurations joined, and the hub id they came from.

    ``hub`` overrides hub ids by task key. Raises ``DataError`` naming the setting and ``--data-dir``.
    """
    assert task.source is not None
    hub_id = hub.get(task.key) or task.source.hub
    files = " or ".join(f"{file.stem}.jsonl[.gz]" for file in task.source.files)
    return hub_id, rows(
        f"{task.key}", hub_id, task.source.configs, task.source.split, f"--hub-id {task.key}=OWNER/NAME", files
    )


def rows(
    asked_by: str, hub_id: str, configs: tuple[str | None, ...], split: str, setting: str, files: str
) -> list[dict[str, Any]]:
    """The rows of all configurations; ``DataError`` with what to do where they cannot be had."""
    joined: list[dict[str, Any]] = []
    for config in configs:
        try:
            joined += fetch_rows(hub_id, config, split)
        except Exception as error:  # the library raises many types; each means that the data cannot be had
            where = f"{hub_id}, config {config}, split {split}" if config else f"{hub_id}, split {split}"
            cause = next(iter(str(error).splitlines()), "")
            raise DataError(
                f"{asked_by}: the hub data set {where} cannot be had ({type(error).__name__}: {cause}). "
                f"Give a folder that has {files} with --data-dir, check the network, "
                f"or name another hub data set with {setting} (ini: slm_hub_id)"
            ) from error
    return joined
