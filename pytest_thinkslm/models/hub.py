"""Checkpoints from the Hugging Face hub: fetched once, pinned to the commit that was loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_thinkslm.errors import ModelError

#: Weights only as safetensors: pickles run code when loaded.
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt"]
#: Second copies of the weights in other layouts, which some repositories carry.
_UNWANTED = ["consolidated*", "original/*", "onnx/*", "openvino/*", "coreml/*", "runs/*", "checkpoint-*/*"]


def snapshot(
    hub_id: str, revision: str | None, trust_remote_code: bool, progress: Callable[[str], None]
) -> tuple[Path, str]:
    """Folder and commit of a hub repository; what the hub's own cache has is not fetched again.

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
            allow_patterns=[*_WANTED, "*.py"] if trust_remote_code else _WANTED,
            ignore_patterns=_UNWANTED,
            tqdm_class=Silent,
        )
    except Exception as problem:  # the hub's client raises errors of four libraries; each becomes one for the user
        raise ModelError(f"--model {hub_id}: {_reason(problem, hub_id, revision)}") from problem
    path = Path(folder)
    if path.parent.name != "snapshots":
        raise ModelError(f"--model {hub_id}: the hub's cache has an unknown layout ({path}); give the folder itself")
    return path, path.name


def _reason(problem: Exception, hub_id: str, revision: str | None) -> str:
    from huggingface_hub import errors

    status = getattr(getattr(problem, "response", None), "status_code", None)
    detail = " ".join(str(problem.__cause__ or problem).split())[:200]
    if isinstance(problem, errors.GatedRepoError) or status == 403:
        return (
            f"the repository is gated: accept its terms on https://huggingface.co/{hub_id} and set HF_TOKEN to a token "
            "of that account"
        )
    if isinstance(problem, errors.RevisionNotFoundError):
        return f"the repository has no revision {revision!r}"
    if isinstance(problem, errors.RepositoryNotFoundError) or status in (401, 404):
        return (
            "the hub knows no such repository, or it is private or gated: check the spelling, or set HF_TOKEN to a "
            "token that may read it"
        )
    if isinstance(problem, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError) or _is_transport(problem):
        return (
            f"it is not in the local hub cache, and the hub cannot be reached ({detail}). Check the network (and "
            "HF_ENDPOINT, HF_HUB_OFFLINE), or give a local folder with the checkpoint (--model /path/to/folder)"
        )
    return f"fetching it failed: {type(problem).__name__}: {detail}"


def _is_transport(problem: Exception) -> bool:
    """Errors of the HTTP library below the hub's client, whichever that is."""
    return type(problem).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}
