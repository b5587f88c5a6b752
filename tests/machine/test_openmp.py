"""How threads wait is this package's business only where the user has not decided it."""

from __future__ import annotations

import pytest

from pytest_thinkslm.machine.openmp import waiting


def test_they_spin_for_a_moment() -> None:
    assert waiting({"OMP_NUM_THREADS": "2"}) == {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_set_is_left_alone(name: str) -> None:
    assert waiting({name: "1"}) == {}
