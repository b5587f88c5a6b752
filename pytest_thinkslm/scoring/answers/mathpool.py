"""Symbolic comparison by math-verify in worker processes that can be killed.

math-verify guards itself with SIGALRM, which raises off the main thread and resets other alarms, and some inputs
(towers such as ``9^{9^{9^9}}``) burn seconds inside one big-integer power, where no Python handler runs. Here it
runs with its own timers off in a plain child interpreter that speaks JSON lines over its pipes: no pickle, no
fork, no re-import of ``__main__``. A deadline is processor time, kept by the kernel in the child itself, so that a busy
machine changes no verdict; the parent kills a child that makes no progress, and replaces it at the next use. A child
ends itself when its pipe to the parent closes, so that none outlives a killed parent.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

# Absolute, and only where the package is imported: the worker runs this file alone.
if __name__ != "__main__":
    from pytest_thinkslm.core.errors import ThinkSLMError

#: Longer expressions are never compared symbolically.
LENGTH_LIMIT = 2_000

#: Seconds on the clock in which a worker has to be ready: sympy's import takes two or three of processor time, and a
#: machine that is starved gives it those in minutes. That time is not part of any comparison's deadline.
STARTUP_LIMIT = 900.0

#: A worker that has not answered in so many times its deadline, on the wall's clock, is killed. Where the kernel keeps
#: the deadline (processor time) that is one that hangs, and never one that a busy machine leaves waiting.
PATIENCE = 4.0 if sys.platform == "win32" else 40.0

#: Memory a worker may map, in bytes: a power tower must not take the machine with it.
MEMORY_LIMIT = 4 * 1024**3

Status = Literal["equal", "different", "timeout"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a worker said of two expressions; ``seconds`` is its processor time (the wall's where it gave no answer).

    A worker that dies of its limits (time or memory) counts as ``"timeout"``.
    """

    status: Status
    seconds: float


class MathPool:
    """At most ``size`` persistent workers, started at first use; safe to use from any thread."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(size)
        self._idle: list[_Worker] = []

    def compare(self, left: str, right: str, deadline: float = 5.0) -> Comparison:
        """Whether two LaTeX expressions are equal, both ways round.

        Raises:
            ThinkSLMError: no worker could be started (math-verify is missing or broken).
        """
        if len(left) > LENGTH_LIMIT or len(right) > LENGTH_LIMIT:
            return Comparison("different", 0.0)
        # Canonical order: math-verify is not symmetric in gold and prediction.
        first, second = sorted((left, right))
        with self._slots:
            worker, used = self._take()
            question = {"left": first, "right": second, "deadline": deadline}
            reply, seconds = worker.ask(question, PATIENCE * deadline)
            if reply is None and used and seconds < deadline / 2:
                # It was already dying of something else; what kills a fresh worker, too, is the question.
                worker.close()
                worker = _Worker()
                reply, seconds = worker.ask(question, PATIENCE * deadline)
            if reply is None:
                worker.close()
                return Comparison("timeout", seconds)
            with self._lock:
                self._idle.append(worker)
        return Comparison("equal" if reply["equal"] else "different", reply["seconds"])

    def close(self) -> None:
        """End the idle workers. The pool can be used again afterwards."""
        with self._lock:
            workers, self._idle = self._idle, []
        for worker in workers:
            worker.close()

    def _take(self) -> tuple[_Worker, bool]:
        """A worker, and whether it has answered before."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _Worker(), False
            if worker.alive:
                return worker, True
            worker.close()

    def _reset(self) -> None:
        # Also run in a forked child: the parent's workers and locks are not its own.
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self._size)
        self._idle = []


def compare(left: str, right: str, deadline: float = 5.0) -> Comparison:
    """``MathPool.compare`` on the process's one pool."""
    return _POOL.compare(left, right, deadline)


class _Worker:
    """One child interpreter and its pipes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # Isolated: neither the working folder nor PYTHONPATH may shadow what the worker imports.
            [sys.executable, "-I", os.path.abspath(__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
        )
        ready, _ = self.ask({"path": [entry for entry in sys.path if entry]}, STARTUP_LIMIT)
        if ready is None or "error" in ready:
            self.close()
            reason = "it did not start" if ready is None else ready["error"]
            raise ThinkSLMError(
                f"answers were to be compared by math-verify in a worker process, but {reason}; "
                "check that `python -c 'import math_verify'` works in this environment"
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, message: dict[str, Any], deadline: float) -> tuple[dict[str, Any] | None, float]:
        """The reply and the seconds it took; None where the worker was killed at the deadline or died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        started = time.monotonic()
        # Killing the process ends the blocking read below; works on every platform and in every thread.
        timer = threading.Timer(deadline, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        seconds = time.monotonic() - started
        reply: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
        return reply, seconds

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # A pipe with unwritten bytes raises when its reader is gone.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


_POOL = MathPool()
atexit.register(_POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL._reset)


def _serve() -> None:
    """The worker: answers comparison requests until standard input ends."""
    import queue
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    replies, sys.stdout = sys.stdout, sys.stderr  # nothing a library prints may enter the protocol
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(json.loads(line))
        os._exit(0)  # the parent is gone, whatever the main thread is computing

    threading.Thread(target=read, daemon=True).start()
    first = requests.get()
    sys.path.extend(entry for entry in first["path"] if entry not in sys.path)
    try:
        verify = _math_verify()
    except ImportError as error:
        reply: dict[str, Any] = {"error": f"{type(error).__name__}: {error}"}
    else:
        reply = {"ready": True}
        _limit_memory()
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        request = requests.get()
        started = time.process_time()
        _arm(request["deadline"])
        equal = verify(request["left"], request["right"])
        _arm(0.0)
        reply = {"equal": equal, "seconds": time.process_time() - started}


def _math_verify() -> Any:
    from math_verify import LatexExtractionConfig, parse
    from math_verify import verify as same

    # The operating system's timer below replaces math-verify's own, which needs the main thread and Python bytecode.
    config = [LatexExtractionConfig()]

    def verify(left: str, right: str) -> bool:
        one, two = (parse(f"${side}$", config, parsing_timeout=None) for side in (left, right))
        # 12 digits, not the default 6: 1.414214 is an approximation of sqrt(2), not equal to it.
        exact = {"float_rounding": 12, "timeout_seconds": None}
        return bool(one and two and same(one, two, **exact) and same(two, one, **exact))

    # What math-verify and sympy import and build late, they do before the first deadline runs.
    verify(r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}")
    verify("y=2x+3", "2x-y=-3")
    return verify


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _arm(seconds: float) -> None:
    """Let the kernel end this process after so many seconds of processor time, even inside a C call."""
    if sys.platform != "win32":
        import signal

        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    _serve()
