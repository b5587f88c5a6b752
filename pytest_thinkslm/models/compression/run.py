"""Runs a compression job in its own process and says how far it is."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from pytest_thinkslm.models.compression.environment import Interpreter
from pytest_thinkslm.models.compression.recipes import CompressionError

SCRIPT = Path(__file__).with_name("job.py")
_SAY_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """What ``job.py`` reads.

    Attributes:
        source: folder of the uncompressed checkpoint.
        out: folder that it writes.
        title: what its progress lines begin with.
        modifiers: class names of llm-compressor's modifiers with their arguments.
        calibration: solved questions; none for a recipe that looks at weights alone.
        max_tokens: longest sample in tokens.
        chat: whether samples go through the chat template.
        seed: of everything that is random.
        trust_remote_code: run the checkpoint's own Python code.
    """

    source: str
    out: str
    title: str
    modifiers: Sequence[Sequence[Any]]
    calibration: Sequence[Mapping[str, str]]
    max_tokens: int
    chat: bool
    seed: int
    trust_remote_code: bool


def run(
    job: Job, interpreter: Interpreter, label: str, log: Path, progress: Callable[[str], None]
) -> Mapping[str, Any]:
    """Run the job to its end; returns the facts that it reports (versions, tokens, device).

    The job's process ends with this one: it reads its standard input, and that ends.

    Raises:
        CompressionError: it failed; with the last lines of its log, which ``log`` keeps.
    """
    order = Path(job.out).with_name("job.json")
    order.write_text(json.dumps(asdict(job)), encoding="utf-8")
    begun = time.monotonic()
    command = [str(interpreter.python), str(SCRIPT), str(order)]
    with log.open("wb") as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environ(interpreter)
            )
        except OSError as problem:
            raise CompressionError(f"{label}: {interpreter.python} cannot be run: {problem.strerror}") from problem
        try:
            facts = _follow(process, label, begun, progress)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
    if process.returncode or facts is None:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        status = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
        memory = "; it was killed, most likely for want of memory" if process.returncode == -9 else ""
        raise CompressionError(
            f"{label}: the job failed with {status}{memory}. Its last words: "
            f"{' / '.join(lines[-4:])[-600:] or 'none'}. Log: {log}"
        )
    return facts


def _follow(
    process: subprocess.Popen[bytes], label: str, begun: float, progress: Callable[[str], None]
) -> Mapping[str, Any] | None:
    """Pass on stages at once and the state every few seconds; the facts of its last line, None without one."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    stage, kind, said = "starting", "", begun
    facts: Mapping[str, Any] | None = None
    while True:
        try:
            line = lines.get(timeout=_SAY_EVERY)
        except queue.Empty:
            line = b""
        if line is None:
            process.wait()
            return facts
        content = _content(line)
        facts = content.get("done", facts)
        stage = str(content.get("stage", stage))
        now = time.monotonic()
        if stage.partition(":")[0] != kind or now - said >= _SAY_EVERY:
            kind, said = stage.partition(":")[0], now
            progress(f"{label}: {stage}, {now - begun:.0f} s")


def _read(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _content(line: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:  # something that a library printed
        return {}
    return content if isinstance(content, dict) else {}


def _environ(interpreter: Interpreter) -> dict[str, str]:
    """Offline, and without the paths of this environment where the job's is another one."""
    foreign = () if interpreter.own else ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environ = {key: value for key, value in os.environ.items() if key not in foreign}
    # Threads that spin at every barrier wait out whole time slices of a busy machine.
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
