"""A small part of benchmarks/faults.py: kills, signals, full disks and runs that meet, as real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "faults.py"


DRILLS = [
    *("SIGKILL openai", "SIGTERM openai", "worker openai", "two openai"),
    *("full disk openai journal", "read-only disk journal alone", "read-only disk report n2"),
]


@pytest.mark.parametrize("drill", DRILLS)
def test_nothing_is_lost_or_asked_twice_and_every_ending_has_a_sentence(drill: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--share", "0.04", "--only", drill, "--workdir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr[-2_000:]
    assert "| drill | engine |" in result.stdout
