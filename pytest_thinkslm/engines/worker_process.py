"""The parent's end of an engine's own process: start it, talk to it, keep what it prints, tell how it ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

#: Lines of the process's output that are kept for the reason of its death.
_TAIL = 40


class WorkerProcess:
    """One process that runs a module of this package, with a socket to it.

    Args:
        module: its name in ``pytest_thinkslm.engines``; it gets the socket's descriptor as its argument.
        called: what messages call the process.
        environ: the process's whole environment.
        log: receives everything it, its native code and its children print; None: nowhere.
    """

    #: What marks a line that says why the process died.
    ERROR = re.compile("Error")

    def __init__(self, module: str, called: str, environ: Mapping[str, str], log: TextIO | None) -> None:
        self._called = called
        ours, theirs = socket.socketpair()
        with theirs:
            root = str(Path(__file__).resolve().parents[2])
            paths = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH")]))
            self.popen = subprocess.Popen(
                [sys.executable, "-P", "-m", f"pytest_thinkslm.engines.{module}", str(theirs.fileno())],
                env={**environ, "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                # A session of its own: Ctrl-C does not reach it, and its group is it and its children.
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._drain = threading.Thread(target=self._copy, args=(log,), name=f"{module}-log", daemon=True)
        self._drain.start()

    def _end_group(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def epitaph(self) -> str:
        """How the process ended, and its last words; waits for its end."""
        code = self.popen.wait()
        self._drain.join(5.0)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        said = [line for line in self._tail if line.strip()]
        errors = [line for line in said if self.ERROR.search(line)] or said
        return f"the {self._called} process {how}" + (f"; it last said: {errors[-1].strip()[:300]}" if errors else "")

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
