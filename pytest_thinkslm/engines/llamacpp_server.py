"""The parent's end of a llama.cpp process: start it, learn its address, notice its death, end it."""

from __future__ import annotations

import contextlib
import re
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TextIO

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.engines.llamacpp_worker import Order
from pytest_thinkslm.engines.worker_process import WorkerProcess


class LlamaCppServer(WorkerProcess):
    """One llama.cpp server on a loopback port, with a key that this process alone knows.

    Args:
        order: what to load; its key is made here.
        environ: the process's whole environment.
        log: receives everything that it prints; None: nowhere.
    """

    ERROR = re.compile("error", re.IGNORECASE)

    def __init__(self, order: Order, environ: Mapping[str, str], log: TextIO | None) -> None:
        self.key = secrets.token_urlsafe(32)
        self.address, self.facts = "", dict[str, Any]()
        self._begin = time.perf_counter()
        super().__init__("llamacpp_worker", "llama.cpp", environ, log)
        with contextlib.suppress(OSError):  # it died at once; ``wait`` says how
            self._connection.send(replace(order, key=self.key))

    def wait(self) -> None:
        """Until the model is loaded: then ``address`` and ``facts`` are there. Raises EngineError where it is not."""
        try:
            address, told = self._connection.recv()
        except (EOFError, OSError):
            raise EngineError(self.epitaph()) from None
        if address is None:
            errors = [line for line in self._tail if "error" in line.lower() or "failed" in line.lower()]
            last = f" ({errors[0].strip()[:300]})" if errors else ""
            raise EngineError(f"llama.cpp cannot load the model: {told}{last}")
        self.address, self.facts = address, {**told, "load_seconds": round(time.perf_counter() - self._begin, 2)}

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self.popen.poll() is not None

    def ends_within(self, seconds: float) -> bool:
        """Whether the process has ended, or does so in a moment: its connections break off before it is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(seconds)
        return self.dead

    def stop(self) -> None:
        """End the process."""
        self._connection.close()
        self._end_group()
        self._drain.join(5.0)
