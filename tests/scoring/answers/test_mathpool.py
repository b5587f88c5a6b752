"""The worker processes: deadline, threads, xdist, forks, and none left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_thinkslm.scoring.answers.mathpool import LENGTH_LIMIT, MathPool

TOWER = "9^{9^{9^9}}"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and fork are POSIX")


@pytest.fixture
def pool():  # type: ignore[no-untyped-def]
    pool = MathPool(size=2)
    yield pool
    pool.close()


def worker_pid(pool: MathPool) -> int:
    assert pool.compare("x+1", "1+x", deadline=60).status == "equal"
    (worker,) = pool._idle
    return worker._process.pid


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie whose new parent has not collected it yet has ended too.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def ends(pid: int, within: float = 20.0) -> bool:
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


def test_verdicts(pool: MathPool) -> None:
    assert pool.compare(r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", 60).status == "equal"
    assert pool.compare("x+1", "x+2").status == "different"
    assert pool.compare("{{{", "\ud800").status == "different"


def test_nothing_starts_before_the_first_use() -> None:
    assert MathPool()._idle == []


def test_a_worker_is_kept(pool: MathPool) -> None:
    assert worker_pid(pool) == worker_pid(pool)


def test_past_the_deadline_the_worker_is_killed_and_replaced(pool: MathPool) -> None:
    first = worker_pid(pool)
    said = pool.compare(TOWER, "5", deadline=0.3)
    assert said.status == "timeout"
    assert not is_running(first)
    assert worker_pid(pool) != first


def test_a_worker_that_died_between_comparisons_is_replaced(pool: MathPool) -> None:
    first = worker_pid(pool)
    os.kill(first, signal.SIGTERM)
    assert ends(first)
    assert worker_pid(pool) != first


def test_long_expressions_start_no_worker() -> None:
    pool = MathPool()
    assert pool.compare("1+" * LENGTH_LIMIT + "1", "5").status == "different"
    assert pool._idle == []


def test_off_the_main_thread_without_touching_signals(pool: MathPool) -> None:
    handler = signal.getsignal(signal.SIGINT)
    alarm = signal.getsignal(signal.SIGALRM) if hasattr(signal, "SIGALRM") else None
    with ThreadPoolExecutor(6) as threads:
        said = list(threads.map(lambda n: pool.compare(f"x+{n}", f"{n}+x", 60).status, range(12)))
    assert said == ["equal"] * 12
    assert len(pool._idle) <= 2
    assert signal.getsignal(signal.SIGINT) == handler
    assert alarm is None or signal.getsignal(signal.SIGALRM) == alarm


def test_close_ends_the_workers_and_the_pool_can_be_used_again(pool: MathPool) -> None:
    first = worker_pid(pool)
    pool.close()
    assert not is_running(first)
    assert worker_pid(pool) != first


SCRIPT = """
import threading, time
from pytest_thinkslm.scoring.answers import mathpool
mathpool.compare("x+1", "1+x", 60)
(worker,) = mathpool._POOL._idle
print(worker._process.pid, flush=True)
{then}
"""


def script(then: str, tmp_path: Path) -> subprocess.Popen[str]:
    # A module named like one that the worker imports must not be picked up from the working folder.
    (tmp_path / "sympy.py").write_text("raise SystemExit('the working folder was imported')\n")
    path = tmp_path / "main.py"
    path.write_text(
        SCRIPT.format(then=then).replace("import threading", "import sys; sys.path.pop(0); import threading", 1)
    )
    return subprocess.Popen([sys.executable, str(path)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)


@posix
@pytest.mark.parametrize(
    "then",
    [
        "time.sleep(600)",
        # The worker is computing, inside one big-integer power, when its parent is killed.
        f"mathpool.compare({TOWER!r}, '5', 3.0)",
    ],
    ids=["idle", "computing"],
)
def test_no_worker_outlives_a_killed_parent(then: str, tmp_path: Path) -> None:
    parent = script(then, tmp_path)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    assert is_running(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ends(pid)


@posix
def test_no_worker_outlives_a_normal_exit(tmp_path: Path) -> None:
    parent = script("", tmp_path)
    output, _ = parent.communicate(timeout=120)
    assert parent.returncode == 0
    assert ends(int(output.split()[0]))


@posix
def test_a_forked_child_starts_workers_of_its_own(tmp_path: Path) -> None:
    then = """
import os
child = os.fork()
if child == 0:
    said = mathpool.compare("x+2", "2+x", 60).status
    (own,) = mathpool._POOL._idle
    os._exit(0 if said == "equal" and own._process.pid != worker._process.pid else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), mathpool.compare("x+3", "3+x", 60).status)
"""
    parent = script(then, tmp_path)
    output, _ = parent.communicate(timeout=120)
    assert output.split()[1:] == ["0", "equal"]


def test_a_broken_installation_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_thinkslm.core.errors import ThinkSLMError

    monkeypatch.setattr(sys, "executable", shutil_which("false"))
    with pytest.raises(ThinkSLMError, match="math-verify"):
        MathPool().compare("x", "y")


def shutil_which(name: str) -> str:
    import shutil

    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no program {name!r} here")
    return found


def test_threads_share_the_process_pool() -> None:
    from pytest_thinkslm.scoring.answers.mathpool import compare

    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(compare("2+x", "x+2", 60).status)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == ["equal"] * 3
