"""Checkpoints from the Hugging Face hub: fetched once, pinned to the commit that was loaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from pytest_thinkslm.core.configs import Config
from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models.cache import cache_folder

#: Weights only as safetensors: pickles run code when loaded.
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt"]
#: Second copies of the weights in other layouts, which some repositories carry.
_UNWANTED = ["consolidated*", "original/*", "onnx/*", "openvino/*", "coreml/*", "runs/*", "checkpoint-*/*"]

#: Seconds after which a hub that does not answer counts as out of reach.
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository that is not on this disk: its config.json, and the bytes of the files that would be fetched."""

    config: Config
    bytes: int


def look_up(hub_id: str, revision: str | None = None) -> Remote:
    """Config and size of a repository, without its weights; asked of the hub once in a process.

    Raises ModelError as ``snapshot`` does.
    """
    found = _looked_up(hub_id, revision)
    if isinstance(found, ModelError):
        raise found
    return found


@cache
def _looked_up(hub_id: str, revision: str | None) -> Remote | ModelError:
    import huggingface_hub

    try:
        facts = huggingface_hub.HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=_PATIENCE)
        # A cache of its own: in the hub's a config alone would look like a checkpoint without weights.
        file = huggingface_hub.hf_hub_download(
            hub_id, "config.json", revision=facts.sha, cache_dir=cache_folder("configs"), etag_timeout=_PATIENCE
        )
        config = json.loads(Path(file).read_text(encoding="utf-8"))
    except Exception as problem:  # the hub's client raises errors of four libraries; each becomes one for the user
        return _error(problem, hub_id, revision)
    size = sum(file.size or 0 for file in facts.siblings or () if _wanted(file.rfilename))
    return Remote(config if isinstance(config, dict) else {}, size)


def listing(hub_id: str, ending: str) -> Mapping[str, int]:
    """Files of a repository whose names end so, with their sizes in bytes; without a network those in the hub's cache.

    Raises ModelError as ``snapshot`` does, where the cache has none either.
    """
    found = _listed(hub_id)
    if isinstance(found, ModelError):
        raise found
    return {name: size for name, size in found.items() if name.lower().endswith(ending)}


@cache
def _listed(hub_id: str) -> Mapping[str, int] | ModelError:
    import huggingface_hub

    try:
        facts = huggingface_hub.HfApi().model_info(hub_id, files_metadata=True, timeout=_PATIENCE)
        return {file.rfilename: file.size or 0 for file in facts.siblings or ()}
    except Exception as problem:  # the hub's client raises errors of four libraries; each becomes one for the user
        unreachable = _error(problem, hub_id, None)
    cached = _cached(hub_id)
    return unreachable if cached is None else cached


def _cached(hub_id: str, revision: str | None = None) -> Mapping[str, int] | None:
    """Files of a repository in the hub's cache, with their sizes in bytes; None where it has none. No network."""
    import huggingface_hub

    # Not snapshot_download: a repository of which only the wanted files were fetched is incomplete to it.
    try:
        cached = huggingface_hub.scan_cache_dir().repos
    except huggingface_hub.CacheNotFound:
        return None
    found = next(
        (
            one
            for repository in cached
            if repository.repo_type == "model" and repository.repo_id == hub_id
            for one in repository.revisions
            if (revision or "main") in {one.commit_hash, *one.refs}
        ),
        None,
    )
    if found is None:
        return None
    return {file.file_path.relative_to(found.snapshot_path).as_posix(): file.size_on_disk for file in found.files}


def cached_config(hub_id: str, revision: str | None = None) -> Config | None:
    """The config.json of a checkpoint that is in the hub's cache with weights; None where it is not. No network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "config.json", revision=revision)
    if not isinstance(found, str) or not any(Path(found).parent.glob("*.safetensors")):
        return None
    try:
        config = json.loads(Path(found).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a damaged copy is for the download to mend, or to report
        return None
    return config if isinstance(config, dict) else None


def is_cached(hub_id: str, revision: str | None = None) -> bool:
    """Whether the hub's cache has weights of a repository. No network."""
    return any(name.lower().endswith((".safetensors", ".gguf")) for name in _cached(hub_id, revision) or ())


def free_disk() -> tuple[Path, int]:
    """The hub's cache folder and the free bytes on its disk."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return folder, shutil.disk_usage(there).free


def _wanted(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in _WANTED) and not any(
        fnmatch(name, pattern) for pattern in _UNWANTED
    )


def snapshot(
    hub_id: str,
    revision: str | None,
    trust_remote_code: bool,
    progress: Callable[[str], None],
    patterns: Sequence[str] = (),
) -> tuple[Path, str]:
    """Folder and commit of a hub repository; what the hub's own cache has is not fetched again.

    ``patterns`` are the files that are wanted, where not those of a checkpoint.

    Without a network the cached snapshot is used. Raises ModelError with the reason (no network, unknown or gated
    repository, unknown revision) and what to do.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm as hub_tqdm

    class Silent(hub_tqdm):  # type: ignore[misc]
        """The hub's progress bars would write into pytest's terminal."""

        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    progress(f"looking up {hub_id} on the hub")
    try:
        folder = snapshot_download(
            hub_id,
            revision=revision,
            allow_patterns=list(patterns) or ([*_WANTED, "*.py"] if trust_remote_code else _WANTED),
            ignore_patterns=None if patterns else _UNWANTED,
            tqdm_class=Silent,
        )
    except Exception as problem:  # the hub's client raises errors of four libraries; each becomes one for the user
        raise _error(problem, hub_id, revision) from problem
    path = Path(folder)
    if path.parent.name != "snapshots":
        raise ModelError(f"--model {hub_id}: the hub's cache has an unknown layout ({path}); give the folder itself")
    return path, path.name


def _error(problem: Exception, hub_id: str, revision: str | None) -> ModelError:
    reason = _reason(problem, hub_id, revision)
    return ModelError(f"--model {hub_id}: {reason}", reason)


def _reason(problem: Exception, hub_id: str, revision: str | None) -> str:
    from huggingface_hub import errors

    status = getattr(getattr(problem, "response", None), "status_code", None)
    detail = " ".join(str(problem.__cause__ or problem).split())[:200]
    if isinstance(problem, errors.GatedRepoError) or status == 403:
        return (
            f"the repository is gated: accept its terms on https://huggingface.co/{hub_id} and set HF_TOKEN to a token "
            f"of that account (https://huggingface.co/settings/tokens){_token()}"
        )
    if isinstance(problem, errors.RevisionNotFoundError):
        return f"the repository has no revision {revision!r}"
    if isinstance(problem, errors.RepositoryNotFoundError) or status in (401, 404):
        return (
            "the hub knows no such repository, or it is private or gated: check the spelling; where it is gated accept "
            f"its terms on https://huggingface.co/{hub_id}, and set HF_TOKEN to a token that may read it{_token()}"
        )
    if isinstance(problem, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError) or _is_transport(problem):
        return (
            f"it is not in the local hub cache, and the hub cannot be reached ({detail}). Check the network (and "
            "HF_ENDPOINT, HF_HUB_OFFLINE), or give a local folder with the checkpoint (--model /path/to/folder)"
        )
    return f"fetching it failed: {type(problem).__name__}: {detail}"


def _token() -> str:
    """Whether a token was sent at all; never the token."""
    return "; the HF_TOKEN that is set was not enough" if os.environ.get("HF_TOKEN") else "; no HF_TOKEN is set"


def _is_transport(problem: Exception) -> bool:
    """Errors of the HTTP library below the hub's client, whichever that is."""
    return type(problem).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}
