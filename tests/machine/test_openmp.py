"""How threads wait is this package's business only where the user has not decided it."""

from __future__ import annotations

import sys
import time

import pytest

from pytest_thinkslm.machine import openmp
from pytest_thinkslm.machine.openmp import waiting


def test_they_spin_for_a_moment() -> None:
    assert waiting({"OMP_NUM_THREADS": "2"}) == {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_set_is_left_alone(name: str) -> None:
    assert waiting({name: "1"}) == {}


@pytest.mark.parametrize(
    ("engines", "ticks", "threads"),
    [
        (1, (0, 0), None),
        (1, (100, 109), None),
        (1, (100, 125, 125, 225), 7),
        (1, (100, 160, 160, 360), 6),
        (1, (100, 900, 900, 9000), 1),
        (1, (100, 125, 125, 130), None),  # a program that was just ending
        (1, (None, None), None),
        (1, (125, 100), None),
        (2, (100, 900), 4),
        (20, (0, 0), 1),
    ],
)
def test_a_core_that_others_keep_busy_is_left_to_them(
    monkeypatch: pytest.MonkeyPatch, engines: int, ticks: tuple[int | None, ...], threads: int | None
) -> None:
    seen = iter(ticks)
    monkeypatch.setattr(openmp, "cpus", lambda: 8)
    monkeypatch.setattr(openmp, "_busy_ticks", lambda: next(seen))
    monkeypatch.setattr(openmp.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(openmp.os, "sysconf", lambda name: 100)
    assert openmp.threads(engines) == threads


@pytest.mark.skipif(sys.platform != "linux", reason="CPU times are read from /proc")
def test_what_this_process_works_is_no_load_of_others() -> None:
    begin = openmp._busy_ticks()
    assert begin is not None
    own = time.process_time()
    while time.process_time() - own < 0.3:
        pass
    end = openmp._busy_ticks()
    assert end is not None
    # Others may work, too, but this process's own 30 ticks are not in it where nobody else does.
    assert end - begin > -10
