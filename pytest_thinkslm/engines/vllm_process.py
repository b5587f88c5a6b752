"""The parent's end of a vLLM process: start it, feed it, notice its death, end it.

vLLM gets a process of its own, whichever mode its core is in: pytest's capturing owns file descriptors 1 and 2 of this
process, where vLLM, its native code and its children write; a GPU is free for the next model only when the process
that used it is gone; and a crash in native code must cost items, not the run.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from pytest_thinkslm.core.records import Request
from pytest_thinkslm.engines.scoring import Forced
from pytest_thinkslm.engines.vllm_worker import Order
from pytest_thinkslm.engines.worker_process import WorkerProcess

#: Seconds that an idle engine gets to end in order before it is killed.
_GRACE = 10.0


class VLLMProcess(WorkerProcess):
    """One vLLM process. Not thread-safe, but ``send`` and ``stop`` may be called from threads other than the reader.

    Args:
        order: what to load.
        environ: the process's whole environment.
        log: receives everything it, its native code and its children print; None: nowhere.
    """

    def __init__(self, order: Order, environ: Mapping[str, str], log: TextIO | None) -> None:
        super().__init__("vllm_worker", "vLLM", environ, log)
        self._send_lock = threading.Lock()
        self._connection.send(order)

    def send(self, requests: Sequence[tuple[int, Request | Forced]]) -> None:
        """Hand over numbered requests. A dead process is no error here: ``messages`` reports it."""
        with self._send_lock, contextlib.suppress(OSError):
            self._connection.send(list(requests))

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What the process says, until it is gone; the last message is ("fatal", reason) unless it was stopped."""
        while True:
            try:
                # Polled: a grandchild that holds a copy of the socket would keep the end of file away.
                if self._connection.poll(0.5):
                    yield self._connection.recv()
                    continue
            except (EOFError, OSError):
                break
            if self.popen.poll() is not None and not self._connection.poll(0):
                break
        self._end_group()
        yield "fatal", self.epitaph()

    def stop(self, *, gently: bool) -> None:
        """End the process and its children; ``gently`` lets it clean up for some seconds."""
        if gently:
            with self._send_lock, contextlib.suppress(OSError):
                self._connection.send(None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(_GRACE)
        self._end_group()

    def pids(self) -> list[int]:
        """The process and its descendants, by its process group; Linux only, elsewhere the process alone."""
        found = [self.popen.pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.popen.pid and int(stat.parent.name) != self.popen.pid:
                    found.append(int(stat.parent.name))
        return found
