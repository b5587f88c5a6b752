"""Where llm-compressor runs: in this environment, in one that the user names, or in one made on request.

Its pins clash with those of serving engines, so that it seldom is in the same environment. Nothing is installed but by
``set_up``, which ``thinkslm compress --setup-env`` calls.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.models.cache import cache_folder, cache_root, write_atomically
from pytest_thinkslm.models.compression.locks import held
from pytest_thinkslm.models.compression.recipes import CompressionError

VARIABLE = "THINKSLM_COMPRESS_PYTHON"
REQUIREMENTS = ("torch==2.13.0", "llmcompressor>=0.14,<0.15")
#: Measured, in GB: with a CPU build of torch, and with the CUDA libraries that other builds bring.
SIZE_CPU, SIZE_CUDA = 1.5, 7.0

_PROBE = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('llmcompressor') else 3)"
_SAY_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that has llm-compressor, and how it was found."""

    python: Path
    found: str
    own: bool


def interpreter() -> Interpreter:
    """The Python to compress with: the one that is named, this one, or that of the environment made on request.

    Raises:
        CompressionError: there is none, or the one that is named has no llm-compressor.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Interpreter(_checked(expanded(named)), VARIABLE, own=False)
    if importlib.util.find_spec("llmcompressor") is not None:
        return Interpreter(Path(sys.executable), "this environment", own=True)
    if is_set_up():
        return Interpreter(_python(folder()), str(folder()), own=False)
    raise CompressionError(
        f"compression is not set up: there is no llm-compressor here. 'thinkslm compress --setup-env' makes an "
        f"environment for it ({what_it_takes()}); or name a Python that has it with {VARIABLE}"
    )


def folder() -> Path:
    """Where the environment made on request is or will be."""
    return cache_root() / "compress-env"


def is_set_up() -> bool:
    """Whether the environment made on request is there, whole."""
    return _ready(folder()).is_file() and _python(folder()).is_file()


def what_it_takes() -> str:
    """What ``set_up`` installs, where, and how big it gets."""
    return (
        f"installs {' and '.join(REQUIREMENTS)} with their dependencies into {folder()}; about {SIZE_CPU:g} GB on disk "
        f"where the package index gives a CPU build of torch, about {SIZE_CUDA:g} GB with CUDA"
    )


def set_up(progress: Callable[[str], None]) -> Path:
    """Make the environment, or make it anew where it is not complete; returns its Python.

    An environment that was interrupted half-way has no ``ready.json``, is not used, and is replaced here.

    Raises:
        CompressionError: it cannot be made; says why and where the log is.
    """
    place = folder()
    root = cache_folder("compressed")
    with held(root / "setup.lock", progress, "waiting for another process that sets compression up"):
        python = _python(place)
        if is_set_up():
            progress(f"compression is set up already: {place}")
            return python
        free = shutil.disk_usage(root).free / 1e9
        if free < SIZE_CPU:
            raise CompressionError(
                f"compression's environment takes {SIZE_CPU:g} GB; {root} has {free:.1f} GB free; set THINKSLM_CACHE "
                "to a folder on a larger disk"
            )
        shutil.rmtree(place, ignore_errors=True)
        log = cache_folder("compressed/log") / "setup.log"
        begun = time.monotonic()
        log.write_bytes(b"")
        for title, command in _commands(place, python):
            _run(title, command, log, place, progress)
        version = subprocess.run(
            [python, "-c", "from importlib.metadata import version; print(version('llmcompressor'))"],
            capture_output=True,
            text=True,
            check=False,
        )
        if version.returncode:
            raise CompressionError(f"the new environment {place} has no llm-compressor; the log is {log}")
        facts = {"llmcompressor": version.stdout.strip(), "requirements": REQUIREMENTS}
        write_atomically(_ready(place), json.dumps(facts, indent=2))
    progress(
        f"compression is set up: llm-compressor {facts['llmcompressor']} in {place}, {_gigabytes(place):.1f} GB, "
        f"{time.monotonic() - begun:.0f} s"
    )
    return python


def _commands(place: Path, python: Path) -> Sequence[tuple[str, Sequence[str]]]:
    """With uv where it is there (faster, and it needs no pip), else with venv and pip."""
    uv = shutil.which("uv")
    if uv is not None:
        return (
            ("making the environment", [uv, "venv", "--python", sys.executable, str(place)]),
            ("installing", [uv, "pip", "install", "--python", str(python), *REQUIREMENTS]),
        )
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    return (
        ("making the environment", [sys.executable, "-m", "venv", str(place)]),
        ("installing torch", [*pip, REQUIREMENTS[0]]),
        ("installing llm-compressor", [*pip, *REQUIREMENTS]),
    )


def _run(title: str, command: Sequence[str], log: Path, place: Path, progress: Callable[[str], None]) -> None:
    environ = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    begun = said = time.monotonic()
    progress(title)
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environ)
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - said >= _SAY_EVERY:
                    said = time.monotonic()
                    progress(f"{title}: {_gigabytes(place):.1f} GB on disk, {said - begun:.0f} s")
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
        raise CompressionError(f"setting compression up failed while {title}: {' / '.join(last)[:600]}. Log: {log}")


def _checked(python: Path) -> Path:
    if not python.is_file():
        raise CompressionError(f"{VARIABLE}={python}: there is no such file; name the Python of an environment")
    try:
        lacks = subprocess.run([python, "-c", _PROBE], capture_output=True, check=False).returncode != 0
    except OSError as problem:
        raise CompressionError(f"{VARIABLE}={python} cannot be run: {problem.strerror}") from problem
    if lacks:
        raise CompressionError(
            f"{VARIABLE}={python}: that Python has no llm-compressor; install {' '.join(REQUIREMENTS)} there, or unset "
            "the variable and run 'thinkslm compress --setup-env'"
        )
    return python


def _ready(place: Path) -> Path:
    return place / "ready.json"


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _gigabytes(place: Path) -> float:
    total = 0
    for root, _, names in os.walk(place):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:  # moved between the listing and the look
                continue
    return total / 1e9
