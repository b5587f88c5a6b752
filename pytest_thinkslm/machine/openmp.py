"""How OpenMP's threads wait for one another on a CPU."""

from __future__ import annotations

from collections.abc import Mapping

#: What a user may have decided already.
_OWN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def waiting(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that make threads spin for a moment at a barrier and then sleep; none where the user set any of them.

    Threads that only spin (the default) wait out whole time slices of a machine that does other things, too; threads
    that only sleep (PASSIVE) lose a fifth on a quiet one (docs/performance.md). Read when torch is loaded.
    """
    if any(name in environ for name in _OWN):
        return {}
    return {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000"}
