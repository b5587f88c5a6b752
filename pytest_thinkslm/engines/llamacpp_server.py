"""The parent's end of a llama.cpp process: start it, learn its address, notice its death, end it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.engines.llamacpp_worker import Order

#: Lines of the process's output that are kept for the reason of its death.
_TAIL = 40


class LlamaCppServer:
    """One llama.cpp server on a loopback port, with a key that this process alone knows.

    Args:
        order: what to load; its key is made here.
        environ: the process's whole environment.
        log: receives everything that it prints; None: nowhere.
    """

    def __init__(self, order: Order, environ: Mapping[str, str], log: TextIO | None) -> None:
        self.key = secrets.token_urlsafe(32)
        self.address, self.facts = "", dict[str, Any]()
        self._begin = time.perf_counter()
        ours, theirs = socket.socketpair()
        with theirs:
            root = str(Path(__file__).resolve().parents[2])
            paths = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH")]))
            self.popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "pytest_thinkslm.engines.llamacpp_worker", str(theirs.fileno())],
                env={**environ, "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                # A session of its own: Ctrl-C does not reach it.
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._drain = threading.Thread(target=self._copy, args=(log,), name="llamacpp-log", daemon=True)
        self._drain.start()
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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._drain.join(5.0)

    def epitaph(self) -> str:
        """How the process ended, and its last words."""
        code = self.popen.wait()
        self._drain.join(5.0)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        said = [line for line in self._tail if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said
        return f"the llama.cpp process {how}" + (f"; it last said: {errors[-1].strip()[:300]}" if errors else "")

    def _copy(self, log: TextIO | None) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as output:
            for raw in output:
                line = raw.decode("utf-8", "replace")
                self._tail.append(line)
                if log is not None:
                    # The log may be closed at the end of the run while a dying process still talks.
                    with contextlib.suppress(ValueError):
                        log.write(line)
                        log.flush()
